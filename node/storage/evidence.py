"""Proofs of equivocation at rest: two sealed headers of one signer at one height, and when they were seen."""

from collections.abc import Iterator
from dataclasses import dataclass

from node.primitives import rlp
from node.primitives.block import Header, decode_header, encode_header
from node.primitives.errors import ChainError, StorageError
from node.primitives.ids import Address, BlockNumber
from node.storage.kv import Batch, Reader, prefix_stop
from node.storage.schema import EVIDENCE_PREFIX, NUMBER_BYTES, evidence_key


@dataclass(frozen=True, slots=True)
class StoredEvidence:
    """One row."""

    signer: Address
    number: BlockNumber
    first: Header
    second: Header
    seen_s: int
    """Unix time at which this node learnt of it."""


def put_evidence(batch: Batch, evidence: StoredEvidence) -> None:
    """Write the row; there is one per signer and height."""
    pair = [encode_header(evidence.first), encode_header(evidence.second)]
    batch.put(evidence_key(evidence.signer, evidence.number), rlp.encode([*pair, evidence.seen_s]))


def has_evidence(kv: Reader, signer: Address, number: BlockNumber) -> bool:
    """Whether something is known against a signer at a height."""
    return kv.get(evidence_key(signer, number)) is not None


def read_evidence(kv: Reader) -> Iterator[StoredEvidence]:
    """All rows, by signer and height; StorageError for a damaged one."""
    for key, row in kv.iterate(EVIDENCE_PREFIX, prefix_stop(EVIDENCE_PREFIX)):
        try:
            first, second, seen_s = rlp.as_list(rlp.decode(row), 3)
            yield StoredEvidence(
                Address(key[1:21]),
                int.from_bytes(key[21 : 21 + NUMBER_BYTES], "big"),
                decode_header(rlp.as_bytes(first)),
                decode_header(rlp.as_bytes(second)),
                rlp.as_uint(seen_s, 64),
            )
        except ChainError as error:
            raise StorageError(f"a row of evidence cannot be read back: {error}") from error
