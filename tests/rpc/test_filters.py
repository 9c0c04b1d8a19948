"""Filters that are polled: what they collect, and how they end."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from tests.rpc.client import call_bytes
from tests.rpc.world import TOKEN, World, signed, transfer_log

Ask = Callable[..., Awaitable[Any]]


@asynccontextmanager
async def running(world: World, **settings: Any) -> AsyncIterator[Ask]:
    """The API without a server; asks and gives the whole answer."""
    api = world.api(**settings)

    async def ask(method: str, *params: Any) -> Any:
        await trio.testing.wait_all_tasks_blocked()
        answer = await api.dispatcher.answer(api.dispatcher.parse(call_bytes(method, *params)))
        return msgspec.json.decode(answer or b"")

    async with trio.open_nursery() as nursery:
        await nursery.start(api.run)
        yield ask
        nursery.cancel_scope.cancel()


async def result(ask: Ask, method: str, *params: Any) -> Any:
    return (await ask(method, *params))["result"]


async def test_a_block_filter_collects_hashes_between_polls() -> None:
    world = World()
    async with running(world) as ask:
        key = await result(ask, "eth_newBlockFilter")
        assert await result(ask, "eth_getFilterChanges", key) == []
        made = [world.chain.extend(), world.chain.extend()]
        assert await result(ask, "eth_getFilterChanges", key) == [
            "0x" + executed.block.hash.hex() for executed in made
        ]
        assert await result(ask, "eth_getFilterChanges", key) == []


async def test_a_log_filter_tells_what_is_new_and_what_was_removed() -> None:
    world = World()
    world.chain.extend([signed(0)], [transfer_log(1)])
    async with running(world) as ask:
        key = await result(ask, "eth_newFilter", {"address": "0x" + TOKEN.hex(), "fromBlock": "0x0"})
        assert await result(ask, "eth_getFilterChanges", key) == []
        assert len(await result(ask, "eth_getFilterLogs", key)) == 1
        world.chain.extend([signed(1)], [transfer_log(2), transfer_log(3)])
        logs = await result(ask, "eth_getFilterChanges", key)
        assert [log["logIndex"] for log in logs] == ["0x0", "0x1"]
        world.chain.adopt([world.chain.make(world.chain.header_by_number(1))], removed_count=1)  # type: ignore[arg-type]
        again = await result(ask, "eth_getFilterChanges", key)
        assert again == [log | {"removed": True} for log in reversed(logs)]


async def test_numbers_bound_what_a_log_filter_tells() -> None:
    world = World()
    async with running(world) as ask:
        key = await result(ask, "eth_newFilter", {"fromBlock": "0x2", "toBlock": "0x3"})
        for number in range(1, 6):
            world.chain.extend([signed(number)], [transfer_log(number)])
        logs = await result(ask, "eth_getFilterChanges", key)
        assert [log["blockNumber"] for log in logs] == ["0x2", "0x3"]


async def test_a_pending_filter_collects_hashes_or_transactions() -> None:
    world = World()
    async with running(world) as ask:
        hashes = await result(ask, "eth_newPendingTransactionFilter")
        full = await result(ask, "eth_newPendingTransactionFilter", True)
        tx = signed(0)
        await world.pool.submit(tx)
        assert await result(ask, "eth_getFilterChanges", hashes) == ["0x" + tx.hash.hex()]
        [told] = await result(ask, "eth_getFilterChanges", full)
        assert (told["hash"], told["blockHash"]) == ("0x" + tx.hash.hex(), None)


async def test_an_uninstalled_filter_is_gone() -> None:
    async with running(World()) as ask:
        key = await result(ask, "eth_newBlockFilter")
        assert await result(ask, "eth_uninstallFilter", key) is True
        assert await result(ask, "eth_uninstallFilter", key) is False
        assert (await ask("eth_getFilterChanges", key))["error"]["message"] == "filter not found"


async def test_only_log_filters_have_logs() -> None:
    async with running(World()) as ask:
        key = await result(ask, "eth_newBlockFilter")
        assert (await ask("eth_getFilterLogs", key))["error"]["message"] == "filter not found"


async def test_a_filter_that_nobody_polls_is_dropped(autojump_clock: trio.testing.MockClock) -> None:
    async with running(World(), filter_idle_s=100.0) as ask:
        idle = await result(ask, "eth_newBlockFilter")
        polled = await result(ask, "eth_newBlockFilter")
        for _ in range(4):
            await trio.sleep(40)
            assert await result(ask, "eth_getFilterChanges", polled) == []
        assert "error" in await ask("eth_getFilterChanges", idle)


async def test_the_number_of_filters_is_bounded() -> None:
    async with running(World(), filters_max=2) as ask:
        for _ in range(2):
            await result(ask, "eth_newBlockFilter")
        error = (await ask("eth_newBlockFilter"))["error"]
        assert error["code"] == -32005
        assert "rpc.filters_max" in error["message"]


async def test_a_filter_that_grows_past_its_bounds_is_dropped_rather_than_cut() -> None:
    world = World()
    async with running(world, logs_results_max=2) as ask:
        key = await result(ask, "eth_newBlockFilter")
        for _ in range(3):
            world.chain.extend()
        assert "error" in await ask("eth_getFilterChanges", key)


@pytest.fixture
def _inline_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work for trio's worker threads is done in place, so that waiting for tasks waits for it, too."""

    async def run_inline(work: Callable[..., Any], *arguments: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return work(*arguments)

    monkeypatch.setattr(trio.to_thread, "run_sync", run_inline)


@pytest.mark.usefixtures("_inline_threads")
async def test_a_hub_that_fell_behind_tells_what_it_missed() -> None:
    world = World()
    async with running(world) as ask:
        key = await result(ask, "eth_newBlockFilter")
        # No checkpoint in between, so that the hub's channel overflows and is cut.
        made = [world.chain.extend() for _ in range(100)]
        hashes = await result(ask, "eth_getFilterChanges", key)
        assert hashes == ["0x" + executed.block.hash.hex() for executed in made]


@pytest.mark.usefixtures("_inline_threads")
async def test_a_hub_that_fell_behind_over_a_reorganisation_tells_both_branches() -> None:
    world = World()
    for number in range(3):
        world.chain.extend([signed(number)], [transfer_log(number)])
    async with running(world) as ask:
        key = await result(ask, "eth_newFilter", {})
        fork = world.chain.make(world.chain.genesis, [signed(7)], [transfer_log(7)], timestamp=1_700_000_009)
        world.chain.adopt([fork], removed_count=3)
        for _ in range(100):
            world.chain.extend()
        logs = await result(ask, "eth_getFilterChanges", key)
        told = [(log["blockNumber"], log["removed"]) for log in logs]
        assert told == [("0x3", True), ("0x2", True), ("0x1", True), ("0x1", False)]


async def test_a_change_of_syncing_is_told(autojump_clock: trio.testing.MockClock) -> None:
    from node.rpc.backend import SyncProgress
    from node.rpc.subscriptions import Kind, Listener

    world = World()
    api = world.api()
    told: list[Any] = []
    api.hub.add("x", Listener(kind=Kind.SYNCING, deliver=lambda results: told.extend(results)))
    async with trio.open_nursery() as nursery:
        await nursery.start(api.run)
        world.network.progress = SyncProgress(0, 5, 10)
        await trio.sleep(3)
        world.network.progress = None
        await trio.sleep(3)
        nursery.cancel_scope.cancel()
    assert [msgspec.json.decode(item) for item in told] == [
        {
            "syncing": True,
            "status": {"startingBlock": "0x0", "currentBlock": "0x5", "highestBlock": "0xa"},
        },
        False,
    ]
