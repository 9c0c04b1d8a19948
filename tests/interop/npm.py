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

from tests.interop.once import one_at_a_time

INSTALL_TIMEOUT_S: Final = 300


@cache
def npm_install(*packages: str, compiled: str | None = None) -> Path:
    """Folder whose node_modules holds these packages ("name@version"); skips where they cannot be had.

    Install scripts do not run, but for that of `compiled`, a package with a native part and no binary of it:
    a C++ compiler and Node.js's own headers must be there.
    """
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    digest = hashlib.sha256(" ".join((*packages, compiled or "")).encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"phoenix-npm-{os.getuid()}" / digest
    with one_at_a_time(folder):
        if not folder.is_dir():
            _install(npm, packages, compiled, folder)
    return folder


def node() -> str:
    """Node.js; skips the test where there is none."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("Node.js is not installed")
    return found


def _install(npm: str, packages: tuple[str, ...], compiled: str | None, folder: Path) -> None:
    # Installed aside: what is cut off in the middle is not taken for whole.
    aside = Path(tempfile.mkdtemp(dir=folder.parent))
    quietly = ["--no-audit", "--no-fund", "--prefix", str(aside)]
    commands = [[npm, "install", "--ignore-scripts", *quietly, *packages]]
    if compiled is not None:
        commands.append([npm, "rebuild", *quietly, compiled])
    # Headers of the Node.js that is here: otherwise node-gyp would look for some on the internet.
    headers = Path(node()).resolve().parents[1]
    environment = {**os.environ, "npm_config_nodedir": str(headers)}
    for command in commands:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S
        )
        if done.returncode != 0:
            shutil.rmtree(aside)
            last = done.stderr.strip().splitlines()[-1:]
            pytest.skip(f"npm cannot {command[1]} {compiled or ' '.join(packages)}: {last}")
    aside.rename(folder)
