"""A stranger connected anywhere is seen everywhere; what cannot be judged is not kept."""

from dataclasses import dataclass

from node.permissioning import peer_sets
from node.permissioning.peer_sets import FORBIDDEN_BLOCKS, GRACE_BLOCKS, Fault, Finding, PeerSetBook, Stranger

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


def say(ours: PeerSetBook, head: int, **sets: tuple[bytes, ...]) -> tuple[Finding, ...]:
    """Everybody's set at one head, and what follows from them."""
    for name, peers in sets.items():
        assert ours.take(Said({"us": US, "a": A, "b": B, "c": C}[name], head, peers), head)
    return ours.findings()


def test_a_connection_that_its_other_end_denies_is_found_when_both_have_gone_on() -> None:
    ours, late = book(), 10 + GRACE_BLOCKS
    assert say(ours, 10, us=(A,), a=(US, B), b=(A,)) == ()
    assert say(ours, 11, b=()) == ()
    assert say(ours, late, a=(US, B), b=()) == (), "one that signs seldom has not gone on yet"
    assert say(ours, late + 1, a=(US, B), b=()) == (Finding(Fault.DENIED, A, B),)
    assert say(ours, late + 2, b=(A,)) == ()
    assert say(ours, late + 3, b=()) == (), "it begins anew"


def test_who_is_silent_or_says_too_much_to_say_all_denies_nothing() -> None:
    full = tuple(number.to_bytes(64, "big") for number in range(peer_sets.FULL))
    ours = book()
    for head in range(10, 10 + 3 * GRACE_BLOCKS, GRACE_BLOCKS // 3):
        assert say(ours, head, us=(A, B), a=(US, C), b=full) == ()
    assert ours.silent() == (C,)


def test_members_whom_the_rules_keep_apart_are_found_by_either_ones_word() -> None:
    ours = PeerSetBook(US, MEMBERS.__contains__, lambda one, other: {one, other} != {A, B})
    assert say(ours, 10, us=(A,), a=(US, B)) == ()
    assert say(ours, 9 + FORBIDDEN_BLOCKS, a=(US, B)) == (), "a tier may just have changed"
    assert say(ours, 10 + FORBIDDEN_BLOCKS, a=(US, B)) == (Finding(Fault.FORBIDDEN, A, B),)
    assert say(ours, 11 + FORBIDDEN_BLOCKS, a=(US,)) == ()


def test_what_one_member_invents_stays_bounded() -> None:
    ours = book()
    inventions = tuple((number + 1_000).to_bytes(64, "big") for number in range(1_000))
    say(ours, 10, us=(A,), a=inventions)
    assert len(ours.strangers()) == peer_sets.STRANGERS_NAMED_MAX
    everybody = {US, A, *inventions}
    ours = PeerSetBook(US, everybody.__contains__, lambda one, other: False)
    say(ours, 10, us=(A,), a=inventions)
    assert len(say(ours, 10 + GRACE_BLOCKS, us=(A,), a=inventions)) == peer_sets.FINDINGS_MAX
