"""Programs from PyPI in virtual environments of their own, made once per machine in its temporary folder.

For what cannot live beside our own pins: slither needs an older web3 and brings a `solc` of its own.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from tests.interop.once import one_at_a_time

INSTALL_TIMEOUT_S: Final = 300


@cache
def pip_install(*packages: str) -> Path:
    """The interpreter of an environment with these packages ("name==version"); skips where there is none."""
    digest = hashlib.sha256(" ".join((sys.version, *packages)).encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"phoenix-pip-{os.getuid()}" / digest
    python = folder / "bin" / "python"
    # Written last: without it, an earlier run ended in the middle.
    whole = folder / "whole"
    with one_at_a_time(folder):
        if not whole.exists():
            _install(packages, folder, python)
            whole.touch()
    return python


def _install(packages: tuple[str, ...], folder: Path, python: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages],
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S)
        if done.returncode != 0:
            last = (done.stderr or done.stdout).strip().splitlines()[-1:]
            pytest.skip(f"pip cannot install {' '.join(packages)}: {last}")
