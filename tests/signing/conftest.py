"""Fixtures of the tests of signing."""

import pytest

from tests.signing.test_service import world as world
from tests.signing.tokens import Tokens, shared_tokens


@pytest.fixture(scope="session")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    """Tokens in software, or a skip."""
    return shared_tokens(tmp_path_factory)
