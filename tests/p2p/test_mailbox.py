"""The bounded queue between two tasks."""

import pytest
import trio
from trio.testing import MockClock

from p2p.errors import PeerGone
from p2p.mailbox import Mailbox


async def test_items_come_out_in_order_and_within_bounds() -> None:
    box: Mailbox[str] = Mailbox(items_max=3, bytes_max=10)
    assert box.put("a", 4)
    assert box.put("b", 4)
    assert not box.put("c", 4), "too many bytes"
    assert box.put("d", 0)
    assert not box.put("e", 0), "too many items"
    assert (len(box), box.fullness) == (3, 1.0)
    assert [await box.take() for _ in range(3)] == ["a", "b", "d"]
    assert box.fullness == 0


async def test_an_empty_box_takes_an_item_of_any_size() -> None:
    box: Mailbox[str] = Mailbox(items_max=3, bytes_max=10)
    assert box.put("large", 1000)
    assert not box.put("small", 1)
    assert await box.take() == "large"
    assert box.put("small", 1)


async def test_whoever_waits_is_woken(autojump_clock: MockClock) -> None:
    box: Mailbox[int] = Mailbox(items_max=3, bytes_max=10)
    taken: list[int] = []

    async def take() -> None:
        taken.append(await box.take())

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(take)
        await trio.sleep(1)
        for n in range(3):
            box.put(n, 1)
    assert sorted(taken) == [0, 1, 2]


async def test_a_closed_box_can_be_emptied_and_then_ends(autojump_clock: MockClock) -> None:
    box: Mailbox[str] = Mailbox(items_max=3, bytes_max=10)
    box.put("last", 1)
    box.close()
    assert not box.put("late", 1)
    assert await box.take() == "last"
    with pytest.raises(PeerGone):
        await box.take()


async def test_closing_wakes_whoever_waits(autojump_clock: MockClock) -> None:
    box: Mailbox[str] = Mailbox(items_max=3, bytes_max=10)
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def wait() -> None:
            with pytest.raises(PeerGone):
                await box.take()

        await trio.sleep(1)
        box.close()
