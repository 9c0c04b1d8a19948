import time

import pytest
import trio
import trio.testing

from node.observability.loop_delay import TICK_S, LoopDelay


async def test_a_free_loop_shows_no_delay(autojump_clock: trio.testing.MockClock) -> None:
    seen: list[float] = []
    probe = LoopDelay(seen.append)
    with trio.move_on_after(10 * TICK_S + TICK_S / 2):
        await probe.run()
    assert seen == pytest.approx([0.0] * 10)


async def test_a_task_that_hogs_the_loop_shows_as_delay() -> None:
    """Real clock: the probe exists to see real time pass while nothing is scheduled."""
    seen: list[float] = []
    probe = LoopDelay(seen.append)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(probe.run)
        await trio.testing.wait_all_tasks_blocked()
        time.sleep(3 * TICK_S)  # noqa: ASYNC251 - the fault that the probe is there to see
        with trio.fail_after(60):
            while max(seen, default=0.0) < TICK_S:  # noqa: ASYNC110
                await trio.sleep(0.001)
        nursery.cancel_scope.cancel()
    assert probe.take_worst_s() >= TICK_S
    assert probe.worst_s == 0.0
