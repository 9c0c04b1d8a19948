"""Votes counted the long way round, in one list with nothing cached: the oracle for `consensus.votes`."""

from collections.abc import Iterable


class Ledger:
    """Signers and votes after each block; addresses may be any strings of letters or bytes."""

    def __init__(self, signers: Iterable[object]) -> None:
        self.signers = set(signers)
        self.votes: list[tuple[object, object, bool]] = []
        """(voter, target, authorise) in the order cast."""

    def block(self, author: object, target: object, authorise: bool, *, epoch_begins: bool) -> None:
        """Count the vote of one block."""
        if epoch_begins:
            self.votes = []
        self.votes = [vote for vote in self.votes if vote[:2] != (author, target)]
        if authorise != (target in self.signers):
            self.votes.append((author, target, authorise))
        if sum(vote[1] == target for vote in self.votes) > len(self.signers) // 2:
            if target in self.signers:
                self.signers.remove(target)
                self.votes = [vote for vote in self.votes if vote[0] != target]
            else:
                self.signers.add(target)
            self.votes = [vote for vote in self.votes if vote[1] != target]
