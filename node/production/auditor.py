"""A second EVM looks at a share of the blocks that the first one let in; where it disagrees, we seal no more.

The audit follows the chain on a thread of its own and never holds an import up: who falls behind leaves
blocks out. A disagreement is a bug in one of two executors. Nobody can say yet in which, so the node goes on
serving and following, but puts its name to nothing until an operator has looked.
"""

import logging
from dataclasses import dataclass
from random import Random

import trio

from node.chain.events import ExecutedBlock
from node.chain.reader import ChainReader
from node.execution.audit import Disagreement, audit_block
from node.execution.executor import Executor
from node.primitives.errors import RequestError
from node.primitives.ids import Address
from node.signing.signer import Signer, SigningError, SigningRequest

log = logging.getLogger(__name__)


@dataclass(slots=True)
class AuditStatistics:
    """Counted since the start of the process."""

    audited: int = 0
    skipped: int = 0
    """Not drawn, or no longer at hand when their turn came."""


class Auditor:
    """Executes imported blocks again with another executor."""

    def __init__(
        self,
        reader: ChainReader,
        ours: Executor,
        theirs: Executor,
        share: float,
        random: Random | None = None,
    ) -> None:
        """`share` of the blocks, drawn at random so that nobody knows which: 0 none, 1 all."""
        self.statistics = AuditStatistics()
        self.disagreement: Disagreement | None = None
        """The first one; it stays until the node is started anew."""
        self._reader = reader
        self._ours = ours
        self._theirs = theirs
        self._share = share
        self._random = random or Random()
        self._limiter = trio.CapacityLimiter(1)

    @property
    def problem(self) -> str | None:
        """What the operator must know, in one line."""
        return None if self.disagreement is None else f"the executors disagree: {self.disagreement}"

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Audit until cancelled, or until the first disagreement."""
        while self.disagreement is None:
            # The events cut off who falls behind: what was missed then is not audited.
            with self._reader.events.subscribe() as changes:
                task_status.started()
                task_status = trio.TASK_STATUS_IGNORED
                async for change in changes:
                    for executed in change.added:
                        await self._audit(executed)
                    if self.disagreement is not None:
                        return

    async def _audit(self, executed: ExecutedBlock) -> None:
        block = executed.block
        if not block.transactions or self._random.random() >= self._share:
            self.statistics.skipped += 1
            return
        try:
            await trio.to_thread.run_sync(self._compare, executed, limiter=self._limiter)
        except RequestError as error:
            # The parent's state is not kept any more.
            self.statistics.skipped += 1
            log.warning("a block could not be audited: %s", error, extra={"block": block.ref})
            return
        self.statistics.audited += 1
        if self.disagreement is not None:
            log.critical("executors disagree, nothing is sealed any more: %s", self.disagreement)

    def _compare(self, executed: ExecutedBlock) -> None:
        """On a worker thread; a node that is being stopped does not wait for it."""
        reader, block = self._reader, executed.block
        context, parent = reader.context_of(block.header), reader.state_at(block.header.parent_hash)
        self.disagreement = audit_block(
            self._ours, self._theirs, context, parent, block, executed.receipts, _cancelled
        )


def _cancelled() -> bool:
    """Raises trio.Cancelled in the worker thread when its task is cancelled."""
    trio.from_thread.check_cancelled()
    return False


class AuditedSigner:
    """A signer that signs as long as the auditor has no objection."""

    def __init__(self, signer: Signer, auditor: Auditor) -> None:
        self._signer = signer
        self._auditor = auditor

    @property
    def address(self) -> Address:
        """Of the key."""
        return self._signer.address

    async def sign(self, request: SigningRequest) -> bytes:
        """The signature; SigningError also after a disagreement between executors."""
        problem = self._auditor.problem
        if problem is not None:
            raise SigningError(problem)
        return await self._signer.sign(request)
