"""Before-images: what a block leaves behind so that the state before it can be read and brought back."""

from collections.abc import Iterator
from typing import Final

from node.primitives import rlp
from node.primitives.block import BlockRef
from node.primitives.errors import StorageError
from node.primitives.ids import Address, BlockNumber, Hash32
from node.state.before_images import decode_image, put_images, tells_row, undo
from node.state.commit import PreparedState
from node.storage import schema
from node.storage.kv import Batch, Reader, Snapshot

SWEEP_ROWS_MAX: Final = 20_000
"""Rows of dead storage that one batch deletes; the rest waits for the next."""

_LAST_NUMBER: Final = b"\xff" * schema.NUMBER_BYTES


def row_after(kv: Snapshot, key: bytes, number: BlockNumber) -> bytes | None:
    """A state row as it was after block `number`: before the first change since, or as it is now."""
    prefix = schema.history_prefix(key)
    start = prefix + schema.number_bytes(number + 1)
    images = kv.values_until(start, prefix + _LAST_NUMBER, tells_row)
    return undo(images, None if images and tells_row(images[-1]) else kv.get(key))


def put_state(batch: Batch, ref: BlockRef, state: PreparedState) -> None:
    """Bring the flat rows and trie nodes forward over one block, and leave its before-images."""
    batch.rows.update(state.rows)
    batch.rows.update(state.codes)
    put_images(batch, state.rows, state.before, ref.number)
    batch.put(schema.state_keys_key(ref.number), rlp.encode(list(state.before)))
    for address, birth in state.dead:
        batch.put(schema.dead_storage_prefix(ref.number) + address + schema.number_bytes(birth), b"")
    put_state_block(batch, ref, state.root)


def put_state_block(batch: Batch, ref: BlockRef, root: Hash32) -> None:
    """The kept state at this number is this block's."""
    batch.put(schema.state_block_key(ref.number), ref.hash + root)


def read_state_block(kv: Reader, number: BlockNumber) -> tuple[Hash32, Hash32] | None:
    """(block hash, state root) of the state kept at a number."""
    row = kv.get(schema.state_block_key(number))
    return None if row is None else (Hash32(row[:32]), Hash32(row[32:]))


def take_back(kv: Reader, batch: Batch, rows: dict[bytes, bytes | None], number: BlockNumber) -> None:
    """Add to `rows` all that block `number` changed, as it was before, and delete what the block left."""
    suffix = schema.number_bytes(number)
    for key in changed_keys(kv, number):
        history_key = schema.history_prefix(key) + suffix
        image = kv.get(history_key)
        if image is None:
            raise StorageError(f"block {number} left no before-image of the state row {key.hex()}")
        rows[key] = decode_image(image, rows[key] if key in rows else kv.get(key))
        batch.delete(history_key)
    for key, _ in kv.iterate(schema.dead_storage_prefix(number), schema.dead_storage_prefix(number + 1)):
        batch.delete(key)
    batch.delete(schema.state_keys_key(number))
    batch.delete(schema.state_block_key(number))


def forget(kv: Reader, batch: Batch, number: BlockNumber) -> None:
    """Delete the before-images of block `number`: its parent's state can no longer be read."""
    suffix = schema.number_bytes(number)
    for key in changed_keys(kv, number):
        batch.delete(schema.history_prefix(key) + suffix)
    batch.delete(schema.state_keys_key(number))
    batch.delete(schema.state_block_key(number - 1))


def sweep(kv: Reader, batch: Batch, oldest: BlockNumber) -> None:
    """Delete rows of storage that died in block `oldest` or before, SWEEP_ROWS_MAX at most."""
    left = SWEEP_ROWS_MAX
    for marker, _ in kv.iterate(schema.dead_storage_prefix(0), schema.dead_storage_prefix(oldest + 1)):
        for key in _rows_of_dead(kv, marker):
            if left == 0:
                return
            batch.delete(key)
            left -= 1
        batch.delete(marker)


def changed_keys(kv: Reader, number: BlockNumber) -> list[bytes]:
    """The state keys that block `number` changed. StorageError when its list is missing."""
    row = kv.get(schema.state_keys_key(number))
    if row is None:
        raise StorageError(f"block {number} left no list of the state rows it changed")
    return [rlp.as_bytes(item) for item in rlp.as_list(rlp.decode(row))]


def _rows_of_dead(kv: Reader, marker: bytes) -> Iterator[bytes]:
    place = marker[1 + schema.NUMBER_BYTES :]
    address, birth = Address(place[:20]), int.from_bytes(place[20:], "big")
    for prefix in (schema.slot_prefix(address, birth), schema.storage_node_prefix(address, birth)):
        stop = prefix[: -schema.NUMBER_BYTES] + schema.number_bytes(birth + 1)
        for key, _ in kv.iterate(prefix, stop):
            yield key
