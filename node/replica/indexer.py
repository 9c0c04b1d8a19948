"""The task that keeps the index at the head: wakes up at each new head, steps until there is nothing to do.

Steps run in one worker thread of their own. Who waits for a block to be in the index waits here. An index
that cannot be written stops the node (IndexUnavailable is a StorageError): its answers would be ever staler.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import trio

from node.chain.events import ChainEvents
from node.primitives.block import BlockRef
from node.replica.writer import IndexWriter, Progress

QUIET_S: Final = 5.0
"""How often is looked without a new head, in case an event was missed."""
TOLD_S: Final = 10.0
"""While catching up, progress is logged this often."""

log = logging.getLogger(__name__)

Result = TypeVar("Result")


@dataclass(slots=True)
class IndexStatistics:
    """Counted since the start of the process."""

    blocks: int = 0
    unwound: int = 0
    busy_s: float = 0.0


class Indexer:
    """Follows the chain with an IndexWriter."""

    def __init__(
        self, writer: IndexWriter, events: ChainEvents, *, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.statistics = IndexStatistics()
        self.checkpoint: BlockRef | None = None
        """The newest block whose rows are all there; None before the first step."""
        self._writer = writer
        self._events = events
        self._clock = clock
        self._limiter = trio.CapacityLimiter(1)
        self._moved = trio.lowlevel.ParkingLot()
        self._told_s = 0.0

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Index until cancelled; started once the tables are there. ConfigError, StorageError."""
        await self._in_thread(self._writer.open)
        self.checkpoint = await self._in_thread(self._writer.checkpoint)
        task_status.started()
        while True:
            # Who is cut off here has missed events, not blocks: the next step reads the chain itself.
            with self._events.subscribe(1) as heads:
                await self._catch_up()
                with trio.move_on_after(QUIET_S):
                    await heads.receive()

    async def wait_for(self, number: int) -> None:
        """Until the index has reached a block of this number, or a later one."""
        while self.checkpoint is None or self.checkpoint.number < number:
            await self._moved.park()

    async def _catch_up(self) -> None:
        while True:
            began = self._clock()
            progress = await self._in_thread(self._writer.step)
            self.statistics.busy_s += self._clock() - began
            if progress is None:
                return
            self._note(progress)

    def _note(self, progress: Progress) -> None:
        self.checkpoint = progress.checkpoint
        self.statistics.blocks += progress.added
        self.statistics.unwound += progress.unwound
        self._moved.unpark_all()
        if progress.unwound:
            log.info("index unwound", extra={"blocks": progress.unwound, "to": progress.checkpoint})
        if progress.added > 1 and self._clock() - self._told_s > TOLD_S:
            self._told_s = self._clock()
            log.info("indexing", extra={"block": progress.checkpoint})

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await trio.to_thread.run_sync(work, limiter=self._limiter)
