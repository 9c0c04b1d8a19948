"""A stranger connected anywhere is seen everywhere; what cannot be judged is not kept."""

from dataclasses import dataclass

from node.permissioning import peer_sets
from node.permissioning.peer_sets import PeerSetBook, Stranger

US, A, B, C, STRANGER = (bytes([n]) * 64 for n in range(1, 6))
MEMBERS = {US, A, B, C}


@dataclass(frozen=True)
class Said:
    """A set, its signature proved."""

    node: bytes
    block: int
    peers: tuple[bytes, ...]
    time_ms: int = 0


def book() -> PeerSetBook:
    return PeerSetBook(US, MEMBERS.__contains__)


def test_a_stranger_in_anybodys_set_is_named_with_who_lets_it_in() -> None:
    ours = book()
    assert ours.take(Said(US, 10, (A,)), 10)
    assert ours.take(Said(A, 10, (US, B)), 10)
    assert ours.strangers() == ()
    assert ours.take(Said(B, 11, (A, STRANGER)), 10)
    assert ours.strangers() == (Stranger(STRANGER, B, 11),)
    assert ours.take(Said(B, 12, (A,)), 12)
    assert ours.strangers() == ()


def test_a_member_that_says_nothing_is_silent() -> None:
    ours = book()
    ours.take(Said(A, 10, (US, C)), 10)
    assert ours.silent() == (US, C)
    ours.take(Said(C, 10, (A,)), 10)
    ours.take(Said(US, 10, (A,)), 10)
    assert ours.silent() == ()


def test_only_members_newest_words_are_kept() -> None:
    ours = book()
    assert not ours.take(Said(STRANGER, 10, (A,)), 10)
    assert ours.take(Said(A, 10, (US,), 5), 10)
    assert not ours.take(Said(A, 10, (B,), 5), 10), "the same again"
    assert not ours.take(Said(A, 9, (B,), 9), 10), "older"
    assert ours.take(Said(A, 10, (B,), 6), 10), "the same head, later"
    assert not ours.take(Said(B, 10 + peer_sets.AHEAD_BLOCKS + 1, ()), 10)
    assert not ours.take(Said(B, 0, ()), peer_sets.STALE_BLOCKS + 1)
    ours.forget(10 + peer_sets.STALE_BLOCKS)
    assert len(ours.newest()) == 1
    ours.forget(11 + peer_sets.STALE_BLOCKS)
    assert ours.newest() == ()


def test_a_member_that_is_none_any_more_becomes_a_stranger() -> None:
    members = set(MEMBERS)
    ours = PeerSetBook(US, members.__contains__)
    ours.take(Said(A, 10, (US, B)), 10)
    members.discard(B)
    assert ours.strangers() == (Stranger(B, A, 10),)
