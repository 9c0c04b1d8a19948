"""Our clock against the peers': what counts, who is believed, when nothing is sealed."""

import pytest

from node.sync.clocks import LIMIT_MS, ROUND_TRIP_MS_MAX, SAMPLES, ClockBook, in_words

A, B, C, D = (bytes([n]) for n in range(4))


def exchange(book: ClockBook, peer: bytes, ahead_ms: int, *, trip_ms: int = 20, skew_ms: int = 0) -> None:
    """A ping at 1,000,000; the answer left in the middle of the trip, give or take `skew_ms`."""
    asked = 1_000_000
    book.note(peer, asked, asked + trip_ms // 2 + skew_ms + ahead_ms, asked + trip_ms)


def test_the_quickest_exchange_counts() -> None:
    book = ClockBook()
    exchange(book, A, 40, trip_ms=900, skew_ms=400)
    assert book.ahead_ms(A) == 440
    exchange(book, A, 40)
    assert book.ahead_ms(A) == 40
    for _ in range(SAMPLES):
        exchange(book, A, 0, trip_ms=50)
    assert book.ahead_ms(A) == 0, "what is long past is forgotten"
    exchange(book, A, 9_000, trip_ms=900)
    assert book.ahead_ms(A) == 9_000, "it cannot be drift: a clock was set"


def test_what_is_too_slow_or_from_the_future_tells_nothing() -> None:
    book = ClockBook()
    exchange(book, A, 0, trip_ms=ROUND_TRIP_MS_MAX + 2)
    book.note(A, 10, 10, 5)
    assert book.ahead_ms(A) is None
    assert book.drift_ms is None
    assert book.problem is None


def test_our_error_is_what_most_peers_say() -> None:
    book = ClockBook()
    for peer, ahead in ((A, -7_000), (B, -7_010), (C, 90_000)):
        exchange(book, peer, ahead)
    assert book.drift_ms == 7_000
    assert book.problem is not None
    assert "7.0 s ahead" in book.problem
    few = ClockBook()
    for peer in (A, B):
        exchange(few, peer, -7_000)
    assert few.problem is None, "two witnesses are too few to stop us"
    assert "7.0 s ahead by 2 peers" in str(few.warning)


def test_witnesses_who_send_us_away_have_not_taken_their_word_back() -> None:
    book = ClockBook()
    for peer in (A, B, C):
        exchange(book, peer, -7_000)
    for peer in (A, B, C):
        book.forget(peer)
        assert book.problem is not None
    exchange(book, A, -7_000)
    assert book.problem is not None
    book.forget(A)
    one_by_one = ClockBook()
    for peer in (A, B, B, C):
        assert one_by_one.problem is None
        exchange(one_by_one, peer, -7_000)
        one_by_one.forget(peer)
    assert one_by_one.problem is not None
    doubted = ClockBook()
    for peer, ahead in ((A, -7_000), (B, -7_000), (D, 0), (C, -7_000)):
        exchange(doubted, peer, ahead)
        doubted.forget(peer)
    assert doubted.problem is None, "one who was there said otherwise"
    exchange(book, A, -20)
    assert book.problem is None
    assert book.warning is None


@pytest.mark.parametrize("ahead", [LIMIT_MS, -LIMIT_MS])
def test_up_to_the_limit_all_is_well(ahead: int) -> None:
    book = ClockBook()
    for peer in (A, B, C):
        exchange(book, peer, ahead)
    assert book.problem is None


def test_a_peer_is_refused_when_its_clock_is_wrong_by_ours_and_by_the_others() -> None:
    book = ClockBook()
    for peer in (A, B, C):
        exchange(book, peer, 10)
    exchange(book, D, LIMIT_MS + 1_000)
    assert [book.is_refused(peer) for peer in (A, B, C, D)] == [False, False, False, True]
    # When it is our own clock that is wrong, nobody is refused for it.
    ours = ClockBook()
    for peer in (A, B, C, D):
        exchange(ours, peer, LIMIT_MS + 1_000)
    assert not any(ours.is_refused(peer) for peer in (A, B, C, D))


def test_words() -> None:
    assert in_words(3_240) == "3.2 s ahead"
    assert in_words(-500) == "0.5 s behind"
