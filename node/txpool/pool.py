"""The pool: transactions by sender and nonce, bounded in count, bytes and per account.

Synchronous but for `submit`: one task owns it, and nothing here waits while it holds half a change. What was
admitted is told to subscribers once it is pending: once a block could take it.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

import trio

from node.chain.events import HeadChanged
from node.config.settings import PoolSettings
from node.execution.intrinsic import intrinsic_gas, upfront_cost
from node.primitives.block import Header
from node.primitives.chain_spec import ChainSpec
from node.primitives.crypto import InvalidSignature
from node.primitives.ids import Address, Hash32
from node.primitives.state import EMPTY_ACCOUNT, Account
from node.primitives.transaction import Transaction
from node.txpool.account_queue import AccountQueue, PooledTransaction
from node.txpool.admission import (
    BlockRules,
    NeverValid,
    PoolRejection,
    check_replacement,
    check_sender,
    check_transaction,
    is_free,
)
from node.txpool.announcements import Announcements
from node.txpool.eviction import SharedEviction
from node.txpool.journal import Journal
from node.txpool.recent import Recent
from node.txpool.selection import NOTHING_TAKEN, Selection

DISPLACED_MAX: Final = 4096
"""Transactions that lost their nonce at price zero and are remembered, lest gossip bring them back."""
LOCAL_SHARE: Final = 0.5
"""The part of the pool, in weight, up to which local transactions are never evicted."""
SETTLE_PER_HEAD: Final = 256
"""After a reorg every account is looked at again, this many at each new head."""


class AlreadyKnown(PoolRejection):
    """The pool holds this very transaction."""


class Accounts(Protocol):
    """What the pool asks of the state at the head; a StateView is one."""

    def account(self, address: Address) -> Account | None:
        """Nonce and balance of an account; None where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class SenderContent:
    """One sender's transactions in nonce order."""

    pending: tuple[Transaction, ...]
    queued: tuple[Transaction, ...]


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """How full the pool is."""

    pending: int
    queued: int
    bytes: int
    senders: int


