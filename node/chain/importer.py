"""The one door into the chain: every block, whoever made it, enters here and nowhere else.

One operation at a time, on one worker thread, so that timers and requests on the event loop go on while
blocks execute. Subscribers hear of a new head only after it is on disk, in the order in which heads follow
one another.

Whose fault: `InvalidBlock` and `UnknownParent` are the sender's, `FutureBlock` may be our own clock's,
`BranchTooOld` nobody's. Any other exception is a broken disk or a bug of ours: it is raised to the caller,
who must let it stop the node, and every later call raises again instead of going on with half a truth.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from itertools import pairwise
from typing import Any, Final, Protocol, TypeVar

import trio

from node.chain.errors import FutureBlock
from node.chain.execution import BuiltBlock
from node.chain.ledger import Ledger, Taken
from node.chain.reader import ChainReader
from node.chain.senders import SenderRecovery, nobody_knows
from node.config.settings import MIB
from node.primitives.block import Block, Header
from node.primitives.errors import ChainError
from node.primitives.ids import Address, Hash32
from node.primitives.transaction import Transaction

RUN_BLOCKS_PER_WRITE: Final = 32
RUN_BYTES_PER_WRITE: Final = 8 * MIB
"""Of encoded transactions, between two synced writes while catching up: bounds memory."""
FUTURE_WAIT_S_MAX: Final = 5.0
"""A block so little ahead of our clock is held back instead of refused: its sender's clock is fast."""

log = logging.getLogger(__name__)

Result = TypeVar("Result")


class ImportResult(Enum):
    """What became of a block, or of the last block of a run."""

    KNOWN = "known"
    EXTENDED = "extended"
    """The head is on top of the old one."""
    SIDE = "side"
    """Kept beside the chain."""
    REORGED = "reorged"
    """Another branch is the chain now."""


@dataclass(slots=True)
class ImportStatistics:
    """Counted since the start of the process; what happened to the chain itself is told by its events."""

    refused: int = 0
    """Blocks, or runs of headers, that broke a rule."""
    busy_s: float = 0.0
    """Time on the worker thread: verifying, executing, writing."""


class Watch(Protocol):
    """Sees every block that is taken in, of whatever branch."""

    def look(self, headers: Sequence[Header]) -> Sequence[Any]:
        """On the worker thread, once they are on disk; what is found."""
        ...

    def tell(self, found: Sequence[Any]) -> None:
        """On the event loop: what `look` found."""
        ...


class Importer:
    """The async door; `Ledger` does the work."""

    def __init__(
        self,
        ledger: Ledger,
        reader: ChainReader,
        *,
        known_sender: Callable[[Hash32], Address | None] = nobody_knows,
        unix_time: Callable[[], float] = time.time,
    ) -> None:
        self.statistics = ImportStatistics()
        self.senders = SenderRecovery(known_sender)
        self.watch: Watch | None = None
        self._ledger = ledger
        self._reader = reader
        self._unix_time = unix_time
        self._lock = trio.Lock()
        self._limiter = trio.CapacityLimiter(1)
        self._failure: BaseException | None = None

    async def import_block(self, block: Block) -> ImportResult:
        """Take one block in. UnknownParent, InvalidBlock, FutureBlock, BranchTooOld."""
        return await self.import_run((block,))

    async def import_run(self, blocks: Sequence[Block]) -> ImportResult:
        """Take a run of blocks in, each the parent of the next; headers of the whole run are verified first.

        When a block is refused, those before it stay and are durable; the error is raised after that.
        """
        assert all(later.header.parent_hash == earlier.hash for earlier, later in pairwise(blocks))
        result = ImportResult.KNOWN
        unknown = [block for block in blocks if self._reader.header(block.hash) is None]
        if not unknown:
            return result
        await self._verify(unknown)
        for part in _parts(unknown):
            result = await self._take(part)
        return result

    async def recover_senders(self, transactions: Iterable[Transaction]) -> None:
        """Do beforehand what a block with these transactions would wait for: while earlier ones execute."""
        await self.senders.recover(transactions)

    async def remember_built(self, built: BuiltBlock) -> None:
        """Hand over what the builder has executed: importing it, sealed, does not execute it again."""
        async with self._lock:
            self._ledger.built(built)

    async def close(self) -> None:
        """Bring the durable state up to the head; nothing is imported afterwards.

        After a failure there is nothing to be brought up: the next start executes again what is missing.
        """
        async with self._lock:
            if self._failure is not None:
                return
            await self._in_worker(self._ledger.close)
            self._failure = RuntimeError("the importer is closed")

    async def _verify(self, blocks: Sequence[Block]) -> None:
        headers = [block.header for block in blocks]
        while True:
            try:
                async with self._lock:
                    await self._in_worker(partial(self._ledger.verify_headers, headers, self._unix_time()))
                return
            except FutureBlock as error:
                if error.ahead_s > FUTURE_WAIT_S_MAX:
                    raise
                await trio.sleep(error.ahead_s)
            except ChainError:
                self.statistics.refused += 1
                raise

    async def _take(self, blocks: Sequence[Block]) -> ImportResult:
        await self.senders.recover(tx for block in blocks for tx in block.transactions)
        async with self._lock:
            blocks = [block for block in blocks if self._reader.header(block.hash) is None]
            if not blocks:
                return ImportResult.KNOWN
            taken, found = await self._in_worker(partial(self._take_now, blocks))
            self._tell(taken)
            if self.watch is not None and found:
                self.watch.tell(found)
        if taken.failure is not None:
            raise taken.failure
        if taken.change is None:
            return ImportResult.SIDE
        return ImportResult.REORGED if taken.change.removed else ImportResult.EXTENDED

    def _take_now(self, blocks: Sequence[Block]) -> tuple[Taken, Sequence[Any]]:
        taken = self._ledger.take(blocks)
        return taken, () if self.watch is None else self.watch.look([block.header for block in blocks])

    def _tell(self, taken: Taken) -> None:
        """Show the new head and tell the subscribers, without a checkpoint in between."""
        if taken.failure is not None:
            self.statistics.refused += 1
            log.warning("a block was refused: %s", taken.failure)
        change = taken.change
        if change is None:
            return
        self._reader.move_head(change.head.header)
        if change.removed:
            gone, come = change.removed[0].block, change.head
            fields = {"removed": len(change.removed), "added": len(change.added)}
            log.info("reorganised", extra={"from": gone.ref, "to": come.ref, **fields})
        self._reader.events.publish(change)

    async def _in_worker(self, work: Callable[[], Result]) -> Result:
        """Run work on the one worker thread; an error that is nobody else's fault closes the door."""
        if self._failure is not None:
            raise RuntimeError(f"no block is taken in any more, after: {self._failure!r}") from self._failure
        started = time.perf_counter()
        try:
            return await trio.to_thread.run_sync(work, limiter=self._limiter)
        except (ChainError, trio.Cancelled):
            raise
        except BaseException as error:
            self._failure = error
            raise
        finally:
            self.statistics.busy_s += time.perf_counter() - started


def _parts(blocks: Sequence[Block]) -> Iterator[Sequence[Block]]:
    """Parts of a run that are written together."""
    part: list[Block] = []
    size = 0
    for block in blocks:
        part.append(block)
        size += sum(len(tx.encoded) for tx in block.transactions)
        if len(part) >= RUN_BLOCKS_PER_WRITE or size >= RUN_BYTES_PER_WRITE:
            yield part
            part, size = [], 0
    if part:
        yield part
