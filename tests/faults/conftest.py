"""No process outlives its test."""

from collections.abc import Iterator

import pytest

from tests.faults.live import end_all


@pytest.fixture(autouse=True)
def _nobody_stays() -> Iterator[None]:
    yield
    end_all()
