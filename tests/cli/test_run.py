import os
import signal
from pathlib import Path

import pytest
import trio
import trio.testing

from node.app.hangup import Hangup
from node.cli.run import run_until_signal
from node.config.settings import Settings
from node.primitives.errors import StorageError

SETTINGS = Settings(data_dir=Path("data"), genesis=Path("genesis.json"))


class Node:
    """Runs until cancelled, and cleans up for a while."""

    def __init__(self) -> None:
        self.cleaned_up = False

    async def run(self, settings: Settings, hangup: Hangup, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.lowlevel.checkpoint()
            self.cleaned_up = True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_the_node_cleanly(number: signal.Signals) -> None:
    node = Node()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_until_signal, node.run, SETTINGS)
        await trio.testing.wait_all_tasks_blocked(0.01)
        os.kill(os.getpid(), number)
    assert node.cleaned_up


async def test_a_signal_while_the_node_starts_stops_it_too() -> None:
    async def never_starts(settings: Settings, hangup: Hangup, *, task_status: trio.TaskStatus[None]) -> None:
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_until_signal, never_starts, SETTINGS)
        await trio.testing.wait_all_tasks_blocked(0.01)
        os.kill(os.getpid(), signal.SIGTERM)


async def test_a_node_that_ends_by_itself_ends_the_command() -> None:
    async def ends(settings: Settings, hangup: Hangup, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()

    with trio.fail_after(60):
        await run_until_signal(ends, SETTINGS)


async def test_an_error_of_the_node_comes_out() -> None:
    async def breaks(settings: Settings, hangup: Hangup, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        raise StorageError("disk full")

    with pytest.raises(ExceptionGroup) as caught:
        await run_until_signal(breaks, SETTINGS)
    assert caught.group_contains(StorageError, match="disk full")


async def test_a_hangup_is_heard_by_all_who_wait_and_ends_nothing() -> None:
    heard: list[int] = []

    async def listens(settings: Settings, hangup: Hangup, *, task_status: trio.TaskStatus[None]) -> None:
        async def listen(number: int) -> None:
            await hangup()
            heard.append(number)

        for _ in range(2):
            async with trio.open_nursery() as listening:
                listening.start_soon(listen, 1)
                listening.start_soon(listen, 2)
                await trio.testing.wait_all_tasks_blocked(0.01)
                os.kill(os.getpid(), signal.SIGHUP)

    with trio.fail_after(60):
        await run_until_signal(listens, SETTINGS)
    assert sorted(heard) == [1, 1, 2, 2]
