"""The transaction pool as the RPC sees it."""

from collections.abc import Sequence

import trio

from node.chain.senders import SenderRecovery
from node.primitives.ids import Address, Hash32
from node.primitives.transaction import Transaction
from node.rpc.backend import PoolContent, Until
from node.txpool.pool import TransactionPool


class NodePool:
    """PoolBackend over a TransactionPool."""

    def __init__(self, pool: TransactionPool, senders: SenderRecovery, minimum_priority_fee: int) -> None:
        self._pool = pool
        self._senders = senders
        self.minimum_priority_fee = minimum_priority_fee
        """wei per gas."""

    async def recover_senders(self, transactions: Sequence[Transaction]) -> None:
        """See the port."""
        if len(transactions) == 1:
            await self._senders.recover_with_others(transactions[0])
        else:
            await self._senders.recover(transactions)

    def enter(self, tx: Transaction) -> Until:
        """See the port."""
        self._pool.enter(tx)
        return self._pool.wait_durable

    async def submit(self, tx: Transaction) -> Until:
        """See the port."""
        return self.enter(tx)

    def get(self, tx_hash: Hash32) -> Transaction | None:
        """See the port."""
        return self._pool.get(tx_hash)

    def next_nonce(self, address: Address) -> int:
        """See the port."""
        return self._pool.pending_nonce(address)

    def counts(self) -> tuple[int, int]:
        """See the port."""
        status = self._pool.status()
        return status.pending, status.queued

    def content(self) -> tuple[PoolContent, PoolContent]:
        """See the port."""
        senders = self._pool.content().items()
        pending = {address: held.pending for address, held in senders if held.pending}
        queued = {address: held.queued for address, held in senders if held.queued}
        return pending, queued

    def content_of(self, address: Address) -> tuple[Sequence[Transaction], Sequence[Transaction]]:
        """See the port."""
        held = self._pool.content_from(address)
        return held.pending, held.queued

    def subscribe(self) -> trio.MemoryReceiveChannel[tuple[Transaction, ...]]:
        """See the port."""
        return self._pool.subscribe()
