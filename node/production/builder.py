"""Filling a block: transactions from the pool, executed on the parent's state, within gas, size and time.

A `BlockInProgress` is filled one or several times, then finished. All of it may run in worker threads, one
call at a time. What it executed travels on with the block, so that importing our own sealed block costs no
second execution.
"""

import time
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from consensus.effects import BuildBlock
from consensus.gas import base_fee_after, gas_limit_after
from node.chain.cache import RecentlyUsed
from node.chain.execution import BuiltBlock, Permit
from node.chain.reader import ChainReader
from node.chain.validation import receipts_root, transactions_root
from node.config.settings import MIB, ProductionSettings
from node.execution.context import context_after
from node.execution.executor import BlockOutcome, ExecutionInterrupted, Executor
from node.execution.intrinsic import NonceTooLow
from node.primitives.block import EMPTY_OMMERS_HASH, Block, Body, Header
from node.primitives.errors import ChainError
from node.primitives.ids import Address, Hash32
from node.primitives.state import StateChanges, StateView
from node.primitives.transaction import Transaction
from node.state.commit import PreparedState

BLOCK_BYTES_MAX: Final = 8 * MIB
"""Of encoded transactions: a NewBlock message must stay below devp2p's 10 MiB."""
TRANSACTION_GAS_MIN: Final = 21_000
INTERRUPTIONS_MAX: Final = 2
"""A transaction that did not end within half the build budget so often is not tried again."""
SLOW_TRANSACTIONS_REMEMBERED: Final = 1_024


class Offered(Protocol):
    """What the pool offers for one block, best first, each sender's nonces in order."""

    def __iter__(self) -> Iterator[Transaction]:
        """The transactions; each is asked for after the one before was dealt with."""
        ...

    def skip_sender(self, sender: Address) -> None:
        """Offer no more of this sender: one of its transactions cannot stand in the block."""
        ...


class States(Protocol):
    """What the builder asks of the state store."""

    def view_once(self, block_hash: Hash32) -> StateView:
        """The state after a block, for one block on top of it."""
        ...

    def prepare(
        self, parent_hash: Hash32, changes: StateChanges, view: StateView | None = None
    ) -> PreparedState:
        """Rows and root of a block on top of a kept state; `view` is the parent's `view_once`."""
        ...


