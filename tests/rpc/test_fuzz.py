"""Noise: whatever a stranger sends, the node answers with an error that is not its own fault, and goes on."""

from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from node.rpc.api import RpcApi
from node.rpc.server import RpcServer
from tests.chain.harness import ACCOUNTS, ChainMaker, sign, transfer
from tests.rpc.client import call_bytes, request_bytes
from tests.rpc.desk import creation_code
from tests.rpc.node import make_node
from tests.rpc.world import World

INTERNAL_ERROR = -32603
MAKER = ChainMaker()
MAKER.extend([sign(ACCOUNTS[0], nonce=0, to=None, data=creation_code(), gas=1_000_000)])
BLOCK = MAKER.extend([transfer(ACCOUNTS[1], 0)])
NODE = make_node(MAKER, reply_timeout_s=2.0, call_gas_max=100_000)
METHODS = sorted(RpcApi(NODE.backend(), NODE.settings.rpc).dispatcher.methods)


def hexed(value: bytes) -> str:
    return "0x" + value.hex()


quantities = st.integers(0, 2**256 - 1).map(hex) | st.sampled_from(
    ["0x0", "0x1", "0x2", "0xffffffffffffffff"]
)
hashes = st.sampled_from([hexed(BLOCK.hash), hexed(BLOCK.transactions[0].hash), "0x" + "00" * 32])
addresses = st.sampled_from([ACCOUNTS[0].address, "0x" + "00" * 20, "0x" + "00" * 19 + "09"])
data = st.binary(max_size=80).map(hexed)
tags = st.sampled_from(["latest", "earliest", "pending", "safe", "finalized"])
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
leaves = scalars | st.text(max_size=20) | quantities | hashes | addresses | data | tags
blocks = (
    tags
    | quantities
    | hashes
    | st.fixed_dictionaries({"blockHash": hashes}, optional={"requireCanonical": st.booleans()})
)
access_lists = st.lists(
    st.fixed_dictionaries({"address": addresses, "storageKeys": st.lists(hashes, max_size=2)}), max_size=2
)
call_objects = st.fixed_dictionaries(
    {},
    optional={
        "from": addresses,
        "to": addresses,
        "gas": quantities,
        "gasPrice": quantities,
        "maxFeePerGas": quantities,
        "maxPriorityFeePerGas": quantities,
        "value": quantities,
        "input": data,
        "accessList": access_lists,
    },
)
overrides = st.dictionaries(
    addresses,
    st.fixed_dictionaries(
        {},
        optional={
            "balance": quantities,
            "nonce": quantities,
            "code": data,
            "stateDiff": st.dictionaries(hashes, hashes, max_size=2),
        },
    ),
    max_size=2,
)
block_overrides = st.fixed_dictionaries(
    {},
    optional={
        "number": quantities,
        "time": quantities,
        "gasLimit": quantities,
        "feeRecipient": addresses,
        "difficulty": quantities,
        "baseFeePerGas": quantities,
    },
)
filters = st.fixed_dictionaries(
    {},
    optional={
        "address": addresses | st.lists(addresses, max_size=2),
        "topics": st.lists(st.none() | hashes | st.lists(st.none() | hashes, max_size=2), max_size=4),
        "fromBlock": tags | quantities,
        "toBlock": tags | quantities,
        "blockHash": hashes,
    },
)
trace_options = st.fixed_dictionaries(
    {},
    optional={
        "tracer": st.sampled_from(["callTracer", "", "prestateTracer"]),
        "tracerConfig": st.fixed_dictionaries(
            {}, optional={"onlyTopCall": st.booleans(), "withLog": st.booleans()}
        ),
        "enableMemory": st.booleans(),
        "limit": st.integers(0, 5),
        "stateOverrides": overrides,
        "blockOverrides": block_overrides,
    },
)
sensible = (
    blocks
    | call_objects
    | overrides
    | block_overrides
    | filters
    | trace_options
    | st.lists(st.integers(0, 100), max_size=3)
    | st.lists(hashes, max_size=3)
)
nonsense = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)
calls = st.tuples(st.sampled_from(METHODS), st.lists(leaves | sensible | nonsense, max_size=4))


def never_internal(batch: list[tuple[str, list[Any]]]) -> None:
    """Every call of the batch is answered, and with nothing that would be our fault."""
    api = RpcApi(NODE.backend(), NODE.settings.rpc)
    body = msgspec.json.encode(
        [
            {"jsonrpc": "2.0", "id": index, "method": method, "params": params}
            for index, (method, params) in enumerate(batch)
        ]
    )

    async def ask() -> Any:
        return msgspec.json.decode(await api.dispatcher.answer(api.dispatcher.parse(body)) or b"")

    answers = trio.run(ask)
    assert [answer["id"] for answer in answers] == list(range(len(batch)))
    for (method, params), answer in zip(batch, answers, strict=True):
        assert answer.get("error", {}).get("code") != INTERNAL_ERROR, (method, params)


@settings(max_examples=80)
@given(st.lists(calls, min_size=1, max_size=8))
def test_no_arguments_are_an_internal_error(batch: list[tuple[str, list[Any]]]) -> None:
    never_internal(batch)


@pytest.mark.long(27)
@settings(max_examples=1_500)
@given(st.lists(calls, min_size=1, max_size=16))
def test_no_arguments_are_an_internal_error_in_many_tries(batch: list[tuple[str, list[Any]]]) -> None:
    never_internal(batch)


http_pieces = st.binary(max_size=60) | st.sampled_from(
    [
        request_bytes(call_bytes("eth_blockNumber")),
        request_bytes(call_bytes("eth_call", {})),
        request_bytes(b"[" * 200),
        b"POST / HTTP/1.1\r\n",
        b"Host: localhost\r\n",
        b"Content-Length: 3\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n",
        b"5\r\nabcde\r\n",
        b"0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        b"\x81\x85\x00\x00\x00\x00hello",
        b"\x82\xfe\x00\x80",
        b"\x88\x80\x00\x00\x00\x00",
        b"\xff" * 10,
    ]
)


@settings(max_examples=60)
@given(st.lists(http_pieces, max_size=8))
def test_no_bytes_disturb_the_server_or_anybody_else(pieces: list[bytes]) -> None:
    async def disturb() -> None:
        world = World()
        server = RpcServer(world.settings, world.api())
        async with trio.open_nursery() as nursery:
            noisy, theirs = trio.testing.memory_stream_pair()
            nursery.start_soon(server.serve, theirs)
            try:
                for piece in pieces:
                    await noisy.send_all(piece)
                    await trio.lowlevel.checkpoint()
            except trio.BrokenResourceError:
                pass  # it has had enough of us
            await noisy.aclose()
            quiet, theirs = trio.testing.memory_stream_pair()
            nursery.start_soon(server.serve, theirs)
            await quiet.send_all(request_bytes(call_bytes("eth_blockNumber")))
            assert (await quiet.receive_some(1000)).startswith(b"HTTP/1.1 200 OK")
            await quiet.aclose()
        assert len(server) == 0

    trio.run(disturb)
