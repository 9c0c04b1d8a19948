"""Fixtures of the tests of production."""

import pytest
import trio

from tests.production.world import run_inline


@pytest.fixture
def inline_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work for worker threads runs in place: real threads would race the mock clock."""
    monkeypatch.setattr(trio.to_thread, "run_sync", run_inline)
