"""Votes as values: what a change copies, and what it shares. Stories of voting: clique/test_voting."""

from consensus.validators import validators_of
from consensus.votes import NO_VOTES, Vote, votes_of
from tests.consensus import chains

A, B, C, D, E = (chains.address(name) for name in "ABCDE")
ABC = validators_of([A, B, C])


def test_a_vote_that_changes_nothing_gives_the_same_values() -> None:
    votes, validators = NO_VOTES.cast(Vote(A, B, True, 1), ABC)
    assert votes is NO_VOTES
    assert validators is ABC


def test_votes_about_others_are_shared() -> None:
    before = votes_of([Vote(A, D, True, 1)])
    after, _ = before.cast(Vote(B, E, True, 2), ABC)
    assert after.about(D) is before.about(D)


def test_a_vote_cast_again_is_the_latest() -> None:
    before = votes_of([Vote(A, D, True, 1)])
    after, _ = before.cast(Vote(A, D, True, 4), ABC)
    assert list(after) == [Vote(A, D, True, 4)]


def test_votes_made_one_by_one_equal_votes_made_at_once() -> None:
    one_by_one, _ = NO_VOTES.cast(Vote(B, E, True, 1), ABC)
    one_by_one, _ = one_by_one.cast(Vote(A, D, True, 2), ABC)
    assert one_by_one == votes_of([Vote(A, D, True, 2), Vote(B, E, True, 1)])
    assert len(one_by_one) == 2


def test_thousands_of_targets_of_a_hostile_signer_are_counted_and_shared() -> None:
    votes, validators = NO_VOTES, ABC
    targets = [chains.keccak256(b"%d" % number)[:20] for number in range(3_000)]
    for number, target in enumerate(targets):
        votes, validators = votes.cast(Vote(A, target, True, number), validators)
    assert (len(votes), validators) == (3_000, ABC)
    after, admitted = votes.cast(Vote(B, targets[7], True, 3_000), validators)
    assert len(after) == 2_999
    assert targets[7] in admitted
    assert after.about(targets[8]) is votes.about(targets[8])
