"""Every kernel gives what its Python form gives, and refuses what has another length."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import coincurve
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from py_ecc import optimized_bn128 as bn128
from sha3 import keccak_256

from node import native
from node.execution.evm import blake2, curve
from node.primitives import rlp
from node.primitives.crypto import (
    SECP256K1_N,
    InvalidSignature,
    PrivateKey,
    recover_address,
    recover_addresses,
)
from node.primitives.ids import Hash32
from node.primitives.receipt import Log, Receipt
from node.primitives.state import Account
from node.primitives.transaction import TransactionType
from node.state import flat
from node.trie import nodes

ROOT = Path(__file__).resolve().parents[2]
built = pytest.mark.skipif(native.kernels is None, reason=f"kernels: {native.in_words()}")
KERNELS = native.kernels
WRONG = (bytes(0), bytes(1), bytes(95), bytes(97), bytes(127), bytes(129), bytes(191), bytes(193), bytes(385))
CALLS = {
    "blake2_rounds": lambda data: KERNELS.blake2_rounds(data, bytes(128), 0, 1),
    "blake2_rounds, message": lambda data: KERNELS.blake2_rounds(bytes(128), data, 0, 1),
    "bn128_add": lambda data: KERNELS.bn128_add(data),
    "bn128_multiply": lambda data: KERNELS.bn128_multiply(data),
    "bn128_pair": lambda data: KERNELS.bn128_pair(data, b""),
    "bn128_pair, product": lambda data: KERNELS.bn128_pair(bytes(192), data or b"x"),
    "bn128_is_one": lambda data: KERNELS.bn128_is_one(data),
    "recover_addresses": lambda data: KERNELS.recover_addresses(data or b"x", bytes(65)),
}


def number(value: int) -> bytes:
    """32 bytes."""
    return value.to_bytes(32, "big")


def g1(factor: int) -> bytes:
    """A multiple of the generator."""
    return _encoded(bn128.multiply(bn128.G1, factor % bn128.curve_order))


def g2(factor: int) -> bytes:
    """A multiple of the generator on the twist."""
    point = bn128.multiply(bn128.G2, factor % bn128.curve_order)
    if bn128.is_inf(point):
        return bytes(128)
    return b"".join(number(int(c)) for axis in bn128.normalize(point) for c in reversed(axis.coeffs))


def _encoded(point) -> bytes:
    if bn128.is_inf(point):
        return bytes(64)
    return b"".join(number(int(axis)) for axis in bn128.normalize(point))


def outside_the_group() -> bytes:
    """A point of the twist whose order is another: nearly all of them."""
    p = bn128.field_modulus
    x = bn128.FQ2([1, 0])
    while True:
        square = x * x * x + bn128.b2
        # Every square root in Fp2, where p is 3 modulo 4 (Adj and Rodriguez-Henriquez, algorithm 9).
        a = square ** ((p - 3) // 4)
        alpha, root = a * a * square, a * square
        root = (
            bn128.FQ2([0, 1]) * root
            if alpha == bn128.FQ2([-1, 0])
            else (alpha + bn128.FQ2.one()) ** ((p - 1) // 2) * root
        )
        if root * root == square:
            return b"".join(number(int(c)) for axis in (x, root) for c in reversed(axis.coeffs))
        x += bn128.FQ2.one()


P = bn128.field_modulus
EDGES = (0, 1, 2, 3, P - 1, P, P + 1, bn128.curve_order, 2**256 - 1)
points = st.one_of(
    st.integers(0, 2**256).map(g1),
    st.sampled_from([number(x) + number(y) for x, y in product(EDGES, EDGES)]),
    st.binary(min_size=64, max_size=64),
)
factors = st.one_of(st.integers(0, 2**256 - 1), st.sampled_from(EDGES)).map(number)


@built
@given(st.binary(max_size=700))
def test_hashes(data):
    assert KERNELS.keccak256(data) == keccak_256(data).digest()
    assert KERNELS.keccak256(bytearray(data)) == KERNELS.keccak256(memoryview(data))


encodable = st.recursive(
    st.one_of(
        st.binary(max_size=70),
        st.binary(max_size=70).map(bytearray),
        st.binary(max_size=70).map(memoryview),
        st.integers(0, 2**70),
        st.integers(0, 2**2100),
        st.sampled_from(
            (0, 1, 127, 128, 255, 256, True, False, bytes(55), bytes(56), bytes(300), bytes(70_000))
        ),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.lists(inner, max_size=5).map(tuple)),
    max_leaves=30,
)


@given(encodable)
def test_encodings(value):
    assert rlp.encode(value) == rlp.encode_in_python(value)


@pytest.mark.parametrize("value", [-1, [-1], [b"", [-(2**70)]]])
def test_negative_numbers_have_no_encoding(value):
    for encode in (rlp.encode, rlp.encode_in_python):
        with pytest.raises(OverflowError):
            encode(value)


@built
@pytest.mark.parametrize("value", ["text", None, 1.5, [None]])
def test_what_is_neither_bytes_nor_number_nor_list_has_no_encoding(value):
    with pytest.raises(TypeError):
        rlp.encode(value)


def test_lists_without_end_are_an_error_and_no_crash():
    endless: list = []
    endless.append(endless)
    with pytest.raises(RecursionError):
        rlp.encode(endless)


def mangled(encoded: bytes, place: int, byte: int, cut: int) -> bytes:
    """An encoding with one byte changed, cut short or with something behind it."""
    if not encoded:
        return bytes((byte,))
    place %= len(encoded)
    changed = encoded[:place] + bytes((byte,)) + encoded[place + 1 :]
    return changed[: len(changed) - cut] if cut >= 0 else changed + bytes(-cut)


def verdict(decode, data: bytes):
    """What a decoder says, errors by their words."""
    try:
        return decode(data)
    except rlp.RlpError as error:
        return str(error)


def nested(depth: int) -> bytes:
    """Lists in lists."""
    encoded = b"\xc0"
    for _ in range(depth):
        encoded = rlp.encode_list([encoded])
    return encoded


changes = (st.integers(0, 999), st.integers(0, 255), st.integers(-2, 2))
noise = st.one_of(
    st.binary(max_size=80),
    st.builds(
        mangled,
        encodable.map(rlp.encode_in_python),
        st.integers(0, 999),
        st.integers(0, 255),
        st.integers(-2, 2),
    ),
    st.integers(60, 70).map(nested),
)


@settings(max_examples=400)
@given(noise)
def test_decodings(data):
    assert verdict(rlp.decode, data) == verdict(rlp.decode_in_python, data)


def test_lists_are_counted(monkeypatch):
    monkeypatch.setattr(rlp, "LISTS_MAX", 100)
    for count in (98, 99, 100, 101):
        data = rlp.encode_list([b"\xc0"] * count)
        assert verdict(rlp.decode, data) == verdict(rlp.decode_in_python, data)


nibbles = st.text("0123456789abcdef", max_size=64)
references = st.one_of(
    st.just(nodes.EMPTY),
    st.binary(min_size=32, max_size=32).map(lambda digest: b"\xa0" + digest),
    st.just(b"\xc1\x05"),
)


@given(nibbles, st.binary(max_size=300), references)
def test_leaves_and_extensions(path, value, child):
    leaf, extension = nodes.leaf_in_python(path, value), nodes.extension_in_python(path, child)
    assert (nodes.encode_leaf(path, value), nodes.encode_extension(path, child)) == (leaf, extension)
    for encoded in (leaf, extension):
        assert nodes.reference(encoded) == nodes.reference_in_python(encoded)
        assert verdict(nodes.decode_node, encoded) == verdict(nodes.decode_node_in_python, encoded)


@given(st.lists(references, min_size=16, max_size=16), st.binary(max_size=300))
def test_branches(items, value):
    items = [*items, rlp.encode_bytes(value)]
    encoded = nodes.branch_in_python(items)
    assert nodes.encode_branch(items) == encoded
    assert nodes.decode_node(encoded) == nodes.decode_node_in_python(encoded)


some_nodes = st.one_of(
    st.builds(nodes.leaf_in_python, nibbles, st.binary(max_size=40)),
    st.builds(nodes.extension_in_python, nibbles, references),
    st.lists(references, min_size=15, max_size=18).map(nodes.branch_in_python),
    st.lists(st.binary(max_size=40), max_size=3).map(rlp.encode_in_python),
)


@settings(max_examples=400)
@given(
    st.one_of(
        noise, st.builds(mangled, some_nodes, st.integers(0, 999), st.integers(0, 255), st.integers(-2, 2))
    )
)
def test_what_is_no_node_is_none_to_both(data):
    assert verdict(nodes.decode_node, data) == verdict(nodes.decode_node_in_python, data)


@built
@pytest.mark.parametrize("path", ["g", "A", "é", "0" * 128])
def test_a_path_is_hex_digits(path):
    with pytest.raises(ValueError, match="path"):
        KERNELS.trie_leaf(path, b"")


@given(
    rounds=st.integers(0, 40),
    data=st.binary(min_size=208, max_size=208),
    last=st.sampled_from((b"\0", b"\1")),
)
def test_compression_of_blake2(rounds, data, last):
    whole = rounds.to_bytes(4, "big") + data + last
    assert blake2.compress(whole, lambda: None) == blake2.compress_in_python(whole, lambda: None)


@built
def test_rounds_of_blake2_may_be_done_in_parts(monkeypatch):
    whole = (1000).to_bytes(4, "big") + bytes(range(208)) + b"\1"
    polls = []
    monkeypatch.setattr(blake2, "ROUNDS_PER_POLL_IN_C", 13)
    assert blake2.compress(whole, lambda: polls.append(1)) == blake2.compress_in_python(whole, lambda: None)
    assert len(polls) == 77


@given(points, points)
def test_sums_of_points(one, two):
    assert curve.add(one + two) == curve.add_in_python(one + two)
    assert curve.add(one + one) == curve.add_in_python(one + one)


@settings(max_examples=50)
@given(points, factors)
def test_multiples_of_points(point, factor):
    assert curve.multiply(point + factor) == curve.multiply_in_python(point + factor)


ONE, MINUS_ONE = g1(1), g1(-1)
PAIRS = {
    "nothing": b"",
    "neutral": bytes(192),
    "neutral and a generator": bytes(64) + g2(1),
    "a generator and neutral": ONE + bytes(128),
    "a pair alone": ONE + g2(1),
    "a pair and its opposite": ONE + g2(1) + MINUS_ONE + g2(1),
    "a pair and its opposite on the twist": ONE + g2(1) + ONE + g2(-1),
    "six is two times three": g1(6) + g2(1) + g1(-2) + g2(3),
    "six is not two times two": g1(6) + g2(1) + g1(-2) + g2(2),
    "not on the curve": number(1) + number(3) + g2(1),
    "not on the twist": ONE + g2(1)[:-1] + b"\0",
    "coordinate too large": number(P + 1) + number(2) + g2(1),
    "coordinate of the twist too large": ONE + number(P) + g2(1)[32:],
    "on the twist but not in the group": ONE + outside_the_group(),
    "valid, then not on the curve": ONE + g2(1) + number(1) + number(3) + g2(1),
    "neutral, then outside the group": bytes(64) + outside_the_group(),
}


@pytest.mark.parametrize("pairs", PAIRS.values(), ids=PAIRS)
def test_pairings(pairs):
    assert curve.is_product_one(pairs, lambda: None) == curve.is_product_one_in_python(pairs, lambda: None)


@built
@settings(max_examples=40)
@given(st.integers(1, bn128.curve_order - 1), st.integers(1, bn128.curve_order - 1), st.booleans())
def test_pairings_are_bilinear(a, b, differs):
    pairs = g1(a) + g2(b) + g1(-(a * b + differs)) + g2(1)
    assert curve.is_product_one(pairs, lambda: None) is not differs


digests = st.binary(min_size=32, max_size=32)
signatures = st.one_of(
    st.binary(min_size=65, max_size=65),
    st.builds(
        lambda r, s, parity: number(r) + number(s) + bytes((parity,)),
        st.sampled_from((0, 1, SECP256K1_N - 1, SECP256K1_N, 2**256 - 1)),
        st.sampled_from((0, 1, SECP256K1_N // 2, SECP256K1_N)),
        st.integers(0, 4),
    ),
    st.builds(
        lambda key, digest: PrivateKey(number(key)).sign(Hash32(digest)), st.integers(1, 2**200), digests
    ),
)


def one_by_one(digest: bytes, signature: bytes) -> bytes | None:
    """As recovery of a single signature has it."""
    try:
        return recover_address(Hash32(digest), signature)
    except InvalidSignature:
        return None


@given(st.lists(st.tuples(digests, signatures), max_size=5))
def test_batches_of_signatures(batch):
    found = recover_addresses([Hash32(digest) for digest, _ in batch], [each for _, each in batch])
    assert found == [one_by_one(digest, signature) for digest, signature in batch]


def test_a_signer_is_found():
    key, digest = PrivateKey(number(7)), Hash32(number(1))
    other = coincurve.PrivateKey(number(8)).sign_recoverable(digest, hasher=None)
    found = recover_addresses([digest, digest, digest], [key.sign(digest), bytes(65), other])
    assert found == [key.address, None, PrivateKey(number(8)).address]


@built
@pytest.mark.parametrize("name", CALLS)
def test_other_lengths_are_refused(name):
    good = {"bn128_add": 128, "bn128_multiply": 96, "bn128_pair": 192}.get(name)
    for data in WRONG:
        if len(data) != good:
            with pytest.raises(ValueError, match="bytes"):
                CALLS[name](data)


@pytest.mark.parametrize("value", ["1", "0"])
def test_a_variable_rules_the_kernels_out(value):
    environment = os.environ | {native.PURE_VARIABLE: value}
    command = (sys.executable, "-c", "from node import native; print(native.in_words())")
    words = subprocess.run(
        command, env=environment, cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()
    assert (words == f"Python ({native.PURE_VARIABLE} is set)") is (value == "1")


@built
def test_an_extension_that_was_built_for_other_code_is_left_alone():
    code = (
        "import importlib; from node import native; native._kernels.INTERFACE += 1; "
        "importlib.reload(native); print(native.kernels, native.in_words())"
    )
    words = subprocess.run(
        (sys.executable, "-c", code), cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()
    assert words == "None Python (the extension was built for other code: install the package again)"


@dataclass(slots=True)
class Made:
    """With all that a maker knows of."""

    first: int
    second: str
    third: str | None = None
    items: list[int] = field(default_factory=list)


@built
def test_objects_are_made_alike():
    for cls, fields in (
        (Account, (1, 2, b"h")), (Log, (b"a", (), b"")), (Made, (1, "2")), (Made, (1, "2", "3", [4])),
        (Receipt, (TransactionType.LEGACY, 1, 21_000, bytes(256), ())),
    ):  # fmt: skip
        make = native.maker(cls)
        assert make is not cls
        assert make(*fields) == cls(*fields)
        assert type(make(*fields)) is cls
    make = native.maker(Made)
    made = make(1, "2")
    made.items.append(7)
    assert make(1, "2").items == []
    assert native.maker(Account)(1, 2, b"h").balance == 2


@built
def test_what_cannot_be_made_is_refused():
    for cls, fields in ((Account, (1, 2)), (Account, (1,) * 4), (Made, (1,)), (Made, (1,) * 5)):
        with pytest.raises(TypeError):
            native.maker(cls)(*fields)
    with pytest.raises(TypeError):
        native.maker(Made)(first=1, second="2")
    for wrong in (
        (int, ("real",), ()),
        (Made, ("fourth",), ()),
        (1, (), ()),
        (Made, [], ()),
        (Made, (1,), ()),
    ):
        with pytest.raises(TypeError):
            native.kernels.maker(*wrong, True)
    for wrong in ((Made, ("first",), (1, 2)), (Account, Account._fields, (1,))):
        with pytest.raises(ValueError):
            native.kernels.maker(*wrong, True)


@built
def test_what_was_read_is_held_alike():
    for form in (flat.held_in_python, native.kernels.held):
        known, there = {1: None}, {2: "two"}
        assert [form(known, there.pop, key) for key in (1, 2, 2)] == [None, "two", "two"]
        with pytest.raises(KeyError):
            form(known, there.pop, 3)
        assert known == {1: None, 2: "two"}


@built
def test_slots_are_read_alike():
    prefix = b"s" + bytes(28)
    rows = {
        prefix + slot.to_bytes(32, "big"): value for slot, value in ((0, b"\1"), (2**256 - 1, b"\xff" * 32))
    }
    for form in (flat.slot_value_in_python, native.kernels.slot_value):
        assert [form(rows.get, prefix, slot) for slot in (0, 1, 2**256 - 1)] == [1, 0, 2**256 - 1]
        with pytest.raises(OverflowError):
            form(rows.get, prefix, 2**256)
    for wrong in ((rows.get, bytes(65), 0), (rows.get, None, 0), (lambda _: bytes(33), prefix, 0)):
        with pytest.raises((TypeError, ValueError)):
            native.kernels.slot_value(*wrong)
