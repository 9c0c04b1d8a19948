"""How long work speaks: now and then a line on standard error, with what is done and what is left."""

import sys
import time
from collections.abc import Callable
from typing import Final

INTERVAL_S: Final = 2.0
"""Between two lines; at a terminal they overwrite one another."""


class Progress:
    """Call it with (done, total); `end` when all is done."""

    def __init__(
        self, what: str, unit: str, *, quiet: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._what, self._unit, self._quiet, self._clock = what, unit, quiet, clock
        self._started = self._told = clock()
        self._first: int | None = None
        self._terminal = sys.stderr.isatty()

    def __call__(self, done: int, total: int) -> None:
        """So much is done."""
        if self._first is None:
            self._first = done
        now = self._clock()
        if self._quiet or now - self._told < INTERVAL_S:
            return
        self._told = now
        rate = (done - self._first) / (now - self._started)
        left = f", {(total - done) / rate:,.0f} s left" if rate else ""
        share = 100 * done // max(total, 1)
        text = f"{self._what}: {done:,} of {total:,} {self._unit} ({share} %), {rate:,.0f} a second{left}"
        print(
            f"\r\x1b[K{text}" if self._terminal else text, end="" if self._terminal else "\n", file=sys.stderr
        )
        sys.stderr.flush()

    def end(self) -> None:
        """Leave the line."""
        if self._terminal and self._told > self._started:
            print(file=sys.stderr)
