"""Changes of the validator set that this node's operator wants, voted for until they are final.

A vote may stand on a branch that loses. So a proposal ends neither with the vote nor with the change, but
when the change has stood in the chain for more than N / 2 blocks; a reorganisation before that starts the
voting again. Proposals outlive restarts: whoever holds them persists `items()` after every change.

Proposals take turns without any memory of it: those without a standing vote of ours first, then the one whose
vote is oldest. A vote cast again changes nothing, unless a majority waits for somebody to touch it.
"""

from collections.abc import Iterable
from typing import Final

from consensus.errors import ProposalRefused
from consensus.validators import Validators
from consensus.votes import Votes
from node.primitives.block import Header
from node.primitives.ids import ZERO_ADDRESS, ZERO_HASH, Address, BlockNumber, hex_of

PROPOSALS_MAX: Final = 1_000
"""Standing proposals of one node; each block carries one vote, so more would not be voted on for hours."""


class StandingProposals:
    """What the operator wants, by address."""

    def __init__(self, proposals: Iterable[tuple[Address, bool]] = ()) -> None:
        self._wanted = dict(proposals)
        self._fulfilled_since: dict[Address, BlockNumber] = {}
        self._head = ZERO_HASH

    def items(self) -> tuple[tuple[Address, bool], ...]:
        """(validator, admit or drop), ascending by address."""
        return tuple(sorted(self._wanted.items()))

    def propose(self, target: Address, authorise: bool, validators: Validators | None) -> None:
        """Add a proposal; ProposalRefused, and nothing changed, when it could do no good.

        `validators` are those in force, None while no head is known.
        """
        if self._wanted.get(target) is authorise:
            raise ProposalRefused(f"{_sentence(target, authorise)} is proposed already")
        if authorise and target == ZERO_ADDRESS:
            raise ProposalRefused("nobody has the key of the zero address, so it could never sign a block")
        if validators is not None and (target in validators) == authorise:
            raise ProposalRefused(f"{hex_of(target)} is {'already' if authorise else 'not'} a validator")
        if validators is not None and not authorise and len(validators) == 1:
            raise ProposalRefused(
                f"{hex_of(target)} is the last validator; without it the chain ends for ever"
            )
        if len(self._wanted) >= PROPOSALS_MAX and target not in self._wanted:
            raise ProposalRefused(f"there are {PROPOSALS_MAX} proposals already")
        self._wanted[target] = authorise
        self._fulfilled_since.pop(target, None)

    def withdraw(self, target: Address) -> bool:
        """Stop voting about the target; whether there was a proposal. Votes that were cast stay cast."""
        self._fulfilled_since.pop(target, None)
        return self._wanted.pop(target, None) is not None

    def observe(self, header: Header, validators: Validators) -> bool:
        """Take note of a new head; whether proposals became final and so ended."""
        if header.parent_hash != self._head:
            # Another branch, or blocks we did not see one by one: the change may be newer than we noted.
            self._fulfilled_since.clear()
        self._head = header.hash
        final = []
        for target, authorise in self._wanted.items():
            if (target in validators) != authorise:
                self._fulfilled_since.pop(target, None)
            elif (
                header.number - self._fulfilled_since.setdefault(target, header.number) >= validators.majority
            ):
                final.append(target)
        for target in final:
            self.withdraw(target)
        return bool(final)

    def next_vote(self, voter: Address, validators: Validators, votes: Votes) -> tuple[Address, bool] | None:
        """The vote for the next block after a state; None when no proposal would change anything."""
        useful = [
            (target, authorise)
            for target, authorise in self._wanted.items()
            # The last check for the set as it is now: others may have been dropped since it was proposed.
            if (target in validators) != authorise and (authorise or len(validators) > 1)
        ]
        return min(useful, key=lambda vote: (cast_at(votes, voter, vote[0]) or 0, vote), default=None)


def cast_at(votes: Votes, voter: Address, target: Address) -> BlockNumber | None:
    """The block with the voter's standing vote about the target; None when there is none."""
    return next((vote.number for vote in votes.about(target) if vote.voter == voter), None)


def _sentence(target: Address, authorise: bool) -> str:
    return f"{'admitting' if authorise else 'dropping'} {hex_of(target)}"
