"""A whole node without peers: real chain, pool and executor behind the real server, sealing on demand.

async with running_node() as node:
    client = await node.place.http()
    ...
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import trio
import trio.lowlevel

from consensus.gas import base_fee_after
from node.backends.chain import node_backend
from node.chain.evidence import EvidenceBook
from node.chain.opening import Chain
from node.config.settings import RpcSettings, Settings
from node.execution.executor import Executor
from node.primitives.block import Block
from node.primitives.transaction import Transaction
from node.rpc.api import RpcApi
from node.rpc.backend import Backend, SyncProgress
from node.txpool.keeper import keep_pool
from node.txpool.pool import TransactionPool
from p2p.enode import parse_enode
from tests.chain.harness import ChainMaker
from tests.rpc.client import Place
from tests.rpc.world import KEY

NAMESPACES = ("eth", "net", "web3", "txpool", "clique", "debug", "admin")


class NoPeers:
    """The part of a PeerPool that the RPC looks at, with nobody connected."""

    def __init__(self) -> None:
        self.peers: dict[bytes, Any] = {}
        self.enode_url = f"enode://{KEY.public_key.hex()}@127.0.0.1:30303"
        self.static: set[bytes] = set()

    def add_static(self, enode_url: str) -> None:
        self.static.add(parse_enode(enode_url).public_key)

    def remove(self, enode_url: str) -> None:
        self.static.discard(parse_enode(enode_url).public_key)


class NoNetwork:
    """NodePeers without peers."""

    def __init__(self) -> None:
        self.pool: Any = NoPeers()
        self.blocked: list[bytes] = []

    def block(self, enode_urls: Any) -> None:
        self.blocked = [parse_enode(url).public_key for url in enode_urls]


@dataclass
class NoSync:
    """SyncState of a node that is never behind, unless told so."""

    progress: SyncProgress | None = None


@dataclass
class TestNode:
    """The parts, as the composition root has them."""

    maker: ChainMaker
    settings: Settings
    pool: TransactionPool
    network: NoNetwork = field(default_factory=NoNetwork)
    sync: NoSync = field(default_factory=NoSync)
    place: Place = field(default_factory=Place)
    evidence: EvidenceBook | None = None
    __test__ = False

    @property
    def chain(self) -> Chain:
        return self.maker.chain

    @property
    def executor(self) -> Executor:
        return self.maker.executor

    def backend(self) -> Backend:
        return node_backend(self, self.network, self.sync, None, evidence=self.evidence)

    async def seal(self, *transactions: Transaction) -> Block:
        """One block of these, or of what waits in the pool, imported through the door."""
        head = self.chain.reader.head
        chosen = transactions or tuple(self.pool.select(base_fee_after(self.chain.reader.spec, head)))
        block = await trio.to_thread.run_sync(self.maker.unimported, head, chosen)
        await self.chain.importer.import_block(block)
        while self.pool.status().pending and not transactions:
            await trio.lowlevel.checkpoint()  # until the pool has heard of the block
        return block

    async def seal_on_arrival(self, *, task_status: trio.TaskStatus[None]) -> None:
        """A block for whatever arrives, until cancelled."""
        arrivals = self.pool.subscribe()
        task_status.started()
        async for _ in arrivals:
            if self.pool.status().pending:
                await self.seal()


def make_node(maker: ChainMaker | None = None, evidence: EvidenceBook | None = None, **rpc: Any) -> TestNode:
    """A node that does not run yet."""
    maker = maker or ChainMaker()
    settings = Settings(
        data_dir=None,  # type: ignore[arg-type]
        genesis=None,  # type: ignore[arg-type]
        rpc=RpcSettings(port=0, namespaces=NAMESPACES, **rpc),
    )
    reader = maker.chain.reader
    pool = TransactionPool(settings.pool, reader.spec, reader.head, reader.state_at(reader.head.hash))
    return TestNode(maker, settings, pool, evidence=evidence)


@asynccontextmanager
async def running_node(
    maker: ChainMaker | None = None, *, sealing: bool = False, **rpc: Any
) -> AsyncIterator[TestNode]:
    """A node that follows its chain and answers on a free port; `sealing` whatever arrives."""
    node = make_node(maker, **rpc)
    api = RpcApi(node.backend(), node.settings.rpc)
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(keep_pool, node.pool, node.chain.reader, interval_s=60.0))
        if sealing:
            await nursery.start(node.seal_on_arrival)
        await nursery.start(node.place.run, node.settings.rpc, api)
        try:
            yield node
        finally:
            await node.place.close()
            nursery.cancel_scope.cancel()
