"""Random calls by the thousand: both executors agree, and where they did not, it would be found."""

import os
import time
from dataclasses import replace

import pytest

from node.execution.evm import program, world
from node.execution.evm.opcodes import instruction_set
from node.execution.evm.world import World
from tests.execution.evm import swarm

CASES = 2_000_000
LONG_S = 180.0
"""At most, on a slow machine; half as long is usual."""
SHARES = 2
"""This file, and `test_swarm_other`: two workers of the long suite."""
BATCHES_MAX = 4
"""In which each fault below is to be found."""


def test_some_programs_mean_the_same_to_both(record_property):
    count, found = swarm.compare("always the same", 1_500, time.monotonic() + 60)
    assert found == ""
    record_property("swarm", ("always the same", count))


@pytest.mark.parametrize("fork", swarm.FORKS, ids=lambda fork: fork.name.lower())
def test_py_evm_says_the_same_where_it_runs_the_driver_itself(fork):
    batch = replace(swarm.a_batch("driven", fork), fork=fork)
    batch = swarm.without_calls(batch, 0, batch.calls - 200)
    assert swarm.outcome(swarm.REFERENCE, batch) == swarm.outcome(swarm.DRIVEN, batch)


def a_wrong_result(monkeypatch):
    """SIGNEXTEND leaves its word as it is."""
    monkeypatch.setitem(program._NAMES, "signextend", lambda size, word: word)


def a_wrong_price(monkeypatch):
    """CODESIZE costs one gas more than it should."""
    monkeypatch.setattr(program, "instruction_set", lambda fork: with_price(fork, 0x38, 3))
    monkeypatch.setattr(program, "_INTERPRETERS", {})


def with_price(fork, code, gas):
    """The instruction set with one price changed."""
    known = instruction_set(fork)
    return known | {code: replace(known[code], gas=gas)}


def a_price_of_one_way(monkeypatch):
    """BYTE costs one gas more than it should where it is compiled; the interpreter has it right."""
    for fork in swarm.FORKS:
        program.interpreter_of(fork)
    monkeypatch.setattr(program, "instruction_set", lambda fork: with_price(fork, 0x1A, 4))


def lost(kind):
    """A kind of change that stays when what made it is reverted."""

    def plant(monkeypatch):
        undo = World._undo_one
        monkeypatch.setattr(
            World, "_undo_one", lambda self, entry: None if entry[0] == kind else undo(self, entry)
        )

    return plant


def a_forgotten_refund(monkeypatch):
    """What a reverted frame would have had refunded is refunded all the same."""
    revert = World.revert
    monkeypatch.setattr(
        World, "revert", lambda self, to: revert(self, to._replace(refund=max(to.refund, self.refund)))
    )


def warm_accounts(monkeypatch):
    """Every account is warm: none costs more at the first touch."""
    warm_up = World.warm_up
    monkeypatch.setattr(World, "warm_up", lambda self, key: isinstance(key, tuple) and warm_up(self, key))


def later(fault, name=None):
    """One for the long suite."""
    return pytest.param(fault, id=name or fault.__name__, marks=pytest.mark.long(3))


@pytest.mark.parametrize(
    "plant",
    [
        a_wrong_result,
        pytest.param(lost(world.SLOT), id="a_slot_that_stays"),
        later(a_wrong_price),
        later(a_price_of_one_way),
        later(lost(world.WARM), "warmth_that_stays"),
        later(lost(world._ACCOUNT), "an_account_that_stays"),
        later(a_forgotten_refund),
        later(warm_accounts),
    ],
)
def test_a_fault_is_found_and_shrunk(plant, monkeypatch):
    plant(monkeypatch)
    batches = (swarm.a_batch("wrong", number) for number in range(BATCHES_MAX))
    batch = next(filter(None, map(swarm.parted, batches)))
    small = swarm.shrunk(batch)
    assert swarm.first_difference(small) is not None
    assert small.calls <= 6  # some must be made until it is compiled
    assert sum(len(parts) for parts in small.programs) < 10


@pytest.mark.long(90)
def test_many_programs_mean_the_same_to_both(record_property):
    hold_many(0, record_property)


def hold_many(share, record_property):
    """A share of the millions; the seed is told at the end, and new every day in CI."""
    seed = os.environ.get("SWARM_SEED") or time.strftime("%Y-%m-%d")
    count, found = swarm.compare(seed, CASES // SHARES, time.monotonic() + LONG_S, share, SHARES)
    record_property("swarm", (seed, count))
    assert found == ""
