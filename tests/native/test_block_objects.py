"""Objects that kernels make of a block, and read: as in Python, but left out of garbage collections."""

import gc
import random
from dataclasses import replace
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node import native
from node.primitives import rlp
from node.primitives.errors import ChainError
from node.primitives.receipt import (
    BLOOM_BYTES,
    Log,
    Receipt,
    encode_receipts,
    encode_receipts_in_python,
    made_receipt,
    merge_blooms,
    merge_blooms_in_python,
)
from node.primitives.transaction import (
    MalformedTransaction,
    Transaction,
    TransactionType,
    decode_transaction,
    decode_transactions,
    decode_transactions_in_python,
    encode_transactions,
)
from tests.native.test_block_kernels import draw_transaction, outcome

built = pytest.mark.skipif(native.kernels is None, reason=f"kernels: {native.in_words()}")
KERNELS = native.kernels
LEGACY = rlp.encode([0, 1, 21000, bytes(20), 1, b"", 27, 1, 1])
TYPED = b"\x01" + rlp.encode([1, 0, 1, 21000, bytes(20), 1, b"", [[bytes(20), [bytes(32)]]], 0, 1, 1])


# --- transactions of a list


def valid(draw, count):
    """Encoded transactions, neighbours often with the same fields."""
    found = []
    while len(found) < count:
        encoded = draw_transaction(draw)
        if isinstance(outcome(decode_transaction, encoded), Transaction):
            found += [encoded] * draw.choice([1, 1, 2])
    return found


@pytest.mark.parametrize("seed", range(4))
def test_a_list_is_decoded_as_its_items_are_one_by_one(seed):
    draw = random.Random(seed)
    for count in (0, 1, 2, 5, 40):
        encodings = valid(draw, count)
        decoded = decode_transactions(rlp.encode_envelopes(encodings), len(encodings))
        assert decoded == tuple(map(decode_transaction, encodings))
        assert [tx.encoded for tx in decoded] == encodings
        assert not any(tx.has_sender for tx in decoded)
        assert encode_transactions(decoded) == rlp.encode_envelopes(encodings)


@built
@pytest.mark.parametrize("seed", range(4))
def test_lists_that_are_none_are_refused_in_the_same_words(seed):
    draw = random.Random(seed)
    for _ in range(100):
        encodings = [*valid(draw, draw.randrange(3)), draw_transaction(draw)]
        encoded = bytearray(rlp.encode_envelopes(encodings))
        for _ in range(draw.randrange(3)):
            encoded[draw.randrange(len(encoded))] = draw.randrange(256)
        data, most = bytes(encoded), draw.choice([1, len(encodings), 100])
        assert outcome(decode_transactions, data, most) == outcome(decode_transactions_in_python, data, most)


@pytest.mark.parametrize("decode", [decode_transactions, decode_transactions_in_python])
def test_a_transaction_stands_in_a_list_in_one_way_only(decode):
    assert [tx.type for tx in decode(rlp.encode_envelopes([LEGACY, TYPED]), 2)] == [0, 1]
    with pytest.raises(MalformedTransaction, match="inside a string"):
        decode(rlp.encode([LEGACY]), 1)
    for item in (b"\x01", b"\x80", b"\xc0"):
        with pytest.raises(ChainError):
            decode(rlp.encode_list([item]), 1)


# --- receipts

TOPICS = st.lists(st.binary(min_size=32, max_size=32), max_size=4).map(tuple)
LOGS = st.lists(
    st.builds(Log, st.binary(min_size=20, max_size=20), TOPICS, st.binary(max_size=70)), max_size=3
)
RECEIPTS = st.builds(
    made_receipt,
    st.sampled_from(TransactionType),
    st.one_of(st.integers(0, 1), st.binary(min_size=32, max_size=32)),
    st.integers(0, 2**64 - 1),
    st.binary(min_size=BLOOM_BYTES, max_size=BLOOM_BYTES),
    LOGS.map(tuple),
)


@given(st.lists(RECEIPTS, max_size=4))
def test_receipts_are_encoded_alike_and_once(receipts):
    others = [replace(receipt) for receipt in receipts]
    assert encode_receipts(receipts) == encode_receipts_in_python(others)
    first, again = encode_receipts(receipts), encode_receipts(receipts)
    assert all(a is b for a, b in zip(first, again, strict=True))


@built
def test_what_is_no_receipt_is_not_read():
    with pytest.raises(TypeError, match="receipts are expected"):
        encode_receipts([b""])
    for wrong in ((Receipt, ("type",)), (Log, ("a",) * 6), (Receipt, ("nobody",) * 6), (1, ("a",) * 6)):
        with pytest.raises(TypeError):
            KERNELS.bind_receipt(*wrong)
    assert encode_receipts([made_receipt(TransactionType.LEGACY, 1, 1, bytes(256), ())])


@given(st.lists(st.binary(max_size=60), max_size=5))
def test_lists_of_envelopes(envelopes):
    assert rlp.encode_envelopes(iter(envelopes)) == rlp.encode_envelopes_in_python(envelopes)


@given(st.lists(st.binary(min_size=BLOOM_BYTES, max_size=BLOOM_BYTES), max_size=4))
def test_blooms_are_merged(blooms):
    assert merge_blooms(iter(blooms)) == merge_blooms_in_python(blooms)


@built
def test_blooms_of_another_size_are_not_merged():
    with pytest.raises(ValueError, match="256"):
        merge_blooms([bytes(255)])


# --- garbage collection


class Pair(NamedTuple):
    """Of anything."""

    first: object
    second: object


@built
def test_what_blocks_leave_in_memory_is_not_gone_through_by_the_garbage_collector():
    transactions = decode_transactions(rlp.encode_envelopes([LEGACY, TYPED]), 2)
    log = native.maker(Log)(bytes(20), (bytes(32),), b"")
    receipt = made_receipt(TransactionType.LEGACY, 1, 1, bytes(256), (log,))
    kept = [transactions, *transactions, decode_transaction(TYPED), log, receipt, receipt.logs]
    assert [each for each in kept if gc.is_tracked(each)] == []


@built
def test_what_may_lead_back_is_told_to_the_garbage_collector():
    some, make = [], native.maker(Pair)
    for items in ((some, 1), (1, (some,)), ({}, 1), (1, Pair(1, some))):
        assert gc.is_tracked(make(*items))
    assert not gc.is_tracked(make(1, (b"", ((), None))))
