"""What an engine wants signed, as the guarded signer must be asked for it."""

from consensus.effects import Sign
from node.chain.reader import ChainReader
from node.primitives.block import encode_block
from node.signing.signer import SigningRequest


def signing_request(effect: Sign, reader: ChainReader) -> SigningRequest:
    """The request for one `Sign` effect; its block stands on one that `reader` has."""
    parent_weight = reader.total_difficulty(effect.header.parent_hash)
    assert parent_weight is not None, "a block is built on a block that is here"
    return SigningRequest(
        kind=effect.kind,
        chain_id=reader.spec.chain_id,
        height=effect.height,
        weight=parent_weight + effect.header.difficulty,
        round_number=effect.round_number,
        digest=effect.digest,
        header=effect.header,
        attachment=b"" if effect.block is None else encode_block(effect.block),
    )
