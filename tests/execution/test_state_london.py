"""All official state tests of London, through the executor port; `test_state_heavy` has the longest."""

import pytest

from tests.execution.official import HEAVIEST, HEAVY, folders, hold_folder

pytestmark = pytest.mark.long(2)


@pytest.mark.parametrize(("folder", "fork"), folders("London"))
def test_every_result(folder, fork, record_property):
    hold_folder(folder, fork, record_property, skip=HEAVY + HEAVIEST)
