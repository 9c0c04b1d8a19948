"""Headers, bodies, receipts, total difficulties, and what is canonical: typed rows over any Reader or Batch.

Blocks of all branches lie side by side; only the canonical rows (number -> hash, transaction -> place) change
when the chain reorganises. `None` means "not there"; a row that cannot be read back is a StorageError.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import cramjam

from node.primitives import rlp
from node.primitives.block import (
    Block,
    BlockRef,
    Body,
    Header,
    decode_body,
    decode_header,
    encode_body,
    encode_header,
)
from node.primitives.errors import ChainError, StorageError
from node.primitives.ids import BlockNumber, Hash32
from node.primitives.receipt import Receipt, decode_receipt_item, encode_receipt_list
from node.storage import schema
from node.storage.kv import Batch, Reader, prefix_stop

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class TransactionLocation:
    """Where a transaction stands in the canonical chain."""

    block_hash: Hash32
    number: BlockNumber
    index: int
    """From 0, in the order of the body."""


# --- blocks of all branches


def put_block(batch: Batch, block: Block, receipts: Sequence[Receipt] | None, total_difficulty: int) -> None:
    """Everything about a block but whether it is canonical; receipts None: it has not been executed."""
    number, block_hash = block.ref
    batch.put(schema.block_number_key(block_hash), schema.number_bytes(number))
    batch.put(schema.header_key(number, block_hash), encode_header(block.header))
    batch.put(schema.body_key(number, block_hash), _packed(encode_body(block.body)))
    batch.put(schema.total_difficulty_key(number, block_hash), _uint_bytes(total_difficulty))
    if receipts is not None:
        put_receipts(batch, block.ref, receipts)


def put_receipts(batch: Batch, ref: BlockRef, receipts: Sequence[Receipt]) -> None:
    """What a block caused, once it has been executed."""
    batch.put(schema.receipts_key(ref.number, ref.hash), _packed(encode_receipt_list(receipts)))


def delete_block(batch: Batch, ref: BlockRef) -> None:
    """Forget a block that is not canonical."""
    number, block_hash = ref
    for key in (
        schema.block_number_key(block_hash),
        schema.header_key(number, block_hash),
        schema.body_key(number, block_hash),
        schema.receipts_key(number, block_hash),
        schema.total_difficulty_key(number, block_hash),
    ):
        batch.delete(key)


def read_refs(kv: Reader, first: BlockNumber) -> Iterator[BlockRef]:
    """All blocks of all branches with this number or a higher one, ascending by number."""
    for key, _ in kv.iterate(b"h" + schema.number_bytes(first), prefix_stop(b"h")):
        number = int.from_bytes(key[1 : 1 + schema.NUMBER_BYTES], "big")
        yield BlockRef(number, Hash32(key[1 + schema.NUMBER_BYTES :]))


def read_number(kv: Reader, block_hash: Hash32) -> BlockNumber | None:
    """The number of a block by its hash."""
    row = kv.get(schema.block_number_key(block_hash))
    return None if row is None else int.from_bytes(row, "big")


def read_header(kv: Reader, block_hash: Hash32) -> Header | None:
    """A header by its hash."""
    header = _read(kv, block_hash, schema.header_key, decode_header)
    if header is not None and header.hash != block_hash:
        raise StorageError(f"the header row of block 0x{block_hash.hex()} holds another header")
    return header


def read_body(kv: Reader, block_hash: Hash32) -> Body | None:
    """A block's transactions and ommers."""
    return _read(kv, block_hash, schema.body_key, lambda row: decode_body(_unpacked(row)))


def read_block(kv: Reader, block_hash: Hash32) -> Block | None:
    """Header and body together."""
    header = read_header(kv, block_hash)
    body = None if header is None else read_body(kv, block_hash)
    return None if header is None or body is None else Block(header, body)


def read_receipts(kv: Reader, block_hash: Hash32) -> tuple[Receipt, ...] | None:
    """A block's receipts in the order of its transactions."""
    return _read(kv, block_hash, schema.receipts_key, _decode_receipts)


def read_total_difficulty(kv: Reader, block_hash: Hash32) -> int | None:
    """Difficulty of the block and all its ancestors."""
    return _read(kv, block_hash, schema.total_difficulty_key, _uint_of)


# --- the canonical chain


