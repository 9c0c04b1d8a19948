"""The importer's work on one thread: verify, execute, choose, commit. `importer` is its async door.

Order of deeds for every block: header rules and seal, body, execution on the parent's state, comparison with
the header; then fork choice; then one atomic synced batch with the blocks, the canonical rows, the head and
as much of the state as leaves memory. Nothing is told to anybody before that batch is written.

Side blocks are executed at once when their parent's state is in memory, which is nearly always: a branch that
wins then costs no more than moving pointers. A block on an older parent is stored unexecuted, and executed
only when its branch wins: the state is unwound to the common ancestor first, if need be.

After a crash the durable state may lag behind the durable head, or (when the crash fell into a deep
reorganisation) stand on the losing branch. `ensure_state` repairs both: unwind to the common ancestor, then
execute forward from the blocks on disk.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from node.chain.cache import RecentlyUsed
from node.chain.context import Ancestors, context_of
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
from node.chain.execution import BuiltBlock, run_block
from node.chain.fork_choice import Candidate, better
from node.chain.reader import ChainReader
from node.chain.reorg import Route, parent_of, route
from node.chain.validation import verify_body, verify_header, verify_not_future, verify_outcome
from node.config.settings import StorageSettings
from node.execution.executor import Executor
from node.primitives.block import Block, BlockRef, Header
from node.primitives.chain_spec import ChainSpec
from node.primitives.errors import ChainError, StorageError
from node.primitives.ids import Hash32
from node.primitives.receipt import Receipt
from node.state.store import StateStore
from node.storage import blocks as rows
from node.storage.kv import Batch, KeyValue

BAD_BLOCKS_REMEMBERED: Final = 1_024
REPLAY_BLOCKS_PER_WRITE: Final = 64
"""How many blocks are executed or unwound between two writes when the state is moved far."""
RESUME_BLOCKS: Final = 1_024
"""How far below the head a better branch may end that is looked for at the start."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a run of blocks."""

    change: HeadChanged | None
    """The head moved, and it is durable."""
    failure: ChainError | None
    """Why the rest of the run was refused; what came before the refused block is durable."""


@dataclass(slots=True)
class _Pending:
    """A block that the running operation accepted and has not written yet."""

    block: Block
    receipts: tuple[Receipt, ...] | None
    total_difficulty: int


