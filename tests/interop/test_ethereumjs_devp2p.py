"""A foreign implementation of RLPx and eth/68, both ways: npm @ethereumjs/devp2p, pinned."""

import functools
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
import trio

from node.primitives import rlp
from node.primitives.block import decode_header, encode_header
from node.primitives.ids import Hash32
from p2p.devp2p.messages import DisconnectReason
from p2p.eth.messages import BlockHeaders, GetBlockHeaders
from p2p.eth.status import fork_id
from p2p.peer import Peer
from p2p.reports import PeerLeft
from tests.interop.npm import node as nodejs
from tests.interop.npm import npm_install
from tests.p2p.network import STATUS, Node, key, running, until
from tests.p2p.test_transport import tcp_node

pytestmark = pytest.mark.interop

PACKAGE: Final = "@ethereumjs/devp2p@10.0.0"
DRIVER: Final = Path(__file__).with_name("devp2p_peer.cjs")
GENESIS_HASH: Final = Hash32(b"\x47" * 32)
LONDON_BLOCK: Final = 10
FORK_ID: Final = fork_id(GENESIS_HASH, [LONDON_BLOCK], 20)
FORKS_AT_GENESIS: Final = (
    "homestead",
    "eip150",
    "eip155",
    "eip158",
    "byzantium",
    "constantinople",
    "petersburg",
    "istanbul",
    "berlin",
)
GENESIS: Final = {
    "config": {
        "chainId": 1337,
        **{f"{name}Block": 0 for name in FORKS_AT_GENESIS},
        "londonBlock": LONDON_BLOCK,
    },
    "difficulty": "0x1",
    "gasLimit": "0x8000000",
    "extraData": "0x",
    "nonce": "0x0",
    "timestamp": "0x0",
    "alloc": {},
}


class Foreigner:
    """The node.js process and what it has told."""

    def __init__(self, process: trio.Process) -> None:
        self.process = process
        self.events: list[dict[str, Any]] = []

    async def listen(self) -> None:
        assert self.process.stdout is not None
        rest = b""
        async for data in self.process.stdout:
            *lines, rest = (rest + data).split(b"\n")
            self.events += map(json.loads, lines)

    async def told(self, event: str) -> dict[str, Any]:
        await until(lambda: any(each["event"] == event for each in self.events), within_s=60)
        return next(each for each in self.events if each["event"] == event)

    async def quit(self) -> None:
        assert self.process.stdin is not None
        await self.process.stdin.send_all(b"quit\n")


@asynccontextmanager
async def foreigner(**how: Any) -> AsyncIterator[Foreigner]:
    config = {
        "modules": str(npm_install(PACKAGE)),
        "key": key(77).secret_bytes().hex(),
        "genesis": GENESIS,
        "genesisHash": GENESIS_HASH.hex(),
        "head": "05" * 32,
        "header": sample_header().hex(),
        **how,
    }
    async with trio.open_nursery() as nursery:
        process = await nursery.start(
            functools.partial(
                trio.run_process,
                [nodejs(), str(DRIVER), json.dumps(config)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                check=False,
            )
        )
        other = Foreigner(process)
        nursery.start_soon(other.listen)
        yield other
        nursery.cancel_scope.cancel()


def sample_header() -> bytes:
    """A London header; decoded by both sides from the same bytes."""
    hashes = [b"\x11" * 32, b"\x22" * 32, b"\x33" * 20, *[b"\x44" * 32] * 3, bytes(256)]
    numbers = [2, 5, 30_000_000, 0, 1_700_000_000]
    return rlp.encode([*hashes, *numbers, b"x" * 97, bytes(32), bytes(8), 875_000_000])


def our_node() -> Node:
    node = tcp_node(1)
    node.status = replace(STATUS, genesis_hash=GENESIS_HASH, fork_id=FORK_ID)

    async def serve(peer: Peer) -> None:
        while True:
            message = await peer.receive()
            if isinstance(message, GetBlockHeaders):
                assert (message.origin, message.amount, message.reverse) == (5, 1, False)
                peer.send(BlockHeaders(message.request_id, (decode_header(sample_header()),)))

    node.serve = serve
    return node


async def check_conversation(node: Node, other: Foreigner) -> Peer:
    """Both sides are through the handshakes and get the header they ask for."""
    await until(lambda: node.pool.peers or "error" in str(other.events), within_s=60)
    (peer,) = node.pool.peers.values()
    assert peer.id == key(77).public_key
    assert peer.name.startswith("ethereumjs-devp2p/")
    assert (peer.status.network_id, peer.status.total_difficulty) == (1337, 10)
    assert peer.status.fork_id == FORK_ID, "two makers of fork ids agree"
    answer = await peer.request(GetBlockHeaders(0, 5, 1))
    assert [encode_header(header) for header in answer.headers] == [sample_header()]
    status = await other.told("status")
    assert status["genesisHash"] == GENESIS_HASH.hex()
    assert (await other.told("added"))["client"] == "node-1"
    assert (await other.told("headers"))["payload"].endswith(sample_header().hex())
    return peer


async def test_we_dial_it_and_it_leaves() -> None:
    node = our_node()
    async with running(node), foreigner(listen=30303) as other:
        there = await other.told("listening")
        node.pool.add_static(f"enode://{there['id']}@127.0.0.1:{there['port']}")
        await check_conversation(node, other)
        await other.quit()
        await until(lambda: node.told(PeerLeft), within_s=60)
        left = node.told(PeerLeft)[0]
        # It says goodbye without compression, whatever was agreed on.
        assert (left.by_us, left.reason) == (False, "the peer disconnected: client quitting")


async def test_it_dials_us_and_we_leave() -> None:
    node = our_node()
    async with running(node):
        port = int(node.pool.enode_url.rpartition(":")[2])
        async with foreigner(dial={"id": node.id.hex(), "port": port}) as other:
            peer = await check_conversation(node, other)
            assert peer.inbound
            peer.disconnect(DisconnectReason.TOO_MANY_PEERS)
            removed = await other.told("removed")
            assert (removed["reason"], removed["weDid"]) == (DisconnectReason.TOO_MANY_PEERS, False)


async def test_another_genesis_is_refused() -> None:
    node = our_node()
    node.status = replace(node.status, genesis_hash=Hash32(bytes(32)))
    async with running(node):
        port = int(node.pool.enode_url.rpartition(":")[2])
        async with foreigner(dial={"id": node.id.hex(), "port": port}) as other:
            removed = await other.told("removed")
            # It may be the first to notice, and then calls it a breach of protocol.
            assert removed["reason"] in (
                DisconnectReason.SUBPROTOCOL_ERROR,
                DisconnectReason.BREACH_OF_PROTOCOL,
            )
            assert not node.pool.peers
