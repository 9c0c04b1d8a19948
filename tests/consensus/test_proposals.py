"""Standing proposals: refused, taken turns with, and ended only when final."""

from dataclasses import replace

import pytest

from consensus.errors import ProposalRefused
from consensus.proposals import StandingProposals
from consensus.validators import Validators, validators_of
from consensus.votes import NO_VOTES, Vote, votes_of
from node.primitives.block import Header
from tests.consensus import chains

A, B, C, D, E = (chains.address(name) for name in "ABCDE")
ABC, ABCD = validators_of([A, B, C]), validators_of([A, B, C, D])


def heads(proposals: StandingProposals, *validators: Validators, parent: Header | None = None) -> Header:
    """Show one new head after another, each with the validators after it."""
    header = parent or chains.genesis("ABC")
    for after in validators:
        header = replace(header, parent_hash=header.hash, number=header.number + 1)
        proposals.observe(header, after)
    return header


@pytest.mark.parametrize(
    ("target", "authorise", "validators", "reason"),
    [
        (A, True, ABC, "already a validator"),
        (D, False, ABC, "not a validator"),
        (A, False, validators_of([A]), "the last validator"),
        (chains.address("0"), True, ABC, "zero address"),
    ],
)
def test_what_does_no_good_is_refused(target, authorise, validators, reason) -> None:
    proposals = StandingProposals()
    with pytest.raises(ProposalRefused, match=reason):
        proposals.propose(target, authorise, validators)
    assert proposals.items() == ()


def test_the_same_proposal_twice_is_refused() -> None:
    proposals = StandingProposals([(D, True)])
    with pytest.raises(ProposalRefused, match="proposed already"):
        proposals.propose(D, True, ABC)


def test_before_a_head_is_known_only_the_certain_is_refused() -> None:
    proposals = StandingProposals()
    proposals.propose(A, True, None)
    assert proposals.items() == ((A, True),)


def test_a_proposal_ends_when_the_change_is_more_than_half_of_the_validators_deep() -> None:
    proposals = StandingProposals([(D, True)])
    head = heads(proposals, ABC, ABCD, ABCD, ABCD)
    assert proposals.items() == ((D, True),)
    heads(proposals, ABCD, parent=head)
    assert proposals.items() == ()


def test_a_change_that_is_undone_starts_the_voting_again() -> None:
    proposals = StandingProposals([(D, True)])
    assert proposals.next_vote(A, ABC, NO_VOTES) == (D, True)
    head = heads(proposals, ABCD, ABCD)
    assert proposals.next_vote(A, ABCD, NO_VOTES) is None
    heads(proposals, ABC, parent=replace(head, number=1, gas_used=1))
    assert proposals.next_vote(A, ABC, NO_VOTES) == (D, True)


def test_depth_is_counted_anew_on_another_branch() -> None:
    """The change may have come later there than on the branch where it was seen first."""
    proposals = StandingProposals([(D, True)])
    head = heads(proposals, ABCD, ABCD, ABCD)
    head = heads(proposals, ABCD, ABCD, ABCD, parent=replace(head, gas_used=1))
    assert proposals.items() == ((D, True),)
    heads(proposals, ABCD, parent=head)
    assert proposals.items() == ()


def test_those_without_a_standing_vote_come_first_then_the_oldest() -> None:
    proposals = StandingProposals([(D, True), (E, True), (B, False)])
    assert proposals.next_vote(A, ABC, NO_VOTES) == (B, False)
    voted = [Vote(A, B, False, 9), Vote(A, D, True, 7), Vote(C, D, True, 8)]
    assert proposals.next_vote(A, ABC, votes_of(voted)) == (E, True)
    voted.append(Vote(A, E, True, 8))
    assert proposals.next_vote(A, ABC, votes_of(voted)) == (D, True)


def test_the_last_validator_is_not_dropped_even_if_it_was_proposed_in_time() -> None:
    proposals = StandingProposals()
    proposals.propose(A, False, ABC)
    assert proposals.next_vote(A, validators_of([A]), NO_VOTES) is None


def test_withdrawing_tells_whether_there_was_one() -> None:
    proposals = StandingProposals([(D, True)])
    assert proposals.withdraw(D)
    assert not proposals.withdraw(D)
