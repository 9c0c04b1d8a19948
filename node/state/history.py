"""Before-images: what a block leaves behind so that the state before it can be read and brought back."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

from node.primitives import rlp
from node.primitives.block import BlockRef
from node.primitives.errors import StorageError
from node.primitives.ids import Address, BlockNumber, Hash32
from node.state.before_images import (
    BLOCKS_MAX,
    add_images_after,
    decode_image,
    join_images,
    put_images,
    split_images,
    undo,
)
from node.state.commit import PreparedState
from node.storage import schema
from node.storage.kv import Batch, Reader, Snapshot

SWEEP_ROWS_MAX: Final = 20_000
"""Rows of dead storage that one batch deletes; the rest waits for the next."""

_NO_KEYS: Final = rlp.encode([])
"""Of a block whose before-images are kept under a later one that was written with it."""
_LAST_NUMBER: Final = b"\xff" * schema.NUMBER_BYTES


def row_after(kv: Snapshot, key: bytes, number: BlockNumber) -> bytes | None:
    """A state row as it was after block `number`: before the first change since, or as it is now."""
    prefix = schema.history_prefix(key)
    start = prefix + schema.number_bytes(number + 1)
    images: list[bytes] = []
    told = kv.visit(start, prefix + _LAST_NUMBER, partial(add_images_after, images, number))
    return undo(images, None if told else kv.get(key))


def put_states(batch: Batch, states: Sequence[tuple[BlockRef, PreparedState]]) -> None:
    """Bring the flat rows and trie nodes forward over blocks, each the next one's parent, and leave their
    before-images: one row for each key and all of them, up to BLOCKS_MAX."""
    for first in range(0, len(states), BLOCKS_MAX):
        _put_run(batch, states[first : first + BLOCKS_MAX])


def _put_run(batch: Batch, states: Sequence[tuple[BlockRef, PreparedState]]) -> None:
    keys = put_images(batch, tuple((ref.number, state.rows, state.before) for ref, state in states))
    for ref, state in states:
        batch.rows.update(state.codes)
        batch.put(schema.state_keys_key(ref.number), _NO_KEYS)
        for address, birth in state.dead:
            batch.put(schema.dead_storage_prefix(ref.number) + address + schema.number_bytes(birth), b"")
        put_state_block(batch, ref, state.root)
    batch.put(schema.state_keys_key(states[-1][0].number), rlp.encode(keys))


def put_state_block(batch: Batch, ref: BlockRef, root: Hash32) -> None:
    """The kept state at this number is this block's."""
    batch.put(schema.state_block_key(ref.number), ref.hash + root)


def read_state_block(kv: Reader, number: BlockNumber) -> tuple[Hash32, Hash32] | None:
    """(block hash, state root) of the state kept at a number."""
    row = kv.get(schema.state_block_key(number))
    return None if row is None else (Hash32(row[:32]), Hash32(row[32:]))


def take_back(
    kv: Reader, batch: Batch, rows: dict[bytes, bytes | None], number: BlockNumber, target: BlockNumber
) -> None:
    """Take back what is kept under block `number`, for a state that goes back to block `target`.

    `rows` gets all that it and blocks before it changed since the target, as it was before. What tells of
    the target and blocks before it is from now on kept under the target.
    """
    suffix, kept_keys = schema.number_bytes(number), []
    for key in changed_keys(kv, number):
        place = schema.history_prefix(key)
        joined = kv.get(place + suffix)
        if joined is None:
            raise StorageError(f"block {number} left no before-image of the state row {key.hex()}")
        images = list(split_images(joined, number))
        kept = [each for each in images if each[0] <= target]
        for _, image in reversed(images[len(kept) :]):
            rows[key] = decode_image(image, rows[key] if key in rows else kv.get(key))
        batch.delete(place + suffix)
        if kept:
            kept_keys.append(key)
            batch.put(place + schema.number_bytes(target), join_images(kept, target))
    for key, _ in kv.iterate(schema.dead_storage_prefix(number), schema.dead_storage_prefix(number + 1)):
        batch.delete(key)
    batch.delete(schema.state_keys_key(number))
    batch.delete(schema.state_block_key(number))
    if kept_keys:
        batch.put(schema.state_keys_key(target), rlp.encode(kept_keys))


def forget(kv: Reader, batch: Batch, number: BlockNumber) -> None:
    """Delete the before-images under block `number`: the states before it can no longer be read."""
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
    """The state keys that have before-images under block `number`. StorageError when its list is missing."""
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
