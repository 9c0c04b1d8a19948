"""go-ethereum at the last version whose Clique seals, built once per machine through the Go module proxy."""

import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from tests.interop.once import one_at_a_time

VERSION: Final = "v1.13.15"
PACKAGE: Final = "github.com/ethereum/go-ethereum/cmd"
BUILD_TIMEOUT_S: Final = 900


def geth_binary() -> Path:
    """Path of the program; skips where Go, or the module, cannot be had."""
    return go_ethereum("geth")


@cache
def go_ethereum(name: str) -> Path:
    """Path of one of go-ethereum's programs; skips where Go, or the module, cannot be had."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("Go is not installed")
    folder = Path(tempfile.gettempdir()) / f"phoenix-go-{os.getuid()}" / VERSION
    with one_at_a_time(folder):
        if not (folder / name).is_file():
            _build(go, name, folder)
    return folder / name


def _build(go: str, name: str, folder: Path) -> None:
    # The linker of later Go versions refuses a name that a dependency of this version borrows.
    command = [go, "install", "-ldflags=-checklinkname=0", f"{PACKAGE}/{name}@{VERSION}"]
    environment = {**os.environ, "GOBIN": str(folder)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S)
    if done.returncode != 0:
        pytest.skip(f"{name} {VERSION} cannot be built: {done.stderr.strip().splitlines()[-1:]}")


def run_geth(data_dir: Path, *arguments: str, timeout_s: float = 60) -> str:
    """Run one command to its end; its log. AssertionError when it fails."""
    command = [str(geth_binary()), "--datadir", str(data_dir), "--ipcdisable", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s)
    assert done.returncode == 0, f"geth {' '.join(arguments)}: {done.stderr[-2000:]}"
    return done.stdout + done.stderr
