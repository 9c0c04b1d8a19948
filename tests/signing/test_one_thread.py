"""One thread, one library: nobody waits for ever, and nobody enters while somebody is lost in it."""

from threading import Event, get_ident

import pytest

from node.signing.one_thread import NoAnswer, OneThread


def test_all_work_is_done_on_one_thread_that_is_not_the_callers() -> None:
    thread = OneThread("test")
    idents = {thread.run(get_ident, 5.0) for _ in range(3)}
    assert len(idents) == 1
    assert get_ident() not in idents


def test_an_error_is_the_callers() -> None:
    def fails() -> None:
        raise ValueError("wrong")

    thread = OneThread("test")
    with pytest.raises(ValueError, match="wrong"):
        thread.run(fails, 5.0)
    assert thread.run(lambda: 1, 5.0) == 1


def test_a_hung_library_lets_its_caller_go_refuses_the_next_at_once_and_may_recover() -> None:
    thread, wakes, woke = OneThread("test"), Event(), Event()

    def hangs() -> None:
        wakes.wait()

    with pytest.raises(NoAnswer, match=r"no answer within 0.01 s"):
        thread.run(hangs, 0.01)
    with pytest.raises(NoAnswer, match="earlier request"):
        thread.run(woke.set, 5.0)
    wakes.set()
    while not woke.is_set():
        try:
            thread.run(woke.set, 5.0)
        except NoAnswer:
            continue  # the thread is on its way back
