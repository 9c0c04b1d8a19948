"""SIGHUP, for all who read their files again at it.

A process has one handler for a signal: of two that listen, one hears nothing. And a node without any would be
ended by it.
"""

import logging
import signal
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import trio

Hangup: TypeAlias = Callable[[], Awaitable[None]]
"""Returns at the next SIGHUP. `trio.sleep_forever` where nobody sends one."""

log = logging.getLogger(__name__)


class Hangups:
    """Hears the signal, and wakes everyone who waits for it."""

    def __init__(self) -> None:
        self._coming = trio.Event()

    async def hear(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen until cancelled; in the main thread."""
        with trio.open_signal_receiver(signal.SIGHUP) as signals:
            task_status.started()
            async for _ in signals:
                log.info("files are read again", extra={"signal": "SIGHUP"})
                come, self._coming = self._coming, trio.Event()
                come.set()

    async def wait(self) -> None:
        """See Hangup. One that nobody waits for is not missed: files are looked at by the clock, too."""
        await self._coming.wait()
