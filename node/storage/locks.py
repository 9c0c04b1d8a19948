"""What consensus must find again after a restart: engine states by block, and the operator's proposals.

The rows of the signing guard (`g`) are node.signing.guard's own, which alone knows what they mean.
"""

from collections.abc import Sequence

from node.primitives import rlp
from node.primitives.errors import StorageError
from node.primitives.ids import Address, Hash32
from node.storage import schema
from node.storage.kv import Batch, Reader


def put_engine_state(batch: Batch, block_hash: Hash32, encoded: bytes) -> None:
    """What the engine knows after a block, as its SealRules encode it."""
    batch.put(schema.engine_state_key(block_hash), encoded)


def read_engine_state(kv: Reader, block_hash: Hash32) -> bytes | None:
    """What the engine knows after a block; None where it was not written."""
    return kv.get(schema.engine_state_key(block_hash))


def put_proposals(batch: Batch, proposals: Sequence[tuple[Address, bool]]) -> None:
    """All standing proposals: (validator, whether to authorise it). Replaces what was there."""
    batch.put(schema.PROPOSALS_KEY, rlp.encode([[address, int(vote)] for address, vote in proposals]))


def read_proposals(kv: Reader) -> tuple[tuple[Address, bool], ...]:
    """All standing proposals, in the order they were written; StorageError for a damaged row."""
    row = kv.get(schema.PROPOSALS_KEY)
    if row is None:
        return ()
    try:
        return tuple(map(_proposal, rlp.as_list(rlp.decode(row))))
    except rlp.RlpError as error:
        raise StorageError(f"the row of standing proposals cannot be read back: {error}") from error


def _proposal(item: rlp.Item) -> tuple[Address, bool]:
    address, vote = rlp.as_list(item, 2)
    return Address(rlp.as_bytes(address, 20)), bool(rlp.as_uint(vote, 8))
