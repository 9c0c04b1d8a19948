"""The task that keeps the index at the head: wakes up at each new head, steps until there is nothing to do.

Steps run in one worker thread of their own. Who waits for a block to be in the index waits here. An index
that cannot be written stops the node (IndexUnavailable is a StorageError): its answers would be ever staler.
A server that is away (IndexAway) does not: it is tried again, and what the last step did or did not commit is
read from the server itself, so that nothing is lost or written twice.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import trio

from node.chain.events import ChainEvents
from node.primitives.block import BlockRef
from node.primitives.errors import ConfigError
from node.replica.database import IndexAway, IndexRefused
from node.replica.writer import IndexWriter, Progress

PAUSES_S: Final = (0.5, 1.0, 2.0, 5.0)
"""After the first, second, ... attempt in a row that found the server away."""
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
    outages: int = 0
    """Times that the server went away."""


class Indexer:
    """Follows the chain with an IndexWriter."""

    def __init__(
        self, writer: IndexWriter, events: ChainEvents, *, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.statistics = IndexStatistics()
        self.checkpoint: BlockRef | None = None
        """The newest block whose rows are all there; None before the first step."""
        self.away: str | None = None
        """Why nothing can be written at present; None when all is well."""
        self._is_open = False
        self._is_first = True
        """Nobody has been told yet that this runs: what is wrong now is wrong in the settings."""
        self._attempts = 0
        self._writer = writer
        self._events = events
        self._clock = clock
        self._limiter = trio.CapacityLimiter(1)
        self._moved = trio.lowlevel.ParkingLot()
        self._told_s = 0.0

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Index until cancelled; started once the tables are there or the server was found away.

        ConfigError, StorageError.
        """
        while True:
            # Who is cut off here has missed events, not blocks: the next step reads the chain itself.
            with self._events.subscribe(1) as heads:
                try:
                    await self._open()
                    self._is_first = False
                    task_status.started()
                    task_status = trio.TASK_STATUS_IGNORED
                    await self._catch_up()
                except IndexAway as error:
                    if isinstance(error, IndexRefused) and self._is_first:
                        raise ConfigError([f"replica.database: {error.cure}"]) from error
                    self._is_first = False
                    task_status.started()
                    task_status = trio.TASK_STATUS_IGNORED
                    await trio.sleep(self._note_away(error))
                    continue
                with trio.move_on_after(QUIET_S):
                    await heads.receive()

    async def wait_for(self, number: int) -> None:
        """Until the index has reached a block of this number, or a later one."""
        while self.checkpoint is None or self.checkpoint.number < number:
            await self._moved.park()

    async def _open(self) -> None:
        """Begin from what the database says. Again after an outage: the last commit may or may not count."""
        if self._is_open:
            return
        await self._in_thread(self._writer.open)
        self.checkpoint = await self._in_thread(self._writer.checkpoint)
        self._is_open = True
        if self.away is not None:
            log.info("the index's database is back", extra={"checkpoint": self.checkpoint})
        self.away, self._attempts = None, 0

    def _note_away(self, error: IndexAway) -> float:
        """How long to leave the server alone."""
        if self.away is None:
            self.statistics.outages += 1
            log.warning("JSON-RPC goes on without the index", extra={"reason": str(error)})
        self.away, self._is_open = str(error), False
        pause_s = PAUSES_S[min(self._attempts, len(PAUSES_S) - 1)]
        self._attempts += 1
        return pause_s

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
