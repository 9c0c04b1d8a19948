"""What every client connection has: a stream, a scope to cut it with, and countdowns instead of timers.

A timer per request would cost more than a cheap request itself. Instead, one sweeper per server calls `tick`
on every connection once a second, and a connection whose countdown runs out is cut.
"""

from collections.abc import Callable
from typing import Final

import trio

from node.rpc.budget import Budget
from node.rpc.identity import INTERNAL

TICK_S: Final = 1.0
SEND_PIECE_BYTES: Final = 256 * 1024
"""A client must take this much within SEND_TIMEOUT_TICKS: progress is asked for, not speed."""
SEND_TIMEOUT_TICKS: Final = 20


class Connection:
    """One client. Everything that waits for it sets a countdown first."""

    __slots__ = (
        "budget",
        "cut_reason",
        "identity",
        "on_tick",
        "read_ticks",
        "scope",
        "stream",
        "write_ticks",
    )

    def __init__(self, stream: trio.abc.Stream, budget: Budget) -> None:
        self.stream = stream
        self.budget = budget
        """Shared with all other connections."""
        self.identity = INTERNAL
        """Who is at the other end; a request may show that it is somebody else."""
        self.scope = trio.CancelScope(shield=True)
        """Shielded, so that a server that stops can let replies finish; the server cuts what is left."""
        self.read_ticks = 0
        """Ticks left for what we wait to receive; 0 while we wait for nothing."""
        self.write_ticks = 0
        """Ticks left for the piece being sent; 0 while nothing is."""
        self.on_tick: Callable[[], None] | None = None
        """Called at every tick, too."""
        self.cut_reason: str | None = None

    def tick(self) -> None:
        """One more second has passed."""
        if self.read_ticks:
            self.read_ticks -= 1
            if not self.read_ticks:
                self.cut("sent nothing in time")
        if self.write_ticks:
            self.write_ticks -= 1
            if not self.write_ticks:
                self.cut("took nothing in time")
        if self.on_tick is not None:
            self.on_tick()

    def cut(self, reason: str) -> None:
        """End the connection at once."""
        self.cut_reason = reason
        self.scope.cancel()

    async def send(self, data: bytes) -> None:
        """Send all of it, in pieces that each have their time. OverBudget for one large answer too many."""
        if len(data) <= SEND_PIECE_BYTES:
            self.write_ticks = SEND_TIMEOUT_TICKS
            await self.stream.send_all(data)
        else:
            await self._send_large(data)
        self.write_ticks = 0

    async def _send_large(self, data: bytes) -> None:
        self.budget.take(len(data))
        try:
            view = memoryview(data)
            for start in range(0, len(data), SEND_PIECE_BYTES):
                self.write_ticks = SEND_TIMEOUT_TICKS
                await self.stream.send_all(view[start : start + SEND_PIECE_BYTES])
        finally:
            self.budget.give(len(data))