def put_canonical(batch: Batch, block: Block) -> None:
    """The block is the canonical one at its number, and its transactions are found there."""
    number, block_hash = block.ref
    batch.put(schema.canonical_key(number), block_hash)
    prefix, place = schema.TRANSACTION_PREFIX, schema.number_bytes(number)
    batch.rows.update(
        {prefix + tx.hash: place + index.to_bytes(4, "big") for index, tx in enumerate(block.transactions)}
    )


def delete_canonical(batch: Batch, block: Block) -> None:
    """The block is canonical no more. In a reorganisation: delete all that leave, then put all that enter."""
    batch.delete(schema.canonical_key(block.number))
    for tx in block.transactions:
        batch.delete(schema.transaction_key(tx.hash))


def read_canonical_hash(kv: Reader, number: BlockNumber) -> Hash32 | None:
    """Hash of the canonical block at a number."""
    row = kv.get(schema.canonical_key(number))
    return None if row is None else Hash32(row)


def read_transaction_location(kv: Reader, transaction_hash: Hash32) -> TransactionLocation | None:
    """Where the canonical chain holds a transaction."""
    row = kv.get(schema.transaction_key(transaction_hash))
    if row is None:
        return None
    number = int.from_bytes(row[: schema.NUMBER_BYTES], "big")
    block_hash = read_canonical_hash(kv, number)
    if block_hash is None:
        raise StorageError(f"transaction 0x{transaction_hash.hex()} stands in block {number}, which is gone")
    return TransactionLocation(block_hash, number, int.from_bytes(row[schema.NUMBER_BYTES :], "big"))


# --- single rows


def put_head(batch: Batch, ref: BlockRef) -> None:
    """The canonical chain ends here."""
    batch.put(schema.HEAD_KEY, encode_ref(ref))


def read_head(kv: Reader) -> BlockRef | None:
    """Last block of the canonical chain; None in a database without a genesis."""
    row = kv.get(schema.HEAD_KEY)
    return None if row is None else decode_ref(row)


def put_genesis_hash(batch: Batch, block_hash: Hash32) -> None:
    """The chain that this database belongs to."""
    batch.put(schema.GENESIS_KEY, block_hash)


def put_rules(batch: Batch, rules: bytes) -> None:
    """The rules that the blocks here were made and checked by, as node.chain.genesis encodes them."""
    batch.put(schema.RULES_KEY, rules)


def read_rules(kv: Reader) -> bytes | None:
    """The rules that the blocks here were made and checked by; None in a new database."""
    return kv.get(schema.RULES_KEY)


def read_genesis_hash(kv: Reader) -> Hash32 | None:
    """The chain that this database belongs to; None in a new database."""
    row = kv.get(schema.GENESIS_KEY)
    return None if row is None else Hash32(row)


def encode_ref(ref: BlockRef) -> bytes:
    """number8 hash32, as single rows hold a reference to a block."""
    return schema.number_bytes(ref.number) + ref.hash


def decode_ref(row: bytes) -> BlockRef:
    """Inverse of encode_ref; StorageError for any other length."""
    if len(row) != schema.NUMBER_BYTES + 32:
        raise StorageError(f"a row of {len(row)} bytes where a block number and a hash are expected")
    return BlockRef(int.from_bytes(row[: schema.NUMBER_BYTES], "big"), Hash32(row[schema.NUMBER_BYTES :]))


# --- rows and their encodings


def _read(
    kv: Reader,
    block_hash: Hash32,
    key_of: Callable[[BlockNumber, Hash32], bytes],
    decode: Callable[[bytes], Value],
) -> Value | None:
    number = read_number(kv, block_hash)
    if number is None:
        return None
    key = key_of(number, block_hash)
    row = kv.get(key)
    if row is None:
        return None
    try:
        return decode(row)
    except (ChainError, cramjam.DecompressionError) as error:
        raise StorageError(
            f"row {key[:1].decode()!r} of block #{number} 0x{block_hash.hex()} cannot be read back: {error}"
        ) from error


def _decode_receipts(row: bytes) -> tuple[Receipt, ...]:
    return tuple(map(decode_receipt_item, rlp.split_list(_unpacked(row))))


def _packed(value: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(value))


def _unpacked(row: bytes) -> bytes:
    return bytes(cramjam.snappy.decompress_raw(row))


def _uint_bytes(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) >> 3, "big")


def _uint_of(row: bytes) -> int:
    return int.from_bytes(row, "big")
