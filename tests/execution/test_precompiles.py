"""The precompiled contracts that are ours instead of py-evm's, against values that others published."""

import pytest
from eth._utils.blake2.compression import blake2b_compress
from hypothesis import given
from hypothesis import strategies as st

from node.execution.executor import Call, ExecutionInterrupted
from node.execution.py_evm import PyEvmExecutor
from node.primitives.chain_spec import Fork
from node.primitives.ids import Address
from tests.execution.builders import KEY, context, world

EXECUTOR = PyEvmExecutor()
MODEXP, PAIRING, BLAKE2F = (Address(bytes(19) + bytes((n,))) for n in (5, 8, 9))
ABC_STATE = (
    "48c9bdf267e6096a3ba7ca8485ae67bb2bf894fe72f36e3cf1361d5f3af54fa5"
    "d182e6ad7f520e511f6c3e2b8c68059b6bbd41fbabd9831f79217e1319cde05b"
)
ABC_BLOCK = "6162630000000000" + "00" * 120
ABC_HASH = (
    "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
    "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923"
)


def call(to, data, gas=10_000_000, fork=Fork.LONDON, interrupted=None):
    """The result of a call to a precompiled contract."""
    message = Call(sender=KEY.address, to=to, data=data, gas_limit=gas)
    return EXECUTOR.call(context(fork), world(), message, interrupted=interrupted)


def test_blake2f_gives_the_hash_of_abc():
    data = bytes.fromhex("0000000c" + ABC_STATE + ABC_BLOCK + "0300000000000000" + "00" * 8 + "01")
    result = call(BLAKE2F, data)
    assert result.output.hex() == ABC_HASH  # EIP-152, test vector 5


@pytest.mark.parametrize("data", [b"", bytes(212), bytes(214), bytes(212) + b"\2"])
def test_blake2f_refuses_input_of_another_shape(data):
    assert call(BLAKE2F, data).error == "invalid input"


word = st.integers(0, (1 << 64) - 1)


@given(
    rounds=st.integers(0, 30),
    state=st.lists(word, min_size=8, max_size=8),
    block=st.lists(word, min_size=16, max_size=16),
    offsets=st.lists(word, min_size=2, max_size=2),
    last=st.booleans(),
)
def test_blake2f_agrees_with_the_plain_algorithm(rounds, state, block, offsets, last):
    words = b"".join(each.to_bytes(8, "little") for each in (*state, *block, *offsets))
    output = call(BLAKE2F, rounds.to_bytes(4, "big") + words + bytes((last,))).output
    assert output == blake2b_compress(rounds, tuple(state), tuple(block), tuple(offsets), last)


def sized(*numbers: bytes) -> bytes:
    """Input of MODEXP."""
    return b"".join(len(number).to_bytes(32, "big") for number in numbers) + b"".join(numbers)


@pytest.mark.parametrize(
    ("base", "exponent", "modulus", "power"),
    [
        (b"\3", b"\2", b"\5", b"\4"),
        (b"", b"", b"\2", b"\1"),
        (b"", b"", b"\1", b"\0"),
        (b"", b"\5", b"\7", b"\0"),
        (b"\3", b"\2", b"", b""),
        (b"\3", b"\2", b"\0\0", b"\0\0"),
        (b"\3", b"", b"\0\7", b"\0\1"),
    ],
)
def test_modexp(base, exponent, modulus, power):
    assert call(MODEXP, sized(base, exponent, modulus)).output == power


def test_modexp_reads_missing_input_as_zeros():
    assert (
        call(MODEXP, (1).to_bytes(32, "big") + (1).to_bytes(32, "big") + (1).to_bytes(32, "big")).output
        == b"\0"
    )
    assert call(MODEXP, b"").output == b""


def test_modexp_of_a_length_that_nobody_can_pay_is_out_of_gas():
    assert call(MODEXP, b"\xff" * 96).error == "out of gas"


@pytest.mark.parametrize(("fork", "gas"), [(Fork.BYZANTIUM, 100_000), (Fork.ISTANBUL, 45_000)])
def test_a_pairing_of_nothing_is_one(fork, gas):
    result = call(PAIRING, b"", fork=fork)
    assert (result.output, result.gas_used) == ((1).to_bytes(32, "big"), 21_000 + gas)
    assert call(PAIRING, bytes(191), fork=fork).error == "invalid input"
    assert call(PAIRING, b"\xff" * 192, fork=fork).error == "invalid input"


def test_long_precompiled_contracts_can_be_interrupted():
    asked = []

    def interrupted():
        asked.append(True)
        return len(asked) > 3

    data = (1 << 24).to_bytes(4, "big") + bytes(209)
    with pytest.raises(ExecutionInterrupted):
        call(BLAKE2F, data, gas=1 << 26, interrupted=interrupted)
    assert len(asked) == 4
