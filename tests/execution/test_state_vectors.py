"""Official state tests through the executor port: the quick slices, and the count of what there is."""

import pytest

from node.execution.executor import Executor
from tests.execution.official import FOLDER, hold, slice_of
from tests.execution.state_tests import FORKS
from tests.execution.tracers import SilentTracer, TracedExecutor
from tests.vectors import ethereum_tests, load_json

LONDON_RESULTS = 18_200
"""In ethereum/tests v13.3, ten files that the archive lacks not counted."""


@pytest.mark.parametrize(("file", "fork"), slice_of(5, "London"))
def test_london_slice(file, fork, record_property):
    hold(file, fork, record_property)


@pytest.mark.parametrize(("file", "fork"), slice_of(60, "Cancun", "Shanghai", "Berlin", "Istanbul", offset=1))
def test_slice_of_other_forks(file, fork, record_property):
    hold(file, fork, record_property)


@pytest.mark.parametrize(
    ("file", "fork"),
    slice_of(3, "Byzantium", "ConstantinopleFix", folder="VMTests/vmIOandFlowOperations/"),
)
def test_slice_of_forks_before_istanbul(file, fork, record_property):
    hold(file, fork, record_property)


@pytest.mark.parametrize(("file", "fork"), slice_of(40, "London", offset=2))
def test_traced_slice(file, fork, record_property):
    under_test: Executor = TracedExecutor(SilentTracer())
    hold(file, fork, record_property, under_test)


@pytest.mark.long
def test_every_london_result_is_there_to_be_checked():
    results = 0
    for path in (ethereum_tests() / FOLDER).glob("**/*.json"):
        results += sum(len(test["post"].get("London", ())) for test in load_json(path).values())
    assert results == LONDON_RESULTS


def test_every_fork_but_paris_has_its_rules():
    assert set(FORKS.values()) == set(type(FORKS["London"]))
