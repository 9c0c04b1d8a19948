"""What two headers prove against who sealed them."""

from dataclasses import replace

import pytest

from consensus.clique.evidence import Equivocation, equivocation_of, verify_evidence
from consensus.clique.extra_data import SEAL_BYTES, seal_hash, sealed, unsealed
from consensus.errors import InvalidSeal
from node.primitives.block import Header
from node.primitives.crypto import SECP256K1_N
from tests.consensus import chains


def header(name: str = "A", number: int = 7, timestamp: int = 1) -> Header:
    bare = replace(chains.genesis("A"), number=number, timestamp=timestamp, extra_data=unsealed(b""))
    return sealed(bare, chains.key(name).sign(seal_hash(bare)))


def test_two_seals_of_one_signer_at_one_height_are_a_proof_and_everybody_writes_the_same_one() -> None:
    one, other = header(timestamp=1), header(timestamp=2)
    proof = verify_evidence(one, other)
    assert proof == verify_evidence(other, one)
    assert (proof.signer, proof.number, {proof.first, proof.second}) == (
        chains.address("A"), 7, {one, other},
    )  # fmt: skip


def test_other_heights_other_signers_and_the_same_header_are_none() -> None:
    for other in (header(number=8), header("B", timestamp=2), header()):
        assert equivocation_of(header(), other) is None
        with pytest.raises(InvalidSeal, match="no two different seals"):
            verify_evidence(header(), other)


def test_one_seal_in_its_two_forms_is_none() -> None:
    """Anybody can write the other form of a signature: it would frame the honest."""
    one = header()
    seal = one.extra_data[-SEAL_BYTES:]
    s = SECP256K1_N - int.from_bytes(seal[32:64], "big")
    other = sealed(one, seal[:32] + s.to_bytes(32, "big") + bytes([seal[64] ^ 1]))
    assert other.hash != one.hash
    assert equivocation_of(one, other) is None


def test_what_is_not_sealed_is_refused() -> None:
    bare = replace(header(timestamp=2), extra_data=bytes(97))
    with pytest.raises(InvalidSeal):
        verify_evidence(header(), bare)
    with pytest.raises(InvalidSeal):
        verify_evidence(header(), replace(bare, extra_data=b""))


def test_a_proof_names_the_height_of_both() -> None:
    proof = equivocation_of(header(timestamp=3), header(timestamp=4))
    assert isinstance(proof, Equivocation)
    assert proof.first.number == proof.second.number == proof.number
