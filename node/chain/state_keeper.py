"""Executes blocks where their parent's state is at hand, and brings it to hand where it is not.

The durable state, the base, follows the head at a distance: the blocks between are layers in memory. A block
whose parent is neither base nor layer can only be executed after the base has been unwound to an ancestor of
it, and the blocks between have been executed again from disk. After a crash the base may lag far behind the
head, or stand on a branch that lost: `ensure` mends both.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

from node.chain.engine_states import EngineStates
from node.chain.errors import BranchTooOld, InvalidBlock
from node.chain.execution import BuiltBlock, Permit, check_permits, run_block
from node.chain.held import HeldBlocks
from node.chain.reader import ChainReader
from node.chain.reorg import parent_of, route
from node.chain.validation import verify_outcome
from node.config.settings import StorageSettings
from node.execution.context import Ancestors, context_of
from node.execution.executor import Executor
from node.primitives.block import Block, BlockRef, Header
from node.primitives.errors import ChainError, StorageError
from node.primitives.ids import BlockNumber, Hash32
from node.primitives.receipt import Receipt
from node.state.store import PRUNE_BLOCKS_MAX, StateStore
from node.storage import blocks as rows
from node.storage import schema
from node.storage.kv import Batch, KeyValue

REPLAY_BLOCKS_PER_WRITE: Final = 64
"""How many blocks are executed or unwound between two writes when the state is moved far."""
LAYERS_PER_HEIGHT_MAX: Final = 16
"""States of rival blocks that memory holds; more of them are stored unexecuted. A signer who makes many
blocks at one height costs disk then, not memory and execution."""


class StateKeeper:
    """Layers, base and history under the ledger's hand."""

    def __init__(
        self,
        *,
        kv: KeyValue,
        state: StateStore,
        engine_states: EngineStates[Any],
        executor: Executor,
        reader: ChainReader,
        held: HeldBlocks,
        settings: StorageSettings,
        condemn: Callable[[Header, ChainError], InvalidBlock],
        permit: Permit | None,
    ) -> None:
        """`condemn` remembers a block as bad and gives the error to raise; `permit` judges transactions."""
        self.built: BuiltBlock | None = None
        """What our own builder executed last; the same block, sealed, is not executed again."""
        self._kv = kv
        self._state = state
        self._engine_states = engine_states
        self._executor = executor
        self._reader = reader
        self._held = held
        self._settings = settings
        self._condemn = condemn
        self._permit = permit
        self._layers_at: dict[BlockNumber, int] = {}
        self._pruned: list[Hash32] = []

    # --- one block

    def is_live(self, header: Header) -> bool:
        """Whether blocks can be executed on top of this one: it is the base, or a layer above it."""
        return header.number >= self._state.base.number and self._state.has(header.hash)

    def has_room(self, number: BlockNumber) -> bool:
        """Whether another rival at this height may be executed at once."""
        return self._layers_at.get(number, 0) < LAYERS_PER_HEIGHT_MAX

    def execute(self, block: Block) -> tuple[Receipt, ...]:
        """Execute on a live parent, compare, and make the state after the block readable by its hash."""
        header, built = block.header, self.built
        author = self._engine_states.rules.author(header)
        try:
            if built is not None and built.is_sealed_as(header, author):
                outcome, prepared, self.built = built.outcome, built.prepared, None
            else:
                parent = parent_of(header, self._held.header)
                ancestors = Ancestors(parent, self._held.header, self._reader.canonical_hash)
                context = context_of(self._reader.spec, header, author, ancestors)
                view = self._state.view_once(header.parent_hash)
                if self._permit is not None:
                    check_permits(self._permit, parent, view, block)
                outcome = run_block(self._executor, context, view, block)
                prepared = self._state.prepare(header.parent_hash, outcome.changes, view)
            verify_outcome(header, outcome, prepared.root)
        except InvalidBlock as error:
            raise self._condemn(header, error) from error
        self._state.add(header.ref, header.parent_hash, prepared)
        self._layers_at[header.number] = self._layers_at.get(header.number, 0) + 1
        return outcome.receipts

    # --- many blocks

    def ensure(self, target: Header) -> None:
        """Make the state after `target` readable: unwind the base if it is on another branch, then execute.

        All blocks on the way must be on disk. InvalidBlock when one of them is, BranchTooOld when the way
        leads through state that is not kept.
        """
        way: list[Header] = []
        header = target
        while not self.is_live(header):
            if header.number <= self._state.base.number:
                self._unwind(header)
            else:
                way.append(header)
                header = parent_of(header, self._held.header)
        while way:
            part, way = way[-REPLAY_BLOCKS_PER_WRITE:], way[:-REPLAY_BLOCKS_PER_WRITE]
            self._execute_stored(reversed(part))
            if way:
                self.move_base(part[0])

    def _execute_stored(self, headers: Iterable[Header]) -> None:
        """Execute blocks from disk; those that succeed keep their receipts, even if a later one fails."""
        batch = Batch()
        try:
            for header in headers:
                receipts = self.execute(self._held.block(header))
                if self._reader.receipts(header.hash) is None:
                    rows.put_receipts(batch, header.ref, receipts)
        finally:
            # Not synced: a crash loses at most what executing again would write again.
            self._kv.write(batch, sync=False)

    def _unwind(self, header: Header) -> None:
        """Move the base back to its last common ancestor with `header`."""
        base = self._held.header(self._state.base.hash)
        if base is None:
            raise StorageError(f"block {self._state.base} is missing, and the durable state is its")
        way = route(base, header, self._held.header)
        if way.ancestor.number < self._state.oldest:
            raise BranchTooOld(header.ref, way.ancestor.number, self._state.oldest)
        steps = [*way.removed[REPLAY_BLOCKS_PER_WRITE::REPLAY_BLOCKS_PER_WRITE], way.ancestor]
        for step in steps:
            batch = Batch()
            self._state.unwind(batch, step.ref)
            self._kv.write(batch, sync=True)
            self._state.unwound(step.ref)
        self._layers_at.clear()

    # --- the base follows the head

    def follow(self, batch: Batch, head: Header) -> BlockRef | None:
        """Where more layers than wanted carry `head`, add what moves the base over some; the new base.

        `followed` comes after the write.
        """
        base = self._state.overdue(head.hash)
        if base is not None:
            self._state.flatten(batch, base)
            self._prune(batch, base)
        return base

    def followed(self, base: BlockRef | None) -> None:
        """The batch is written."""
        if base is not None:
            self._state.flattened(base)
            self._layers_at = {n: count for n, count in self._layers_at.items() if n > base.number}
            self._held.forget(self._pruned)
            self._pruned = []

    def move_base(self, head: Header) -> None:
        """Let the base follow a block at once, in a write of its own."""
        batch = Batch()
        base = self.follow(batch, head)
        if base is not None:
            self._kv.write(batch, sync=True)
            self.followed(base)

    def bring_up(self, batch: Batch, head: Header) -> BlockRef | None:
        """Add what moves the base to the head itself; the new base. `followed` comes after the write."""
        if self._state.base.number >= head.number:
            return None
        self._state.flatten(batch, head.ref)
        return head.ref

    def _prune(self, batch: Batch, base: BlockRef) -> None:
        """Forget states older than are kept, and blocks beside the chain that no reorganisation can reach."""
        kept, first = self._settings.history_blocks, self._state.oldest
        if not kept or base.number - kept <= first:
            return
        last = min(base.number - kept, first + PRUNE_BLOCKS_MAX)
        self._state.prune(batch, last)
        for ref in rows.read_refs(self._kv, first):
            if ref.number >= last:
                break
            if self._reader.canonical_hash(ref.number) != ref.hash:
                rows.delete_block(batch, ref)
                batch.delete(schema.engine_state_key(ref.hash))
                self._pruned.append(ref.hash)
