"""All official state tests of London, through the executor port."""

import pytest

from tests.execution.official import folders, hold_folder

pytestmark = pytest.mark.long
FORKS = ("London",)


@pytest.mark.parametrize(("folder", "fork"), folders(*FORKS))
def test_every_result(folder, fork, record_property):
    hold_folder(folder, fork, record_property)
