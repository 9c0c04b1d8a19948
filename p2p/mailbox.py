"""A queue between two tasks, bounded in items and in bytes; the putting side never waits."""

from collections import deque
from typing import Generic, TypeVar

import trio

from p2p.errors import PeerGone

T = TypeVar("T")


class Mailbox(Generic[T]):
    """First in, first out."""

    def __init__(self, items_max: int, bytes_max: int) -> None:
        self._items: deque[tuple[T, int]] = deque()
        self._items_max = items_max
        self._bytes_max = bytes_max
        self._bytes = 0
        self._closed = False
        self._waiting = trio.lowlevel.ParkingLot()
        self._crowded = trio.lowlevel.ParkingLot()

    def __len__(self) -> int:
        return len(self._items)

    @property
    def fullness(self) -> float:
        """0 empty to 1 full, by items or bytes, whichever is more."""
        return max(len(self._items) / self._items_max, self._bytes / self._bytes_max)

    def put(self, item: T, size: int) -> bool:
        """Add an item of so many bytes; False when it is closed or full. An empty box takes any item."""
        full = len(self._items) >= self._items_max or self._bytes + size > self._bytes_max
        if self._closed or (full and self._items):
            return False
        self._items.append((item, size))
        self._bytes += size
        self._waiting.unpark()
        return True

    async def take(self) -> T:
        """The oldest item, waiting for one; PeerGone when the box is closed and empty."""
        await trio.lowlevel.checkpoint()
        while not self._items:
            if self._closed:
                raise PeerGone("the connection has ended")
            await self._waiting.park()
        return self.take_nowait()

    def take_nowait(self) -> T:
        """The oldest item; IndexError when there is none."""
        item, size = self._items.popleft()
        self._bytes -= size
        self._crowded.unpark_all()
        return item

    async def wait_below(self, fullness: float) -> None:
        """Return once it is no fuller than this, or closed."""
        await trio.lowlevel.checkpoint()
        while self.fullness > fullness and not self._closed:
            await self._crowded.park()

    def clear(self) -> None:
        """Throw away what is in it."""
        self._items.clear()
        self._bytes = 0
        self._crowded.unpark_all()

    def close(self) -> None:
        """Take nothing more; what is in it can still be taken."""
        self._closed = True
        self._waiting.unpark_all()
        self._crowded.unpark_all()
