"""What the struct logger and the call tracer write down, in the shapes geth gives."""

import msgspec
import pytest

from node.execution.executor import Call
from node.execution.py_evm import PyEvmExecutor
from node.execution.py_evm_transaction import created_address
from node.execution.tracing import CallTracer, StructLogger, TraceTooLarge
from node.primitives.chain_spec import Fork
from node.primitives.ids import Address
from tests.execution.builders import (
    CONTRACT,
    KEY,
    NOBODY,
    assemble,
    context,
    deploying,
    signed,
    world,
)

EXECUTOR = PyEvmExecutor()
INNER = Address(b"\xdd" * 20)


def traced(tracer, view, tx=None, before=(), fork=Fork.LONDON):
    """The tracer's answer about a transaction to CONTRACT."""
    receipt = EXECUTOR.trace_transaction(context(fork), view, before, tx or signed(to=CONTRACT), tracer)
    return msgspec.json.decode(msgspec.json.encode(tracer.result())), receipt


def word(number: int) -> str:
    """32 bytes of hex without prefix."""
    return f"{number:064x}"


def test_every_instruction_is_written_down():
    result, receipt = traced(StructLogger(), world(code="2 3 ADD 0 SSTORE"))
    steps = result.pop("structLogs")
    assert result == {"gas": receipt.cumulative_gas_used, "failed": False, "returnValue": ""}
    assert steps == [
        {"pc": 0, "op": "PUSH1", "gas": 79_000, "gasCost": 3, "depth": 1, "stack": []},
        {"pc": 2, "op": "PUSH1", "gas": 78_997, "gasCost": 3, "depth": 1, "stack": ["0x2"]},
        {"pc": 4, "op": "ADD", "gas": 78_994, "gasCost": 3, "depth": 1, "stack": ["0x2", "0x3"]},
        {"pc": 5, "op": "PUSH1", "gas": 78_991, "gasCost": 3, "depth": 1, "stack": ["0x5"]},
        {
            "pc": 7,
            "op": "SSTORE",
            "gas": 78_988,
            "gasCost": 22_100,
            "depth": 1,
            "stack": ["0x5", "0x0"],
            "storage": {word(0): word(5)},
        },
        {"pc": 8, "op": "STOP", "gas": 56_888, "gasCost": 0, "depth": 1, "stack": []},
    ]


def test_storage_gathers_what_the_contract_reads_and_writes():
    result, _ = traced(StructLogger(with_stack=False), world(code="7 0 SSTORE 1 SLOAD 0 SLOAD"))
    storages = [step["storage"] for step in result["structLogs"] if "storage" in step]
    assert storages == [
        {word(0): word(7)},
        {word(0): word(7), word(1): word(0)},
        {word(0): word(7), word(1): word(0)},
    ]


def test_options_leave_out_and_add():
    view = world(code="5 0 MSTORE 0 0 SSTORE 32 0 RETURN")
    result, _ = traced(StructLogger(with_memory=True, with_stack=False, with_storage=False), view)
    steps = result["structLogs"]
    assert result["returnValue"] == word(5)
    assert [step["memory"] for step in steps] == [[], [], [], *[[word(5)]] * 6]
    assert all("stack" not in step and "storage" not in step for step in steps)
    result, _ = traced(StructLogger(steps_max=2), view)
    assert [step["pc"] for step in result["structLogs"]] == [0, 2]
    assert result["returnValue"] == word(5)


def test_calls_are_followed_into_their_depth():
    view = world(code=f"0 0 0 0 0 0x{INNER.hex()} 50000 CALL RETURNDATASIZE")
    view.put(INNER, code=assemble("1 0 MSTORE 32 0 RETURN"))
    result, _ = traced(StructLogger(with_return_data=True), view)
    steps = result["structLogs"]
    assert [step["depth"] for step in steps] == [1] * 8 + [2] * 6 + [1] * 2
    call, first, last = steps[7], steps[8], steps[-2]
    assert (call["op"], call["gasCost"], first["gas"]) == ("CALL", 50_000 + 2_600, 50_000)
    assert last["returnData"] == "0x" + word(1)
    assert last["gas"] == call["gas"] - 2_600 - (50_000 - steps[13]["gas"])


