"""Kernels for whole blocks give what their Python forms give: transactions, blooms, lists, before-images."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node import native
from node.execution.evm.current import differing_in_python
from node.primitives import rlp, transaction
from node.primitives.crypto import SECP256K1_HALF_N, SECP256K1_N, PrivateKey, keccak256
from node.primitives.errors import ChainError
from node.primitives.receipt import Log, logs_bloom, logs_bloom_in_python, merge_blooms_in_python
from node.primitives.transaction import (
    decode_transaction,
    decode_transaction_in_python,
    recover_senders,
    signing_hash,
)
from node.state import before_images
from node.state.store import _layered_row_in_python
from node.trie.nodes import encode_branch
from node.trie.rows import update_rows, update_rows_in_python
from node.trie.tree import BrokenTrie

built = pytest.mark.skipif(native.kernels is None, reason=f"kernels: {native.in_words()}")
KERNELS = native.kernels


# --- transactions


def outcome(function, *arguments):
    """What a function gives, or what it raises."""
    try:
        return function(*arguments)
    except ChainError as error:
        return type(error), str(error)


def draw_fields(draw, kind):
    """The unsigned fields of a transaction, mostly valid."""
    number = lambda bits: draw.choice([0, 1, 127, 128, draw.getrandbits(bits)])  # noqa: E731
    fees = [number(256)] if kind < 2 else [number(256), number(256)]
    to = draw.choice([b"", draw.randbytes(20), draw.randbytes(20), draw.randbytes(19)])
    data = draw.randbytes(draw.choice([0, 1, 55, 56, 68, 300, 600]))
    fields = [number(64), *fees, number(64), to, number(256), data]
    if kind:
        keys = [draw.randbytes(draw.choice([32, 32, 32, 31])) for _ in range(draw.randrange(3))]
        fields = [
            number(draw.choice([8, 64, 200])),
            *fields,
            [[draw.randbytes(20), keys]] * draw.randrange(3),
        ]
    return fields


def draw_transaction(draw):
    """An encoded transaction with a real signature, now and then broken."""
    kind = draw.randrange(3)
    fields = draw_fields(draw, kind)
    chain_id = draw.choice([None, 1, 1337, 2**63]) if kind == 0 else None
    protection = [chain_id, 0, 0] if chain_id is not None else []
    digest = keccak256((bytes((kind,)) if kind else b"") + rlp.encode([*fields, *protection]))
    signature = PrivateKey(b"\x01" * 31 + bytes((draw.randrange(1, 9),))).sign(digest)
    r, s, parity = (
        int.from_bytes(signature[:32], "big"),
        int.from_bytes(signature[32:64], "big"),
        signature[64],
    )
    v = parity if kind else parity + (27 if chain_id is None else 35 + 2 * chain_id)
    if draw.random() < 0.2:
        v = draw.choice([0, 1, 2, 26, 29, 34, 2**256 - 1])
    if draw.random() < 0.2:
        r = draw.choice([0, 1, SECP256K1_N - 1, SECP256K1_N])
    if draw.random() < 0.2:
        s = draw.choice([0, 1, SECP256K1_HALF_N, SECP256K1_HALF_N + 1])
    encoded = (bytes((kind,)) if kind else b"") + rlp.encode([*fields, v, r, s])
    if draw.random() < 0.3:
        place = draw.randrange(len(encoded))
        encoded = encoded[:place] + draw.randbytes(1) + encoded[place + draw.randrange(3) :]
    return encoded


@built
@pytest.mark.parametrize("seed", range(10))
def test_transactions(seed):
    draw = random.Random(seed)
    decoded = []
    for encoded in [b"", b"\x00", *(draw_transaction(draw) for _ in range(100))]:
        found = outcome(decode_transaction, encoded)
        expected = outcome(decode_transaction_in_python, encoded)
        assert found == expected
        if not isinstance(found, tuple):
            assert found.encoded == encoded
            assert not found.has_sender
            decoded.append((found, expected))
    assert decoded
    recover_senders([found for found, _ in decoded])
    for found, alone in decoded:
        sender = outcome(lambda tx: tx.sender, alone)
        assert sender == (found.sender if found.has_sender else outcome(lambda tx: tx.sender, found))


@built
def test_a_batch_is_recovered_although_one_of_it_is_left_to_python(monkeypatch):
    encoded = rlp.encode([0, 1, 21000, bytes(20), 1, b"", 2**70 * 2 + 35, 1, 1])
    tx = decode_transaction(encoded)
    with pytest.raises(ValueError, match="not decoded"):
        KERNELS.recover_senders([encoded])
    recover_senders([tx])
    monkeypatch.setattr(transaction, "recovers_in_c", lambda: False)
    other = decode_transaction(encoded)
    recover_senders([other])
    assert tx.has_sender == other.has_sender
    assert signing_hash(tx) == signing_hash(other)


# --- blooms and lists


@built
@given(
    st.lists(
        st.builds(
            Log,
            st.binary(min_size=20, max_size=20),
            st.lists(st.binary(min_size=32, max_size=32), max_size=4).map(tuple),
            st.binary(max_size=3),
        ),
        max_size=5,
    )
)
def test_blooms(logs):
    assert logs_bloom(logs) == logs_bloom_in_python(logs)


@built
def test_blooms_are_merged_alike():
    chance = random.Random(8)
    blooms = [chance.randbytes(256) for _ in range(5)]
    for count in range(6):
        assert native.kernels.merge_blooms(blooms[:count]) == merge_blooms_in_python(iter(blooms[:count]))
    assert native.kernels.merge_blooms(iter(blooms)) == merge_blooms_in_python(blooms)
    for wrong in ([bytes(255)], [None], None):
        with pytest.raises((TypeError, ValueError)):
            native.kernels.merge_blooms(wrong)


@built
@given(st.one_of(st.lists(st.binary(max_size=70), max_size=6).map(rlp.encode), st.binary(max_size=20)))
def test_lists_are_split(data):
    for count_max in (None, 0, 3):
        assert outcome(rlp.split_list, data, count_max) == outcome(rlp.split_list_in_python, data, count_max)


# --- rows


@built
@pytest.mark.parametrize("seed", range(5))
def test_before_images(seed):
    draw = random.Random(seed)
    branch = lambda: encode_branch([b"\xa0" + bytes([draw.randrange(3)]) * 32] * 16 + [b"\x80"])  # noqa: E731
    row = lambda: draw.choice([None, draw.randbytes(40), draw.randbytes(80), branch(), branch()])  # noqa: E731
    for first in range(240, 273):
        blocks = []
        for number in range(first, first + draw.randint(1, before_images.BLOCKS_MAX)):
            before = {b"A%d" % n: row() for n in draw.sample(range(300), 60)}
            after = {key: row() for key in (before if draw.random() < 0.5 else reversed(before))}
            blocks.append((number, after, before))
        in_c, in_python = {}, {}
        keys = KERNELS.pack_images(in_c, tuple(blocks), b"u")
        assert keys == before_images.pack_images_in_python(in_python, tuple(blocks), b"u")
        assert in_c == in_python
        assert len(keys) == len({key for _, after, _ in blocks for key in after})


@built
def test_before_images_of_many_rows():
    draw = random.Random(6)
    keys = [b"S" + draw.randbytes(draw.randrange(20, 60)) for _ in range(4_000)]
    blocks = []
    for number in range(7, 10):
        changed = draw.sample(keys, 2_000)
        blocks.append(
            (number, {key: draw.randbytes(120) for key in changed}, dict.fromkeys(changed, bytes(120)))
        )
    in_c, in_python = {}, {}
    listed = KERNELS.pack_images(in_c, tuple(blocks), b"u")
    assert listed == before_images.pack_images_in_python(in_python, tuple(blocks), b"u")
    assert in_c == in_python


@built
@pytest.mark.parametrize(
    ("blocks", "problem"),
    [
        (((1, {}, {b"a": b"b"}),), "the same before and after"),
        (((1, {b"a": 1}, {b"a": b"b"}),), "the same before and after"),
        (((1, {b"a": b"b"}, {b"a": bytes(0xFFFF)}),), "too long"),
        (((1, {}, {}), (17, {}, {})), "too many"),
        (((2, {}, {}), (1, {}, {})), "go up to the last"),
        ((), "blocks are expected"),
        ((1,), "blocks are expected"),
    ],
)
def test_before_images_of_what_is_not_blocks_are_refused(blocks, problem):
    with pytest.raises(ValueError, match=problem):
        KERNELS.pack_images({}, blocks, b"u")


@built
def test_a_row_of_the_first_layer_that_knows_it():
    layers = ({b"a": b"1", b"gone": None}, {b"a": b"2", b"b": b"3", b"gone": b"4"})
    for key in (b"a", b"b", b"gone", b"c"):
        beneath = {b"c": b"5"}.get
        assert KERNELS.layered_row(layers, beneath, key) == _layered_row_in_python(layers, beneath, key)


@built
@pytest.mark.parametrize("seed", range(10))
def test_what_differs_from_before(seed):
    draw = random.Random(seed)
    before = {draw.getrandbits(256): draw.choice([None, 0, 1 << 90, (1, 2)]) for _ in range(50)}
    keys = draw.sample(sorted(before), 40) if seed % 2 else list(before)
    now = {key: draw.choice([before[key], (1, 2), 7, None]) for key in keys}
    assert KERNELS.differing(now, before) == differing_in_python(now, before)
    for form in (KERNELS.differing, differing_in_python):
        with pytest.raises(KeyError):
            form({**now, "more": 1}, before)


@built
@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_trie_is_refused_alike(seed):
    draw = random.Random(seed)
    changes = {draw.randbytes(draw.choice([2, 3])): draw.randbytes(draw.choice([1, 40])) for _ in range(60)}
    rows = {key: row for key, row in update_rows({}.get, b"A", changes, None).rows.items() if row}
    for _ in range(30):
        damaged = dict(rows)
        key = draw.choice(sorted(damaged))
        place = draw.randrange(len(damaged[key]))
        damaged[key] = damaged[key][:place] + draw.randbytes(1) + damaged[key][place + draw.randrange(3) :]
        some = {key: draw.choice([None, draw.randbytes(40)]) for key in draw.sample(sorted(changes), 10)} | {
            draw.randbytes(3): b"\x01" * draw.choice([1, 40]) for _ in range(5)
        }
        results = []
        for form in (update_rows, update_rows_in_python):
            try:
                results.append(form(damaged.get, b"A", some, None))
            except BrokenTrie as error:
                results.append(str(error))
        assert results[0] == results[1]
