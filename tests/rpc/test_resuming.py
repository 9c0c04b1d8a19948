"""Subscriptions that begin at a place in the past: everything since, once, in order, then what happens."""

from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio

from tests.rpc.client import call_bytes
from tests.rpc.world import TOKEN, World, signed, transfer_log

Ask = Callable[..., Awaitable[Any]]


class Client:
    """A session without a socket."""

    def __init__(self, api) -> None:
        self._api = api
        self.messages: list[dict[str, Any]] = []
        self.session = api.open_session(lambda message: self.messages.append(msgspec.json.decode(message)))

    async def subscribe(self, *params: Any) -> Any:
        dispatcher = self._api.dispatcher
        answer = await dispatcher.answer(dispatcher.parse(call_bytes("eth_subscribe", *params)), self.session)
        self.session.activate()
        return msgspec.json.decode(answer)

    async def results(self, count: int) -> list[Any]:
        with trio.fail_after(60):
            while len(self.messages) < count:
                await trio.lowlevel.checkpoint()
        return [message["params"]["result"] for message in self.messages]


@asynccontextmanager
async def running(world: World, **settings: Any):
    api = world.api(**settings)
    async with trio.open_nursery() as nursery:
        await nursery.start(api.run)
        yield Client(api)
        nursery.cancel_scope.cancel()


def grow(world: World, *numbers: int):
    """A block with an event for each number."""
    return world.chain.extend([signed(world.chain.head.number)], [transfer_log(number) for number in numbers])


def seen(logs: list[Any]) -> list[tuple[int, bool]]:
    return [(int(log["data"], 16), log["removed"]) for log in logs]


@pytest.mark.parametrize(
    ("start", "index", "wanted"), [(0, None, [1, 2, 3]), (1, 1, [2, 3]), (2, 0, [3]), (3, 0, [])]
)
async def test_events_since_a_place_come_first_and_then_new_ones(start, index, wanted):
    world = World()
    grow(world, 1, 2)
    grow(world, 3)
    async with running(world) as client:
        place = {"fromBlock": hex(start)} | ({} if index is None else {"fromLogIndex": hex(index)})
        await client.subscribe("logs", {"address": "0x" + TOKEN.hex()} | place)
        grow(world, 4)
        told = seen(await client.results(len(wanted) + 1))
        assert told == [(number, False) for number in [*wanted, 4]]


@pytest.mark.parametrize("kind", ["logs", "newHeads"])
async def test_a_place_in_the_future_is_waited_for(kind):
    world = World()
    grow(world, 1)
    async with running(world) as client:
        await client.subscribe(kind, {"fromBlock": "0x3"})
        for number in (2, 3, 4):
            grow(world, number)
        told = await client.results(2)
        assert [each["number" if kind == "newHeads" else "blockNumber"] for each in told] == ["0x3", "0x4"]


async def test_headers_since_a_block_come_first():
    world = World()
    for _ in range(4):
        world.chain.extend()
    async with running(world) as client:
        await client.subscribe("newHeads", {"fromBlock": "0x3"})
        world.chain.extend()
        assert [head["number"] for head in await client.results(3)] == ["0x3", "0x4", "0x5"]


async def test_blocks_that_come_while_the_past_is_read_are_told_once_and_after_it(monkeypatch):
    world = World()
    grow(world, 1)
    async with running(world) as client:
        reading, goes_on = trio.Event(), trio.Event()
        real = trio.to_thread.run_sync

        async def slow(past, *arguments, **options):
            answer = await real(past, *arguments, **options)
            reading.set()
            await goes_on.wait()
            return answer

        monkeypatch.setattr(trio.to_thread, "run_sync", slow)
        await client.subscribe("logs", {"fromBlock": "0x0"})
        await reading.wait()
        grow(world, 2)
        for _ in range(20):
            await trio.lowlevel.checkpoint()
        assert client.messages == []
        goes_on.set()
        grow(world, 3)
        assert seen(await client.results(3)) == [(1, False), (2, False), (3, False)]


async def test_a_chain_that_turns_while_the_past_is_read_is_read_again(monkeypatch):
    world = World()
    grow(world, 1)
    grow(world, 2)
    async with running(world) as client:
        real, turned = trio.to_thread.run_sync, []

        async def turning(past, *arguments, **options):
            if not turned:
                turned.append(True)
                parent = world.chain.header_by_number(1)
                world.chain.adopt([world.chain.make(parent, [signed(7)], [transfer_log(9)])], 1)
                for _ in range(20):
                    await trio.lowlevel.checkpoint()
            return await real(past, *arguments, **options)

        monkeypatch.setattr(trio.to_thread, "run_sync", turning)
        await client.subscribe("logs", {"fromBlock": "0x0"})
        assert seen(await client.results(2)) == [(1, False), (9, False)]


async def test_who_is_too_far_behind_is_told_so_and_the_subscription_ends():
    world = World()
    for number in range(5):
        grow(world, number)
    async with running(world, logs_results_max=2) as client:
        subscription = (await client.subscribe("logs", {"fromBlock": "0x0"}))["result"]
        with trio.fail_after(60):
            while not client.messages:
                await trio.lowlevel.checkpoint()
        (message,) = client.messages
        assert message["params"]["subscription"] == subscription
        assert message["params"]["error"]["code"] == -32005
        assert not client.session.unsubscribe(subscription)
        grow(world, 9)
        for _ in range(20):
            await trio.lowlevel.checkpoint()
        assert len(client.messages) == 1


async def test_an_index_without_a_block_is_refused():
    async with running(World()) as client:
        answer = await client.subscribe("logs", {"fromLogIndex": "0x1"})
        assert "fromLogIndex without fromBlock" in answer["error"]["message"]
