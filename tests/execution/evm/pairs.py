"""Programs on both executors: their outcomes must be one."""

from collections.abc import Sequence

import pytest

from node.execution.evm import program
from node.execution.evm.executor import FastExecutor
from node.primitives.chain_spec import Fork
from node.primitives.ids import Address, Hash32
from tests.execution.evm.swarm import DRIVER, REFERENCE, Batch, Case, address_of, first_difference, outcome

AT_ONCE = 200
"""Calls in a transaction."""
COLD = 10**9
"""Runs before a block is compiled: never. The other extreme is 0."""


def word_of(index: int) -> int:
    """The address of a program as a number."""
    return int.from_bytes(address_of(index), "big")


def both(
    fork: Fork,
    codes: Sequence[bytes],
    calls: Sequence[tuple[int, int]],
    *,
    hot_runs: Sequence[int] = (0, COLD),
    listed: tuple[tuple[Address, tuple[Hash32, ...]], ...] = (),
    at_once: int = AT_ONCE,
) -> list[bool]:
    """Call programs, each with some gas, one after the other: which calls succeeded.

    All compiled at once, and all interpreted, everything is as the reference has it. A program begins with a
    JUMPDEST of ours.
    """
    cases = [Case(index, gas) for index, gas in calls]
    batch = Batch(
        fork=fork,
        programs=tuple((code,) for code in codes),
        transactions=tuple(tuple(cases[place : place + at_once]) for place in range(0, len(cases), at_once)),
        listed=listed,
        data=b"",
        hot_runs=0,
    )
    expected = outcome(REFERENCE, batch)
    for runs in hot_runs:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(program, "HOT_RUNS", runs)
            if outcome(FastExecutor(REFERENCE), batch) != expected:
                place = first_difference(Batch(**(vars(batch) | {"hot_runs": runs})))
                assert place is not None
                pytest.fail(f"{fork.name}, hot after {runs}: call {place} differs: {cases[place]}")
    told = [log for receipt in expected.receipts for log in receipt.logs if log.address == DRIVER]
    assert len(told) == len(cases)
    return [bool(log.topics[1][31]) for log in told]
