"""One deployed suite for each test process; every test begins from the same block."""

import pytest

from tests.contracts.suite import Suite, build

_BUILT: list[tuple[Suite, object]] = []


@pytest.fixture
def deployed() -> Suite:
    """The suite as the script leaves it."""
    if not _BUILT:
        made = build()
        _BUILT.append((made, made.chain.snapshot()))
    made, snapshot = _BUILT[0]
    made.chain.restore(snapshot)
    return made
