"""A node whose clock is off: `python -m tests.defence.skewed FILE run --config …`.

FILE holds by how many seconds; it is read at the start and again on SIGUSR1. What the process asks for the
time of day is shifted, and nothing else about it: the node's code is the node's code.
"""

import signal
import sys
import time
from pathlib import Path
from typing import Any

FILE = Path(sys.argv[1]).absolute()
shift_s = 0.0
_time, _time_ns = time.time, time.time_ns


def _shifted() -> float:
    return _time() + shift_s


def _shifted_ns() -> int:
    return _time_ns() + round(shift_s * 1e9)


def _read(*_: Any) -> None:
    global shift_s
    shift_s = float(FILE.read_text())


if __name__ == "__main__":
    _read()
    signal.signal(signal.SIGUSR1, _read)
    time.time, time.time_ns = _shifted, _shifted_ns
    # Only now: functions that were imported by name would be the true ones.
    from node.__main__ import main

    sys.argv = ["phoenix", *sys.argv[2:]]
    sys.exit(main())