class BlockBuilder:
    """Begins blocks; remembers which transactions take too long."""

    def __init__(
        self,
        reader: ChainReader,
        states: States,
        executor: Executor,
        settings: ProductionSettings,
        *,
        permit: Permit | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`permit` says what the chain's rules forbid in a child of a block."""
        self.settings = settings
        self._permit = permit
        self._reader = reader
        self._states = states
        self._executor = executor
        self._monotonic = monotonic
        self._interruptions: RecentlyUsed[Hash32, int] = RecentlyUsed(SLOW_TRANSACTIONS_REMEMBERED)

    def base_fee_after(self, parent: Header) -> int | None:
        """What the pool must know to order its offer: wei per gas, None before London."""
        return base_fee_after(self._reader.spec, parent)

    def begin(self, request: BuildBlock) -> "BlockInProgress":
        """Start on a parent that is durable and whose state is kept."""
        assert self._reader.header(request.parent.hash) is not None, "built on a block that is not durable"
        return BlockInProgress(
            request,
            reader=self._reader,
            states=self._states,
            executor=self._executor,
            settings=self.settings,
            monotonic=self._monotonic,
            interruptions=self._interruptions,
            permit=self._permit,
        )


class BlockInProgress:
    """One block in the making."""

    def __init__(
        self,
        request: BuildBlock,
        *,
        reader: ChainReader,
        states: States,
        executor: Executor,
        settings: ProductionSettings,
        monotonic: Callable[[], float],
        interruptions: RecentlyUsed[Hash32, int],
        permit: Permit | None,
    ) -> None:
        parent = request.parent
        self._parent_view = states.view_once(parent.hash)
        self._permit = permit
        self.request = request
        self._states = states
        self._monotonic = monotonic
        self._interruptions = interruptions
        self._budget_s = self._budget_left_s = settings.build_budget_s
        self._gas_limit = gas_limit_after(reader.spec, parent, settings.gas_limit_target)
        self._base_fee = base_fee_after(reader.spec, parent)
        context = context_after(
            reader.spec,
            parent,
            timestamp=request.timestamp,
            author=request.author,
            gas_limit=self._gas_limit,
            difficulty=request.difficulty,
            block_hash=reader.ancestors(parent),
        )
        self._session = executor.begin(context, self._parent_view)
        self._taken: dict[Hash32, Transaction] = {}
        self.next_nonces: dict[Address, int] = {}
        """By sender, the nonce after its last transaction in the block."""
        self._bytes = 0

    @property
    def is_empty(self) -> bool:
        """Whether no transaction has been taken yet."""
        return not self._taken

    @property
    def has_room(self) -> bool:
        """Whether gas and time for one more transaction are left."""
        return self._budget_left_s > 0 and self._gas_limit - self._session.gas_used >= TRANSACTION_GAS_MIN

    def fill(self, offered: Offered, cancelled: Callable[[], bool]) -> None:
        """Take from the offer what fits, until gas, size or time run out, or `cancelled` says stop."""
        started = self._monotonic()
        deadline = started + self._budget_left_s
        for tx in offered:
            if cancelled() or self._monotonic() >= deadline or not self.has_room:
                break
            if tx.hash in self._taken:
                continue  # offered again because the pool keeps it until its block is imported
            if not self._fits(tx) or not self._apply(tx, deadline, cancelled):
                offered.skip_sender(tx.sender)
        self._budget_left_s -= self._monotonic() - started

    def finish(self) -> BuiltBlock:
        """State root, other roots and header; the block lacks nothing but its seal."""
        outcome = self._session.finish()
        prepared = self._states.prepare(self.request.parent.hash, outcome.changes, self._parent_view)
        transactions = tuple(self._taken.values())
        block = Block(self._header(outcome, prepared, transactions), Body(transactions))
        return BuiltBlock(block, self.request.author, outcome, prepared)

    def _fits(self, tx: Transaction) -> bool:
        return (
            tx.gas_limit <= self._gas_limit - self._session.gas_used
            and self._bytes + len(tx.encoded) <= BLOCK_BYTES_MAX
            and (self._interruptions.get(tx.hash) or 0) < INTERRUPTIONS_MAX
        )

    def _apply(self, tx: Transaction, deadline: float, cancelled: Callable[[], bool]) -> bool:
        """Execute one transaction; false when no later one of its sender can stand in the block either."""
        had_time = deadline - self._monotonic() >= self._budget_s / 2
        try:
            if self._permit is not None:
                self._permit(self.request.parent, self._parent_view, tx)
            self._session.apply(tx, lambda: cancelled() or self._monotonic() >= deadline)
        except NonceTooLow:
            return True  # the pool has not seen the parent yet: the sender's later ones may fit
        except ExecutionInterrupted:
            if had_time and not cancelled():
                self._interruptions.put(tx.hash, (self._interruptions.get(tx.hash) or 0) + 1)
            return False
        except ChainError:
            return False
        self._taken[tx.hash] = tx
        self.next_nonces[tx.sender] = tx.nonce + 1
        self._bytes += len(tx.encoded)
        return True

    def _header(
        self, outcome: BlockOutcome, prepared: PreparedState, transactions: tuple[Transaction, ...]
    ) -> Header:
        request = self.request
        return Header(
            parent_hash=request.parent.hash,
            ommers_hash=EMPTY_OMMERS_HASH,
            beneficiary=request.beneficiary,
            state_root=prepared.root,
            transactions_root=transactions_root(transactions),
            receipts_root=receipts_root(outcome.receipts),
            logs_bloom=outcome.bloom,
            difficulty=request.difficulty,
            number=request.parent.number + 1,
            gas_limit=self._gas_limit,
            gas_used=outcome.gas_used,
            timestamp=request.timestamp,
            extra_data=request.extra_data,
            mix_hash=request.mix_hash,
            nonce=request.nonce,
            base_fee_per_gas=self._base_fee,
        )
