"""Lanes of worker threads: order, bounds, errors, and work that nobody waits for any more."""

import gc
import threading
import weakref
from contextlib import suppress

import pytest
import trio
import trio.testing

from node.rpc.workers import Lane


async def test_results_and_errors_come_back() -> None:
    lane = Lane("test", 1)
    assert await lane.run(lambda: 5) == 5
    with pytest.raises(ZeroDivisionError):
        await lane.run(lambda: 1 // 0)
    await lane.wait_idle()


async def test_one_thread_works_in_order_of_arrival() -> None:
    lane = Lane("test", 1)
    seen: list[int] = []
    threads: set[int] = set()

    def work(number: int) -> None:
        seen.append(number)
        threads.add(threading.get_ident())

    async with trio.open_nursery() as nursery:
        for number in range(50):
            nursery.start_soon(lane.run, lambda number=number: work(number))
            await trio.lowlevel.checkpoint()
    assert seen == sorted(seen)
    assert len(threads) == 1


async def test_no_more_threads_than_allowed_and_no_fewer_than_needed() -> None:
    lane = Lane("test", 3)
    meeting = threading.Barrier(3, timeout=60)
    async with trio.open_nursery() as nursery:
        for _ in range(9):
            nursery.start_soon(lane.run, meeting.wait)  # breaks unless three meet
    await lane.wait_idle()


async def test_a_cancelled_wait_leaves_the_work_behind() -> None:
    lane = Lane("test", 1)
    release = threading.Event()
    with trio.move_on_after(0.01) as scope:
        await lane.run(release.wait)
    assert scope.cancelled_caught
    release.set()
    await lane.wait_idle()
    assert await lane.run(lambda: "next") == "next"


async def test_work_that_nobody_waits_for_is_not_begun() -> None:
    lane = Lane("test", 1)
    release = threading.Event()
    begun: list[str] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lane.run, release.wait)
        await trio.testing.wait_all_tasks_blocked()
        with trio.CancelScope() as scope:
            scope.cancel()
            await lane.run(lambda: begun.append("never"))
        release.set()
    await lane.wait_idle()
    assert begun == []


async def test_the_loop_goes_on_while_a_thread_works() -> None:
    lane = Lane("test", 1)
    enough = threading.Event()

    def busy() -> None:
        while not enough.is_set():
            pass

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lane.run, busy)
        await trio.testing.wait_all_tasks_blocked()
        try:
            for _ in range(5):
                await trio.lowlevel.checkpoint()
                assert lane.pending
        finally:
            enough.set()


class Large:
    """Something that would be missed."""


@pytest.mark.parametrize("fails", [False, True])
async def test_neither_an_answer_nor_what_an_error_left_outlives_the_call(fails: bool) -> None:
    lane = Lane("test", 1)
    made: list[weakref.ref[Large]] = []

    def work() -> Large:
        large = Large()
        made.append(weakref.ref(large))
        if fails:
            raise ValueError("half of it was made")
        return large

    gc.disable()
    try:
        with suppress(ValueError):
            await lane.run(work)
        await lane.wait_idle()
        assert made[0]() is None, "only a collection would have found it"
    finally:
        gc.enable()
