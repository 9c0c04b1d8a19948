"""Threads run in place, so that virtual time (autojump_clock) moves only when nothing is left to do."""

import pytest

from tests.sync.world import inline


@pytest.fixture(autouse=True)
def _no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trio.to_thread.run_sync", inline)
