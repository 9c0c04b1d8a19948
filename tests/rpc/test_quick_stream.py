"""A stream that waits less than trio's, and breaks, closes and shares the loop as that does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from node.rpc.quick_stream import SENDS_PER_TURN, QuickStream

LARGE = bytes(range(256)) * 40_000


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[QuickStream, trio.SocketStream]]:
    """Our end and the client's."""
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    client = await trio.open_tcp_stream("127.0.0.1", listener.socket.getsockname()[1])
    ours = QuickStream(await listener.accept())
    try:
        yield ours, client
    finally:
        await trio.aclose_forcefully(ours)
        await trio.aclose_forcefully(client)
        await trio.aclose_forcefully(listener)


async def read_all(stream: trio.abc.ReceiveStream) -> bytes:
    found = bytearray()
    while data := await stream.receive_some(65536):
        found += data
    return bytes(found)


async def test_more_than_fits_goes_both_ways_and_an_end_is_an_end() -> None:
    async with pair() as (ours, client):
        got = []

        async def send(stream: trio.abc.HalfCloseableStream) -> None:
            await stream.send_all(LARGE)
            await stream.send_eof()

        async def receive(stream: trio.abc.ReceiveStream) -> None:
            got.append(await read_all(stream))

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                for stream in (ours, client):
                    nursery.start_soon(send, stream)
                    nursery.start_soon(receive, stream)
        assert got == [LARGE, LARGE]


async def test_who_waits_hears_of_a_close_and_later_uses_are_refused() -> None:
    async with pair() as (ours, _):

        async def wait() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await ours.receive_some(1)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            await ours.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await ours.receive_some(1)
        with pytest.raises(trio.ClosedResourceError):
            await ours.send_all(b"x")
        await ours.aclose()


async def test_a_client_that_has_gone_is_a_broken_connection() -> None:
    async with pair() as (ours, client):
        await client.aclose()

        async def send_on() -> None:
            while True:
                await ours.send_all(LARGE)

        with pytest.raises(trio.BrokenResourceError), trio.fail_after(60):
            await send_on()


async def test_a_send_that_waits_can_be_cancelled() -> None:
    async with pair() as (ours, _):
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ours.send_all, LARGE)
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()
        assert scope.cancelled_caught


async def test_others_get_their_turn_between_reads_and_among_many_sends() -> None:
    async with pair() as (ours, client):
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(count)
            # The tasks of one turn run in any order, so the last turn may be ours before it is the counter's.
            await client.send_all(b"abcd")
            await trio.lowlevel.checkpoint()
            before = turns
            for _ in range(4):
                assert await ours.receive_some(1)
            assert turns >= before + 3
            before = turns
            for _ in range(4 * SENDS_PER_TURN):
                await ours.send_all(b"x")
            assert turns >= before + 3
            nursery.cancel_scope.cancel()
