"""What the chain up to one block means for the next: signers, who signed recently, votes that count.

Immutable; each block's snapshot shares what did not change with its parent's, so a block without a vote costs
a tuple of at most N / 2 addresses. Depends on headers alone: equal headers give equal snapshots everywhere.
"""

from dataclasses import dataclass
from typing import Final

from consensus.validators import Validators, validators_of
from consensus.votes import NO_VOTES, Vote, Votes, votes_of
from node.primitives import rlp
from node.primitives.ids import Address, BlockNumber

FORMAT: Final = 1
"""First item of an encoded snapshot; another number is another layout."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CliqueSnapshot:
    """The state of Clique after one block."""

    number: BlockNumber
    signers: Validators
    recents: tuple[Address, ...] = ()
    """Authors of the last blocks up to `number`, oldest first; at most `limit` of them. Shorter at the start
    of the chain and after a trusted checkpoint, of which no past is known."""
    votes: Votes = NO_VOTES
    author: Address | None = None
    """Who sealed block `number`; None for genesis and for a trusted checkpoint."""
    turn_distance: int = 0
    """(number - index of the author) mod number of signers, by the signers before the block; 0 in turn."""

    @property
    def limit(self) -> int:
        """Of so many blocks in a row a signer may make one: SIGNER_LIMIT of EIP-225."""
        return self.signers.majority

    def distance(self, number: BlockNumber, signer: Address) -> int | None:
        """Blocks since it was last the signer's turn, seen from block `number`; None for a stranger."""
        index = self.signers.index(signer)
        return None if index is None else (number - index) % len(self.signers)

    def last_signed(self, signer: Address) -> BlockNumber | None:
        """The recent block that keeps the signer from making the next one; None when nothing does."""
        window = _last(self.recents, self.limit - 1)
        for back, author in enumerate(reversed(window)):
            if author == signer:
                return self.number - back
        return None

    def recent_authors(self) -> dict[BlockNumber, Address]:
        """Authors of the last blocks by number, ascending, as clique_getSnapshot shows them."""
        first = self.number - len(self.recents) + 1
        return dict(enumerate(self.recents, start=first))

    def after(
        self, author: Address, target: Address, authorise: bool, *, clear_votes: bool
    ) -> "CliqueSnapshot":
        """The snapshot after the next block, made by a signer who may make it, with its vote."""
        number = self.number + 1
        distance = self.distance(number, author)
        assert distance is not None, "only a signer makes a block"
        before = NO_VOTES if clear_votes else self.votes
        votes, signers = before.cast(Vote(author, target, authorise, number), self.signers)
        window = (*_last(self.recents, self.limit - 1), author)
        return CliqueSnapshot(
            number=number,
            signers=signers,
            recents=_last(window, signers.majority),
            votes=votes,
            author=author,
            turn_distance=distance,
        )


def encode_snapshot(snapshot: CliqueSnapshot) -> bytes:
    """RLP: [format, number, signers, recents, votes, author or empty, turn distance]."""
    votes: list[rlp.Encodable] = [
        [vote.voter, vote.target, int(vote.authorise), vote.number] for vote in snapshot.votes
    ]
    fields: list[rlp.Encodable] = [
        FORMAT,
        snapshot.number,
        snapshot.signers.addresses,
        snapshot.recents,
        votes,
        snapshot.author or b"",
        snapshot.turn_distance,
    ]
    return rlp.encode(fields)


def decode_snapshot(encoded: bytes) -> CliqueSnapshot:
    """Inverse of encode_snapshot; RlpError for anything else."""
    layout, number, signers, recents, votes, author, distance = rlp.as_list(rlp.decode(encoded), 7)
    if rlp.as_uint(layout) != FORMAT:
        raise rlp.RlpError(f"a Clique snapshot of format {rlp.as_uint(layout)}; this program knows {FORMAT}")
    return CliqueSnapshot(
        number=rlp.as_uint(number, 64),
        signers=validators_of(_addresses(signers)),
        recents=_addresses(recents),
        votes=votes_of(map(_vote, rlp.as_list(votes))),
        author=Address(rlp.as_bytes(author, 20)) if author else None,
        turn_distance=rlp.as_uint(distance, 64),
    )


def _vote(item: rlp.Item) -> Vote:
    voter, target, authorise, number = rlp.as_list(item, 4)
    return Vote(
        Address(rlp.as_bytes(voter, 20)),
        Address(rlp.as_bytes(target, 20)),
        bool(rlp.as_uint(authorise, 8)),
        rlp.as_uint(number, 64),
    )


def _addresses(item: rlp.Item) -> tuple[Address, ...]:
    return tuple(Address(rlp.as_bytes(address, 20)) for address in rlp.as_list(item))


def _last(authors: tuple[Address, ...], count: int) -> tuple[Address, ...]:
    return authors[len(authors) - count :] if 0 <= count < len(authors) else authors
