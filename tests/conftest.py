"""In which order files go to the workers of a run."""

from collections import Counter

import pytest


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
