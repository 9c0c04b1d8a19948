"""What the watched world saw is what the reference's call tracer writes down."""

from hypothesis import given

from node.execution.evm.executor import FastExecutor
from node.execution.evm.watching import Move
from node.execution.executor import InvalidTransaction
from node.execution.py_evm import PyEvmExecutor
from node.execution.tracing import CallTracer
from node.primitives.chain_spec import Fork
from node.primitives.ids import Address
from tests.execution.builders import CONTRACT, NOBODY, context, deploying, signed, world
from tests.execution.evm import test_differential as differential

REFERENCE = PyEvmExecutor()
PAY = f"0 0 0 0 5 0x{NOBODY.hex()} GAS CALL"


def moves(view, *transactions, fork=Fork.LONDON):
    return FastExecutor(REFERENCE).moves(context(fork), view, transactions)


def traced_moves(frame, depth=0) -> list[Move]:
    """A call tracer's tree, flat: what moved, leaving out what failed and the transaction itself."""
    if "error" in frame:
        return []
    inner = [move for call in frame.get("calls", ()) for move in traced_moves(call, depth + 1)]
    kind, value = frame["type"], int(frame.get("value", "0x0"), 16)
    source, target = (Address(bytes.fromhex(frame[key][2:])) for key in ("from", "to"))
    creates = kind in ("CREATE", "CREATE2")
    moved = kind in ("CALL", "SELFDESTRUCT") and value and source != target
    if depth and (creates or moved):
        return [Move(source, target, value, creates), *inner]
    return inner


def test_a_call_with_value_is_a_move_and_the_transaction_itself_is_none():
    view = world(code=PAY)
    assert moves(view, signed(to=CONTRACT, value=9)) == [(Move(CONTRACT, NOBODY, 5, False),)]


def test_what_a_failed_frame_moved_was_never_moved():
    view = world(code=f"{PAY} 0 0 REVERT")
    assert moves(view, signed(to=CONTRACT, value=9)) == [()]


def test_a_contract_created_inside_is_a_move_even_without_value():
    init = deploying(b"\0")
    store = "".join(f"{byte} {place} MSTORE8 " for place, byte in enumerate(init))
    view = world(code=f"{store} {len(init)} 0 0 CREATE")
    ((move,),) = moves(view, signed(to=CONTRACT, gas=1_000_000))
    assert (move.source, move.amount, move.creates) == (CONTRACT, 0, True)


def test_the_end_of_a_contract_moves_what_it_had():
    view = world(code=f"0x{NOBODY.hex()} SELFDESTRUCT")
    assert moves(view, signed(to=CONTRACT, value=7)) == [(Move(CONTRACT, NOBODY, 7, False),)]


def test_transactions_of_a_block_are_told_apart():
    view = world(code=PAY)
    first, second = signed(to=CONTRACT, value=9), signed(nonce=1, to=NOBODY, value=1)
    assert moves(view, first, second) == [(Move(CONTRACT, NOBODY, 5, False),), ()]


def test_random_programs_move_what_the_call_tracer_says():
    @differential._examples(40)
    @given(differential.cases)
    def compare(case):
        view = differential._world(case)
        to = None if case["creates"] else differential.CONTRACTS[0]
        payload, fees = differential._payload(case), differential._fees(case)
        tx = signed(to=to, value=case["value"], gas=case["gas"][0], **fees, **payload)
        place = context(case["fork"], number=300, **differential._base_fee(case))
        try:
            (ours,) = FastExecutor(REFERENCE).moves(place, view, [tx])
        except InvalidTransaction:
            return
        tracer = CallTracer()
        REFERENCE.trace_transaction(place, view, [], tx, tracer)
        assert list(ours) == traced_moves(tracer.result())

    compare()
