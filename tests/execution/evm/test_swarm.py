"""Random calls by the thousand: both executors agree, and where they did not, it would be found."""

import os
import time
from dataclasses import replace

import pytest

from node.execution.evm import program
from tests.execution.evm import swarm
from tests.execution.evm.breeding import code_of

LONG_S = 45.0
SHARES = 2
"""This file, and `test_swarm_other`: two workers of the long suite."""


def test_some_programs_mean_the_same_to_both(record_property):
    count, found = swarm.compare("always the same", 1_500, time.monotonic() + 60)
    assert found == ""
    record_property("swarm", count)


@pytest.mark.parametrize("hot_runs", [0, program.HOT_RUNS])
def test_a_wrong_instruction_is_found_and_shrunk(hot_runs, monkeypatch):
    monkeypatch.setitem(program._NAMES, "signextend", lambda size, word: word)
    batches = (swarm.a_batch("wrong", number) for number in range(120, 160))  # few before meet it
    chosen = (replace(batch, hot_runs=hot_runs) for batch in batches)
    batch = next(batch for batch in chosen if swarm.first_difference(batch) is not None)
    small = swarm.shrunk(batch)
    assert swarm.first_difference(small) is not None
    assert small.cases <= 2
    assert sum(len(parts) for parts in small.programs) < 6
    assert b"\x0b" in b"".join(map(code_of, small.programs))


@pytest.mark.long(45)
def test_many_programs_mean_the_same_to_both(record_property):
    hold_many(0, record_property)


def hold_many(share, record_property):
    """As many as there is time for; the seed is in the failure, and new every day in CI."""
    seed = os.environ.get("SWARM_SEED") or time.strftime("%Y-%m-%d")
    count, found = swarm.compare(seed, 10**9, time.monotonic() + LONG_S, share, SHARES)
    record_property("swarm", count)
    assert found == ""
