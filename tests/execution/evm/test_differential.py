"""Two independent EVMs must agree on every byte of what random programs cause."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.execution.evm import program
from node.execution.evm.executor import FastExecutor
from node.execution.evm.halts import OutOfGas
from node.execution.executor import BlockOutcome, Call, CallResult, InvalidTransaction
from node.execution.py_evm import PyEvmExecutor
from node.primitives.chain_spec import Fork
from node.primitives.ids import Hash32
from node.primitives.transaction import TransactionType
from tests.execution.builders import KEY, context, signed
from tests.execution.evm.programs import CONTRACTS, OTHERS, programs
from tests.execution.worlds import MemoryView, assert_minimal

REFERENCE = PyEvmExecutor()
FORKS = tuple(fork for fork in Fork if fork >= Fork.BYZANTIUM)
QUICK, LONG = 150, 500
"""Cases, always the same; each is run by the reference once and by ours as often as there are heats. To draw
one takes longer than to run it: what is counted by the million, and drawn anew every day, is the swarm."""

cases = st.fixed_dictionaries(
    {
        "fork": st.sampled_from((Fork.LONDON, Fork.LONDON, *FORKS)),
        "codes": st.lists(programs, min_size=len(CONTRACTS), max_size=len(CONTRACTS)),
        "stored": st.dictionaries(st.integers(0, 4), st.integers(1, 3)),
        "gas": st.lists(st.integers(25_000, 400_000), min_size=1, max_size=3),
        "value": st.sampled_from((0, 0, 1, 10**7)),
        "data": st.binary(max_size=70),
        "creates": st.booleans(),
        "kind": st.sampled_from(TransactionType),
        "base_fee": st.sampled_from((0, 7, 10**9)),
        "fee": st.tuples(st.integers(0, 9), st.integers(0, 2 * 10**9)),
        "listed": st.lists(
            st.tuples(st.sampled_from((*CONTRACTS, *OTHERS)), st.lists(st.integers(0, 4), max_size=3)),
            max_size=3,
        ),
    }
)


def _world(case) -> MemoryView:
    view = MemoryView()
    view.put(KEY.address, 10**20)
    for address, code in zip(CONTRACTS, case["codes"], strict=True):
        view.put(address, balance=10**7, nonce=1, code=code, storage=case["stored"])
    return view


def _block(executor, case) -> tuple[list[object], BlockOutcome]:
    """What each transaction said, and what the block came to."""
    view, to = _world(case), None if case["creates"] else CONTRACTS[0]
    session = executor.begin(context(case["fork"], number=300, **_base_fee(case)), view)
    answers: list[object] = []
    nonce = 0
    for gas in case["gas"]:
        tx = signed(nonce=nonce, to=to, value=case["value"], gas=gas, **_fees(case), **_payload(case))
        try:
            answers.append(session.apply(tx))
            nonce += 1
        except InvalidTransaction as error:
            answers.append(str(error))
    outcome = session.finish()
    assert_minimal(view, outcome.changes)
    return answers, outcome


def _base_fee(case) -> dict[str, int]:
    return {"base_fee_per_gas": case["base_fee"]} if case["fork"] >= Fork.LONDON else {}


def _fees(case):
    """Type, access list and fees as far as the fork knows them; the fees mostly cover the base fee."""
    fork, kind = case["fork"], case["kind"]
    if fork < Fork.BERLIN or (fork < Fork.LONDON and kind is TransactionType.FEE_MARKET):
        kind = TransactionType.LEGACY
    tip, margin = case["fee"]
    listed = tuple(
        (address, tuple(Hash32(slot.to_bytes(32, "big")) for slot in slots))
        for address, slots in case["listed"]
    )
    return {
        "kind": kind,
        "fee": case["base_fee"] + margin if kind is TransactionType.FEE_MARKET else case["base_fee"] + tip,
        "tip": tip if kind is TransactionType.FEE_MARKET else None,
        "access_list": () if kind is TransactionType.LEGACY else listed,
    }


def _payload(case) -> dict[str, bytes]:
    return {"data": case["codes"][0] if case["creates"] else case["data"]}


def _call(executor, case) -> CallResult | str:
    call = Call(sender=KEY.address, to=CONTRACTS[0], data=case["data"], gas_limit=case["gas"][0])
    try:
        return executor.call(context(case["fork"], number=300), _world(case), call)
    except InvalidTransaction as error:
        return str(error)


def _compare(case, heats: tuple[int, ...]) -> None:
    """The reference once, then ours: compiled at once, after some runs, or as it comes."""
    block, call = _block(REFERENCE, case), _call(REFERENCE, case)
    for hot_runs in heats:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(program, "HOT_RUNS", hot_runs)
            fast = FastExecutor(REFERENCE)
            assert _block(fast, case) == block, hot_runs
            _same_call(_call(fast, case), call)


def _same_call(ours: CallResult | str, theirs: CallResult | str) -> None:
    if isinstance(ours, CallResult) and isinstance(theirs, CallResult) and ours.error == OutOfGas.reason:
        # A block is paid for as a whole, so it may run out of gas before it reaches another fault,
        # or after it has touched more or less than instruction by instruction.
        assert theirs.error is not None
        assert not theirs.reverted
        ours = replace(ours, error=theirs.error, touched=theirs.touched)
    if isinstance(ours, CallResult) and isinstance(theirs, CallResult):
        # The same in a frame within; what is touched on success is held by the tests of access lists.
        ours = replace(ours, touched=theirs.touched)
    assert ours == theirs


def _examples(count: int):
    return settings(
        max_examples=count,
        derandomize=True,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )


def _held(count: int, *heats: int) -> None:
    _examples(count)(given(cases)(lambda case: _compare(case, heats)))()


def test_random_programs_mean_the_same_to_both():
    _held(QUICK, 0, program.HOT_RUNS)


@pytest.mark.long(33)
def test_many_random_programs_mean_the_same_to_both():
    _held(LONG, 0, 2, program.HOT_RUNS)
