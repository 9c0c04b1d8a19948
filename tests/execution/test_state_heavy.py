"""The official state tests of London that take a minute and more each: loops of millions of instructions."""

import pytest

from tests.execution.official import HEAVY, hold_folder

pytestmark = pytest.mark.long(80)


@pytest.mark.parametrize("folder", ["VMTests/vmPerformance", "stPreCompiledContracts2"])
def test_every_result(folder, record_property):
    hold_folder(folder, "London", record_property, only=HEAVY)
