"""The coverage-guided fuzzer, for a fixed number of inputs from a fixed seed."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.vectors import ROOT

INPUTS = 300_000
TIMEOUT_S = 900


@pytest.mark.long(35)
def test_no_bred_input_breaks_a_decoder(tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="atheris is not installed: pip install -e .[fuzz]")
    command = [
        sys.executable,
        "-m",
        "tests.fuzz.guided",
        str(tmp_path),
        f"-runs={INPUTS}",
        "-seed=1",
        "-max_len=4096",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
