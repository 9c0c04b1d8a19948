"""Quotas by cost: a bucket of milliseconds of work per identity. Pure: the clock is an argument.

What a call costs is what it makes the node do: a base by where it runs, the time that it took, and the bytes
in and out. The base is taken before, the rest after: a bucket may go below zero, and its owner then waits
until it is filled again. A minute of tracing is paid for with silence, not with other people's answers.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from node.rpc.method import Where

BURST_S: Final = 20.0
"""A full bucket holds this many seconds' worth."""
BUCKETS_MAX: Final = 4096
BYTES_PER_MS: Final = 64 * 1024
"""Reading or writing so many bytes of JSON counts as a millisecond."""
BASE_MS: Final[dict[Where, float]] = {
    Where.LOOP: 0.05,
    Where.SESSION: 0.05,
    Where.TASK: 0.5,
    Where.READ: 0.2,
    Where.SCAN: 2.0,
    Where.CALL: 0.5,
    Where.TRACE: 20.0,
}
"""What a call of each kind costs at least."""


@dataclass(slots=True)
class Bucket:
    """What one identity has left, in milliseconds of work."""

    per_s: float
    left: float
    at: float

    def wait_s(self, now: float) -> float:
        """Fill up to now; 0 when there is something left, else how long until there is."""
        self.left = min(self.per_s * BURST_S, self.left + (now - self.at) * self.per_s)
        self.at = now
        return 0.0 if self.left > 0 else max(0.001, -self.left / self.per_s)

    def take(self, cost_ms: float) -> None:
        """Pay, even beyond what is there."""
        self.left -= cost_ms


class Quotas:
    """Buckets by name; the one that was used longest ago makes place for a new one."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def bucket(self, name: str, per_s: float, now: float) -> Bucket:
        """The bucket of an identity, full when it is new here."""
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = self._buckets[name] = Bucket(per_s, per_s * BURST_S, now)
            if len(self._buckets) > BUCKETS_MAX:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(name)
            bucket.per_s = per_s
        return bucket
