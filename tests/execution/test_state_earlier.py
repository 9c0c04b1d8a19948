"""All quick official state tests of the forks before London, through the executor port."""

import pytest

from tests.execution.official import SLOW, folders, hold_folder

pytestmark = pytest.mark.long
FORKS = (
    *("Frontier", "Homestead", "EIP150", "EIP158", "Byzantium"),
    *("Constantinople", "ConstantinopleFix", "Istanbul", "Berlin"),
)


@pytest.mark.parametrize(("folder", "fork"), folders(*FORKS))
def test_every_result(folder, fork, record_property):
    hold_folder(folder, fork, record_property, skip=SLOW)
