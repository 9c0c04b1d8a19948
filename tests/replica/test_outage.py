"""A real PostgreSQL goes away under a replica and comes back: the replica goes on, and loses nothing."""

import json
from collections.abc import Iterator
from http import HTTPStatus

import pytest
import trio
import trio.testing

from node.backends.replica import ReplicaLogIndex
from node.primitives.errors import ConfigError
from node.replica.api import Finality, QueryApi
from node.replica.database import IndexAway
from node.replica.indexer import Indexer
from node.replica.log_queries import LogQueries
from node.replica.sqlite import SqliteDatabase
from node.rpc.logs import LogCriteria, LogFilter, find_logs
from tests.replica.chains import IDENTITY, dump, follow, writer_of
from tests.replica.test_logs import WIDE, never
from tests.replica.test_writer import RandomChain, moves_of

pytest.importorskip("psycopg", reason="no psycopg (pip install -e '.[postgres]')")

import trio.lowlevel

from node.replica.postgres import PostgresDatabase
from node.replica.writer import IndexWriter
from tests.replica.postgres_server import PostgresServer, find_binaries

pytestmark = pytest.mark.long(10)

PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One of its own: others must not be stopped with it. Each test leaves it running."""
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL (apt install postgresql)")
    server = PostgresServer(binaries)
    try:
        server.prepare()
        yield server
    finally:
        server.stop()


def api_of(database: PostgresDatabase) -> QueryApi:
    return QueryApi(
        database,
        chain_id=1337,
        finality=Finality(lambda: 0, lambda: 0),
        unix_time=lambda: 0.0,
        timeout_s=60,
        page_items_max=1000,
    )


async def until(holds):
    with trio.fail_after(PATIENCE_S):
        while not holds():
            await trio.testing.wait_all_tasks_blocked(0.01)


async def in_thread(work):
    return await trio.to_thread.run_sync(work)


async def test_the_index_waits_for_its_server_and_then_holds_every_row_once(server, tmp_path):
    chain, database = RandomChain(5), PostgresDatabase(server.url())
    writer = IndexWriter(
        database, chain, identity=IDENTITY, moves_of=moves_of, state_at=lambda _: None, known={}
    )
    indexer, api = Indexer(writer, chain.events), api_of(database)
    index = ReplicaLogIndex(LogQueries(database, 60))

    def scan(with_index):
        wanted = LogFilter(LogCriteria(), 0, chain.head.number)
        return [log.json() for log in find_logs(chain, wanted, WIDE, never, with_index)]

    async def level():
        await until(lambda: indexer.checkpoint == chain.head.ref and indexer.away is None)

    async def away():
        await until(lambda: indexer.away is not None)

    async with trio.open_nursery() as nursery:
        await nursery.start(indexer.run)
        for _ in range(3):
            for _ in range(5):
                chain.turn()
                await trio.lowlevel.checkpoint()
            await level()
            assert (await in_thread(lambda: api.answer("/v1/status"))).status == HTTPStatus.OK
            # In the middle of whatever the writer is doing: blocks go on arriving.
            chain.turn()
            await in_thread(server.halt)
            await away()
            reply = await in_thread(lambda: api.answer("/v1/status"))
            assert reply.status == HTTPStatus.SERVICE_UNAVAILABLE
            assert json.loads(reply.body)["type"].endswith("index-away")
            assert reply.headers["retry-after"]
            # JSON-RPC goes on: events are found in the blocks themselves.
            assert await in_thread(lambda: scan(index)) == scan(None)
            for _ in range(10):
                chain.turn()
            await in_thread(server.start)
            await level()
            reply = await in_thread(lambda: api.answer("/v1/status"))
            assert reply.status == HTTPStatus.OK
            assert json.loads(reply.body)["block"]["number"] == chain.head.number
        assert indexer.statistics.outages == 3
        nursery.cancel_scope.cancel()
    fresh = SqliteDatabase(tmp_path / "fresh.sqlite")
    follow(writer_of(fresh, chain, moves_of=moves_of))
    assert dump(database) == dump(fresh)
    fresh.close()
    database.close()


async def test_a_replica_may_start_while_its_server_is_down(server):
    chain, url = RandomChain(6), server.url()
    server.halt()
    database = PostgresDatabase(url)
    writer = IndexWriter(
        database, chain, identity=IDENTITY, moves_of=moves_of, state_at=lambda _: None, known={}
    )
    indexer = Indexer(writer, chain.events)
    async with trio.open_nursery() as nursery:
        with trio.fail_after(PATIENCE_S):
            await nursery.start(indexer.run)
        assert indexer.away is not None
        chain.turn()
        await in_thread(server.start)
        await until(lambda: indexer.checkpoint == chain.head.ref)
        nursery.cancel_scope.cancel()
    database.close()


async def test_a_wrong_password_ends_the_start_and_one_that_becomes_wrong_is_told(
    server, tmp_path, monkeypatch
):
    server.add_role("billing", "first")
    passwords = tmp_path / "passwords"
    monkeypatch.setenv("PGPASSFILE", str(passwords))

    def know(password):
        passwords.touch(0o600)
        passwords.write_text(f"*:*:*:billing:{password}\n")

    chain, database = RandomChain(7), PostgresDatabase(server.url().replace("phoenix@", "billing@"))

    def indexer():
        writer = IndexWriter(
            database, chain, identity=IDENTITY, moves_of=moves_of, state_at=lambda _: None, known={}
        )
        return Indexer(writer, chain.events)

    know("zeroth-0")
    with pytest.raises(ConfigError, match=r"password authentication failed .*put right") as refused:
        await indexer().run()
    assert "zeroth-0" not in str(refused.value)
    know("first")
    running = indexer()
    async with trio.open_nursery() as nursery:
        await nursery.start(running.run)
        chain.turn()
        await until(lambda: running.checkpoint == chain.head.ref)
        server.sql("ALTER ROLE billing PASSWORD 'second'")
        server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'billing'")
        chain.turn()
        await until(lambda: running.away is not None and "lets this node in no more" in running.away)
        know("second")
        chain.turn()
        await until(lambda: running.checkpoint == chain.head.ref and running.away is None)
        nursery.cancel_scope.cancel()
    database.close()


def test_a_second_writer_is_still_refused_and_not_waited_for(server):
    url = server.url()
    first, second = PostgresDatabase(url), PostgresDatabase(url)
    with first.write():
        pass
    with pytest.raises(Exception, match="another replica writes there") as refused, second.write():
        pass
    assert not isinstance(refused.value, IndexAway)
    first.close()
    second.close()
