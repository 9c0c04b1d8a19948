"""WebSocket: requests in any frames, notifications after their reply, and the end of those who misbehave."""

from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage

from node.rpc.server import RpcServer
from node.rpc.websocket import QUEUE_BYTES_MAX, text_frame
from tests.rpc.client import HttpClient, WebSocketClient, call_bytes, request_bytes, served
from tests.rpc.world import TOKEN, World, signed, transfer_log


@pytest.mark.parametrize("binary", [False, True])
async def test_requests_come_in_text_or_binary_frames(binary: bool) -> None:
    async with served(World()) as place:
        client = await place.websocket()
        answer = await client.call("eth_blockNumber", binary=binary)
        assert answer == {"jsonrpc": "2.0", "id": 1, "result": "0x0"}


async def test_a_message_may_come_in_fragments() -> None:
    async with served(World()) as place:
        client = await place.websocket()
        for byte in call_bytes("eth_blockNumber")[:-1]:
            await client.send(BytesMessage(bytes((byte,)), message_finished=False))
        await client.send(BytesMessage(b"}"))
        assert (await client.receive())["result"] == "0x0"


async def test_http_and_websocket_share_one_port() -> None:
    async with served(World()) as place:
        http, websocket = await place.http(), await place.websocket()
        assert await http.result("eth_blockNumber") == (await websocket.call("eth_blockNumber"))["result"]


async def test_pings_are_answered() -> None:
    async with served(World()) as place:
        client = await place.websocket()
        await client.send(Ping(b"there?"))
        event = await client.event()
        assert isinstance(event, Pong)
        assert event.payload == b"there?"


async def test_a_slow_call_does_not_hold_up_the_next() -> None:
    world = World()
    world.execution.endless = True
    async with served(world) as place:
        client = await place.websocket()
        await client.send(TextMessage(call_bytes("eth_call", {}, call_id="slow").decode()))
        assert (await client.call("eth_blockNumber", call_id="quick"))["id"] == "quick"
        world.execution.endless = False
        assert (await client.receive())["id"] == "slow"


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
async def test_pages_of_other_origins_are_refused(origin: str) -> None:
    async with served(World(), cors_origins=("https://app.example",)) as place:
        await place.websocket(origin="https://app.example")
        with pytest.raises(ConnectionRefusedError, match="403"):
            await place.websocket(origin=origin)


