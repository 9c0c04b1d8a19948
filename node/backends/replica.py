"""A replica's own back ends: what it has that a full node has not."""

from node.execution.executor import Interrupted
from node.primitives.ids import BlockNumber, Hash32
from node.replica.log_queries import LogQueries, LogSearch
from node.rpc.backend import stop_if
from node.rpc.log_index import IndexedLog, LogBlock, LogPage, LogQuery


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
        found = self._queries.find(search, interrupted)
        if found is None:
            return None
        logs = [
            IndexedLog(
                row.log,
                LogBlock(row.number, row.block_hash, row.time),
                row.tx_hash,
                row.tx_index,
                row.log_index,
            )
            for row in found.rows
        ]
        return LogPage(logs, found.complete, found.covered)

    def block_hash(self, number: BlockNumber) -> Hash32 | None:
        """See the port."""
        return self._queries.block_hash(number)
