"""The port of a block-making engine."""

from typing import Protocol

from consensus.effects import Effect
from consensus.events import Event


class Engine(Protocol):
    """Events in, ordered effects out. The package docstring lists the driver's duties."""

    def handle(self, event: Event, now_ms: int) -> list[Effect]:
        """React to one event at a Unix time in milliseconds."""
        ...
