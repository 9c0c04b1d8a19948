"""eth_call, estimates and access lists."""

import time

import pytest

from node.execution.calls import (
    CallFailed,
    GasAboveAllowance,
    InsufficientFundsForTransfer,
    create_access_list,
    estimate_gas,
)
from node.execution.executor import (
    AccountOverride,
    Call,
    ExecutionInterrupted,
    InvalidTransaction,
    execute_block,
)
from node.execution.py_evm import PyEvmExecutor
from node.execution.py_evm_transaction import created_address
from node.execution.reverts import revert_reason
from node.primitives.chain_spec import Fork
from node.primitives.ids import Address, Hash32
from node.primitives.receipt import Log
from tests.execution.builders import (
    AUTHOR,
    CONTRACT,
    ETHER,
    GWEI,
    KEY,
    NOBODY,
    assemble,
    context,
    deploying,
    signed,
    world,
)
from tests.execution.tracers import SilentTracer

EXECUTOR = PyEvmExecutor()
ANYBODY = Address(b"\x55" * 20)
HELP = bytes.fromhex("08c379a0") + b"".join(n.to_bytes(32, "big") for n in (32, 4)) + b"help".ljust(32, b"\0")


def call_of(**fields):
    """A call to CONTRACT by somebody who owns nothing."""
    return Call(**({"sender": ANYBODY, "to": CONTRACT, "gas_limit": 1_000_000} | fields))


def run(view, call=None, at=None, **options):
    """The result of a call."""
    return EXECUTOR.call(at or context(), view, call or call_of(), **options)


def reverting(data: bytes) -> bytes:
    """Code that reverts with this data."""
    head = assemble(f"{len(data)} 12 0 CODECOPY {len(data)} 0 REVERT")
    assert len(head) == 12
    return head + data


def word(number: int) -> bytes:
    """32 bytes."""
    return number.to_bytes(32, "big")


# --- calls


def test_a_call_answers_and_leaves_no_trace():
    view = world(code="1 0 SSTORE 42 0 MSTORE 32 0 RETURN")
    result = run(view)
    assert (result.output, result.error, result.logs) == (word(42), None, ())
    assert view == world(code="1 0 SSTORE 42 0 MSTORE 32 0 RETURN")


def test_a_call_uses_the_gas_that_a_transaction_would():
    view = world(code="1 0 SSTORE 0 0 SSTORE 7 3 0 LOG1")
    outcome = execute_block(EXECUTOR, context(), view, [signed(to=CONTRACT, data=b"\1\0")])
    result = run(view, call_of(sender=KEY.address, data=b"\1\0", gas_limit=100_000))
    assert result.gas_used == outcome.gas_used
    assert result.gas_refunded > 0
    assert result.logs == outcome.receipts[0].logs == (Log(CONTRACT, (Hash32(word(7)),), bytes(3)),)


def test_who_pays_nothing_needs_nothing_and_sees_no_base_fee():
    view = world(code="BASEFEE 0 MSTORE GASPRICE 32 MSTORE 64 0 RETURN")
    at = context(base_fee_per_gas=7 * GWEI)
    assert run(view, at=at).output == word(0) + word(0)
    priced = call_of(sender=KEY.address, max_fee_per_gas=9 * GWEI, max_priority_fee_per_gas=GWEI)
    assert run(view, priced, at=at).output == word(7 * GWEI) + word(8 * GWEI)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"value": 1}, "insufficient funds for gas * price + value: address 0x5555"),
        ({"max_fee_per_gas": 8}, "insufficient funds for gas * price + value"),
        ({"max_fee_per_gas": 6}, "max fee per gas less than block base fee"),
        (
            {"max_priority_fee_per_gas": 9, "max_fee_per_gas": 8},
            "max priority fee per gas higher than max fee",
        ),
        ({"gas_limit": 20_000}, "intrinsic gas too low: have 20000, want 21000"),
    ],
)
def test_a_call_that_cannot_start_says_why(fields, words):
    with pytest.raises(InvalidTransaction, match=words.replace("*", r"\*").replace("+", r"\+")):
        run(world(code="STOP"), call_of(**fields), at=context(base_fee_per_gas=7))


def test_contracts_may_call_as_nobody_could_sign():
    assert (
        run(world(code="CALLER 0 MSTORE 32 0 RETURN"), call_of(sender=CONTRACT)).output
        == bytes(12) + CONTRACT
    )