async def test_a_foreign_host_name_is_refused() -> None:
    async with served(World()) as place:
        client = await place.http()
        upgrade = (
            b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        assert (await client.exchange(upgrade))[0] == 403


async def test_an_upgrade_that_is_none_is_refused() -> None:
    async with served(World()) as place:
        client = await place.http()
        data = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        assert (await client.exchange(data))[0] == 400


async def test_a_message_that_is_too_large_ends_the_connection() -> None:
    async with served(World(), body_bytes_max=1000) as place:
        client = await place.websocket()
        await client.send(BytesMessage(b"x" * 1001))
        assert (await client.closed()).code == 1009


async def test_broken_frames_end_the_connection() -> None:
    async with served(World()) as place:
        client = await place.websocket()
        await client.stream.send_all(b"\xff" * 20)
        assert (await client.closed()).code == 1002


async def test_a_client_may_close() -> None:
    async with served(World()) as place:
        client = await place.websocket()
        await client.send(CloseConnection(1000))
        assert (await client.closed()).code == 1000


async def test_a_stopping_server_says_goodbye() -> None:
    async with served(World()) as place:
        client = await place.websocket()
        place.stop()
        assert (await client.closed()).code == 1001


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_frames_of_every_length_form(size: int) -> None:
    from wsproto.frame_protocol import FrameProtocol

    protocol = FrameProtocol(client=True, extensions=[])
    protocol.receive_bytes(text_frame(b"x" * size))
    assert sum(len(frame.payload) for frame in protocol.received_frames()) == size


# --- subscriptions


async def subscribe(client: WebSocketClient, *params: Any) -> str:
    answer = await client.call("eth_subscribe", *params)
    subscription = answer["result"]
    assert len(subscription) == 34
    return subscription


async def notified(client: WebSocketClient, subscription: str) -> Any:
    message = await client.receive()
    assert message["method"] == "eth_subscription"
    assert message["params"]["subscription"] == subscription
    return message["params"]["result"]


async def test_new_heads() -> None:
    world = World()
    async with served(world) as place:
        client = await place.websocket()
        subscription = await subscribe(client, "newHeads")
        made = world.chain.extend()
        head = await notified(client, subscription)
        assert head["hash"] == "0x" + made.block.hash.hex()
        assert head["number"] == "0x1"
        assert "transactions" not in head


async def test_logs_by_criteria_and_again_as_removed() -> None:
    world = World()
    async with served(world) as place:
        client = await place.websocket()
        topic = "0x" + (2).to_bytes(32, "big").hex()
        subscription = await subscribe(
            client, "logs", {"address": "0x" + TOKEN.hex(), "topics": [None, topic]}
        )
        made = world.chain.extend([signed(0)], [transfer_log(1), transfer_log(2)])
        log = await notified(client, subscription)
        assert (log["topics"][1], log["logIndex"], log["removed"]) == (topic, "0x1", False)
        world.chain.adopt([world.chain.make(world.chain.genesis, timestamp=1_700_000_009)], removed_count=1)
        removed = await notified(client, subscription)
        assert removed == log | {"removed": True}
        assert removed["blockHash"] == "0x" + made.block.hash.hex()


@pytest.mark.parametrize("full", [False, True])
async def test_pending_transactions(full: bool) -> None:
    world = World()
    async with served(world) as place:
        client = await place.websocket()
        subscription = await subscribe(client, "newPendingTransactions", full)
        tx = signed(0)
        await world.pool.submit(tx)
        told = await notified(client, subscription)
        assert (told["hash"] if full else told) == "0x" + tx.hash.hex()


async def test_after_unsubscribing_nothing_comes() -> None:
    world = World()
    async with served(world) as place:
        client = await place.websocket()
        subscription = await subscribe(client, "newHeads")
        assert (await client.call("eth_unsubscribe", subscription))["result"] is True
        assert (await client.call("eth_unsubscribe", subscription))["error"]["code"] == -32000
        world.chain.extend()
        assert (await client.call("eth_blockNumber"))["result"] == "0x1"


async def test_the_reply_comes_before_the_first_notification() -> None:
    world = World()
    async with served(world) as place:
        client = await place.websocket()
        batch = [
            {"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]},
            {"jsonrpc": "2.0", "id": 2, "method": "eth_call", "params": [{}]},
        ]
        world.execution.endless = True
        await client.send(BytesMessage(msgspec.json.encode(batch)))
        while not world.execution.calls:
            await trio.lowlevel.checkpoint()
        world.chain.extend()
        world.execution.endless = False
        assert isinstance(await client.receive(), list)
        world.chain.extend()
        assert (await client.receive())["method"] == "eth_subscription"


async def test_kinds_and_counts_of_subscriptions_are_bounded() -> None:
    async with served(World(), subscriptions_per_connection_max=1) as place:
        client = await place.websocket()
        assert (await client.call("eth_subscribe", "newHats"))["error"]["code"] == -32601
        await subscribe(client, "newHeads")
        error = (await client.call("eth_subscribe", "newHeads"))["error"]
        assert error["code"] == -32005
        assert "rpc.subscriptions_per_connection_max" in error["message"]


async def test_http_cannot_subscribe() -> None:
    async with served(World()) as place:
        client = await place.http()
        assert (await client.call("eth_subscribe", "newHeads"))["error"]["code"] == -32601


async def test_a_closed_connection_leaves_no_listener() -> None:
    world = World()
    api = world.api()
    server = RpcServer(world.settings, api)
    async with trio.open_nursery() as nursery:
        await nursery.start(api.run)
        ours, theirs = trio.testing.memory_stream_pair()
        nursery.start_soon(server.serve, theirs)
        client = WebSocketClient(ours)
        await client.shake_hands()
        await subscribe(client, "newHeads")
        assert len(api.hub) == 1
        await ours.aclose()
        while len(server):
            await trio.lowlevel.checkpoint()
        assert len(api.hub) == 0
        nursery.cancel_scope.cancel()


# --- time and patience, over memory


async def over_memory(nursery: trio.Nursery, world: World) -> tuple[RpcServer, WebSocketClient]:
    api = world.api()
    server = RpcServer(world.settings, api)
    ours, theirs = trio.testing.memory_stream_pair()
    await nursery.start(api.run)
    nursery.start_soon(server.serve, theirs)
    nursery.start_soon(server.sweep)
    client = WebSocketClient(ours)
    await client.shake_hands()
    return server, client


async def test_a_silent_client_is_asked_and_then_cut(autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        _, client = await over_memory(nursery, World())
        began = trio.current_time()
        assert isinstance(await client.event(), Ping)
        assert isinstance(await client.event(), Ping)
        assert await HttpClient(client.stream).ended()
        assert trio.current_time() - began == pytest.approx(75, abs=2)
        nursery.cancel_scope.cancel()


async def test_a_client_that_answers_pings_stays(autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        server, client = await over_memory(nursery, World())
        for _ in range(5):
            event = await client.event()
            assert isinstance(event, Ping)
            await client.send(event.response())
        assert trio.current_time() > 120
        assert len(server) == 1
        server.stop()
        nursery.cancel_scope.cancel()


async def test_a_message_that_takes_for_ever_is_cut(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        _, client = await over_memory(nursery, World())
        began = trio.current_time()
        with pytest.raises(trio.BrokenResourceError):
            await drip(client)
        assert trio.current_time() - began == pytest.approx(35, abs=6)
        nursery.cancel_scope.cancel()


async def drip(client: WebSocketClient) -> None:
    while True:
        await client.send(BytesMessage(b"x", message_finished=False))
        await trio.sleep(5)


async def test_a_subscriber_that_does_not_read_is_cut() -> None:
    world = World()
    big = transfer_log(1)._replace(data=bytes(1 << 20))
    async with served(world) as place:
        client = await place.websocket()
        bystander = await place.websocket()
        await subscribe(client, "logs", {})
        subscription = await subscribe(bystander, "newHeads")
        tx = signed(0)
        with trio.fail_after(60):
            for _ in range(2 + QUEUE_BYTES_MAX // (1 << 21) + 8):
                world.chain.extend([tx], [big])
                await notified(bystander, subscription)
            with pytest.raises((EOFError, trio.BrokenResourceError)):
                await read_for_ever(client)


async def read_for_ever(client: WebSocketClient) -> None:
    while True:
        await client.receive()


async def test_after_the_handshake_early_bytes_are_frames() -> None:
    world = World()
    async with served(world) as place:
        client = await place.http()
        upgrade = (
            b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        frame = b"\x81" + bytes((0x80 | len(call_bytes("eth_blockNumber")),)) + bytes(4)
        await client.stream.send_all(
            request_bytes(call_bytes("eth_chainId")) + upgrade + frame + call_bytes("eth_blockNumber")
        )
        assert msgspec.json.decode((await client.read())[2])["result"] == "0x539"
        assert (await client.read())[0] == 101
        data = await client.stream.receive_some(1000)
        assert data == text_frame(b'{"jsonrpc":"2.0","id":1,"result":"0x0"}')
