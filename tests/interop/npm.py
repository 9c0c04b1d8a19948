"""Programs from npm, installed once per machine into its temporary folder; never into the project."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

import pytest

INSTALL_TIMEOUT_S: Final = 300


@cache
def npm_install(*packages: str) -> Path:
    """Folder whose node_modules holds these packages ("name@version"); skips where they cannot be had.

    Install scripts do not run.
    """
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    digest = hashlib.sha256(" ".join(packages).encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"phoenix-npm-{os.getuid()}" / digest
    if not folder.is_dir():
        _install(npm, packages, folder)
    return folder


def node() -> str:
    """Node.js; skips the test where there is none."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("Node.js is not installed")
    return found


def _install(npm: str, packages: tuple[str, ...], folder: Path) -> None:
    folder.parent.mkdir(mode=0o700, exist_ok=True)
    # Test processes may race here: each installs aside, and the first rename wins.
    aside = Path(tempfile.mkdtemp(dir=folder.parent))
    command = [
        npm,
        "install",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--prefix",
        str(aside),
        *packages,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S)
    if done.returncode != 0:
        shutil.rmtree(aside)
        pytest.skip(f"npm cannot install {' '.join(packages)}: {done.stderr.strip().splitlines()[-1:]}")
    try:
        aside.rename(folder)
    except OSError:
        shutil.rmtree(aside)
        if not folder.is_dir():
            raise
