"""Capability evidence/1: proofs that a validator sealed twice at one height, from member to member.

    0x00  Evidence: [[header, header], ...]    at most EVIDENCE_MAX pairs; headers as RLP

Peers that do not know it (geth) do not list it in Hello and hear nothing of it; its name sorts behind eth, so
that nothing moves there. What a pair proves is for others to judge.
"""

from collections.abc import Sequence
from typing import Final

from node.primitives import rlp
from node.primitives.block import Header, header_fields, header_from_item
from p2p.devp2p.hello import CapabilitySpec
from p2p.errors import MalformedMessage

EVIDENCE: Final = CapabilitySpec("evidence", 1, 1)
EVIDENCE_CODE: Final = 0x00
EVIDENCE_MAX: Final = 16
"""Pairs in one message."""
EVIDENCE_BYTES_MAX: Final = 256 * 1024
"""A message of checkpoint headers that list two hundred signers each."""


def encode_evidence(pairs: Sequence[tuple[Header, Header]]) -> bytes:
    """The payload of EVIDENCE_CODE."""
    assert len(pairs) <= EVIDENCE_MAX
    return rlp.encode([[header_fields(one), header_fields(other)] for one, other in pairs])


def decode_evidence(code: int, payload: bytes) -> tuple[tuple[Header, Header], ...]:
    """Inverse of encode_evidence; MalformedMessage or another ChainError for anything else."""
    if code != EVIDENCE_CODE:
        raise MalformedMessage(f"evidence/1 has no message {code:#04x}")
    if len(payload) > EVIDENCE_BYTES_MAX:
        raise MalformedMessage(f"evidence of {len(payload)} bytes; at most {EVIDENCE_BYTES_MAX}")
    items = rlp.as_list(rlp.decode(payload))
    if len(items) > EVIDENCE_MAX:
        raise MalformedMessage(f"{len(items)} pieces of evidence; at most {EVIDENCE_MAX}")
    pairs = [rlp.as_list(item, 2) for item in items]
    return tuple((header_from_item(one), header_from_item(other)) for one, other in pairs)
