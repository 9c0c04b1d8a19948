"""Virtual time: threads run in place, so that the clock moves only when nothing is left to do."""

import pytest

from tests.sync.world import inline


@pytest.fixture(autouse=True)
def _virtual_time(monkeypatch: pytest.MonkeyPatch, autojump_clock) -> None:
    monkeypatch.setattr("trio.to_thread.run_sync", inline)
