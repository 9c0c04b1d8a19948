"""Official state tests on the fast executor: quick slices always, all of them in the long suite."""

import pytest

from node.execution.evm import program
from node.execution.evm.executor import FastExecutor
from tests.execution.official import SLOW, executor, folders, hold, hold_folder, slice_of


def fast() -> FastExecutor:
    """A new one each time: nothing is compiled yet."""
    return FastExecutor(executor())


@pytest.mark.parametrize(("file", "fork"), slice_of(8, "London", offset=3))
def test_london_slice(file, fork, record_property):
    hold(file, fork, record_property, fast())


@pytest.mark.parametrize(
    ("file", "fork"),
    slice_of(80, "Cancun", "Shanghai", "Berlin", "Istanbul", "ConstantinopleFix", "Byzantium"),
)
def test_slice_of_other_forks(file, fork, record_property):
    hold(file, fork, record_property, fast())


@pytest.mark.parametrize(("file", "fork"), slice_of(10, "London", offset=4))
def test_slice_with_every_block_compiled_at_once(file, fork, record_property, monkeypatch):
    monkeypatch.setattr(program, "HOT_RUNS", 0)
    hold(file, fork, record_property, fast())


@pytest.mark.long(2)
@pytest.mark.parametrize(("folder", "fork"), folders("London"))
def test_every_london_result(folder, fork, record_property):
    hold_folder(folder, fork, record_property, fast())


@pytest.mark.long(2)
@pytest.mark.parametrize(("folder", "fork"), folders("Cancun", "Shanghai", "Berlin", "Istanbul"))
def test_every_quick_result_of_other_forks(folder, fork, record_property):
    hold_folder(folder, fork, record_property, fast(), skip=SLOW)


@pytest.mark.long(2)
@pytest.mark.parametrize(("folder", "fork"), folders("London"))
def test_every_quick_result_with_every_block_compiled_at_once(folder, fork, record_property, monkeypatch):
    monkeypatch.setattr(program, "HOT_RUNS", 0)
    hold_folder(folder, fork, record_property, fast(), skip=SLOW)