class Ledger:
    """The one writer of the chain. Not safe for two threads at once: the importer holds its lock."""

    def __init__(
        self,
        *,
        spec: ChainSpec,
        kv: KeyValue,
        state: StateStore,
        engine_states: EngineStates[Any],
        executor: Executor,
        reader: ChainReader,
        settings: StorageSettings,
    ) -> None:
        self.built: BuiltBlock | None = None
        """What our own builder executed last; importing it sealed does not execute it again."""
        self._spec = spec
        self._kv = kv
        self._state = state
        self._engine_states = engine_states
        self._executor = executor
        self._reader = reader
        self._settings = settings
        self._head = reader.head
        self._pending: dict[Hash32, _Pending] = {}
        self._bad: RecentlyUsed[Hash32, str] = RecentlyUsed(BAD_BLOCKS_REMEMBERED)

    # --- verification

    def verify_headers(self, headers: Sequence[Header], now: float) -> None:
        """Check a run of headers, each the parent of the next, as far as headers alone can tell.

        UnknownParent, FutureBlock, or InvalidBlock for the first that fails; `now` is Unix time in seconds.
        """
        parent = self._header_of(headers[0].parent_hash)
        if parent is None:
            self._refuse_known_bad(headers[0])
            raise UnknownParent(headers[0].ref, headers[0].parent_hash)
        state = self._engine_states.after(parent, self._header_of)
        for header in headers:
            self._refuse_known_bad(header)
            verify_not_future(header, now)
            try:
                verify_header(self._spec, parent, header)
                state = self._engine_states.advance(state, parent, header)
            except ChainError as error:
                raise self._bad_block(header, error) from error
            parent = header

    def _refuse_known_bad(self, header: Header) -> None:
        for block_hash in (header.hash, header.parent_hash):
            reason = self._bad.get(block_hash)
            if reason is not None:
                self._bad.put(header.hash, reason)
                raise KnownBadBlock(header.ref, reason)

    def _bad_block(self, header: Header, error: ChainError) -> InvalidBlock:
        """Remember the block by its hash, which must commit to what is wrong; the error to raise."""
        self._bad.put(header.hash, str(error))
        kind = type(error) if isinstance(error, InvalidBlock) else InvalidHeader
        return kind(f"block {header.ref}: {error}")

    # --- taking blocks in

    def take(self, run: Sequence[Block]) -> Taken:
        """Execute and commit blocks whose headers are verified, each the parent of the next, in one write."""
        best = self._candidate(self._head)
        failure: ChainError | None = None
        try:
            for block in run:
                self._accept(block)
                candidate = self._candidate(block.header)
                if better(candidate, best, self._spec.engine.fork_choice):
                    best = candidate
        except (InvalidBlock, UnknownParent) as error:
            failure = error
        return self._settle(best.ref, failure)

    def resume(self) -> Taken:
        """Bring the state up to the durable head, then the head up to the best block that is stored.

        A crash in the middle of a deep reorganisation may leave a better branch that nobody sends again.
        """
        self.ensure_state(self._head)
        best = self._candidate(self._head)
        for ref in rows.read_refs(self._kv, max(0, self._head.number - RESUME_BLOCKS)):
            header = self._header_of(ref.hash)
            if header is None or self._total_difficulty(ref.hash) < best.total_difficulty:
                continue
            candidate = self._candidate(header)
            if better(candidate, best, self._spec.engine.fork_choice):
                best = candidate
        return self._settle(best.ref, None)

    def _settle(self, tip: BlockRef, failure: ChainError | None) -> Taken:
        """Commit with `tip` as the head; with the old one when the branch of `tip` cannot be executed."""
        try:
            change = self._commit(tip)
        except (InvalidBlock, BranchTooOld) as error:
            failure = error
            self._forget_bad(tip)
            self.ensure_state(self._head)
            change = self._commit(self._head.ref)
        return Taken(change, failure)

    def _forget_bad(self, tip: BlockRef) -> None:
        """Remove the refused block of the branch that ends in `tip`, and all after it, as if never stored."""
        end = self._header_of(tip.hash)
        assert end is not None
        branch = route(self._head, end, self._header_of).added
        first = next((i for i, header in enumerate(branch) if self._bad.get(header.hash)), len(branch))
        batch = Batch()
        for bad in branch[first:]:
            self._bad.put(bad.hash, self._bad.get(branch[first].hash) or "")
            self._pending.pop(bad.hash, None)
            self._reader.forget(bad.hash)
            rows.delete_block(batch, bad.ref)
        self._kv.write(batch, sync=True)

    def _accept(self, block: Block) -> None:
        """Check the body and, where the parent's state is at hand, execute."""
        header = block.header
        self._refuse_known_bad(header)
        parent = self._header_of(header.parent_hash)
        if parent is None:
            raise UnknownParent(header.ref, header.parent_hash)
        try:
            verify_body(header, block.body)
        except InvalidBody as error:
            # Not remembered: the header may be good, and another peer may have its real body.
            raise InvalidBody(f"block {header.ref}: {error}") from error
        difficulty = self._total_difficulty(header.parent_hash) + header.difficulty
        receipts = self._execute(block) if self._is_live(parent) else None
        self._pending[block.hash] = _Pending(block, receipts, difficulty)

    def _execute(self, block: Block) -> tuple[Receipt, ...]:
        """Execute on the parent's state, compare, and make the state after the block readable by its hash."""
        header, built = block.header, self.built
        author = self._engine_states.rules.author(header)
        if built is not None and built.is_sealed_as(header, author):
            outcome, prepared = built.outcome, built.prepared
        else:
            parent = parent_of(header, self._header_of)
            context = context_of(
                self._spec, header, author, Ancestors(parent, self._header_of, self._reader.canonical_hash)
            )
            try:
                outcome = run_block(self._executor, context, self._state.view(header.parent_hash), block)
            except InvalidBlock as error:
                raise self._bad_block(header, error) from error
            prepared = self._state.prepare(header.parent_hash, outcome.changes)
        try:
            verify_outcome(header, outcome, prepared.root)
        except InvalidBlock as error:
            raise self._bad_block(header, error) from error
        self._state.add(header.ref, header.parent_hash, prepared)
        return outcome.receipts

    # --- the head

    def _candidate(self, header: Header) -> Candidate:
        state = self._engine_states.after(header, self._header_of)
        distance = self._engine_states.rules.turn_distance(state)
        return Candidate(
            ref=header.ref,
            total_difficulty=self._total_difficulty(header.hash),
            turn_distance=distance,
        )

    def _commit(self, tip: BlockRef) -> HeadChanged | None:
        """Write what is pending, with `tip` as the head, in one synced batch."""
        new_head = self._header_of(tip.hash)
        assert new_head is not None
        way = route(self._head, new_head, self._header_of)
        if not self._is_live(new_head):
            self._write_unexecuted()
            self.ensure_state(new_head)
        change = self._change(way) if way.added else None
        if change is None and not self._pending:
            return None
        batch = Batch()
        for pending in self._pending.values():
            self._put_block(batch, pending)
        if change is not None:
            self._put_canonical(batch, change)
        base = self._state.overdue(tip.hash)
        if base is not None:
            self._state.flatten(batch, base)
            self._prune(batch, base)
        self._kv.write(batch, sync=True)
        self._after_write(base)
        self._head = new_head
        if self.built is not None and self.built.block.number <= new_head.number:
            self.built = None
        return change

    def _write_unexecuted(self) -> None:
        """Make the pending blocks durable before states are built on them that may have to leave memory."""
        batch = Batch()
        for pending in self._pending.values():
            self._put_block(batch, pending)
        self._kv.write(batch, sync=True)

    def _put_block(self, batch: Batch, pending: _Pending) -> None:
        block = pending.block
        rows.put_block(batch, block, pending.receipts, pending.total_difficulty)
        state = self._engine_states.after(block.header, self._header_of)
        self._engine_states.put_if_due(batch, block.header, state)

    def _put_canonical(self, batch: Batch, change: HeadChanged) -> None:
        for gone in change.removed:
            rows.delete_canonical(batch, gone.block)
        for come in change.added:
            rows.put_canonical(batch, come.block)
        rows.put_head(batch, change.head.ref)

    def _change(self, way: Route) -> HeadChanged:
        return HeadChanged(
            tuple(map(self._executed, way.removed)),
            tuple(map(self._executed, way.added)),
        )

    def _executed(self, header: Header) -> ExecutedBlock:
        pending = self._pending.get(header.hash)
        receipts = pending.receipts if pending else None
        if receipts is None:
            receipts = self._reader.receipts(header.hash)
        if receipts is None:
            raise StorageError(f"the receipts of block {header.ref} are missing")
        return ExecutedBlock(self._block_of(header), receipts)

    def _after_write(self, base: BlockRef | None) -> None:
        if base is not None:
            self._state.flattened(base)
        for pending in self._pending.values():
            self._reader.remember(pending.block, pending.receipts)
        self._pending.clear()

    # --- where the durable state stands

    def ensure_state(self, target: Header) -> None:
        """Make the state after `target` readable: unwind the base if it is on another branch, then execute.

        All blocks on the way must be on disk. InvalidBlock when one of them is, BranchTooOld when the way
        leads through state that is not kept.
        """
        way: list[Header] = []
        header = target
        while not self._is_live(header):
            if header.number <= self._state.base.number:
                self._unwind(header)
            else:
                way.append(header)
                header = parent_of(header, self._header_of)
        while way:
            part, way = way[-REPLAY_BLOCKS_PER_WRITE:], way[:-REPLAY_BLOCKS_PER_WRITE]
            self._execute_stored(reversed(part))
            if way:
                self._move_base(part[0])

    def _execute_stored(self, headers: Iterable[Header]) -> None:
        """Execute blocks from disk; those that succeed keep their receipts, even if a later one fails."""
        batch = Batch()
        try:
            for header in headers:
                receipts = self._execute(self._block_of(header))
                if self._reader.receipts(header.hash) is None:
                    rows.put_receipts(batch, header.ref, receipts)
        finally:
            # Not synced: a crash loses at most what executing again would write again.
            self._kv.write(batch, sync=False)

    def _unwind(self, header: Header) -> None:
        """Move the base back to its last common ancestor with `header`."""
        base = self._header_of(self._state.base.hash)
        if base is None:
            raise StorageError(f"block {self._state.base} is missing, and the durable state is its")
        way = route(base, header, self._header_of)
        if way.ancestor.number < self._state.oldest:
            raise BranchTooOld(header.ref, way.ancestor.number, self._state.oldest)
        steps = [*way.removed[REPLAY_BLOCKS_PER_WRITE::REPLAY_BLOCKS_PER_WRITE], way.ancestor]
        for step in steps:
            batch = Batch()
            self._state.unwind(batch, step.ref)
            self._kv.write(batch, sync=True)
            self._state.unwound(step.ref)

    def _is_live(self, header: Header) -> bool:
        """Whether blocks can be executed on top of this one: it is the base, or a layer above it."""
        return header.number >= self._state.base.number and self._state.has(header.hash)

    def _move_base(self, head: Header) -> None:
        base = self._state.overdue(head.hash)
        if base is not None:
            batch = Batch()
            self._state.flatten(batch, base)
            self._kv.write(batch, sync=True)
            self._state.flattened(base)

    def _prune(self, batch: Batch, base: BlockRef) -> None:
        kept = self._settings.history_blocks
        if kept and base.number > kept:
            self._state.prune(batch, base.number - kept)

    def close(self) -> None:
        """Move the durable state up to the head, so that the next start executes nothing."""
        batch = Batch()
        state = self._engine_states.after(self._head, self._header_of)
        self._engine_states.put(batch, self._head, state)
        lags = self._state.base.number < self._head.number
        if lags:
            self._state.flatten(batch, self._head.ref)
        self._kv.write(batch, sync=True)
        if lags:
            self._state.flattened(self._head.ref)

    # --- looking up, the running operation's blocks first

    def _header_of(self, block_hash: Hash32) -> Header | None:
        pending = self._pending.get(block_hash)
        return self._reader.header(block_hash) if pending is None else pending.block.header

    def _block_of(self, header: Header) -> Block:
        pending = self._pending.get(header.hash)
        block = self._reader.block(header.hash) if pending is None else pending.block
        if block is None:
            raise StorageError(f"the body of block {header.ref} is missing")
        return block

    def _total_difficulty(self, block_hash: Hash32) -> int:
        pending = self._pending.get(block_hash)
        total = self._reader.total_difficulty(block_hash) if pending is None else pending.total_difficulty
        if total is None:
            raise StorageError(f"the total difficulty of block 0x{block_hash.hex()} is missing")
        return total
