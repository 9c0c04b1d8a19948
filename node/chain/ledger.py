"""The importer's work on one thread: verify, execute, choose, commit. `importer` is its async door.

Order of deeds for every block: header rules and seal, body, execution on the parent's state, comparison with
the header; then fork choice; then one atomic synced batch with the blocks, the canonical rows, the head and
as much of the state as leaves memory. Nothing is told to anybody before that batch is written.

Side blocks are executed at once when their parent's state is in memory, which is nearly always: a branch that
wins then costs no more than moving pointers. A block on an older parent, or one of very many at a height, is
stored unexecuted, and executed only when its branch wins (`state_keeper`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from consensus.fork_choice import Candidate, better
from consensus.headers import verify_header, verify_not_future
from node.chain.cache import RecentlyUsed
from node.chain.engine_states import EngineStates
from node.chain.errors import (
    BranchTooOld,
    InvalidBlock,
    InvalidBody,
    InvalidHeader,
    KnownBadBlock,
    UnknownParent,
)
from node.chain.events import ExecutedBlock, HeadChanged
from node.chain.execution import BuiltBlock, Permit
from node.chain.held import Accepted, HeldBlocks
from node.chain.reader import ChainReader
from node.chain.reorg import Route, route
from node.chain.state_keeper import StateKeeper
from node.chain.validation import verify_body
from node.config.settings import StorageSettings
from node.execution.executor import Executor
from node.primitives.block import Block, Header
from node.primitives.errors import ChainError, StorageError
from node.primitives.ids import Hash32
from node.state.store import StateStore
from node.storage import blocks as rows
from node.storage.kv import Batch, KeyValue

BAD_BLOCKS_REMEMBERED: Final = 1_024
RESUME_BLOCKS: Final = 1_024
"""How far below the head a better branch may end that is looked for at the start."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a run of blocks."""

    change: HeadChanged | None
    """The head moved, and it is durable."""
    failure: ChainError | None
    """Why the rest of the run was refused; what came before the refused block is durable."""


