"""A bounded mapping that forgets what was used longest ago; safe from any thread."""

from collections import OrderedDict
from threading import Lock
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class RecentlyUsed(Generic[Key, Value]):
    """At most `capacity` entries, and no more weight than is set; one that is too heavy is kept alone."""

    def __init__(self, capacity: int, weight_max: int | None = None) -> None:
        """`weight_max`: of all entries together, where `put` says what each weighs."""
        self._capacity = capacity
        self._weight_max = weight_max
        self._weights: dict[Key, int] = {}
        self._weight = 0
        self._entries: OrderedDict[Key, Value] = OrderedDict()
        self._lock = Lock()
        self.discards = 0
        """How often anything was forgotten on purpose; see put."""

    def get(self, key: Key) -> Value | None:
        """The value, which counts as used now; None where there is none."""
        with self._lock:
            value = self._entries.get(key)
            if value is not None:
                self._entries.move_to_end(key)
            return value

    def put(self, key: Key, value: Value, discards: int | None = None, weight: int = 0) -> None:
        """Remember a value; the longest unused one makes room.

        Whoever read the value elsewhere gives `discards` as it was before: the value is then not remembered
        if anything was discarded in between, for it may be what was.
        """
        with self._lock:
            if discards is not None and discards != self.discards:
                return
            self._entries[key] = value
            self._entries.move_to_end(key)
            self._weigh(key, weight)
            while len(self._entries) > self._capacity or self._is_too_heavy():
                self._weigh(self._entries.popitem(last=False)[0], 0)

    def discard(self, key: Key) -> None:
        """Forget a value, if it is there."""
        with self._lock:
            self._entries.pop(key, None)
            self._weigh(key, 0)
            self.discards += 1

    def __len__(self) -> int:
        """How many values are remembered."""
        return len(self._entries)

    def _weigh(self, key: Key, weight: int) -> None:
        if self._weight_max is not None:
            self._weight += weight - self._weights.pop(key, 0)
            if weight:
                self._weights[key] = weight

    def _is_too_heavy(self) -> bool:
        return self._weight_max is not None and self._weight > self._weight_max and len(self._entries) > 1
