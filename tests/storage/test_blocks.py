"""Blocks and what is canonical, as rows."""

import pytest

from node.primitives import rlp
from node.primitives.block import EMPTY_OMMERS_HASH, Block, BlockRef, Body, Header
from node.primitives.crypto import keccak256
from node.primitives.errors import StorageError
from node.primitives.ids import ZERO_ADDRESS, ZERO_HASH, Hash32
from node.primitives.receipt import EMPTY_BLOOM, Log, Receipt, logs_bloom
from node.primitives.transaction import TransactionType, decode_transaction
from node.storage import blocks, schema
from node.storage.kv import Batch
from node.storage.memory import MemoryKV

LOG = Log(ZERO_ADDRESS, (Hash32(b"\x01" * 32),), b"data")


def transaction(nonce):
    return decode_transaction(rlp.encode([nonce, 1, 21000, ZERO_ADDRESS, 5, b"", 37, 1, 1]))


def block(number, *nonces, extra=b""):
    header = Header(
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
        timestamp=1,
        extra_data=extra,
        mix_hash=ZERO_HASH,
        nonce=bytes(8),
        base_fee_per_gas=7,
    )
    return Block(header, Body(tuple(map(transaction, nonces))))


RECEIPTS = (
    Receipt(TransactionType.LEGACY, 1, 21000, EMPTY_BLOOM, ()),
    Receipt(TransactionType.FEE_MARKET, 0, 50000, logs_bloom([LOG]), (LOG,)),
)


def stored(*deeds):
    kv, batch = MemoryKV(), Batch()
    for deed in deeds:
        deed(batch)
    kv.write(batch, sync=True)
    return kv


def test_a_block_is_read_back_with_all_that_belongs_to_it():
    b = block(3, 0, 1)
    kv = stored(lambda batch: blocks.put_block(batch, b, RECEIPTS, 1 << 70))
    assert blocks.read_number(kv, b.hash) == 3
    assert blocks.read_header(kv, b.hash) == b.header
    assert blocks.read_body(kv, b.hash) == b.body
    assert blocks.read_block(kv, b.hash) == b
    assert blocks.read_receipts(kv, b.hash) == RECEIPTS
    assert blocks.read_total_difficulty(kv, b.hash) == 1 << 70


def test_what_is_not_there_is_none():
    kv = MemoryKV()
    absent = keccak256(b"absent")
    reads = (
        blocks.read_number, blocks.read_header, blocks.read_body, blocks.read_block,
        blocks.read_receipts, blocks.read_total_difficulty, blocks.read_transaction_location,
    )  # fmt: skip
    assert [read(kv, absent) for read in reads] == [None] * len(reads)
    assert (blocks.read_canonical_hash(kv, 5), blocks.read_head(kv), blocks.read_genesis_hash(kv)) == (
        None,
        None,
        None,
    )


def test_a_deleted_block_leaves_nothing():
    b = block(3, 0)
    kv = stored(
        lambda batch: blocks.put_block(batch, b, (), 1), lambda batch: blocks.delete_block(batch, b.ref)
    )
    assert list(kv.iterate(b"", None)) == []


def test_transactions_are_found_in_the_canonical_chain_only():
    old, new = block(3, 0, 1), block(3, 1, 2, extra=b"other")
    kv = stored(lambda batch: blocks.put_canonical(batch, old))
    assert blocks.read_transaction_location(kv, transaction(1).hash) == blocks.TransactionLocation(
        old.hash, 3, 1
    )
    batch = Batch()
    blocks.delete_canonical(batch, old)
    blocks.put_canonical(batch, new)
    kv.write(batch, sync=True)
    assert blocks.read_canonical_hash(kv, 3) == new.hash
    assert blocks.read_transaction_location(kv, transaction(0).hash) is None
    assert blocks.read_transaction_location(kv, transaction(1).hash) == blocks.TransactionLocation(
        new.hash, 3, 0
    )


def test_head_and_genesis_are_remembered():
    ref = BlockRef(7, keccak256(b"head"))
    kv = stored(
        lambda batch: blocks.put_head(batch, ref), lambda batch: blocks.put_genesis_hash(batch, ref.hash)
    )
    assert (blocks.read_head(kv), blocks.read_genesis_hash(kv)) == (ref, ref.hash)


@pytest.mark.parametrize("key_of", [schema.header_key, schema.body_key, schema.receipts_key])
def test_a_row_that_cannot_be_read_back_is_named(key_of):
    b = block(3, 0)
    kv = stored(
        lambda batch: blocks.put_block(batch, b, (), 1),
        lambda batch: batch.put(key_of(3, b.hash), b"\x05garbage"),
    )
    reads = {schema.header_key: blocks.read_header, schema.body_key: blocks.read_body}
    with pytest.raises(StorageError, match=f"block #3 0x{b.hash.hex()}"):
        reads.get(key_of, blocks.read_receipts)(kv, b.hash)


def test_a_header_row_with_another_header_is_refused():
    b, other = block(3), block(3, extra=b"other")
    row = stored(lambda batch: blocks.put_block(batch, other, (), 1)).get(schema.header_key(3, other.hash))
    kv = stored(
        lambda batch: blocks.put_block(batch, b, (), 1),
        lambda batch: batch.put(schema.header_key(3, b.hash), row),
    )
    with pytest.raises(StorageError, match="another header"):
        blocks.read_header(kv, b.hash)
