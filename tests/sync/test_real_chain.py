"""Two nodes with real chains, importers, pools and threads, over the wire's own bytes."""

from collections.abc import Callable

import pytest
import trio

from node.chain.opening import Chain
from node.config.settings import PoolSettings
from node.sync.downloader import ChainHeaderRules
from node.sync.sync import Sync
from node.txpool.keeper import keep_pool
from node.txpool.pool import TransactionPool
from p2p.errors import PeerGone
from p2p.eth.status import ForkId, Status
from tests.chain.harness import ACCOUNTS, GENESIS_TIME, KEYS, ChainMaker, make_spec, transfer
from tests.sync.world import End, linked


@pytest.fixture(autouse=True)
def _no_threads() -> None:
    """Threads are real here, and so is the clock."""


class RealNode:
    """Chain, pool and sync as the app wires them."""

    def __init__(self, name: str, maker: ChainMaker, chain: Chain) -> None:
        self.name = name
        self.reader, self.importer = chain.reader, chain.importer
        head = self.reader.head
        self.pool = TransactionPool(PoolSettings(), maker.spec, head, self.reader.state_at(head.hash))
        self.sync = Sync(
            self.reader,
            self.importer,
            self.pool,
            ChainHeaderRules(self.reader),
            unix_time=lambda: GENESIS_TIME + 10**8,
        )

    async def start(self, nursery: trio.Nursery) -> None:
        await nursery.start(self.sync.run)

        async def keep(task_status: trio.TaskStatus[None]) -> None:
            await keep_pool(self.pool, self.reader, interval_s=60.0, task_status=task_status)

        await nursery.start(keep)

    @property
    def status(self) -> Status:
        head = self.reader.head
        difficulty = self.reader.total_difficulty(head.hash)
        assert difficulty is not None
        return Status(68, 1337, difficulty, head.hash, self.reader.genesis.hash, ForkId(b"\0" * 4, 0))

    async def serve(self, end: End) -> None:
        try:
            await self.sync.serve_peer(end)
        except* PeerGone:
            pass


def connect(nursery: trio.Nursery, a: RealNode, b: RealNode) -> tuple[End, End]:
    ours, theirs = linked(a.name, a.status, b.name, b.status, latency_s=0.0)
    nursery.start_soon(a.serve, ours)
    nursery.start_soon(b.serve, theirs)
    return ours, theirs


async def until(condition: Callable[[], object]) -> None:
    with trio.fail_after(60):
        while not condition():  # noqa: ASYNC110 - conditions span two nodes
            await trio.sleep(0.005)


async def test_a_fresh_node_follows_gossips_and_reorganises(nursery) -> None:
    maker = ChainMaker(make_spec(KEYS[:3]))
    for number in range(30):
        maker.extend([transfer(ACCOUNTS[number % 5], number // 5)])
    old, fresh = RealNode("old", maker, maker.chain), RealNode("fresh", maker, maker.open())
    for node in (old, fresh):
        await node.start(nursery)
    ends = connect(nursery, old, fresh)

    await until(lambda: fresh.reader.head == maker.head)

    tx = transfer(ACCOUNTS[9], 0)
    await fresh.pool.submit(tx)
    await until(lambda: tx.hash in old.pool)
    block = maker.unimported(maker.head, list(old.pool.select(0)))
    assert block.transactions == (tx,)
    await old.importer.import_block(block)
    old.sync.announce_block(block)
    await until(lambda: fresh.reader.head == block.header)
    await until(lambda: not len(old.pool) and not len(fresh.pool))

    # The old node moves to a heavier branch without that transaction, and tells of its head alone.
    parent = maker.reader.header_by_number(25)
    branch = []
    for number in range(26, 34):
        rival = maker.unimported(parent, vanity=b"rival %d" % number)
        await old.importer.import_block(rival)
        parent = rival.header
        branch.append(rival)
    assert old.reader.head == branch[-1].header
    old.sync.announce_block(branch[-1])
    await until(lambda: fresh.reader.head == branch[-1].header)
    await until(lambda: tx.hash in fresh.pool and tx.hash in old.pool)
    assert [end.points for end in ends] == [0, 0]
