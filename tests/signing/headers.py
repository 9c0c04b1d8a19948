"""Headers to be signed, and requests for it."""

from dataclasses import replace

from consensus.clique.extra_data import seal_hash
from node.primitives.block import EMPTY_OMMERS_HASH, Header
from node.primitives.ids import ZERO_ADDRESS, ZERO_HASH
from node.primitives.receipt import EMPTY_BLOOM
from node.signing.signer import SigningRequest


def header_at(number: int) -> Header:
    """Some header with this number."""
    return Header(
        parent_hash=ZERO_HASH,
        ommers_hash=EMPTY_OMMERS_HASH,
        beneficiary=ZERO_ADDRESS,
        state_root=ZERO_HASH,
        transactions_root=ZERO_HASH,
        receipts_root=ZERO_HASH,
        logs_bloom=EMPTY_BLOOM,
        difficulty=2,
        number=number,
        gas_limit=30_000_000,
        gas_used=0,
        timestamp=1_700_000_000 + number,
        extra_data=bytes(97),
        mix_hash=ZERO_HASH,
        nonce=bytes(8),
        base_fee_per_gas=0,
    )


def request(number: int, *, extra: bytes = bytes(97), weight: int | None = None) -> SigningRequest:
    """For a header with this number, and this extra data."""
    header = replace(header_at(number), extra_data=extra)
    return SigningRequest(
        kind="clique-header",
        chain_id=1337,
        height=number,
        digest=seal_hash(header),
        header=header,
        weight=weight,
    )
