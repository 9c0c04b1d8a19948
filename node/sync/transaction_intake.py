"""Transactions from peers: fetch what is announced, recover the senders in batches, offer them to the pool.

Each peer has a queue and two tasks of its own, so that a flood from one delays nobody else; what does not fit
is dropped, for gossip may be lost. Recovery runs in a worker thread; what has come from all peers meanwhile
goes together next, a batch of each.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import trio

from node.primitives.ids import Hash32
from node.primitives.transaction import Transaction, recover_senders
from node.sync.fetch_table import FetchTable
from node.sync.ports import Pool
from node.sync.roster import Member
from node.txpool.admission import NeverValid
from node.txpool.recent import Recent
from p2p.errors import PENALTY_FLOOD, BreachOfProtocol, PeerTimeout
from p2p.eth.messages import GetPooledTransactions, NewPooledTransactionHashes
from p2p.limits import TokenBucket

ANNOUNCEMENT_WAIT_S: Final = 0.1
"""An announced transaction may be on its way in full from another peer."""
QUEUE_MESSAGES_MAX: Final = 16
"""Messages of transactions of one peer that wait for their senders to be recovered."""
QUEUE_TRANSACTIONS_MAX: Final = 4_096
"""The same, in transactions."""
BATCH_TRANSACTIONS: Final = 256
"""Recovered at a time; about 15 ms."""
TRANSACTIONS_PER_S: Final = 4_000.0
TRANSACTIONS_BURST: Final = 16_384.0
HASHES_PER_S: Final = 20_000.0
HASHES_BURST: Final = 65_536.0
"""What one peer may send; the rest is not looked at."""
REFUSED_MAX: Final = 32_768
"""Transactions remembered that the pool refused or whose signature is bad, lest they be fetched again."""
REFUSED_FOR_S: Final = 30.0
"""What was refused may be acceptable later: after the next blocks, or when the pool has room."""
PENALTY_INVALID: Final = 25.0


@dataclass(slots=True)
class _Batch:
    """Transactions whose senders somebody waits for."""

    transactions: Sequence[Transaction]
    is_done: bool = False


class TransactionIntake:
    """The receiving half of transaction gossip."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.table = FetchTable()
        """What all peers announced."""
        self.news = trio.Event()
        """Set, and replaced, when the table has changed."""
        self._refused: Recent[Hash32] = Recent(REFUSED_MAX)
        self._refused_since_s = 0.0
        self.in_hand: set[Hash32] = set()
        """In the queues of the peers that sent them: on their way into the pool."""
        self._recovering = trio.CapacityLimiter(1)
        self._turn = trio.Lock()
        self._waiting: list[_Batch] = []
        """Whose senders are recovered in the next turn."""

    def serve(self, member: Member) -> "PeerIntake":
        """The intake of one peer; run its `run` as long as the peer is connected."""
        return PeerIntake(self, member)

    def is_wanted(self, tx_hash: Hash32) -> bool:
        """Whether the transaction is neither here, nor on its way into the pool, nor lately refused."""
        return tx_hash not in self.in_hand and self._is_news(tx_hash)

    def _is_news(self, tx_hash: Hash32) -> bool:
        return not self._pool.has(tx_hash) and tx_hash not in self._refused

    def age_refusals(self, now_s: float) -> None:
        """Forget refusals once they are old, all at once."""
        if now_s - self._refused_since_s >= REFUSED_FOR_S:
            self._refused = Recent(REFUSED_MAX)
            self._refused_since_s = now_s

    async def offer(self, member: Member, transactions: Sequence[Transaction]) -> None:
        """Recover the senders and give the transactions to the pool; penalise for what can never be valid."""
        for start in range(0, len(transactions), BATCH_TRANSACTIONS):
            batch = [tx for tx in transactions[start : start + BATCH_TRANSACTIONS] if self._is_news(tx.hash)]
            if not batch:
                continue
            await self._recover(batch)
            good = [tx for tx in batch if tx.has_sender]
            self._refused.update({tx.hash for tx in batch}.difference(tx.hash for tx in good))
            faults = [] if len(good) == len(batch) else ["a transaction with an invalid signature"]
            for tx, verdict in zip(good, self._pool.add_remote(good), strict=True):
                if verdict is not None and not self._pool.has(tx.hash):
                    self._refused.add(tx.hash)
                if isinstance(verdict, NeverValid):
                    faults.append(str(verdict))
            if faults:
                member.connection.penalise(PENALTY_INVALID, faults[0])

    async def _recover(self, transactions: Sequence[Transaction]) -> None:
        """Recover every sender that there is: of these, and of those that came while others had the turn."""
        batch = _Batch(transactions)
        self._waiting.append(batch)
        async with self._turn:
            if batch.is_done:
                return
            batches = list(self._waiting)
            # One transaction may have come from several peers at the same moment.
            once = {tx.hash: tx for each in batches for tx in each.transactions}
            await trio.to_thread.run_sync(recover_senders, once.values(), limiter=self._recovering)
            del self._waiting[: len(batches)]
            for each in batches:
                each.is_done = True
                for tx in each.transactions:
                    if once[tx.hash].has_sender:
                        tx.remember_sender(once[tx.hash].sender)

    def tell(self) -> None:
        """Wake the tasks that wait for something to fetch."""
        self.news.set()
        self.news = trio.Event()


