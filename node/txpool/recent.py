"""A set that remembers the last so many items and forgets the oldest."""

from collections.abc import Hashable, Iterable
from itertools import islice
from typing import Generic, TypeVar

Item = TypeVar("Item", bound=Hashable)


class Recent(Generic[Item]):
    """At most `capacity` items, in the order they were last added."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: dict[Item, None] = {}

    def __contains__(self, item: Item) -> bool:
        return item in self._items

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: Item) -> None:
        """Remember one item, as the newest."""
        self.update((item,))

    def update(self, items: Iterable[Item]) -> None:
        """Remember several items, the last as the newest."""
        kept = self._items
        for item in items:
            kept.pop(item, None)
            kept[item] = None
        for oldest in list(islice(kept, max(0, len(kept) - self._capacity))):
            del kept[oldest]

    def discard(self, item: Item) -> None:
        """Forget one item."""
        self._items.pop(item, None)