class Ledger:
    """The one writer of the chain. Not safe for two threads at once: the importer holds its lock."""

    def __init__(
        self,
        *,
        kv: KeyValue,
        state: StateStore,
        engine_states: EngineStates[Any],
        executor: Executor,
        reader: ChainReader,
        settings: StorageSettings,
        permit: Permit | None = None,
    ) -> None:
        self._spec = reader.spec
        self._kv = kv
        self._engine_states = engine_states
        self._reader = reader
        self._head = reader.head
        self._bad: RecentlyUsed[Hash32, str] = RecentlyUsed(BAD_BLOCKS_REMEMBERED)
        self._held = HeldBlocks(reader)
        self._states = StateKeeper(
            kv=kv,
            state=state,
            engine_states=engine_states,
            executor=executor,
            reader=reader,
            held=self._held,
            settings=settings,
            condemn=self._condemn,
            permit=permit,
        )

    # --- verification

    def verify_headers(self, headers: Sequence[Header], now: float) -> None:
        """Check a run of headers, each the parent of the next, as far as headers alone can tell.

        UnknownParent, FutureBlock, or InvalidBlock for the first that fails; `now` is Unix time in seconds.
        """
        parent = self._known_parent(headers[0])
        state = self._engine_states.after(parent, self._held.header)
        for header in headers:
            self._refuse_known_bad(header)
            verify_not_future(header, now)
            try:
                verify_header(self._spec, parent, header)
                state = self._engine_states.advance(state, parent, header)
            except ChainError as error:
                raise self._condemn(header, error) from error
            parent = header

    def _known_parent(self, header: Header) -> Header:
        self._refuse_known_bad(header)
        parent = self._held.header(header.parent_hash)
        if parent is None:
            raise UnknownParent(header.ref, header.parent_hash)
        return parent

    def _refuse_known_bad(self, header: Header) -> None:
        for block_hash in (header.hash, header.parent_hash):
            reason = self._bad.get(block_hash)
            if reason is not None:
                self._bad.put(header.hash, reason)
                raise KnownBadBlock(header.ref, reason)

    def _condemn(self, header: Header, error: ChainError) -> InvalidBlock:
        """Remember a block by its hash, which must commit to what is wrong; the error to raise."""
        self._bad.put(header.hash, str(error))
        kind = type(error) if isinstance(error, InvalidBlock) else InvalidHeader
        return kind(f"block {header.ref}: {error}")

    # --- taking blocks in

    def built(self, built: BuiltBlock) -> None:
        """Take what our own builder has executed: importing it, sealed, does not execute it again."""
        self._states.built = built

    def take(self, run: Sequence[Block]) -> Taken:
        """Execute and commit blocks whose headers are verified, each the parent of the next, in one write."""
        best = self._candidate(self._head)
        failure: ChainError | None = None
        try:
            for block in run:
                self._accept(block)
                best = self._better(best, block.header)
        except (InvalidBlock, UnknownParent) as error:
            failure = error
        return self._settle(best, failure)

    def resume(self) -> Taken:
        """Bring the state up to the durable head, then the head up to the best block that is stored.

        A crash in the middle of a deep reorganisation may leave a better branch that nobody sends again.
        """
        self._states.ensure(self._head)
        best = self._candidate(self._head)
        for ref in rows.read_refs(self._kv, max(0, self._head.number - RESUME_BLOCKS)):
            # The engine's states of so many blocks would take longer than all the rest of a start.
            if self._held.total_difficulty(ref.hash) >= best.total_difficulty:
                best = self._better(best, self._known(ref.hash))
        return self._settle(best, None)

    def _accept(self, block: Block) -> None:
        """Check the body and, where the parent's state is at hand, execute."""
        header = block.header
        parent = self._known_parent(header)
        try:
            verify_body(header, block.body)
        except InvalidBody as error:
            # Not remembered: the header may be good, and another peer may have its real body.
            raise InvalidBody(f"block {header.ref}: {error}") from error
        at_once = self._states.is_live(parent) and self._states.has_room(header.number)
        receipts = self._states.execute(block) if at_once else None
        difficulty = self._held.total_difficulty(header.parent_hash) + header.difficulty
        self._held.accept(Accepted(block, receipts, difficulty))

    def _better(self, best: Candidate, header: Header) -> Candidate:
        candidate = self._candidate(header)
        return candidate if better(candidate, best, self._spec.engine.fork_choice) else best

    def _candidate(self, header: Header) -> Candidate:
        state = self._engine_states.after(header, self._held.header)
        return Candidate(
            ref=header.ref,
            total_difficulty=self._held.total_difficulty(header.hash),
            turn_distance=self._engine_states.rules.turn_distance(state),
        )

    # --- the head

    def _settle(self, best: Candidate, failure: ChainError | None) -> Taken:
        """Commit with `best` as the head; with the old head when that branch cannot be executed."""
        tip = self._known(best.ref.hash)
        try:
            change = self._commit(tip)
        except (InvalidBlock, BranchTooOld) as error:
            failure = error
            self._forget_bad(route(self._head, tip, self._held.header))
            self._states.ensure(self._head)
            change = self._commit(self._head)
        return Taken(change, failure)

    def _commit(self, tip: Header) -> HeadChanged | None:
        """Write what was accepted, with `tip` as the head, in one synced batch."""
        way = route(self._head, tip, self._held.header)
        if not self._states.is_live(tip):
            # States that are built on these blocks may leave memory before the head moves.
            self._kv.write(self._batch_of_accepted(), sync=True)
            self._states.ensure(tip)
        change = self._change(way) if way.added else None
        batch = self._batch_of_accepted()
        if change is not None:
            self._put_canonical(batch, change)
        base = self._states.follow(batch, tip)
        if batch.rows:
            self._kv.write(batch, sync=True)
        self._states.followed(base)
        self._held.written()
        self._head = tip
        return change

    def _batch_of_accepted(self) -> Batch:
        batch = Batch()
        for accepted in self._held.accepted():
            header = accepted.block.header
            rows.put_block(batch, accepted.block, accepted.receipts, accepted.total_difficulty)
            state = self._engine_states.after(header, self._held.header)
            self._engine_states.put_if_due(batch, header, state)
        return batch

    def _put_canonical(self, batch: Batch, change: HeadChanged) -> None:
        for gone in change.removed:
            rows.delete_canonical(batch, gone.block)
        for come in change.added:
            rows.put_canonical(batch, come.block)
        rows.put_head(batch, change.head.ref)

    def _change(self, way: Route) -> HeadChanged:
        return HeadChanged(tuple(map(self._executed, way.removed)), tuple(map(self._executed, way.added)))

    def _executed(self, header: Header) -> ExecutedBlock:
        receipts = self._held.receipts(header)
        if receipts is None:
            raise StorageError(f"the receipts of block {header.ref} are missing")
        return ExecutedBlock(self._held.block(header), receipts)

    def _forget_bad(self, way: Route) -> None:
        """Remove the block of a branch that was condemned, and all that stand on it, as if never stored."""
        bad = next((header for header in way.added if self._bad.get(header.hash)), None)
        if bad is None:
            return
        reason = self._bad.get(bad.hash) or ""
        condemned = {bad.hash: bad.ref}
        for ref in rows.read_refs(self._kv, bad.number + 1):
            if self._known(ref.hash).parent_hash in condemned:
                condemned[ref.hash] = ref
        batch = Batch()
        for ref in condemned.values():
            self._bad.put(ref.hash, reason)
            rows.delete_block(batch, ref)
        self._kv.write(batch, sync=True)
        self._held.forget(condemned)

    def _known(self, block_hash: Hash32) -> Header:
        header = self._held.header(block_hash)
        if header is None:
            raise StorageError(f"the header of block 0x{block_hash.hex()} is missing")
        return header

    def close(self) -> None:
        """Move the durable state up to the head, so that the next start executes nothing."""
        batch = Batch()
        state = self._engine_states.after(self._head, self._held.header)
        self._engine_states.put(batch, self._head, state)
        base = self._states.bring_up(batch, self._head)
        self._kv.write(batch, sync=True)
        self._states.followed(base)
