"""One thread for a library that two would crash, and a bound on how long its caller waits.

A hardware token may take seconds, or hang for ever. Whoever waits is let go after a time; the thread itself
cannot be, so until the library answers the next callers are refused at once instead of queueing behind it.
"""

from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoResult
from functools import cache
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, TypeVar

Result = TypeVar("Result")


class NoAnswer(Exception):
    """The thread has not come back from the library; the text says since which request."""


class OneThread:
    """Runs what it is given, one after the other, on a thread that never keeps the process alive."""

    def __init__(self, name: str) -> None:
        self._work: SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = SimpleQueue()
        self._lock = Lock()
        self._unanswered: Future[Any] | None = None
        Thread(target=self._run, name=name, daemon=True).start()

    def run(self, work: Callable[[], Result], timeout_s: float) -> Result:
        """What `work` returns or raises; NoAnswer when it takes longer, or an earlier one still does.

        The answer to a request that was given up is dropped when it comes.
        """
        with self._lock:
            if self._unanswered is not None and not self._unanswered.done():
                raise NoAnswer("an earlier request has not been answered yet")
            answer: Future[Result] = Future()
            self._unanswered = answer
            self._work.put((work, answer))
            try:
                return answer.result(timeout_s)
            except NoResult:
                if answer.done():
                    return answer.result()  # at the last moment, or a time-out of the work's own
                raise NoAnswer(f"no answer within {timeout_s:g} s") from None

    def _run(self) -> None:
        while True:
            work, answer = self._work.get()
            try:
                answer.set_result(work())
            except BaseException as error:
                answer.set_exception(error)


@cache
def thread_of(module: str) -> OneThread:
    """The one thread of this process that calls a module: a library is initialised once per process."""
    return OneThread(f"signer {module}")
