"""A read replica's second half: the index beside the chain, and what keeps it at the head."""

import dataclasses
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from typing import Final

import trio

from node.backends.query_pages import QueryPages
from node.backends.replica import RefusingPool, ReplicaLogIndex
from node.chain.opening import Chain
from node.chain.reader import ChainReader
from node.config import data_dir
from node.config.settings import ReplicaSettings, Settings
from node.execution.evm.executor import FastExecutor
from node.execution.executor import Executor
from node.observability.health import Check
from node.observability.metrics import Metrics
from node.primitives.block import Block
from node.primitives.chain_spec import ChainSpec, Fork
from node.primitives.errors import ConfigError
from node.primitives.ids import Address, Hash32, hex_of
from node.primitives.state import StateView
from node.replica.api import Finality, QueryApi
from node.replica.database import IndexDatabase
from node.replica.forwarding import Forwarder
from node.replica.indexer import Indexer
from node.replica.indexes import Moved
from node.replica.log_queries import LogQueries
from node.replica.posting import Poster
from node.replica.registry import NAMES, doors
from node.replica.sqlite import SqliteDatabase
from node.replica.writer import IndexWriter, MovesOf
from node.rpc.backend import Backend
from node.state.store import StateUnavailable
from node.txpool.pool import TransactionPool

BEHIND_BLOCKS_MAX: Final = 16
"""So far the index may lag before the node is not ready."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """The parts that only a replica has, open but not yet running."""

    database: IndexDatabase
    indexer: Indexer
    log_queries: LogQueries
    settings: ReplicaSettings


def has_workers(settings: Settings) -> bool:
    """Whether worker processes answer the clients of this node."""
    return settings.role == "replica" and settings.rpc.enabled and settings.replica.workers > 0


async def open_replica(
    settings: Settings, chain: Chain, executor: Executor, closing: AsyncExitStack
) -> Replica | None:
    """The index of a replica, None for other roles. ConfigError, StorageError."""
    if settings.role != "replica":
        return None
    database = await trio.to_thread.run_sync(_database, settings)
    closing.callback(database.close)
    reader = chain.reader
    writer = IndexWriter(
        database,
        reader,
        identity=f"{reader.spec.chain_id}:{hex_of(reader.genesis.hash)}",
        moves_of=moves_source(chain, executor) if settings.replica.trace_transfers else None,
        state_at=lambda block_hash: _state_at(chain, block_hash),
        known=_known(settings, reader.spec),
    )
    return Replica(
        database=database,
        indexer=Indexer(writer, reader.events),
        log_queries=LogQueries(database, settings.replica.query_timeout_s),
        settings=settings.replica,
    )


def open_index_to_read(
    settings: Settings, backend: Backend, closing: ExitStack
) -> tuple[ReplicaLogIndex, QueryPages]:
    """What a worker process has of the index that its node writes."""
    if settings.replica.database == "sqlite":
        path = data_dir.index_path(settings.data_dir)
        database: IndexDatabase = SqliteDatabase(path, read_only=True)
    else:
        database = _database(settings)  # connections that only read ask for no writer's lock
    closing.callback(database.close)
    queries = LogQueries(database, settings.replica.query_timeout_s)
    return ReplicaLogIndex(queries), QueryPages(_query_api(database, backend, settings.replica))


def _query_api(database: IndexDatabase, backend: Backend, settings: ReplicaSettings) -> QueryApi:
    chain = backend.chain
    return QueryApi(
        database,
        chain_id=chain.spec.chain_id,
        finality=Finality(lambda: chain.safe_header().number, lambda: chain.finalized_header().number),
        unix_time=time.time,
        timeout_s=settings.query_timeout_s,
        page_items_max=settings.page_items_max,
    )


def with_index(backend: Backend, replica: Replica | None) -> Backend:
    """The back end of a replica finds events in its index, and answers queries beside JSON-RPC."""
    if replica is None:
        return backend
    api = _query_api(replica.database, backend, replica.settings)
    index = ReplicaLogIndex(replica.log_queries)
    pool = backend.pool
    if replica.settings.transactions == "refuse" and pool is not None:
        pool = RefusingPool(pool)
    return dataclasses.replace(backend, log_index=index, pages=QueryPages(api), pool=pool)


async def run_replica(
    replica: Replica,
    pool: TransactionPool,
    metrics: Metrics,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Keep the index at the head and pass transactions on until cancelled, and publish how both are."""
    settings = replica.settings
    _observe(replica.indexer, metrics)
    async with trio.open_nursery() as nursery:
        await nursery.start(replica.indexer.run)
        if settings.transactions == "forward" and settings.upstreams:
            post = Poster(settings.upstream_token_file).post
            forwarder = Forwarder(pool, settings.upstreams, settings.resend_s, post)
            metrics.read_at_scrape(
                "forwarded_transactions",
                "Transactions that an upstream has taken.",
                lambda: sum(each.accepted for each in forwarder.plan.upstreams),
            )
            nursery.start_soon(forwarder.run)
        task_status.started()


