"""A replica's own back ends: what it has that a full node has not."""

from collections.abc import Sequence

import trio

from node.execution.executor import Interrupted
from node.primitives.errors import RequestError
from node.primitives.ids import Address, BlockNumber, Hash32
from node.primitives.transaction import Transaction
from node.replica.database import IndexAway
from node.replica.log_queries import LogQueries, LogSearch
from node.rpc.backend import PoolBackend, PoolContent, Until, stop_if
from node.rpc.log_index import IndexedLog, LogPage, LogQuery


class ReplicaLogIndex:
    """LogIndex over the replica's SQL tables."""

    def __init__(self, queries: LogQueries) -> None:
        self._queries = queries

    def find(self, query: LogQuery, interrupted: Interrupted) -> LogPage | None:
        """See the port."""
        stop_if(interrupted)
        search = LogSearch(
            addresses=query.addresses,
            topics=query.topics,
            start=query.start,
            stop=query.stop,
            after=query.after,
            count_max=query.count_max,
            bytes_max=query.bytes_max,
        )
        try:
            found = self._queries.find(search, interrupted)
        except IndexAway:
            return None  # blocks are looked through instead, within the bounds of a full node
        if found is None:
            return None
        # Field for field the same.
        return LogPage(list(map(IndexedLog._make, found.rows)), found.complete, found.covered)

    def block_hash(self, number: BlockNumber) -> Hash32 | None:
        """See the port."""
        return self._queries.block_hash(number)


class RefusingPool:
    """PoolBackend of a replica that takes no transactions; what peers pass on is still shown."""

    enter = None

    def __init__(self, pool: PoolBackend) -> None:
        self._pool = pool

    @property
    def minimum_priority_fee(self) -> int:
        """See the port."""
        return self._pool.minimum_priority_fee

    async def recover_senders(self, transactions: Sequence[Transaction]) -> None:
        """See the port; nobody needs them."""

    async def submit(self, tx: Transaction) -> Until | None:
        """See the port."""
        raise RequestError(
            'this replica takes no transactions (setting replica.transactions = "refuse"); '
            "send them to a validator"
        )

    def get(self, tx_hash: Hash32) -> Transaction | None:
        """See the port."""
        return self._pool.get(tx_hash)

    def next_nonce(self, address: Address) -> int:
        """See the port."""
        return self._pool.next_nonce(address)

    def counts(self) -> tuple[int, int]:
        """See the port."""
        return self._pool.counts()

    def content(self) -> tuple[PoolContent, PoolContent]:
        """See the port."""
        return self._pool.content()

    def content_of(self, address: Address) -> tuple[Sequence[Transaction], Sequence[Transaction]]:
        """See the port."""
        return self._pool.content_of(address)

    def subscribe(self) -> trio.MemoryReceiveChannel[tuple[Transaction, ...]]:
        """See the port."""
        return self._pool.subscribe()
