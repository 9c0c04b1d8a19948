"""All quick state tests of London through the traced loop, which leaves every instruction to py-evm."""

import pytest

from tests.execution.official import SLOW, folders, hold_folder
from tests.execution.tracers import SilentTracer, TracedExecutor

pytestmark = pytest.mark.long


@pytest.mark.parametrize(("folder", "fork"), folders("London"))
def test_every_quick_result(folder, fork, record_property):
    hold_folder(folder, fork, record_property, TracedExecutor(SilentTracer()), skip=SLOW)
