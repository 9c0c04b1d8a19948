"""Votes about who may validate, cast in block headers and counted as the chain grows (EIP-225, voting).

The rules, shared by every engine that votes in headers:
- One vote per header. Of one voter's votes about one target only the latest counts.
- A vote counts only if it would change something: to admit a stranger, or to drop a member.
- More than half of the validators agreeing takes effect at once, and ends all votes about that target.
- A dropped validator's own votes end with it.
- No cascades: only the target of the present header can be admitted or dropped. A majority that another
  change brought about (a drop lowers the threshold) waits until somebody votes about that target again.

Values only: counting returns new values and shares what did not change.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from consensus.validators import Validators
from node.primitives.ids import Address, BlockNumber


@dataclass(frozen=True, slots=True)
class Vote:
    """One vote that counts, until it is replaced, passes, or an epoch ends it."""

    voter: Address
    target: Address
    authorise: bool
    """True to admit the target, False to drop it."""
    number: BlockNumber
    """The block that carries it."""


@dataclass(frozen=True, slots=True)
class Votes:
    """All votes that count at one block. Made by `votes_of` and `cast`.

    A hostile signer can vote about a new target in each of its blocks, thousands in an epoch. So a change
    copies one pointer for each target and shares the rest: many states with many votes stay affordable.
    """

    by_target: tuple[tuple[Address, tuple[Vote, ...]], ...] = ()
    """(target, its votes in the order cast, each voter once, never none), ascending by target. All votes
    about one target want the same: whatever its membership is not."""

    def __len__(self) -> int:
        return sum(len(votes) for _, votes in self.by_target)

    def __iter__(self) -> Iterator[Vote]:
        """In the order of the blocks that carry them."""
        return iter(sorted((vote for _, votes in self.by_target for vote in votes), key=_by_number))

    def about(self, target: Address) -> tuple[Vote, ...]:
        """The votes that count for changing the target's membership."""
        place = self._place(target)
        if place < len(self.by_target) and self.by_target[place][0] == target:
            return self.by_target[place][1]
        return ()

    def cast(self, vote: Vote, validators: Validators) -> tuple["Votes", Validators]:
        """Count one header's vote by a member of `validators`: the votes and the validators after it."""
        standing = self.about(vote.target)
        votes = tuple(other for other in standing if other.voter != vote.voter)
        if vote.authorise != (vote.target in validators):
            votes = (*votes, vote)
        if len(votes) >= validators.majority:
            return self._passed(vote.target, validators)
        if votes == standing:
            return self, validators
        return self._with(vote.target, votes), validators

    def _passed(self, target: Address, validators: Validators) -> tuple["Votes", Validators]:
        ended = self._with(target, ())
        if target not in validators:
            return ended, validators.plus(target)
        return votes_of(vote for vote in ended if vote.voter != target), validators.minus(target)

    def _with(self, target: Address, votes: tuple[Vote, ...]) -> "Votes":
        place = self._place(target)
        known = place < len(self.by_target) and self.by_target[place][0] == target
        entry = ((target, votes),) if votes else ()
        return Votes(self.by_target[:place] + entry + self.by_target[place + known :])

    def _place(self, target: Address) -> int:
        # A pair compares by its second half only if the first is equal, and the shorter tuple comes first.
        return bisect_left(self.by_target, (target,))


NO_VOTES = Votes()


def votes_of(votes: Iterable[Vote]) -> Votes:
    """These votes, in any order; of each voter at most one about a target."""
    by_target: dict[Address, list[Vote]] = {}
    for vote in votes:
        by_target.setdefault(vote.target, []).append(vote)
    return Votes(
        tuple((target, tuple(sorted(by_target[target], key=_by_number))) for target in sorted(by_target))
    )


def _by_number(vote: Vote) -> BlockNumber:
    return vote.number
