"""How late timers fire on this event loop: a sealing timer is exactly as late."""

from collections.abc import Callable
from typing import Final

import trio

TICK_S: Final = 0.05


class LoopDelay:
    """Sleeps a tick, sees how late it woke, and tells `observe`; remembers the worst."""

    def __init__(self, observe: Callable[[float], object]) -> None:
        self._observe = observe
        self.worst_s = 0.0
        """The longest delay since the last `take_worst_s`."""

    def take_worst_s(self) -> float:
        """The longest delay since the last call."""
        worst, self.worst_s = self.worst_s, 0.0
        return worst

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            due = trio.current_time() + TICK_S
            await trio.sleep_until(due)
            delay_s = trio.current_time() - due
            self.worst_s = max(self.worst_s, delay_s)
            self._observe(delay_s)
