"""Equivocation: one signer has sealed two different headers of one height. The two headers are the proof.

Whoever holds them needs nothing else to judge: no chain, no state, no trust in who handed them over. Two
block hashes are not enough, because anybody can write a seal in its other form; two seal hashes are.
"""

from dataclasses import dataclass

from consensus.clique.extra_data import recover_author, seal_hash
from consensus.errors import InvalidSeal
from node.primitives.block import Header
from node.primitives.ids import Address, BlockNumber


@dataclass(frozen=True, slots=True)
class Equivocation:
    """A proof that has been verified; `equivocation_of` is the only way to one."""

    signer: Address
    first: Header
    """The one with the lower seal hash, so that everybody writes the same proof."""
    second: Header

    @property
    def number(self) -> BlockNumber:
        """The height."""
        return self.first.number


def equivocation_of(one: Header, other: Header) -> Equivocation | None:
    """The proof in two headers; None where they prove nothing. InvalidSeal when one is not sealed."""
    if one.number != other.number:
        return None
    digests = seal_hash(one), seal_hash(other)
    if digests[0] == digests[1]:
        return None
    signer = recover_author(one)
    if recover_author(other) != signer:
        return None
    first, second = (one, other) if digests[0] < digests[1] else (other, one)
    return Equivocation(signer, first, second)


def verify_evidence(one: Header, other: Header) -> Equivocation:
    """The proof in two headers; InvalidSeal where they prove nothing."""
    proof = equivocation_of(one, other)
    if proof is None:
        raise InvalidSeal(
            f"headers {one.ref} and {other.ref} are no two different seals of one signer at one height"
        )
    return proof