def test_a_creation_answers_with_the_code_it_would_deploy():
    assert run(world(), call_of(to=None, data=deploying(b"\1\2\3"))).output == b"\1\2\3"


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("0 0 REVERT", "execution reverted"),
        ("INVALID", "invalid opcode: INVALID"),
        ("raw:0c", "invalid opcode: opcode 0xc not defined"),
        ("0 JUMP", "invalid jump destination"),
        ("raw:605b600156", "invalid jump destination"),
        ("ADD", "stack underflow (0 <=> 2)"),
        ("1 SWAP2", "stack underflow (1 <=> 3)"),
        ("DUP1", "stack underflow (0 <=> 1)"),
        ("POP", "stack underflow (0 <=> 1)"),
        ("0 JUMPI", "stack underflow (1 <=> 2)"),
        ("JUMPDEST GAS 0 JUMP", "stack limit reached 1024 (1023)"),
        ("JUMPDEST 0 JUMP", "out of gas"),
        ("0 1 0 RETURNDATACOPY 1 0 0 RETURNDATACOPY", "return data out of bounds"),
        (f"{1 << 31} MLOAD", "out of gas"),
    ],
)
@pytest.mark.parametrize("traced", [False, True])
def test_failures_have_geths_words(code, error, traced):
    view = world(code=code)
    assert run(view, tracer=SilentTracer() if traced else None).error == error


@pytest.mark.parametrize(
    ("init", "error"),
    [
        (deploying(b"\xef"), "invalid code: must not begin with 0xef"),
        (assemble("24577 0 RETURN"), "max code size exceeded"),
        (assemble("20000 0 RETURN"), "contract creation code storage out of gas"),
    ],
)
def test_failed_creations_have_geths_words(init, error):
    assert run(world(), call_of(to=None, data=init)).error == error


def test_static_calls_write_nothing():
    inner = Address(b"\xdd" * 20)
    view = world(code=f"0 0 0 0 0x{inner.hex()} GAS STATICCALL 0 MSTORE 32 0 RETURN")
    view.put(inner, code=assemble("1 0 SSTORE"))
    assert run(view).output == word(0)


def test_overrides_are_believed():
    code = "0 SLOAD 0 MSTORE 1 SLOAD 32 MSTORE SELFBALANCE 64 MSTORE 96 0 RETURN"
    view = world()
    view.put(CONTRACT, code=b"\0", storage={0: 1, 1: 2})
    diff = AccountOverride(code=assemble(code), balance=9, storage_diff={1: 5})
    assert run(view, overrides={CONTRACT: diff}).output == word(1) + word(5) + word(9)
    whole = AccountOverride(code=assemble(code), storage={1: 5})
    assert run(view, overrides={CONTRACT: whole}).output == word(0) + word(5) + word(0)
    sender = AccountOverride(balance=ETHER, nonce=7)
    created = run(
        view, call_of(to=None, data=assemble("ADDRESS 0 MSTORE 32 0 RETURN")), overrides={ANYBODY: sender}
    )
    assert created.output[12:] == created_address(ANYBODY, 7)


def test_a_call_is_abandoned_when_its_caller_wants_it():
    deadline = time.monotonic() + 0.05
    with pytest.raises(ExecutionInterrupted):
        run(
            world(code="JUMPDEST 0 JUMP"),
            call_of(gas_limit=10**12),
            interrupted=lambda: time.monotonic() > deadline,
        )


def test_an_interrupted_transaction_leaves_the_session_as_it_was():
    session = EXECUTOR.begin(context(gas_limit=10**12), world(code="1 0 SSTORE JUMPDEST 5 JUMP"))
    asked = iter([False] * 5)
    with pytest.raises(ExecutionInterrupted):
        session.apply(signed(to=CONTRACT, gas=10**10), lambda: next(asked, True))
    session.apply(signed(value=1))
    assert session.finish().changes.accounts.keys() == {KEY.address, NOBODY}


# --- estimates


def test_a_plain_transfer_needs_21000():
    assert estimate_gas(EXECUTOR, context(), world(), call_of(to=NOBODY, gas_limit=0)) == 21_000


@pytest.mark.parametrize("code", ["1 0 SSTORE", "1 0 SSTORE 0 0 SSTORE", "99 BALANCE 0 30000 LOG0"])
def test_an_estimate_works_and_is_no_more_than_a_little_too_much(code):
    view = world(code=code)
    gas = estimate_gas(EXECUTOR, context(gas_limit=3_000_000), view, call_of(gas_limit=0))
    assert run(view, call_of(gas_limit=gas)).error is None
    assert run(view, call_of(gas_limit=int(gas / 1.02))).error == "out of gas"


