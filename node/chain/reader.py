"""The read-only face of the chain, for rpc, sync, pool, production and archive.

Every method may be called from any thread. What it returns never changes: blocks are found by hash for ever,
and the head moves only after the block that it moves to is durable. None means "not there".
"""

from typing import Any, Final

from consensus.rules import SealRules
from node.chain.cache import RecentlyUsed
from node.chain.engine_states import EngineStates
from node.chain.events import ChainEvents
from node.execution.context import Ancestors, context_after, context_of
from node.execution.executor import BlockContext
from node.primitives.block import Block, Body, Header
from node.primitives.chain_spec import ChainSpec
from node.primitives.ids import Address, BlockNumber, Hash32
from node.primitives.receipt import Receipt
from node.primitives.state import StateView
from node.state.store import StateStore
from node.storage import blocks
from node.storage.blocks import TransactionLocation
from node.storage.kv import KeyValue

HEADERS_IN_MEMORY: Final = 2_048
BODIES_IN_MEMORY: Final = 16
GAS_IN_MEMORY: Final = 256_000_000
"""Of the blocks whose bodies are at hand, and of those whose receipts are: gas bounds what they take. A log
without data costs 375 gas and some 100 bytes once decoded, data 8 gas a byte: 70 MB at the worst."""


class ChainReader:
    """Blocks, what they caused, and the state after them."""

    def __init__(
        self,
        *,
        spec: ChainSpec,
        kv: KeyValue,
        state: StateStore,
        engine_states: EngineStates[Any],
        genesis: Header,
        head: Header,
    ) -> None:
        self.spec = spec
        self.genesis = genesis
        self.events = ChainEvents()
        self._kv = kv
        self._state = state
        self._engine_states = engine_states
        self._head = head
        self._headers: RecentlyUsed[Hash32, Header] = RecentlyUsed(HEADERS_IN_MEMORY)
        self._bodies: RecentlyUsed[Hash32, Body] = RecentlyUsed(BODIES_IN_MEMORY, GAS_IN_MEMORY)
        self._receipts: RecentlyUsed[Hash32, tuple[Receipt, ...]] = RecentlyUsed(
            BODIES_IN_MEMORY, GAS_IN_MEMORY
        )

    @property
    def head(self) -> Header:
        """The last block of the canonical chain; durable."""
        return self._head

    @property
    def rules(self) -> SealRules[Any]:
        """The engine's rules for headers."""
        return self._engine_states.rules

    # --- blocks of all branches

    def header(self, block_hash: Hash32) -> Header | None:
        """A header by its hash."""
        header = self._headers.get(block_hash)
        if header is None:
            discards = self._headers.discards
            header = blocks.read_header(self._kv, block_hash)
            if header is not None:
                self._headers.put(block_hash, header, discards)
        return header

    def body(self, block_hash: Hash32) -> Body | None:
        """A block's transactions and ommers."""
        body = self._bodies.get(block_hash)
        if body is None:
            discards = self._bodies.discards
            body = blocks.read_body(self._kv, block_hash)
            if body is not None:
                self._bodies.put(block_hash, body, discards, self._gas_of(block_hash))
        return body

    def block(self, block_hash: Hash32) -> Block | None:
        """Header and body together."""
        header = self.header(block_hash)
        body = None if header is None else self.body(block_hash)
        return None if header is None or body is None else Block(header, body)

    def receipts(self, block_hash: Hash32) -> tuple[Receipt, ...] | None:
        """What the block's transactions caused; None also for a side block that was never executed."""
        receipts = self._receipts.get(block_hash)
        if receipts is None:
            discards = self._receipts.discards
            receipts = blocks.read_receipts(self._kv, block_hash)
            if receipts is not None:
                self._receipts.put(block_hash, receipts, discards, self._gas_of(block_hash))
        return receipts

    def total_difficulty(self, block_hash: Hash32) -> int | None:
        """Sum of the difficulties from genesis to the block."""
        return blocks.read_total_difficulty(self._kv, block_hash)

    # --- the canonical chain

    def canonical_hash(self, number: BlockNumber) -> Hash32 | None:
        """Hash of the canonical block with this number."""
        return blocks.read_canonical_hash(self._kv, number) if number >= 0 else None

    def header_by_number(self, number: BlockNumber) -> Header | None:
        """The canonical header with this number."""
        block_hash = self.canonical_hash(number)
        return None if block_hash is None else self.header(block_hash)

    def block_by_number(self, number: BlockNumber) -> Block | None:
        """The canonical block with this number."""
        block_hash = self.canonical_hash(number)
        return None if block_hash is None else self.block(block_hash)

    def transaction_location(self, tx_hash: Hash32) -> TransactionLocation | None:
        """Where a transaction stands in the canonical chain."""
        return blocks.read_transaction_location(self._kv, tx_hash)

    def is_canonical(self, header: Header) -> bool:
        """Whether the block is part of the canonical chain."""
        return self.canonical_hash(header.number) == header.hash

    # --- state

    def state_at(self, block_hash: Hash32) -> StateView:
        """The state after a block. StateUnavailable where it is not kept (any more)."""
        return self._state.view(block_hash)

    def engine_state(self, block_hash: Hash32) -> Any:
        """What the engine knows after a block (Clique: a CliqueSnapshot); None for an unknown block."""
        header = self.header(block_hash)
        return None if header is None else self._engine_states.after(header, self.header)

    # --- contexts

    def author_of(self, header: Header) -> Address:
        """Who made the block and received its fees; genesis has its beneficiary."""
        return header.beneficiary if header.number == 0 else self.rules.author(header)

    def context_of(self, header: Header) -> BlockContext:
        """The context in which the transactions of a known block ran."""
        return context_of(self.spec, header, self.author_of(header), self.ancestors(header))

    def context_after(self, parent: Header, timestamp: int, author: Address) -> BlockContext:
        """The context of an imagined block after `parent`, with the parent's gas limit and difficulty."""
        return context_after(
            self.spec,
            parent,
            timestamp=timestamp,
            author=author,
            gas_limit=parent.gas_limit,
            difficulty=parent.difficulty,
            block_hash=self.ancestors(parent),
        )

    def ancestors(self, header: Header) -> Ancestors:
        """Hashes by number of a known block and those before it, on its own branch."""
        return Ancestors(header, self.header, self.canonical_hash)

    # --- for the importer alone

    def move_head(self, head: Header) -> None:
        """Show a head that is durable."""
        self._head = head

    def remember(self, block: Block, receipts: tuple[Receipt, ...] | None) -> None:
        """Keep a block at hand that has just been written: it is what everybody asks for next."""
        self._headers.put(block.hash, block.header)
        gas = block.header.gas_used
        self._bodies.put(block.hash, block.body, weight=gas)
        if receipts is not None:
            self._receipts.put(block.hash, receipts, weight=gas)

    def forget(self, block_hash: Hash32) -> None:
        """Drop what is at hand of a block that has been removed from the database."""
        self._headers.discard(block_hash)
        self._bodies.discard(block_hash)
        self._receipts.discard(block_hash)

    def _gas_of(self, block_hash: Hash32) -> int:
        header = self.header(block_hash)
        return 0 if header is None else header.gas_used