def test_a_creation_costs_without_the_gas_it_hands_on():
    view = world(code="0 0 0 CREATE")
    result, _ = traced(StructLogger(), view)
    create = result["structLogs"][3]
    assert (create["op"], create["gasCost"]) == ("CREATE", 32_000)


@pytest.mark.parametrize(
    ("code", "op", "error", "cost"),
    [
        ("0 0 REVERT", "REVERT", "execution reverted", 0),
        ("INVALID", "INVALID", "invalid opcode: INVALID", 0),
        ("1 ADD", "ADD", "stack underflow (1 <=> 2)", 3),
        ("1 0 SSTORE 1 1 SSTORE 1 2 SSTORE 1 3 SSTORE", "SSTORE", "out of gas", 20_000),
        (f"{1 << 24} MLOAD", "MLOAD", "out of gas", 3 + 3 * 524_289 + 524_289**2 // 512),
    ],
)
def test_the_failing_step_says_why(code, op, error, cost):
    result, receipt = traced(StructLogger(), world(code=code))
    step = result["structLogs"][-1]
    assert (step["op"], step["error"], step["gasCost"]) == (op, error, cost)
    assert (result["failed"], receipt.outcome) == (True, 0)


def test_refunds_are_shown_as_they_stand():
    view = world()
    view.put(CONTRACT, code=assemble("0 0 SSTORE 0"), storage={0: 1})
    result, _ = traced(StructLogger(), view)
    assert [step.get("refund") for step in result["structLogs"]] == [None, None, None, 4_800, 4_800]


def test_a_trace_that_grows_too_large_is_given_up():
    endless = world(code="JUMPDEST 0 JUMP")
    with pytest.raises(TraceTooLarge):
        traced(StructLogger(bytes_max=10_000), endless)
    assert len(traced(StructLogger(steps_max=10), endless)[0]["structLogs"]) == 10
    calls = world(code="JUMPDEST 0 0 0 0 0 0 GAS CALL POP 0 JUMP")
    with pytest.raises(TraceTooLarge):
        traced(CallTracer(bytes_max=10_000), calls)


def test_a_transfer_is_a_call_and_no_steps():
    result, _ = traced(StructLogger(), world(), signed(value=1))
    assert result == {"gas": 21_000, "failed": False, "returnValue": "", "structLogs": []}
    result, _ = traced(CallTracer(), world(), signed(value=1))
    assert result == {
        "type": "CALL",
        "from": "0x" + KEY.address.hex(),
        "to": "0x" + NOBODY.hex(),
        "value": "0x1",
        "gas": hex(100_000),
        "gasUsed": hex(21_000),
        "input": "0x",
    }


def test_the_tracer_sees_only_the_transaction_it_was_given():
    view = world(code="0 SLOAD 1 ADD DUP1 0 SSTORE 0 MSTORE 32 0 RETURN")
    before = [signed(nonce=nonce, to=CONTRACT) for nonce in (0, 1)]
    result, receipt = traced(CallTracer(), view, signed(nonce=2, to=CONTRACT), before)
    assert result["output"] == "0x" + word(3)
    assert int(result["gasUsed"], 16) < receipt.cumulative_gas_used


def test_calls_stand_in_a_tree():
    code = (
        f"0 0 0 0 0x{INNER.hex()} 30000 STATICCALL POP "
        f"0 0 0 0 0x{INNER.hex()} 30000 DELEGATECALL POP "
        f"0 0 0 0 2 0x{INNER.hex()} 30000 CALLCODE POP "
        "0 0 0 0 0 4 30000 CALL POP"
    )
    view = world(code=code)
    view.put(INNER, code=assemble("1 0 MSTORE 32 0 RETURN"))
    result, _ = traced(CallTracer(), view, signed(to=CONTRACT, value=9, gas=300_000))
    calls = result["calls"]
    assert [(call["type"], call.get("value"), call["to"][-2:]) for call in calls] == [
        ("STATICCALL", None, "dd"),
        ("DELEGATECALL", "0x9", "dd"),
        ("CALLCODE", "0x2", "dd"),
        ("CALL", "0x0", "04"),
    ]
    assert all(call["from"] == "0x" + CONTRACT.hex() for call in calls)
    assert [call.get("output") for call in calls] == ["0x" + word(1)] * 3 + [None]
    assert calls[1]["gas"] == hex(30_000)
    only, _ = traced(CallTracer(only_top_call=True), view, signed(to=CONTRACT, value=9, gas=300_000))
    assert only == {key: value for key, value in result.items() if key != "calls"}


def test_failures_are_told_with_their_reason():
    reason = bytes.fromhex("4e487b71") + (0x12).to_bytes(32, "big")
    head = assemble(f"{len(reason)} 12 0 CODECOPY {len(reason)} 0 REVERT")
    result, _ = traced(CallTracer(), world(code=head + reason))
    assert result["error"] == "execution reverted"
    assert result["revertReason"] == "division or modulo by zero"
    assert result["output"] == "0x" + reason.hex()
    result, _ = traced(CallTracer(), world(), signed(to=None, data=assemble("INVALID")))
    assert (result["type"], result["error"]) == ("CREATE", "invalid opcode: INVALID")
    assert "to" not in result
    assert result["gasUsed"] == hex(100_000)


def test_creation_and_destruction_are_calls():
    factory = assemble("CALLDATASIZE 0 0 CALLDATACOPY CALLDATASIZE 0 3 CREATE")
    factory += assemble("0 0 0 0 0 DUP6 GAS CALL")
    init = deploying(assemble("CALLER SELFDESTRUCT"))
    result, receipt = traced(
        CallTracer(), world(code=factory), signed(to=CONTRACT, value=3, data=init, gas=500_000)
    )
    assert receipt.outcome == 1
    made = "0x" + created_address(CONTRACT, 0).hex()
    create, call = result["calls"]
    assert (create["type"], create["to"], create["value"], create["input"]) == (
        "CREATE",
        made,
        "0x3",
        "0x" + init.hex(),
    )
    assert create["output"] == "0x" + assemble("CALLER SELFDESTRUCT").hex()
    assert call["to"] == made
    assert call["calls"] == [
        {
            "type": "SELFDESTRUCT",
            "from": made,
            "to": "0x" + CONTRACT.hex(),
            "value": "0x3",
            "gas": "0x0",
            "gasUsed": "0x0",
            "input": "0x",
        }
    ]


def test_logs_stand_with_the_call_that_made_them_unless_it_failed():
    code = f"1 0 0 LOG1 0 0 0 0 0 0x{INNER.hex()} 30000 CALL 2 0 0 LOG1"
    view = world(code=code)
    view.put(INNER, code=assemble("3 0 0 LOG1 0 0 REVERT"))
    result, receipt = traced(CallTracer(with_logs=True), view)
    logs = [
        {"address": "0x" + CONTRACT.hex(), "topics": ["0x" + word(n)], "data": "0x", "position": hex(n - 1)}
        for n in (1, 2)
    ]
    assert result["logs"] == logs
    assert "logs" not in result["calls"][0]
    assert len(receipt.logs) == 2


def test_calls_are_traced_like_transactions():
    tracer = CallTracer()
    call = Call(sender=NOBODY, to=CONTRACT, data=b"\1", gas_limit=90_000)
    EXECUTOR.call(context(), world(code="0 0 RETURN"), call, tracer=tracer)
    assert tracer.result()["gas"] == hex(90_000)
    assert tracer.result()["input"] == "0x01"
