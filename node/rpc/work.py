"""One message at work: who asks, until when, and what a worker thread does for it."""

import time
from collections.abc import Callable
from typing import Any, Final

import trio

from node.rpc.backend import Until
from node.rpc.identity import Identity
from node.rpc.jsonrpc import Json, encode_value
from node.rpc.subscriptions import Session

SHORT_RUN_S: Final = 0.02
"""A call that takes longer is moved from the lane that it shares with reads to one for long runs."""


class Asked:
    """Who asks in one message, and when its answer is due; the clock is read only when somebody waits."""

    __slots__ = ("_at", "held", "identity", "session", "timeout_s", "too_late", "worked_s")

    def __init__(self, identity: Identity, session: Session | None, timeout_s: float) -> None:
        self.identity = identity
        self.session = session
        self.timeout_s = timeout_s
        self.too_late = False
        self.worked_s: float | None = None
        """By a worker thread for the call at hand: what counts, where waiting for a thread does not."""
        self.held: list[Until] | None = None
        """What the answers to a batch are held back for; None: each call waits for itself."""
        self._at: float | None = None

    @property
    def at(self) -> float:
        """The time, by trio's clock."""
        if self._at is None:
            self._at = trio.current_time() + self.timeout_s
        return self._at


def never() -> bool:
    """What the loop does at once is not interrupted."""
    return False


class Work:
    """What a worker thread does, and the link by which it learns that nobody waits any more."""

    __slots__ = ("_arguments", "_began_s", "_handler", "_spent_s", "_until_s", "abandoned")

    def __init__(self, handler: Callable[..., Json], arguments: list[Any]) -> None:
        self._handler = handler
        self._arguments = arguments
        self._until_s = 0.0
        self.abandoned = False
        self._began_s: float | None = None
        self._spent_s = 0.0

    @property
    def spent_s(self) -> float:
        """At work so far, finished or not."""
        began_s = self._began_s
        return self._spent_s + (0.0 if began_s is None else time.perf_counter() - began_s)

    def run(self) -> Json:
        """The answer, already JSON: that takes time, too, and here it delays nobody."""
        return self._measured(self._interrupted)

    def run_shortly(self) -> Json:
        """The same, within SHORT_RUN_S: ExecutionInterrupted or Abandoned when it takes longer."""
        self._until_s = time.perf_counter() + SHORT_RUN_S
        return self._measured(self._interrupted_soon)

    def _measured(self, interrupted: Callable[[], bool]) -> Json:
        self._began_s = began_s = time.perf_counter()
        try:
            return encode_value(self._handler(interrupted, *self._arguments))
        finally:
            self._began_s = None
            self._spent_s += time.perf_counter() - began_s

    def _interrupted(self) -> bool:
        return self.abandoned

    def _interrupted_soon(self) -> bool:
        return self.abandoned or time.perf_counter() > self._until_s
