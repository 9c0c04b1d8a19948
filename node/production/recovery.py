"""What a validator must know again after a restart: the operator's proposals, and what it signed last."""

from consensus.events import LastSigned
from node.primitives.block import decode_block
from node.primitives.errors import ChainError, StorageError
from node.primitives.ids import Address
from node.signing.guard_rows import SignRecord
from node.storage.kv import Batch, KeyValue, Reader
from node.storage.locks import put_proposals, read_proposals


def standing_proposals(kv: Reader) -> tuple[tuple[Address, bool], ...]:
    """(validator, admit or drop) as persisted last; for the engine's construction."""
    return read_proposals(kv)


def persist_proposals(kv: KeyValue, proposals: tuple[tuple[Address, bool], ...]) -> None:
    """Replace the standing proposals; on return they have reached the disk."""
    batch = Batch()
    put_proposals(batch, proposals)
    kv.write(batch, sync=True)


def last_signed(record: SignRecord | None) -> LastSigned | None:
    """The guard's last record as the engine wants it; None when nothing was signed, or without its block.

    The engine finishes the block if the chain has not gone on without it: it was signed, perhaps sent, and no
    other may be signed at its height.
    """
    if record is None or not record.attachment:
        return None
    try:
        block = decode_block(record.attachment)
    except ChainError as error:
        raise StorageError(f"the block that was signed last cannot be read back: {error}") from error
    return LastSigned(block, record.signature)
