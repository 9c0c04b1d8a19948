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

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

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
    """All votes that count at one block."""

    by_target: Mapping[Address, tuple[Vote, ...]] = field(default_factory=dict)
    """In the order cast, each voter once, never empty; never mutated. All votes about one target want the
    same: whatever its membership is not."""

    def __len__(self) -> int:
        return sum(map(len, self.by_target.values()))

    def __iter__(self) -> Iterator[Vote]:
        """In the order of the blocks that carry them."""
        votes = [vote for about in self.by_target.values() for vote in about]
        return iter(sorted(votes, key=lambda vote: vote.number))

    def about(self, target: Address) -> tuple[Vote, ...]:
        """The votes that count for changing the target's membership."""
        return self.by_target.get(target, ())

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
        remaining = {
            about: kept
            for about, votes in ended.by_target.items()
            if (kept := tuple(vote for vote in votes if vote.voter != target))
        }
        return Votes(remaining), validators.minus(target)

    def _with(self, target: Address, votes: tuple[Vote, ...]) -> "Votes":
        by_target = dict(self.by_target)
        if votes:
            by_target[target] = votes
        else:
            by_target.pop(target, None)
        return Votes(by_target)


NO_VOTES = Votes()
