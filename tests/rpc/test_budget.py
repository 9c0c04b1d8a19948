"""What all clients together may make the server hold."""

import msgspec
import pytest
import trio
import trio.testing
from wsproto.events import BytesMessage

from node.rpc.budget import Budget, OverBudget
from node.rpc.connection import SEND_PIECE_BYTES
from node.rpc.server import RpcServer
from tests.rpc.client import HttpClient, WebSocketClient, call_bytes, request_bytes
from tests.rpc.world import World, signed, transfer_log


def test_what_is_given_back_can_be_taken_again() -> None:
    budget = Budget(10)
    budget.take(7)
    with pytest.raises(OverBudget):
        budget.take(4)
    budget.give(7)
    budget.take(10)


def connect(server: RpcServer, nursery: trio.Nursery) -> trio.abc.Stream:
    ours, theirs = trio.testing.memory_stream_pair()
    nursery.start_soon(server.serve, theirs)
    return ours


async def test_many_large_requests_at_once_are_refused_and_small_ones_are_not() -> None:
    world, budget = World(), Budget(10_000)
    server = RpcServer(world.settings, world.api(), budget=budget)
    head = request_bytes(b"")[: -len(b"Content-Length: 0\r\n\r\n")] + b"Content-Length: 8000\r\n\r\n"
    async with trio.open_nursery() as nursery:
        first, second, third = (HttpClient(connect(server, nursery)) for _ in range(3))
        for piece in (head, b"x" * 6000):
            await first.stream.send_all(piece)
            await trio.testing.wait_all_tasks_blocked()
        await second.stream.send_all(head)
        await trio.testing.wait_all_tasks_blocked()
        await second.stream.send_all(b"x" * 6000)
        status, _, body = await second.read()
        assert (status, b"try again" in body) == (503, True)
        assert await third.result("eth_blockNumber") == "0x0"
        for client in (first, second, third):
            await client.stream.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert budget.left == 10_000
        server.stop()


async def test_an_answer_too_many_is_refused() -> None:
    world, budget = World(), Budget(SEND_PIECE_BYTES)
    world.chain.extend([signed(0)], [transfer_log(1)._replace(data=bytes(SEND_PIECE_BYTES))])
    server = RpcServer(world.settings, world.api(), budget=budget)
    async with trio.open_nursery() as nursery:
        client = HttpClient(connect(server, nursery))
        status, _, _ = await client.exchange(request_bytes(call_bytes("eth_getLogs", {"fromBlock": "0x0"})))
        assert status == 503
        await client.stream.aclose()
    assert budget.left == SEND_PIECE_BYTES


async def test_websocket_messages_count_too() -> None:
    world, budget = World(), Budget(1000)
    server = RpcServer(world.settings, world.api(), budget=budget)
    async with trio.open_nursery() as nursery:
        client = WebSocketClient(connect(server, nursery))
        await client.shake_hands()
        await client.send(BytesMessage(b"x" * 900, message_finished=False))
        await client.send(BytesMessage(b"x" * 900))
        assert (await client.closed()).code == 1013
        await client.stream.aclose()
    assert budget.left == 1000


async def test_nothing_is_held_after_ordinary_work() -> None:
    world, budget = World(), Budget()
    server = RpcServer(world.settings, world.api(), budget=budget)
    before = budget.left
    async with trio.open_nursery() as nursery:
        client = WebSocketClient(connect(server, nursery))
        await client.shake_hands()
        for _ in range(3):
            assert (await client.call("eth_blockNumber"))["result"] == "0x0"
        http = HttpClient(connect(server, nursery))
        body = msgspec.json.encode([msgspec.json.decode(call_bytes("eth_chainId"))] * 500)
        assert (await http.exchange(request_bytes(body)))[0] == 200
        await client.stream.aclose()
        await http.stream.aclose()
    assert budget.left == before