def test_an_estimate_leaves_room_for_what_a_call_keeps_back():
    # The inner frame must find 60,000 gas, of which the outer one can hand on 63 parts of 64.
    inner = Address(b"\xdd" * 20)
    view = world(code=f"0 0 0 0 0 0x{inner.hex()} GAS CALL 41 JUMPI 0 0 REVERT JUMPDEST")
    view.put(inner, code=assemble("GAS 60000 LT 13 JUMPI 0 0 REVERT JUMPDEST"))
    gas = estimate_gas(EXECUTOR, context(), view, call_of(gas_limit=0))
    assert run(view, call_of(gas_limit=gas)).error is None
    assert 60_000 * 64 // 63 + 23_600 < gas < 90_000


def test_a_call_that_reverts_says_so_instead_of_an_estimate():
    with pytest.raises(CallFailed, match=r"^execution reverted: help$") as caught:
        estimate_gas(EXECUTOR, context(), world(code=reverting(HELP)), call_of(gas_limit=0))
    assert caught.value.result.output == HELP
    with pytest.raises(CallFailed, match=r"^invalid opcode: INVALID$"):
        estimate_gas(EXECUTOR, context(), world(code="INVALID"), call_of(gas_limit=0))


def test_an_estimate_stays_within_block_cap_and_purse():
    endless = world(code="JUMPDEST 0 JUMP")
    with pytest.raises(GasAboveAllowance, match=r"^gas required exceeds allowance \(300000\)$"):
        estimate_gas(EXECUTOR, context(gas_limit=300_000), endless, call_of(gas_limit=0))
    with pytest.raises(GasAboveAllowance, match=r"\(200000\)"):
        estimate_gas(EXECUTOR, context(), endless, call_of(gas_limit=0), cap=200_000)
    with pytest.raises(GasAboveAllowance, match=r"\(100000\)"):
        estimate_gas(EXECUTOR, context(), endless, call_of(gas_limit=100_000))
    purse = call_of(sender=KEY.address, gas_limit=0, max_fee_per_gas=10**13, value=ETHER // 2)
    with pytest.raises(GasAboveAllowance, match=r"\(50000\)"):
        estimate_gas(EXECUTOR, context(), endless, purse)
    with pytest.raises(InsufficientFundsForTransfer):
        estimate_gas(EXECUTOR, context(), endless, call_of(gas_limit=0, max_fee_per_gas=1, value=1))
    with pytest.raises(GasAboveAllowance, match=r"\(21000\)"):
        estimate_gas(EXECUTOR, context(), world(), call_of(to=None, gas_limit=21_000))


# --- access lists


def test_an_access_list_names_what_is_reached_beside_sender_and_recipient():
    inner, seen = Address(b"\xdd" * 20), Address(b"\xee" * 20)
    view = world(
        code=f"7 SLOAD 0x{seen.hex()} BALANCE CALLER BALANCE 3 BALANCE 0 0 0 0 0 0x{inner.hex()} GAS CALL"
    )
    view.put(inner, code=assemble("9 SLOAD 8 SLOAD 0 0 REVERT"))
    result = create_access_list(EXECUTOR, context(), view, call_of())
    slots = [Hash32(word(n)) for n in (7, 8, 9)]
    assert result.access_list == ((CONTRACT, (slots[0],)), (inner, (slots[1], slots[2])), (seen, ()))
    assert result.error is None
    declared = call_of(access_list=result.access_list)
    assert run(view, declared).gas_used == result.gas_used
    assert run(view, declared).touched == result.access_list


def test_an_access_list_is_made_for_calls_that_fail_too():
    result = create_access_list(EXECUTOR, context(), world(code="5 SLOAD INVALID"), call_of())
    assert result.error == "invalid opcode: INVALID"
    assert result.access_list == ((CONTRACT, (Hash32(word(5)),)),)


def test_the_author_is_warm_from_shanghai_on():
    view = world(code="COINBASE BALANCE")
    for fork, listed in ((Fork.LONDON, ((AUTHOR, ()),)), (Fork.SHANGHAI, ())):
        assert create_access_list(EXECUTOR, context(fork), view, call_of()).access_list == listed


# --- reasons


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (HELP, "help"),
        (bytes.fromhex("4e487b71") + word(0x11), "arithmetic underflow or overflow"),
        (bytes.fromhex("4e487b71") + word(0x99), "unknown panic code: 0x99"),
        (b"", None),
        (b"\1\2\3\4" + word(1), None),
        (HELP[:60], None),
        (HELP[:4] + word(1 << 255) + word(4), None),
        (HELP[:4] + word(32) + word(1 << 255), None),
    ],
)
def test_revert_reasons(output, reason):
    assert revert_reason(output) == reason
