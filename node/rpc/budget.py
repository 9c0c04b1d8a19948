"""A bound on what all clients together make the server hold: requests half received, answers half sent."""

from typing import Final

BUDGET_BYTES: Final = 256 * 1024 * 1024


class OverBudget(Exception):
    """Too much is held already; whoever asked last has to come again later."""

    def __init__(self) -> None:
        super().__init__("the node holds too many large requests and answers at once; try again later")


class Budget:
    """Bytes that are left for all connections of a server."""

    __slots__ = ("left",)

    def __init__(self, left: int = BUDGET_BYTES) -> None:
        self.left = left

    def take(self, size: int) -> None:
        """Hold `size` more bytes; OverBudget, and nothing taken, when there are not as many left."""
        if size > self.left:
            raise OverBudget
        self.left -= size

    def give(self, size: int) -> None:
        """Hold `size` fewer."""
        self.left += size