class TransactionPool:
    """Transactions waiting for a block."""

    def __init__(
        self,
        settings: PoolSettings,
        spec: ChainSpec,
        head: Header,
        accounts: Accounts,
        *,
        journal: Journal | None = None,
        permit: Callable[[Transaction], str | None] = lambda _: None,
        organisation: Callable[[Address], bytes | None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """An empty pool at `head`; `accounts` is the state after it. `journal`, if any, is open.

        `permit` says why a transaction may not be sent, or None; `organisation` whose share a sender has.
        """
        self._settings = settings
        self._spec = spec
        self._journal = journal
        self._permit = permit
        self._organisation = organisation
        self._clock = clock
        self._heads = 1
        """Counted, so that an account is read once at each."""
        self._accounts_at_head = accounts
        self._rules = self._rules_after(head)
        self._weight_bytes = max(1, settings.bytes_max // settings.transactions_max)
        self._protected_max = int(settings.transactions_max * LOCAL_SHARE)
        self._by_hash: dict[Hash32, PooledTransaction] = {}
        self._queues: dict[Address, AccountQueue] = {}
        self._eviction = SharedEviction(settings.transactions_max)
        self._bytes = 0
        self._protected = 0
        self._sequence = 0
        self._displaced: Recent[Hash32] = Recent(DISPLACED_MAX)
        self._unsettled: dict[Address, None] = {}
        self._announcements = Announcements()
        self._untold: list[Transaction] = []

    # --- in

    def add(self, tx: Transaction, *, local: bool) -> None:
        """Take one transaction, or raise PoolRejection. A local one is in the journal file on return."""
        self._tell(self._admit(tx, local=local))
        if local and self._journal is not None:
            self._journal.append(tx)

    def enter(self, tx: Transaction) -> None:
        """`add` for one of many local ones: nobody hears of it before `wait_durable`, which must follow."""
        self._untold += self._admit(tx, local=True)
        if self._journal is not None:
            self._journal.gather(tx)

    async def submit(self, tx: Transaction) -> None:
        """Take a local transaction, or raise PoolRejection; the journal has it on the disk on return."""
        self.enter(tx)
        await self.wait_durable()

    async def wait_durable(self) -> None:
        """Until the journal has all local transactions on the disk; those who wait share the write."""
        self._tell(())
        if self._journal is not None:
            await self._journal.wait_durable()

    def add_remote(self, transactions: Sequence[Transaction]) -> list[PoolRejection | None]:
        """Take what a peer sent; per transaction None, or why not. NeverValid means the peer is at fault."""
        verdicts: list[PoolRejection | None] = []
        admitted: list[Transaction] = []
        for tx in transactions:
            try:
                admitted += self._admit(tx, local=False)
            except PoolRejection as rejection:
                verdicts.append(rejection)
            else:
                verdicts.append(None)
        self._tell(admitted)
        return verdicts

    def restore(self, transactions: Sequence[Transaction]) -> int:
        """Take back what the journal held; how many of them are still valid."""
        pending, before = [], len(self)
        for tx in transactions:
            with suppress(PoolRejection):
                pending += self._admit(tx, local=True, returning=True)
        self._tell(pending)
        return len(self) - before

    # --- out

    def __contains__(self, tx_hash: Hash32) -> bool:
        return tx_hash in self._by_hash

    def __len__(self) -> int:
        return len(self._by_hash)

    def has(self, tx_hash: Hash32) -> bool:
        """Whether the pool holds the transaction."""
        return tx_hash in self._by_hash

    def get(self, tx_hash: Hash32) -> Transaction | None:
        """The transaction, pending or queued."""
        entry = self._by_hash.get(tx_hash)
        return None if entry is None else entry.tx

    def known_sender(self, tx_hash: Hash32) -> Address | None:
        """The sender of a pooled transaction, so that an importer need not recover it again."""
        entry = self._by_hash.get(tx_hash)
        return None if entry is None else entry.sender

    def pending_nonce(self, address: Address) -> int:
        """The nonce that the sender's next transaction should have."""
        queue = self._queues.get(address)
        if queue is not None:
            return queue.next_nonce
        account = self._accounts_at_head.account(address)
        return account.nonce if account else 0

    def pending_hashes(self) -> list[Hash32]:
        """Hashes of all pending transactions, for a peer that has just come."""
        return [entry.tx.hash for queue in self._queues.values() for entry in queue.pending]

    def local_transactions(self) -> list[Transaction]:
        """What clients of this node sent, in order of arrival."""
        return [entry.tx for entry in self._by_hash.values() if entry.local]

    def content(self) -> dict[Address, SenderContent]:
        """Everything, by sender."""
        return {address: _content(queue) for address, queue in self._queues.items()}

    def content_from(self, address: Address) -> SenderContent:
        """One sender's transactions."""
        queue = self._queues.get(address)
        return SenderContent((), ()) if queue is None else _content(queue)

    def status(self) -> PoolStatus:
        """Counts and bytes."""
        pending = sum(len(queue.pending) for queue in self._queues.values())
        return PoolStatus(pending, len(self._by_hash) - pending, self._bytes, len(self._queues))

    def select(self, base_fee: int | None, taken: Mapping[Address, int] = NOTHING_TAKEN) -> Selection:
        """What a block should take, best first; `base_fee` in wei per gas, None before London.

        `taken`: by sender, the nonce after what the block has of it already.
        """
        runs = (queue.pending for queue in self._queues.values())
        return Selection([run for run in runs if run], base_fee or 0, taken)

    def subscribe(self) -> trio.MemoryReceiveChannel[tuple[Transaction, ...]]:
        """Batches of transactions that became pending; one that falls far behind ends (EndOfChannel)."""
        return self._announcements.subscribe()

    # --- the chain moves

    def on_head(self, event: HeadChanged, accounts: Accounts, header: Header) -> None:
        """Follow the chain: `header` is the head and `accounts` the state after it.

        Looks at the senders of the blocks in `event` alone. What a reorganisation removed comes back; because
        it may also have taken money from accounts that sent nothing, all others are looked at in portions.
        """
        self._heads += 1
        self._accounts_at_head = accounts
        self._rules = self._rules_after(header)
        blocks = [executed.block for executed in (*event.removed, *event.added)]
        promoted: list[Transaction] = []
        for sender in {self._sender_in_block(tx): None for block in blocks for tx in block.transactions}:
            promoted += self._settle(sender)
        if event.removed:
            self._unsettled = dict.fromkeys(self._queues)
            promoted += self._bring_back(event)
        for sender in list(self._unsettled)[:SETTLE_PER_HEAD]:
            del self._unsettled[sender]
            promoted += self._settle(sender)
        self._tell(promoted)

    def reset(self, accounts: Accounts, header: Header) -> None:
        """Begin again at a head that no event led to: every account is looked at."""
        self._heads += 1
        self._accounts_at_head = accounts
        self._rules = self._rules_after(header)
        self._unsettled.clear()
        promoted: list[Transaction] = []
        for sender in list(self._queues):
            promoted += self._settle(sender)
        self._tell(promoted)

    def expire(self) -> int:
        """Drop what came from peers and waited longer than `lifetime_s`; how many that were."""
        latest_s = self._clock() - self._settings.lifetime_s
        old = []
        for entry in self._by_hash.values():
            if entry.added_s > latest_s:
                break  # kept in order of arrival
            if not entry.local:
                old.append(entry)
        for entry in old:
            self._remove(entry)
        return len(old)

    def _tell(self, promoted: Sequence[Transaction]) -> None:
        """Let the subscribers know; also of what was entered by somebody who was cancelled before he told."""
        told = [*self._untold, *promoted]
        self._untold.clear()
        self._announcements.publish(told)

    # --- the parts of an admission

    def _admit(self, tx: Transaction, *, local: bool, returning: bool = False) -> list[Transaction]:
        """Put one transaction in; what became pending by it."""
        if tx.hash in self._by_hash:
            raise AlreadyKnown("already known")
        if tx.hash in self._displaced:
            raise PoolRejection("replacement transaction underpriced: it was replaced before; change it")
        check_transaction(
            tx,
            self._rules,
            intrinsic_gas=intrinsic_gas(tx, self._rules.fork),
            bytes_max=self._settings.transaction_bytes_max,
            tip_min=0 if local or returning else self._settings.minimum_priority_fee_wei,
            unprotected_allowed=returning or not local,
        )
        try:
            sender = tx.sender
        except InvalidSignature as error:
            raise NeverValid("invalid sender") from error
        queue = self._queue_at_head(sender)
        old = queue.at(tx.nonce)
        check_sender(
            tx,
            queue.account,
            others_cost=queue.cost - (old.cost if old else 0),
            nonces_ahead_max=self._settings.per_account_max,
        )
        if (refusal := self._permit(tx)) is not None:
            raise PoolRejection(f"not permitted: {refusal}")
        times = 0 if old is None else self._check_replacement(old, tx, local)
        return self._insert(queue, self._entry(tx, local, times, queue.group), old)

    def _queue_at_head(self, sender: Address) -> AccountQueue:
        """The sender's queue, or an empty one, with the account as it is now: money may have come in."""
        queue = self._queues.get(sender)
        if queue is not None and queue.head == self._heads:
            return queue
        account = self._accounts_at_head.account(sender)
        if queue is not None and queue.account != (account or EMPTY_ACCOUNT):
            self._tell(self._settle(sender))
            queue = self._queues.get(sender)
        if queue is None:
            return AccountQueue(sender, account, self._organisation(sender), self._heads)
        queue.head = self._heads
        return queue

    def _check_replacement(self, old: PooledTransaction, new: Transaction, local: bool) -> int:
        """How often the nonce will have been replaced at price zero; PoolRejection when it may not be."""
        free = is_free(old.tx) and is_free(new)
        try:
            check_replacement(
                old.tx,
                new,
                percent=self._settings.replacement_percent,
                age_s=self._clock() - old.added_s,
                times=old.free_replacements,
                local=local,
            )
        except PoolRejection:
            if free and not local:
                self._displaced.add(new.hash)
            raise
        if not free:
            return 0
        self._displaced.add(old.tx.hash)
        return old.free_replacements + 1

    def _entry(self, tx: Transaction, local: bool, free_replacements: int, group: bytes) -> PooledTransaction:
        self._sequence += 1
        weight = -(-len(tx.encoded) // self._weight_bytes)
        return PooledTransaction(
            tx=tx,
            sender=tx.sender,
            sequence=self._sequence,
            added_s=self._clock(),
            cost=upfront_cost(tx),
            weight=weight,
            local=local,
            protected=local and self._protected + weight <= self._protected_max,
            group=group,
            free_replacements=free_replacements,
        )

    def _insert(
        self, queue: AccountQueue, entry: PooledTransaction, old: PooledTransaction | None
    ) -> list[Transaction]:
        next_nonce = queue.next_nonce
        if old is not None:
            self._remove(old)
        self._put(queue, entry)
        self._make_room()
        if entry.tx.hash not in self._by_hash:
            if old is not None:
                self._put(queue, old)
            raise PoolRejection("txpool is full")
        ready = queue.next_nonce - next_nonce
        if ready == 1 or (old is not None and entry.tx.nonce < next_nonce):
            return [entry.tx]  # by far the most come in their order
        return [pending.tx for pending in queue.pending_from(next_nonce)] if ready else []

    def _make_room(self) -> None:
        settings = self._settings
        while len(self._by_hash) > settings.transactions_max or self._bytes > settings.bytes_max:
            worst = self._eviction.worst()
            assert worst is not None, "protected transactions are bounded to a part of the pool"
            self._remove(self._queues[worst].last)

    def _put(self, queue: AccountQueue, entry: PooledTransaction) -> None:
        self._queues[queue.address] = queue
        queue.put(entry)
        self._by_hash[entry.tx.hash] = entry
        self._bytes += len(entry.tx.encoded)
        self._protected += entry.weight if entry.protected else 0
        self._eviction.update(queue)

    def _remove(self, entry: PooledTransaction) -> None:
        queue = self._queues[entry.sender]
        queue.remove(entry)
        self._forget(entry)
        self._close_change(queue)

    def _forget(self, entry: PooledTransaction) -> None:
        del self._by_hash[entry.tx.hash]
        self._bytes -= len(entry.tx.encoded)
        self._protected -= entry.weight if entry.protected else 0

    def _close_change(self, queue: AccountQueue) -> None:
        if not queue:
            del self._queues[queue.address]
        self._eviction.update(queue)

    # --- the parts of a new head

    def _rules_after(self, head: Header) -> BlockRules:
        return BlockRules(
            chain_id=self._spec.chain_id,
            fork=self._spec.fork_at(head.number + 1),
            gas_limit=head.gas_limit,
        )

    def _sender_in_block(self, tx: Transaction) -> Address:
        if not tx.has_sender and (known := self.known_sender(tx.hash)) is not None:
            tx.remember_sender(known)
        return tx.sender

    def _settle(self, sender: Address) -> list[Transaction]:
        """Bring one sender's queue to the head's state; what became pending by it."""
        queue = self._queues.get(sender)
        if queue is None:
            return []
        next_nonce = queue.next_nonce
        for entry in queue.settle(self._accounts_at_head.account(sender), self._heads):
            self._forget(entry)
        self._close_change(queue)
        # Below the account's nonce nothing is left, and what was pending before has been told.
        return [entry.tx for entry in queue.pending_from(max(next_nonce, queue.account.nonce))]

    def _bring_back(self, event: HeadChanged) -> list[Transaction]:
        """Admit again what was in removed blocks and is in none that was added."""
        included = {tx.hash for executed in event.added for tx in executed.block.transactions}
        promoted: list[Transaction] = []
        for executed in reversed(event.removed):
            for tx in executed.block.transactions:
                if tx.hash in included:
                    continue
                local = self._journal is not None and tx.hash in self._journal
                with suppress(PoolRejection):  # invalid on the new chain, or out of place there
                    promoted += self._admit(tx, local=local, returning=True)
        return promoted


def _content(queue: AccountQueue) -> SenderContent:
    return SenderContent(
        tuple(entry.tx for entry in queue.pending), tuple(entry.tx for entry in queue.queued)
    )
