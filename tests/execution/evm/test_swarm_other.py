"""The other half of the long swarm: a file of its own, so that another worker takes it."""

import pytest

from tests.execution.evm.test_swarm import hold_many


@pytest.mark.long(90)
def test_many_programs_mean_the_same_to_both(record_property):
    hold_many(1, record_property)
