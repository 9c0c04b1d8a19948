"""The HTTP server: on real sockets where bytes matter, over memory and a mock clock where time does."""

import logging

import msgspec
import pytest
import trio
import trio.testing

from node.rpc.server import RpcServer
from tests.rpc.client import HttpClient, call_bytes, request_bytes, served
from tests.rpc.world import World

NUMBER = call_bytes("eth_blockNumber")


async def test_a_call_is_answered_and_the_connection_stays() -> None:
    async with served(World()) as place:
        client = await place.http()
        for _ in range(3):
            assert await client.call("eth_blockNumber") == {"jsonrpc": "2.0", "id": 1, "result": "0x0"}


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with served(World()) as place:
        client = await place.http()
        calls = [request_bytes(call_bytes("web3_sha3", hex(i + 16), call_id=i)) for i in range(20)]
        await client.stream.send_all(b"".join(calls))
        ids = [msgspec.json.decode((await client.read())[2])["id"] for _ in calls]
        assert ids == list(range(20))


async def test_a_request_may_arrive_byte_by_byte() -> None:
    async with served(World()) as place:
        client = await place.http()
        for byte in request_bytes(NUMBER):
            await client.stream.send_all(bytes((byte,)))
        assert (await client.read())[0] == 200


async def test_who_asks_to_close_is_closed() -> None:
    async with served(World()) as place:
        client = await place.http()
        _, headers, _ = await client.exchange(request_bytes(NUMBER, b"Connection: close"))
        assert headers["connection"] == "close"
        assert await client.ended()


async def test_a_notification_is_answered_with_nothing() -> None:
    async with served(World()) as place:
        client = await place.http()
        body = b'{"jsonrpc":"2.0","method":"eth_blockNumber"}'
        assert (await client.exchange(request_bytes(body)))[::2] == (200, b"")


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (request_bytes(NUMBER, host=b"evil.example"), 403, "rpc.allowed_hosts"),
        (request_bytes(NUMBER).replace(b"application/json", b"text/plain"), 415, "send application/json"),
        (request_bytes(NUMBER).replace(b"POST / ", b"POST /v1 "), 404, "served at /"),
        (b"PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", 405, "POST"),
        (
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000\r\n\r\n" + b"x" * 2000,
            413,
            "1000 bytes",
        ),
        (b"\x16\x03\x01 this is TLS \r\n\r\n", 400, "HTTP/1.1"),
    ],
)
async def test_refusals_name_cause_and_cure(data: bytes, status: int, words: str) -> None:
    async with served(World(), body_bytes_max=1000) as place:
        client = await place.http()
        got, headers, body = await client.exchange(data)
        assert (got, headers["connection"]) == (status, "close")
        assert words in body.decode()
        assert await client.ended()


@pytest.mark.parametrize(
    "host", [b"localhost:8545", b"LOCALHOST", b"127.0.0.1", b"10.1.2.3:8545", b"[::1]:8545", b"[fe80::1]"]
)
async def test_names_that_are_listed_and_all_addresses_are_answered(host: bytes) -> None:
    async with served(World()) as place:
        client = await place.http()
        assert (await client.exchange(request_bytes(NUMBER, host=host)))[0] == 200


async def test_a_star_answers_every_host() -> None:
    async with served(World(), allowed_hosts=("*",)) as place:
        client = await place.http()
        assert (await client.exchange(request_bytes(NUMBER, host=b"any.example")))[0] == 200


