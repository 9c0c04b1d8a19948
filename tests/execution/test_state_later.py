"""All quick official state tests of Shanghai and Cancun, through the executor port."""

import pytest

from tests.execution.official import SLOW, folders, hold_folder

pytestmark = pytest.mark.long
FORKS = (
    "Shanghai",
    "Cancun",
)


@pytest.mark.parametrize(("folder", "fork"), folders(*FORKS))
def test_every_result(folder, fork, record_property):
    hold_folder(folder, fork, record_property, skip=SLOW)
