"""A real chain with a contract and its events, served by a real node; light clients and liars beside it."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from node.app.light import light_client
from node.backends.light import light_backend, tell_moves
from node.chain.events import ChainEvents
from node.config.settings import LightSettings, RpcSettings
from node.execution.evm.executor import FastExecutor
from node.light.client import LightClient
from node.primitives.block import Header
from node.primitives.ids import Address
from node.primitives.transaction import Transaction
from node.rpc.api import RpcApi
from node.rpc.encoding import contract_address
from tests.chain.harness import ACCOUNTS, KEYS, ChainMaker, make_spec, sign, transfer
from tests.light.liar import Liar
from tests.rpc import desk
from tests.rpc.client import Place
from tests.rpc.node import NAMESPACES, TestNode, running_node

SIGNERS = KEYS[:4]
BLOCKS_ABOVE = 4
"""Enough that more than half of the signers have built on everything that is asked for."""


@dataclass
class Edge:
    """A node, upstreams in front of it that may lie, and light clients that ask them."""

    node: TestNode
    folder: Path
    desk: Address
    order: Transaction
    _stack: ExitStack
    clients: list[LightClient] = field(default_factory=list)

    @property
    def maker(self) -> ChainMaker:
        return self.node.maker

    @property
    def url(self) -> str:
        """The honest node itself."""
        return f"http://127.0.0.1:{self.node.place.port}"

    def liar(self) -> Liar:
        """One more upstream, honest until it is given a twist."""
        return self._stack.enter_context(Liar(self.node.place.port))

    def client(self, *urls: str, **light: Any) -> LightClient:
        """A light client that asks these; not yet following."""
        settings = LightSettings(upstreams=urls, **({"request_timeout_s": 10.0} | light))
        folder = self.folder / f"light-{len(self.clients)}"
        client = light_client(self.maker.spec, settings, folder)
        self.clients.append(client)
        return client

    async def following(self, *urls: str, **light: Any) -> LightClient:
        """The same, once each upstream has been polled."""
        client = await trio.to_thread.run_sync(partial(self.client, *urls, **light))
        await self.poll(client)
        return client

    async def poll(self, client: LightClient) -> None:
        """Take in every upstream's head, once."""
        for source in client.upstreams.sources:
            if source.dropped is None:
                await trio.to_thread.run_sync(client.poll, source)

    def close(self) -> None:
        for client in self.clients:
            client.close()


async def ask(function: Callable[..., Any], *arguments: Any) -> Any:
    """In a worker thread, as the JSON-RPC does."""
    return await trio.to_thread.run_sync(partial(function, *arguments))


async def wait_head(client: LightClient, head: Header) -> None:
    """Until the client shows this head."""
    with trio.fail_after(60):
        while client.head.hash != head.hash:
            await trio.to_thread.run_sync(time.sleep, 0.01)


def make_chain() -> tuple[ChainMaker, Address, Transaction]:
    """Four signers; a contract in block 1, an order and its event in block 3."""
    maker = ChainMaker(make_spec(SIGNERS), executor=FastExecutor(None))
    author = ACCOUNTS[0]
    maker.extend([sign(author, nonce=0, gas=3_000_000, data=desk.creation_code()), transfer(ACCOUNTS[1], 0)])
    receipts = maker.reader.receipts(maker.head.hash)
    assert receipts is not None
    assert receipts[0].succeeded
    contract = contract_address(Address(bytes.fromhex(author.address[2:])), 0)
    maker.extend()
    data = desk.take_call(ACCOUNTS[2].address, [("copper", 7), ("glass", 5)])
    order = sign(author, nonce=1, gas=1_000_000, to=contract, data=data)
    maker.extend([order, *(transfer(ACCOUNTS[1], nonce) for nonce in (1, 2))])
    maker.extend_by(BLOCKS_ABOVE)
    return maker, contract, order


@pytest.fixture
async def edge(tmp_path: Path) -> AsyncIterator[Edge]:
    maker, contract, order = make_chain()
    with ExitStack() as stack:
        async with running_node(maker) as node:
            edge = Edge(node, tmp_path, contract, order, stack)
            yield edge
            edge.close()


@dataclass
class Served:
    """A light client's own JSON-RPC."""

    client: LightClient
    place: Place


@pytest.fixture
async def served(edge: Edge) -> AsyncIterator[Served]:
    """A light client of the node, following it and answering by itself."""
    client = await ask(partial(edge.client, edge.url, edge.liar().url, poll_interval_s=0.05))
    events, place = ChainEvents(), Place()
    settings = RpcSettings(port=0, namespaces=NAMESPACES)
    async with trio.open_nursery() as nursery:
        api = RpcApi(light_backend(client, FastExecutor(None), events), settings)
        await nursery.start(place.run, settings, api)
        await nursery.start(client.run)
        nursery.start_soon(tell_moves, client, events)
        await wait_head(client, edge.maker.head)
        yield Served(client, place)
        await place.close()
        nursery.cancel_scope.cancel()
