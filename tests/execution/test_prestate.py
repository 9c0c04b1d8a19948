"""What a transaction found and what it changed, in the shape of geth's prestateTracer."""

import pytest

from node.execution.evm.executor import FastExecutor
from node.execution.executor import AccountOverride, Call
from node.execution.prestate import prestate, prestate_of_call
from node.execution.py_evm import PyEvmExecutor
from node.execution.py_evm_transaction import created_address
from node.execution.tracing import TraceTooLarge
from tests.execution.builders import (
    AUTHOR,
    CONTRACT,
    ETHER,
    KEY,
    NOBODY,
    assemble,
    context,
    deploying,
    signed,
    world,
)

SENDER, THERE = "0x" + KEY.address.hex(), "0x" + CONTRACT.hex()
EXECUTORS = [PyEvmExecutor(), FastExecutor(PyEvmExecutor())]
pytestmark = pytest.mark.parametrize("executor", EXECUTORS, ids=lambda executor: executor.name)


def slot(number: int) -> str:
    """32 bytes."""
    return f"0x{number:064x}"


def found(executor, view, tx, before=(), **options):
    """The answer about a transaction."""
    return prestate(executor, context(), view, before, tx, **options)


def test_every_account_and_slot_looked_at_is_shown_as_it_was(executor):
    code = assemble(f"0 SLOAD 5 1 SSTORE 0x{NOBODY.hex()} BALANCE")
    view = world(code=code)
    view.slots[CONTRACT] = {0: 7}
    assert found(executor, view, signed(to=CONTRACT)) == {
        SENDER: {"balance": hex(ETHER)},
        THERE: {"balance": "0x0", "code": "0x" + code.hex(), "storage": {slot(0): slot(7), slot(1): slot(0)}},
        "0x" + NOBODY.hex(): {"balance": "0x0"},
        "0x" + AUTHOR.hex(): {"balance": "0x0"},
    }


def test_the_blocks_earlier_transactions_have_happened(executor):
    view = world(code="0 SLOAD 1 ADD 0 SSTORE")
    before = [signed(nonce=nonce, to=CONTRACT) for nonce in (0, 1)]
    answer = found(executor, view, signed(nonce=2, to=CONTRACT), before)
    assert answer[SENDER]["nonce"] == 2
    assert answer[THERE]["storage"] == {slot(0): slot(2)}


def test_a_difference_shows_what_changed_before_and_after(executor):
    code = assemble("0 SLOAD POP 5 1 SSTORE 0 2 SSTORE")
    view = world(code=code)
    view.slots[CONTRACT] = {0: 7, 2: 9}
    answer = found(executor, view, signed(to=CONTRACT, value=3), diff=True)
    assert answer == {
        "pre": {
            SENDER: {"balance": hex(ETHER)},
            THERE: {"balance": "0x0", "code": "0x" + code.hex(), "storage": {slot(2): slot(9)}},
        },
        "post": {
            SENDER: {"balance": hex(ETHER - 3), "nonce": 1},
            THERE: {"balance": "0x3", "storage": {slot(1): slot(5)}},
        },
    }


def test_what_comes_to_be_is_only_after_and_what_goes_only_before(executor):
    made = "0x" + created_address(KEY.address, 0).hex()
    answer = found(executor, world(), signed(to=None, data=deploying(b"\1"), gas=200_000), diff=True)
    assert made not in answer["pre"]
    assert answer["post"][made] == {"nonce": 1, "code": "0x01"}
    view = world()
    view.put(CONTRACT, balance=1, code=assemble("0 SLOAD CALLER SELFDESTRUCT"), storage={0: 4})
    answer = found(executor, view, signed(to=CONTRACT), diff=True)
    assert answer["pre"][THERE]["storage"] == {slot(0): slot(4)}
    assert THERE not in answer["post"]


def test_calls_have_a_prestate_with_what_is_pretended(executor):
    view = world(code="0 SLOAD")
    call = Call(sender=KEY.address, to=CONTRACT, gas_limit=100_000)
    override = {CONTRACT: AccountOverride(storage_diff={0: 8})}
    answer = prestate_of_call(executor, context(), view, call, override)
    assert answer[THERE]["storage"] == {slot(0): slot(8)}


def test_an_answer_that_grows_too_large_is_given_up(executor):
    view = world(code=bytes(1000))
    with pytest.raises(TraceTooLarge):
        found(executor, view, signed(to=CONTRACT), bytes_max=2_000)
    assert found(executor, view, signed(to=CONTRACT), bytes_max=3_000)
