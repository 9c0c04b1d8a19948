"""ABI values: as eth_abi has them, whatever the kinds; and nothing else is taken for an encoding."""

import re
from typing import Any

import pytest
from eth_abi import abi as reference
from eth_abi.exceptions import DecodingError
from hypothesis import given, settings
from hypothesis import strategies as st

from node.primitives.abi import AbiError, decode, encode

WORD_KINDS = (
    *(f"uint{8 * size}" for size in (1, 2, 8, 16, 32)),
    *(f"int{8 * size}" for size in (1, 3, 16, 32)),
    *(f"bytes{size}" for size in (1, 4, 16, 32)),
    "address",
    "bool",
)
KINDS = st.recursive(
    st.sampled_from((*WORD_KINDS, "bytes", "string")),
    lambda inner: st.one_of(
        st.builds("{}[]".format, inner),
        st.builds("{}[{}]".format, inner, st.integers(1, 3)),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: f"({','.join(parts)})"),
    ),
    max_leaves=6,
)

SINGLE: dict[str, st.SearchStrategy[Any]] = {
    "address": st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex()),
    "bool": st.booleans(),
    "string": st.text(max_size=70),
    "bytes": st.binary(max_size=70),
}


def values_of(kind: str) -> st.SearchStrategy[Any]:
    if kind.endswith("]"):
        part, _, size = kind[:-1].rpartition("[")
        least, most = (int(size), int(size)) if size else (0, 3)
        return st.lists(values_of(part), min_size=least, max_size=most).map(tuple)
    if kind.startswith("("):
        return st.tuples(*map(values_of, members(kind[1:-1])))
    if kind in SINGLE:
        return SINGLE[kind]
    if kind.startswith("bytes"):
        return st.binary(min_size=int(kind[5:]), max_size=int(kind[5:]))
    if kind.startswith("uint"):
        return st.integers(0, 2 ** int(kind[4:]) - 1)
    half = 1 << int(kind[3:]) - 1
    return st.integers(-half, half - 1)


def members(text: str) -> list[str]:
    found, depth = [""], 0
    for char in text:
        depth += (char == "(") - (char == ")")
        if char == "," and not depth:
            found.append("")
        else:
            found[-1] += char
    return found


KINDS_AND_VALUES = st.lists(KINDS, max_size=3).flatmap(
    lambda kinds: st.tuples(st.just(kinds), st.tuples(*map(values_of, kinds)))
)


@given(KINDS_AND_VALUES)
@settings(max_examples=60)
def test_values_are_encoded_and_decoded_as_eth_abi_does(case: tuple[list[str], tuple[Any, ...]]) -> None:
    kinds, values = case
    encoded = encode(kinds, values)
    assert encoded == reference.encode(kinds, values)
    assert decode(kinds, encoded) == values == reference.decode(kinds, encoded)


@given(KINDS_AND_VALUES, st.data())
@settings(max_examples=60)
def test_what_eth_abi_refuses_is_refused(
    case: tuple[list[str], tuple[Any, ...]], data: st.DataObject
) -> None:
    kinds, values = case
    encoded = bytearray(encode(kinds, values))
    if encoded and data.draw(st.booleans()):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= data.draw(st.integers(1, 255))
    else:
        del encoded[data.draw(st.integers(0, len(encoded))) :]
    try:
        theirs = reference.decode(kinds, bytes(encoded))
    except (DecodingError, UnicodeDecodeError, OverflowError):
        with pytest.raises(AbiError):
            decode(kinds, bytes(encoded))
        return
    ours: Any = None
    try:
        ours = decode(kinds, bytes(encoded))
    except AbiError as error:
        # One place that two values share: an encoder gives each its own.
        if re.search("are needed|are left", str(error)):
            return
    assert ours == theirs


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("uint8", 256),
        ("uint256", -1),
        ("int8", 128),
        ("bytes4", b"12345"),
        ("address", "0x12"),
        ("bool", 2),
        ("string", 7),
        ("uint8[2]", (1,)),
        ("(bool,bool)", (True,)),
        ("uint8", None),
    ],
)
def test_a_value_that_its_kind_does_not_hold_is_refused(kind: str, value: Any) -> None:
    with pytest.raises(AbiError):
        encode([kind], [value])


@pytest.mark.parametrize(
    "kind", ["uint257", "bytes33", "bytes0", "uint", "", "address[", "(bool", "fixed128x18"]
)
def test_a_kind_that_is_none_is_refused(kind: str) -> None:
    with pytest.raises(AbiError):
        decode([kind], bytes(64))


def test_lists_within_lists_of_the_same_bytes_are_a_trap_that_costs_nothing() -> None:
    # Each of ten elements points at the same next list of ten: 10 ** 12 values in 4 kB.
    depth, wide = 12, 10
    level = (wide).to_bytes(32, "big") + (32 * wide).to_bytes(32, "big") * wide
    data = (32).to_bytes(32, "big") + level * depth
    with pytest.raises(AbiError):
        decode(["bytes" + "[]" * depth], data)