async def test_probes_are_greeted() -> None:
    async with served(World()) as place:
        client = await place.http()
        status, _, body = await client.exchange(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert status == 200
        assert b"JSON-RPC" in body


async def test_listed_origins_get_leave_to_post_and_others_do_not() -> None:
    preflight = (
        b"OPTIONS / HTTP/1.1\r\nHost: localhost\r\nOrigin: %b\r\n"
        b"Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type\r\n\r\n"
    )
    async with served(World(), cors_origins=("https://app.example",)) as place:
        client = await place.http()
        _, headers, _ = await client.exchange(preflight % b"https://app.example")
        assert headers["access-control-allow-origin"] == "https://app.example"
        assert headers["access-control-allow-methods"] == "POST"
        assert headers["access-control-allow-headers"] == "content-type"
        _, headers, _ = await client.exchange(request_bytes(NUMBER, b"Origin: https://app.example"))
        assert headers["access-control-allow-origin"] == "https://app.example"
        _, headers, _ = await client.exchange(preflight % b"https://evil.example")
        assert "access-control-allow-origin" not in headers


async def test_a_client_may_wait_for_leave_to_send_its_body() -> None:
    async with served(World()) as place:
        client = await place.http()
        head, _, body = request_bytes(NUMBER, b"Expect: 100-continue").partition(b"\r\n\r\n")
        status, _, _ = await client.exchange(head + b"\r\n\r\n")
        assert status == 100
        assert (await client.exchange(body))[0] == 200


async def test_when_all_places_are_taken_the_next_is_told_so() -> None:
    async with served(World(), connections_max=2) as place:
        first = await place.http()
        second = await place.http()
        await first.call("eth_blockNumber")
        await second.call("eth_blockNumber")
        third = await place.http()
        status, _, body = await third.read()
        assert status == 503
        assert b"rpc.connections_max" in body
        await first.stream.aclose()
        await second.call("eth_blockNumber")


async def test_a_fault_in_one_connection_harms_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(World()) as place:
        bystander = await place.http()
        await bystander.call("eth_blockNumber")
        victim = await place.http()
        await victim.call("eth_blockNumber")

        def broken(*_: object) -> None:
            raise RuntimeError("a bug")

        with monkeypatch.context() as patch:
            patch.setattr("node.rpc.http1.RequestParser.feed", broken)
            await victim.stream.send_all(request_bytes(NUMBER))
            assert await victim.ended()
        assert "a bug" in caplog.text
        await bystander.call("eth_blockNumber")


async def test_a_stopping_server_finishes_replies_and_ends_idle_connections() -> None:
    world = World()
    world.execution.endless = True
    async with served(world) as place:
        idle = await place.http()
        await idle.call("eth_blockNumber")
        busy = await place.http()
        await busy.stream.send_all(request_bytes(call_bytes("eth_call", {})))
        with trio.fail_after(60):
            while not world.execution.calls:
                await trio.lowlevel.checkpoint()
            place.stop()
            assert await idle.ended()
            world.execution.endless = False
            assert (await busy.read())[0] == 200
            assert await busy.ended()


# --- time, over memory


async def over_memory(nursery: trio.Nursery, world: World) -> HttpClient:
    """A client of a server that only has connections and a sweeper."""
    server = RpcServer(world.settings, world.api())
    ours, theirs = trio.testing.memory_stream_pair()
    nursery.start_soon(server.serve, theirs)
    nursery.start_soon(server.sweep)
    return HttpClient(ours)


@pytest.mark.parametrize(
    ("sent", "seconds"),
    [
        (b"", 120),  # an idle connection
        (b"POST / HT", 30),  # the head of a request, and no more
        (request_bytes(NUMBER)[:-1], 30),  # all but the last byte
        (request_bytes(NUMBER) + b"P", 30),  # one byte of the next request
    ],
)
async def test_who_sends_nothing_more_is_cut(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture, sent: bytes, seconds: float
) -> None:
    caplog.set_level(logging.DEBUG)
    async with trio.open_nursery() as nursery:
        client = await over_memory(nursery, World())
        if sent:
            await client.stream.send_all(sent)
        if sent.startswith(request_bytes(NUMBER)):
            await client.read()
        began = trio.current_time()
        assert await client.ended()
        assert trio.current_time() - began == pytest.approx(seconds, abs=2)
        nursery.cancel_scope.cancel()
    assert "sent nothing in time" in {getattr(record, "reason", None) for record in caplog.records}


async def drip(client: HttpClient) -> None:
    for byte in request_bytes(NUMBER):
        await client.stream.send_all(bytes((byte,)))
        await trio.sleep(5)


async def test_a_slow_drip_does_not_buy_time(autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        client = await over_memory(nursery, World())
        began = trio.current_time()
        with pytest.raises(trio.BrokenResourceError):
            await drip(client)
        assert trio.current_time() - began == pytest.approx(35, abs=5)
        nursery.cancel_scope.cancel()


async def test_who_takes_nothing_is_cut(autojump_clock: trio.testing.MockClock) -> None:
    world = World()
    async with trio.open_nursery() as nursery:
        server = RpcServer(world.settings, world.api())
        ours, theirs = trio.testing.lockstep_stream_pair()
        nursery.start_soon(server.serve, theirs)
        nursery.start_soon(server.sweep)
        await ours.send_all(request_bytes(NUMBER))
        await trio.sleep(30)
        assert len(server) == 0
        nursery.cancel_scope.cancel()
