"""Reading parameters: the specification's rules, geth's liberties, and errors that name the argument."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.rpc.blocks import ByHash, Tag, read_block_id, read_number_or_tag
from node.rpc.call_args import CallArgs, read_block_override, read_call_args, read_state_overrides
from node.rpc.jsonrpc import InvalidParams
from node.rpc.params import (
    BadValue,
    Param,
    StorageKey,
    bind,
    read_access_list,
    read_address,
    read_bool,
    read_count,
    read_data,
    read_hash,
    read_quantity,
    read_storage_key,
    read_uint64,
)

ADDRESS = "0x" + "Ab" * 20
HASH = "0x" + "cd" * 32


@pytest.mark.parametrize(
    ("text", "number"), [("0x0", 0), ("0x1", 1), ("0XfF", 255), (hex(2**256 - 1), 2**256 - 1)]
)
def test_quantities(text: str, number: int) -> None:
    assert read_quantity(text) == number


@pytest.mark.parametrize(
    "value",
    [
        "",
        "0x",
        "0x00",
        "0x01",
        "1",
        "0xg",
        "0x 1",
        "0x_1",
        "0x1_0",
        hex(2**256),
        "-0x1",
        "0x-1",
        1,
        None,
        [],
        True,
        "0x٣",
    ],
)
def test_what_is_no_quantity(value: Any) -> None:
    with pytest.raises(BadValue):
        read_quantity(value)


def test_uint64_has_64_bits() -> None:
    assert read_uint64("0xffffffffffffffff") == 2**64 - 1
    with pytest.raises(BadValue, match="> 64 bits"):
        read_uint64("0x10000000000000000")


@pytest.mark.parametrize(("value", "number"), [("0x10", 16), ("16", 16), (16, 16), ("0", 0)])
def test_counts_come_in_three_shapes(value: Any, number: int) -> None:
    assert read_count(value) == number


@pytest.mark.parametrize("value", [-1, 1.5, True, "x", 2**64, str(2**64)])
def test_what_is_no_count(value: Any) -> None:
    with pytest.raises(BadValue):
        read_count(value)


def test_data_is_whole_bytes() -> None:
    assert read_data("0x") == b""
    assert read_data("0xAb") == b"\xab"
    with pytest.raises(BadValue, match="odd length"):
        read_data("0xabc")
    with pytest.raises(BadValue, match="without 0x"):
        read_data("ab")


def test_addresses_and_hashes_have_their_length() -> None:
    assert read_address(ADDRESS) == b"\xab" * 20
    assert read_hash(HASH) == b"\xcd" * 32
    with pytest.raises(BadValue, match="has length 64, want 40 for an address"):
        read_address(HASH)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("0x0", StorageKey(0, False)),
        ("0x", StorageKey(0, False)),
        ("0x5", StorageKey(5, False)),
        ("05", StorageKey(5, False)),
        ("0x" + "0" * 63 + "5", StorageKey(5, True)),
    ],
)
def test_storage_keys_of_any_length(text: str, key: StorageKey) -> None:
    assert read_storage_key(text) == key


def test_a_storage_key_has_at_most_32_bytes() -> None:
    with pytest.raises(BadValue, match="at most 32 bytes"):
        read_storage_key("0x" + "0" * 65)


def test_access_lists() -> None:
    entry = {"address": ADDRESS, "storageKeys": [HASH]}
    assert read_access_list([entry]) == ((b"\xab" * 20, (b"\xcd" * 32,)),)
    assert read_access_list([{"address": ADDRESS}]) == ((b"\xab" * 20, ()),)
    with pytest.raises(BadValue):
        read_access_list([{"storageKeys": []}])


# --- binding


def test_arguments_are_bound_in_geths_words() -> None:
    params = (Param(read_address), Param(read_bool, False))
    assert bind(params, [ADDRESS]) == [b"\xab" * 20, False]
    assert bind(params, [ADDRESS, None]) == [b"\xab" * 20, False]
    for given_params, message in [
        ([], "missing value for required argument 0"),
        ([None], "missing value for required argument 0"),
        ([ADDRESS, True, 1], "too many arguments, want at most 2"),
        ([ADDRESS, "true"], 'invalid argument 1: expected true or false, got "true"'),
    ]:
        with pytest.raises(InvalidParams) as refusal:
            bind(params, given_params)
        assert str(refusal.value) == message


def test_a_long_value_is_cut_in_the_error() -> None:
    with pytest.raises(InvalidParams) as refusal:
        bind((Param(read_address),), ["0x" + "ab" * 100_000])
    assert len(str(refusal.value)) < 200


# --- blocks


@pytest.mark.parametrize(
    ("value", "block"),
    [
        ("latest", Tag.LATEST),
        ("earliest", Tag.EARLIEST),
        ("pending", Tag.PENDING),
        ("safe", Tag.SAFE),
        ("finalized", Tag.FINALIZED),
        ("0x10", 16),
        (HASH, ByHash(b"\xcd" * 32)),
        ({"blockNumber": "0x10"}, 16),
        ({"blockNumber": "latest"}, Tag.LATEST),
        ({"blockHash": HASH}, ByHash(b"\xcd" * 32)),
        ({"blockHash": HASH, "requireCanonical": True}, ByHash(b"\xcd" * 32, True)),
    ],
)
def test_blocks_are_named_in_many_ways(value: Any, block: object) -> None:
    assert read_block_id(value) == block


@pytest.mark.parametrize(
    "value", [{}, {"blockHash": HASH, "blockNumber": "0x1"}, "Latest", "", 5, [], "0x01"]
)
def test_what_names_no_block(value: Any) -> None:
    with pytest.raises(BadValue):
        read_block_id(value)


def test_a_hash_is_no_block_number() -> None:
    with pytest.raises(BadValue):
        read_number_or_tag(HASH)


# --- calls


def test_call_arguments() -> None:
    args = read_call_args(
        {
            "from": ADDRESS,
            "to": ADDRESS,
            "gas": "0x5208",
            "gasPrice": "0x7",
            "value": "0x1",
            "data": "0x01",
            "input": "0x01",
            "nonce": "0x9",
            "type": "0x0",
            "unheardOf": 1,
        }
    )
    sender = b"\xab" * 20
    assert args == CallArgs(sender=sender, to=sender, gas=21_000, gas_price=7, value=1, data=b"\x01")
    call = args.to_call(gas_max=20_000)
    assert (call.gas_limit, call.max_fee_per_gas, call.max_priority_fee_per_gas) == (20_000, 7, 7)
    assert read_call_args({}).to_call(gas_max=20_000).gas_limit == 20_000


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"gasPrice": "0x1", "maxFeePerGas": "0x1"}, "both gasPrice and"),
        (
            {"maxFeePerGas": "0x1", "maxPriorityFeePerGas": "0x2"},
            "maxFeePerGas (1) < maxPriorityFeePerGas (2)",
        ),
        ({"data": "0x01", "input": "0x02"}, 'both "data" and "input"'),
        ({"to": "0x01"}, "to: hex string has length 2"),
        ({"blobVersionedHashes": [HASH]}, "not supported"),
    ],
)
def test_call_arguments_that_contradict_themselves(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(BadValue) as refusal:
        read_call_args(fields)
    assert message in str(refusal.value)


def test_state_overrides() -> None:
    overrides = read_state_overrides(
        {ADDRESS: {"balance": "0x5", "nonce": "0x1", "code": "0x00", "stateDiff": {HASH: "0x7"}}}
    )
    override = overrides[read_address(ADDRESS)]
    assert (override.balance, override.nonce, override.code) == (5, 1, b"\x00")
    assert override.storage is None
    assert override.storage_diff == {int(HASH, 16): 7}
    with pytest.raises(BadValue, match="both 'state' and 'stateDiff'"):
        read_state_overrides({ADDRESS: {"state": {}, "stateDiff": {}}})


def test_block_overrides_in_old_and_new_names() -> None:
    old = read_block_override({"number": "0x1", "coinbase": ADDRESS, "baseFee": "0x2"})
    new = read_block_override({"number": "0x1", "feeRecipient": ADDRESS, "baseFeePerGas": "0x2"})
    assert old == new
    assert (old.number, old.author, old.base_fee_per_gas) == (1, b"\xab" * 20, 2)


@settings(max_examples=60)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_no_value_makes_a_reader_raise_anything_else(value: Any) -> None:
    for read in (
        read_quantity,
        read_data,
        read_address,
        read_block_id,
        read_call_args,
        read_state_overrides,
        read_access_list,
        read_count,
        read_storage_key,
    ):
        with suppress(BadValue):
            read(value)
