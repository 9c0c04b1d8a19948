"""The port of a block-making engine."""

from typing import Protocol

from consensus.effects import Effect
from consensus.events import Event
from node.primitives.ids import Address


class Engine(Protocol):
    """Events in, ordered effects out. The package docstring lists the driver's duties."""

    @property
    def proposals(self) -> tuple[tuple[Address, bool], ...]:
        """The operator's standing proposals: (validator, admit or drop), ascending."""
        ...

    @property
    def status(self) -> str:
        """What the engine does or waits for, in words: the answer to "why does this node not seal?"."""
        ...

    def handle(self, event: Event, now_ms: int) -> list[Effect]:
        """React to one event at a Unix time in milliseconds.

        An event that raises changed nothing: ChainError is a stranger's fault, RequestError the operator's.
        """
        ...
