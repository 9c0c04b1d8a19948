"""Simulated time: deeds happen in order of their time, and of their planning where times are equal."""

import heapq
from collections.abc import Callable


class Timeline:
    """A queue of deeds; `now_ms` moves only from one deed to the next."""

    def __init__(self, now_ms: float) -> None:
        self.now_ms = now_ms
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._planned = 0

    def after(self, delay_ms: float, deed: Callable[[], None]) -> None:
        """Do something so much later; after what is planned for the same time. A negative delay is none."""
        self._planned += 1
        heapq.heappush(self._queue, (self.now_ms + max(delay_ms, 0.0), self._planned, deed))

    def run_until(self, end_ms: float) -> None:
        """Do everything planned up to and including a time."""
        while self._queue and self._queue[0][0] <= end_ms:
            self.now_ms, _, deed = heapq.heappop(self._queue)
            deed()
        self.now_ms = max(self.now_ms, end_ms)
