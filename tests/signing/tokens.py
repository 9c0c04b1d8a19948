"""A real token in software (SoftHSM2), one store for all tests of a process: its module reads its
configuration once."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from node.signing.pkcs11 import TokenKeyName

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "87654321"


@dataclass(frozen=True)
class Tokens:
    """Where the tokens are kept, and the name of one that is not touched by tests of damage."""

    folder: Path
    steady: str = "steady"
    doomed: str = "doomed"

    def name(self, key: str, token: str | None = None) -> TokenKeyName:
        """A key in a token."""
        return TokenKeyName(MODULE, token or self.steady, key)


def make_tokens(folder: Path) -> Tokens:
    """Two empty tokens; skips the test where SoftHSM2 or python-pkcs11 is not installed."""
    if not MODULE.is_file() or shutil.which("softhsm2-util") is None or find_spec("pkcs11") is None:
        pytest.skip("SoftHSM2 (Debian: softhsm2) or python-pkcs11 is not installed")
    store = folder / "tokens"
    store.mkdir()
    configuration = folder / "softhsm2.conf"
    configuration.write_text(
        f"directories.tokendir = {store}\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    os.environ["SOFTHSM2_CONF"] = str(configuration)
    tokens = Tokens(store)
    for label in (tokens.steady, tokens.doomed):
        command = ["softhsm2-util", "--init-token", "--free", "--label", label]
        subprocess.run([*command, "--so-pin", "12345678", "--pin", PIN], check=True, capture_output=True)
    return tokens


def shared_tokens(factory: pytest.TempPathFactory) -> Tokens:
    """The store of this process, for whichever folder of tests asks first."""
    return _tokens_below(factory.getbasetemp())


@cache
def _tokens_below(folder: Path) -> Tokens:
    (folder / "softhsm").mkdir()
    return make_tokens(folder / "softhsm")
