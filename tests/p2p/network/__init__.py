"""Nodes and strangers on a network in memory: real pools and sessions, no sockets, seeded entropy."""

import random
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import trio

from node.primitives.crypto import PrivateKey
from node.primitives.ids import Hash32
from p2p.connection import Connection
from p2p.devp2p.hello import PROTOCOL_VERSION, Capability, Hello, SharedCapability
from p2p.devp2p.messages import DISCONNECT_CODE, PING_CODE, PONG_CODE, decode_disconnect
from p2p.eth.messages import (
    BlockHeaders,
    GetBlockHeaders,
    Message,
    encode_message,
)
from p2p.eth.status import ForkId, Status
from p2p.options import P2POptions
from p2p.peer import Peer
from p2p.pool import ETH_VERSIONS, PeerPool
from p2p.reports import PeerInfo, Report
from p2p.rlpx.handshake import Entropy, new_private_key
from p2p.rlpx.session import RawMessage, Session
from p2p.transport import Endpoint, MemoryNetwork, Stream, Transport

GENESIS = Hash32(b"\x47" * 32)
STATUS = Status(68, 1337, 5, Hash32(b"\x05" * 32), GENESIS, ForkId(b"\x01\x02\x03\x04", 0))
PORT = 30303
ETH_OFFSET = 16

R = TypeVar("R")


def seeded(seed: int) -> Entropy:
    return random.Random(seed).randbytes


def key(seed: int) -> PrivateKey:
    return new_private_key(seeded(seed))


class Node:
    """A pool on one host, and what it went through."""

    def __init__(
        self, network: MemoryNetwork, seed: int, *, transport: Transport | None = None, **options: Any
    ) -> None:
        self.host = f"host-{seed}"
        self.key = key(seed)
        self.entropy = seeded(seed + 1_000)
        self.transport = transport or network.host(self.host)
        self.options = P2POptions(**{"client_name": f"node-{seed}", "host": self.host, **options})
        self.status = STATUS
        self.reports: list[Report] = []
        self.received: list[tuple[bytes, Message]] = []
        self.serve: Callable[[Peer], Awaitable[None]] = self.answer
        self.permit: Callable[[PeerInfo], str | None] = lambda info: None
        self.accept: Callable[[Status], None] = lambda status: None
        self.pool: PeerPool
        self.scope = trio.CancelScope()

    @property
    def id(self) -> bytes:
        return self.key.public_key

    @property
    def enode(self) -> str:
        return f"enode://{self.id.hex()}@{self.host}:{PORT}"

    def told(self, kind: type[R]) -> list[R]:
        """The reports of one kind."""
        return [report for report in self.reports if isinstance(report, kind)]

    def peer(self, other: "Node | Stranger") -> Peer:
        return self.pool.peers[other.key.public_key]

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        self.scope = trio.CancelScope()
        with self.scope:
            self.pool = PeerPool(
                self.key,
                self.options,
                lambda: self.status,
                lambda status: self.accept(status),
                lambda peer: self.serve(peer),
                lambda info: self.permit(info),
                transport=self.transport,
                entropy=self.entropy,
                report=self.reports.append,
            )
            await self.pool.run(task_status=task_status)

    async def answer(self, peer: Peer) -> None:
        """Keep all that comes, and answer every request for headers with none."""
        while True:
            message = await peer.receive()
            self.received.append((peer.id, message))
            if isinstance(message, GetBlockHeaders):
                peer.send(BlockHeaders(message.request_id, ()))


class Stranger:
    """Somebody with a key and a session who says what a test tells it to."""

    def __init__(self, seed: int, stream: Stream, node: Node, private_key: PrivateKey | None = None) -> None:
        self.key = private_key or key(seed)
        self.session = Session.initiator(self.key, node.id, seeded(seed + 2_000))
        self.connection = Connection(stream, self.session)
        self.eth = SharedCapability(
            next(
                spec
                for spec in node.pool._capabilities
                if spec.name == "eth" and spec.version in ETH_VERSIONS
            ),
            ETH_OFFSET,
        )

    async def hello(self, *capabilities: Capability) -> Hello:
        await self.connection.establish()
        ours = Hello(
            PROTOCOL_VERSION, "stranger", (Capability("eth", 68), *capabilities), 0, self.key.public_key
        )
        return await self.connection.exchange_hello(ours)

    async def meet(self, status: Status = STATUS) -> "Stranger":
        """Everything up to and with Status."""
        await self.hello()
        await self.connection.exchange_status(self.eth, status)
        return self

    async def say(self, message: Message) -> None:
        code, payload = encode_message(message)
        await self.connection.write(ETH_OFFSET + code, payload)

    async def hear(self) -> RawMessage:
        """The next message that is no ping or pong; pings are answered."""
        while True:
            message = await self.connection.read()
            if message.code == PING_CODE:
                await self.connection.write(PONG_CODE, b"\xc0")
            elif message.code != PONG_CODE:
                return message

    async def goodbye(self) -> int:
        """The reason of the Disconnect that comes, whatever comes before it."""
        while True:
            message = await self.hear()
            if message.code == DISCONNECT_CODE:
                await self.connection.stream.aclose()
                return int(decode_disconnect(message.payload))


async def stranger(network: MemoryNetwork, node: Node, seed: int, **kwargs: Any) -> Stranger:
    """A stranger who has just connected, from a host of its own."""
    await trio.lowlevel.checkpoint()
    host = kwargs.pop("host", f"stranger-{seed}")
    return Stranger(seed, network.connect(host, Endpoint(node.host, PORT)), node, **kwargs)


@asynccontextmanager
async def running(*nodes: Node) -> Any:
    """Start the nodes, in order; stop them at the end. Yields the nursery they run in."""
    async with trio.open_nursery() as nursery:
        for node in nodes:
            await nursery.start(node.run)
        yield nursery
        nursery.cancel_scope.cancel()


async def until(condition: Callable[[], object], within_s: float = 60.0) -> None:
    """Let (virtual) time pass until the condition holds."""
    with trio.fail_after(within_s):
        while not condition():  # noqa: ASYNC110 - conditions on values that raise no event
            await trio.sleep(0.01)


async def connected(*nodes: Node) -> None:
    """Let time pass until all are connected to all."""
    ids = {node.id for node in nodes}
    await until(lambda: all(set(node.pool.peers) | {node.id} >= ids for node in nodes))
