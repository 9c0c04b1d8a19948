"""What every test needs, and in which order files go to the workers of a run."""

import os
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# Here, because the run that hands files to workers knows the conftest files of no folder below.
from tests.execution.summary import pytest_terminal_summary as pytest_terminal_summary

# How long a machine takes for an example says nothing about what is tested. (Where CI is set, hypothesis has
# a profile of its own, which stays in force otherwise.)
settings.register_profile(
    "any machine", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


@pytest.fixture(autouse=True, scope="session")
def key_log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Commands that administer keys leave nothing in the home of whoever runs the tests."""
    before = os.environ.get("XDG_STATE_HOME")
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))
    yield
    del os.environ["XDG_STATE_HOME"]
    if before is not None:
        os.environ["XDG_STATE_HOME"] = before


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take longest first, by the seconds that `long(seconds)` says of each of their tests; then
    those of most tests. Whole files stay together, for what they set up.
    """
    seconds: Counter[str] = Counter()
    tests = Counter(_file(item) for item in items)
    for item in items:
        mark = item.get_closest_marker("long")
        if mark is not None and mark.args:
            seconds[_file(item)] += mark.args[0]
    items.sort(key=lambda item: (-seconds[_file(item)], -tests[_file(item)], _file(item)))


def _file(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]
