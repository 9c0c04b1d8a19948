"""Somebody who speaks RLPx and eth well enough to be let in, and then behaves as a test tells it to."""

import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import trio

from devnet.generate import MEMBERS_FILE
from devnet.layout import HOST, Layout, NodeFiles
from node.chain.genesis import genesis_block
from node.chain.genesis_json import load_genesis
from node.permissioning.allowlist import Member, encode_allowlist, read_allowlist, with_members
from node.permissioning.policy import Tier
from node.primitives.crypto import PrivateKey, keccak256
from p2p.connection import Connection
from p2p.devp2p.hello import PROTOCOL_VERSION, Capability, CapabilitySpec, Hello, SharedCapability, share
from p2p.enode import parse_enode
from p2p.errors import PeerError
from p2p.eth.messages import ETH68
from p2p.eth.status import Status, fork_id
from p2p.rlpx.session import Session
from p2p.transport import TcpTransport

ETH = CapabilitySpec("eth", ETH68.version, ETH68.message_count)


def attacker_key(number: int) -> PrivateKey:
    """The key of one of them."""
    return PrivateKey(keccak256(b"attacker %d" % number))


def enter(layout: Layout, keys: Sequence[PrivateKey], tier: Tier) -> None:
    """Make members of them: the enemy within."""
    path = layout.home / MEMBERS_FILE
    members = [Member(id=key.public_key, name="attacker", organisation="south", tier=tier) for key in keys]
    path.write_text(encode_allowlist(with_members(read_allowlist(path), members)))


def status_of(layout: Layout) -> Status:
    """What a node at genesis says of itself."""
    spec = load_genesis(layout.genesis)
    genesis = genesis_block(spec).header
    return Status(
        version=ETH68.version,
        network_id=spec.chain_id,
        total_difficulty=genesis.difficulty,
        head_hash=genesis.hash,
        genesis_hash=genesis.hash,
        fork_id=fork_id(genesis.hash, spec.fork_id_blocks, 0),
    )


async def meet(node: NodeFiles, key: PrivateKey, status: Status, *more: CapabilitySpec) -> Connection:
    """A connection past every handshake; PeerError when it is not let in."""
    stream = await TcpTransport().dial(HOST, node.p2p_port)
    session = Session.initiator(key, parse_enode(node.enode).public_key, os.urandom)
    connection = Connection(stream, session)
    try:
        await connection.establish()
        ours = (Capability("eth", 68), *(spec.capability for spec in more))
        hello = Hello(PROTOCOL_VERSION, "attacker", ours, 0, key.public_key)
        theirs = await connection.exchange_hello(hello)
        eth = next(each for each in share((ETH, *more), theirs.capabilities, "eth") if each.spec is ETH)
        assert isinstance(eth, SharedCapability)
        await connection.exchange_status(eth, status)
    except BaseException:
        await stream.aclose()
        raise
    return connection


async def is_ended(connection: Connection, within_s: float = 60.0) -> bool:
    """Whether the other side ends the connection."""
    with trio.move_on_after(within_s):
        with suppress(PeerError):
            while True:
                if (await connection.read()).code == 0x01:
                    return True
        return True
    return False


async def flood(node: NodeFiles, payload: bytes, count: int, at_once: int = 200) -> dict[str, Any]:
    """So many connections that each say `payload` and then nothing; how many were closed on us."""
    limit, outcome = trio.CapacityLimiter(at_once), {"opened": 0, "closed": 0}

    async def one() -> None:
        async with limit:
            with suppress(OSError, trio.BrokenResourceError), trio.move_on_after(4.0):
                stream = await trio.open_tcp_stream(HOST, node.p2p_port)
                outcome["opened"] += 1
                async with stream:
                    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    if payload:
                        await stream.send_all(payload)
                    while await stream.receive_some(4096):
                        pass
                    outcome["closed"] += 1

    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(one)
    return outcome
