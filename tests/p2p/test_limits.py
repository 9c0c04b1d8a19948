"""Buckets, scores, the gate and the backoff: pure, with the clock in the hand."""

import pytest

from p2p.limits import (
    HOSTS_KEPT,
    SCORES_KEPT,
    Gate,
    GateLimits,
    ScoreBook,
    TokenBucket,
    host_group,
    redial_delay_s,
)


def test_a_bucket_gives_its_burst_at_once_and_then_its_rate() -> None:
    bucket = TokenBucket(10, 5, now=0)
    assert [bucket.take(1, 0) for _ in range(5)] == [0.0] * 5
    assert bucket.take(1, 0) == pytest.approx(0.1)
    assert bucket.take(1, 0) == pytest.approx(0.2)
    assert bucket.take(0, 0.2) == 0.0
    assert bucket.take(5, 1000) == 0.0, "it never holds more than its burst"
    assert bucket.take(1, 1000) > 0


def test_taking_more_than_a_burst_is_a_debt() -> None:
    bucket = TokenBucket(10, 5, now=0)
    assert bucket.take(105, 0) == pytest.approx(10)
    assert bucket.take(0, 5) == pytest.approx(5)


A, B = b"a" * 64, b"b" * 64


def test_scores_add_up_fade_and_ban() -> None:
    book = ScoreBook(ban_s=300, forgiven_per_s=1)
    assert book.add(A, 40, now=0) == 40
    assert book.add(A, 40, now=20) == 60
    assert book.score(A, now=50) == 30
    assert book.score(A, now=1000) == 0
    assert book.banned_s(A, now=20) == 0
    assert book.add(A, 80, now=21) >= 100
    assert book.banned_s(A, now=21) == 300
    assert book.banned_s(A, now=220) == 101
    assert book.banned_s(A, now=400) == 0
    assert book.score(A, now=22) == 0, "after a ban it starts anew"
    assert book.score(B, now=21) == 0


def test_a_second_ban_counts_from_its_own_time() -> None:
    book = ScoreBook(ban_s=300, forgiven_per_s=1)
    book.add(A, 100, now=0)
    book.add(A, 100, now=100)
    assert book.banned_s(A, now=100) == 300


def test_the_memory_for_scores_and_bans_is_bounded() -> None:
    book = ScoreBook(ban_s=300, forgiven_per_s=0)
    for n in range(SCORES_KEPT + 10):
        book.add(n.to_bytes(64, "big"), 1, now=0)
        book.add((1 << 40 | n).to_bytes(64, "big"), 100, now=0)
    assert len(book._entries) == len(book._banned_until) == SCORES_KEPT
    assert book.score(bytes(64), now=0) == 0
    assert book.score((SCORES_KEPT + 9).to_bytes(64, "big"), now=0) == 1


def test_the_gate_counts_who_is_inside() -> None:
    gate = Gate(GateLimits(handshakes_max=3, handshakes_per_host_max=2), now=0)
    assert gate.enter("10.0.0.1", 0) is None
    assert gate.enter("10.0.0.1", 0) is None
    assert gate.enter("10.0.0.1", 0) == "too many handshakes under way from this host"
    assert gate.enter("10.0.0.2", 0) is None
    assert gate.enter("10.0.0.3", 0) == "too many handshakes under way"
    gate.leave("10.0.0.1")
    assert len(gate) == 2
    assert gate.enter("10.0.0.1", 0) is None


def test_the_gate_slows_hosts_and_all_of_them_together() -> None:
    gate = Gate(GateLimits(per_s=1, burst=4, host_per_s=1, host_burst=3), now=0)

    def knock(host: str, now: float) -> str | None:
        answer = gate.enter(host, now)
        if answer is None:
            gate.leave(host)
        return answer

    assert [knock("a", 0) for _ in range(4)] == [None] * 3 + ["too many connections from this host"]
    assert [knock("b", 0) for _ in range(2)] == [None, "too many connections"]
    assert knock("a", 0.5) == "too many connections from this host"
    assert knock("c", 60) is None
    assert knock("a", 60) is None


def test_the_memory_for_hosts_is_bounded() -> None:
    gate = Gate(GateLimits(), now=0)
    for n in range(HOSTS_KEPT + 10):
        if gate.enter(f"host-{n}", n) is None:
            gate.leave(f"host-{n}")
    assert len(gate._hosts) == HOSTS_KEPT
    assert len(gate._inside) == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("node-a", "node-b", False),
    ],
)
def test_what_counts_as_one_host(one: str, other: str, same: bool) -> None:
    assert (host_group(one) == host_group(other)) is same


def test_the_delay_before_redialling_doubles_up_to_its_limit_and_is_spread() -> None:
    assert [redial_delay_s(n, 1, 30, draw=0.999999) for n in range(7)] == pytest.approx(
        [1, 2, 4, 8, 16, 30, 30], rel=1e-4
    )
    assert redial_delay_s(3, 1, 30, draw=0) == 4
    assert redial_delay_s(10_000, 1, 30, draw=0) == 15


def test_a_flood_from_a_host_is_forgiven_when_it_has_ended() -> None:
    limits = GateLimits(host_per_s=2.0, host_burst=60)
    gate = Gate(limits, 0.0)
    for _ in range(10_000):
        if gate.enter("10.0.0.1", 1.0) is None:
            gate.leave("10.0.0.1")
    assert gate.enter("10.0.0.1", 20.0) is not None
    assert gate.enter("10.0.0.1", 40.0) is None
