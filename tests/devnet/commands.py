"""The devnet's commands, as tests give them."""

import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Final

from devnet.__main__ import main
from tests.faults.live import ROOT

LIMIT_S: Final = 400
LOOKING: Final = frozenset({"check", "endpoints", "load", "status"})
"""What starts and ends no process needs none of its own: it would cost a second of a busy core each time."""


def devnet_command(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`python -m devnet --home HOME WORDS`: how it ended, and what it said."""
    arguments = ["--home", str(home), *words]
    if words[0] not in LOOKING:
        command = [sys.executable, "-m", "devnet", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S)
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        code = main(arguments)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())