def index_check(replica: Replica, reader: ChainReader) -> Check:
    """Not ready while the index is far behind the chain: others of the region answer better meanwhile."""

    def check() -> str | None:
        checkpoint = replica.indexer.checkpoint
        behind = reader.head.number - (checkpoint.number if checkpoint else -1)
        if behind <= BEHIND_BLOCKS_MAX:
            return None
        away = replica.indexer.away
        return f"the index is {behind} blocks behind the chain" + (f": {away}" if away else "")

    return check


def index_notice(replica: Replica) -> Check:
    """What an operator must see at once, although JSON-RPC goes on."""
    return lambda: replica.indexer.away


def _observe(indexer: Indexer, metrics: Metrics) -> None:
    metrics.read_at_scrape(
        "index_number",
        "Newest block of the index.",
        lambda: indexer.checkpoint.number if indexer.checkpoint else 0,
    )
    metrics.read_at_scrape(
        "index_away", "1 while the index's database cannot be reached.", lambda: indexer.away is not None
    )
    metrics.read_at_scrape(
        "index_outages", "Times it could not be reached.", lambda: indexer.statistics.outages
    )
    metrics.read_at_scrape("indexed_blocks", "Blocks indexed.", lambda: indexer.statistics.blocks)
    metrics.read_at_scrape(
        "index_busy_seconds", "Time spent indexing blocks.", lambda: indexer.statistics.busy_s
    )


def _database(settings: Settings) -> IndexDatabase:
    if settings.replica.database == "sqlite":
        return SqliteDatabase(data_dir.index_path(settings.data_dir))
    try:
        from node.replica.postgres import PostgresDatabase
    except ImportError as error:
        raise ConfigError(
            [f"replica.database: PostgreSQL needs psycopg ({error}); pip install 'phoenix-ledger[postgres]'"]
        ) from error
    return PostgresDatabase(settings.replica.database)


def _known(settings: Settings, spec: ChainSpec) -> dict[Address, str]:
    """Contracts that are ours without anybody's saying so on the chain."""
    known = doors({address: account.code for address, account in spec.alloc.items() if account.code})
    if settings.replica.contract_names is not None:
        known[Address(bytes.fromhex(settings.replica.contract_names[2:]))] = NAMES
    return known


def moves_source(chain: Chain, executor: Executor) -> MovesOf:
    """Runs blocks again to see what moved inside their transactions; for a worker thread."""
    fast = executor if isinstance(executor, FastExecutor) else FastExecutor(executor)
    reader = chain.reader

    def moves_of(block: Block) -> Sequence[Sequence[Moved]] | None:
        """The block runs again on the state before it."""
        context = reader.context_of(block.header)
        view = _state_at(chain, block.header.parent_hash)
        if view is None or context.fork < Fork.BYZANTIUM:
            return None
        moves = fast.moves(context, view, block.transactions)
        return [[Moved(*move) for move in each] for each in moves]

    return moves_of


def _state_at(chain: Chain, block_hash: Hash32) -> StateView | None:
    try:
        return chain.reader.state_at(block_hash)
    except StateUnavailable:
        return None