class PeerIntake:
    """What one peer sends of transactions."""

    def __init__(self, shared: TransactionIntake, member: Member) -> None:
        self._shared = shared
        self._member = member
        self._put, self._queue = trio.open_memory_channel[list[Transaction]](QUEUE_MESSAGES_MAX)
        self._queued = 0
        self._ended = False
        now_s = trio.current_time()
        self._transactions = TokenBucket(TRANSACTIONS_PER_S, TRANSACTIONS_BURST, now_s)
        self._hashes = TokenBucket(HASHES_PER_S, HASHES_BURST, now_s)
        self._penalised_s = -1.0

    async def run(self) -> None:
        """Work off what the peer sends and fetch what it announces, until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._work)
                nursery.start_soon(self._fetch)
        finally:
            self._ended = True
            with suppress(trio.WouldBlock):
                while True:
                    self._shared.in_hand.difference_update(tx.hash for tx in self._queue.receive_nowait())
            self._shared.table.drop(self._member.id)
            self._shared.tell()

    def take_transactions(self, transactions: Sequence[Transaction]) -> None:
        """The peer sent transactions in full, unasked."""
        self._member.known_transactions.update([tx.hash for tx in transactions])
        if self._is_flood(self._transactions, len(transactions)):
            return
        wanted = [tx for tx in transactions if self._shared.is_wanted(tx.hash)]
        if not wanted or self._ended or self._queued + len(wanted) > QUEUE_TRANSACTIONS_MAX:
            return
        try:
            self._put.send_nowait(wanted)
        except trio.WouldBlock:
            return
        self._queued += len(wanted)
        self._shared.in_hand.update(tx.hash for tx in wanted)

    def take_announcement(self, message: NewPooledTransactionHashes) -> None:
        """The peer has these in its pool."""
        if self._is_flood(self._hashes, len(message.hashes)):
            return
        self._member.known_transactions.update(message.hashes)
        now_s = trio.current_time()
        self._shared.age_refusals(now_s)
        wanted = [
            (tx_hash, size)
            for tx_hash, size in zip(message.hashes, message.sizes, strict=True)
            if self._shared.is_wanted(tx_hash)
        ]
        if wanted:
            self._shared.table.announce(self._member.id, wanted, now_s + ANNOUNCEMENT_WAIT_S)
            self._shared.tell()

    def _is_flood(self, bucket: TokenBucket, amount: int) -> bool:
        now_s = trio.current_time()
        if bucket.take(amount, now_s) == 0:
            return False
        if now_s - self._penalised_s >= 1.0:
            self._penalised_s = now_s
            self._member.connection.penalise(PENALTY_FLOOD, "a flood of transactions")
        return True

    async def _work(self) -> None:
        async for transactions in self._queue:
            self._queued -= len(transactions)
            try:
                await self._shared.offer(self._member, transactions)
            finally:
                self._shared.in_hand.difference_update(tx.hash for tx in transactions)

    async def _fetch(self) -> None:
        """Ask for what the peer announced, one request at a time."""
        table, peer = self._shared.table, self._member.id
        while True:
            now_s = trio.current_time()
            asked = table.take(peer, now_s, lambda tx_hash: not self._shared.is_wanted(tx_hash))
            if not asked:
                ready_s = table.next_ready_s(peer)
                with trio.move_on_at(float("inf") if ready_s is None else ready_s):
                    await self._shared.news.wait()
                continue
            delivered: set[Hash32] = set()
            try:
                answer = await self._member.connection.request(GetPooledTransactions(0, asked))
                delivered = {tx.hash for tx in answer.transactions}
                if not delivered.issubset(asked):
                    raise BreachOfProtocol("pooled transactions that nobody asked for")
                await self._shared.offer(self._member, answer.transactions)
            except PeerTimeout:
                continue  # its connection keeps the score
            finally:
                table.answered(peer, asked, delivered)
                self._shared.tell()
