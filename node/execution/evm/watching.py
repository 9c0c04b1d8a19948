"""Value that moves and contracts that appear inside transactions, seen while a block runs again.

Nearly free beside the run itself: every wei that code moves passes `World.transfer`, and what a failed frame
did is undone together with its other effects. Gas that is bought and fees that are paid are no transfers.
"""

from typing import Final, NamedTuple

from node.execution.evm.world import World
from node.primitives.ids import Address
from node.primitives.state import StateView

_MOVED: Final = -1
"""An undo entry of our own, beside those of World."""


class Move(NamedTuple):
    """Value that one account gave another in the course of a transaction, or a contract it created."""

    source: Address
    target: Address
    amount: int
    """wei; 0 only where `creates`."""
    creates: bool
    """`source` created the contract `target`, with this amount."""


class WatchedWorld(World):
    """A world that remembers the transfers of the transaction that runs; the transaction's own is no news."""

    def __init__(self, parent: StateView) -> None:
        super().__init__(parent)
        self.moves: list[Move] = []
        self._created_now: Address | None = None

    def begin_transaction(self) -> None:
        """See World."""
        super().begin_transaction()
        self.moves = []

    def endow(self, sender: Address, recipient: Address, amount: int) -> None:
        """See World; it is no news."""
        super().endow(sender, recipient, amount)
        self._created_now = None

    def pay(
        self, sender: Address, recipient: Address, value: int, price: int, author: Address, fee: int
    ) -> None:
        """See World."""
        super().pay(sender, recipient, value, price, author, fee)
        self.moves = []

    def begin_contract(self, address: Address) -> None:
        """See World; the endowment follows at once."""
        super().begin_contract(address)
        self._created_now = address

    def transfer(self, source: Address, target: Address, amount: int) -> None:
        """See World."""
        super().transfer(source, target, amount)
        creates, self._created_now = self._created_now == target, None
        if creates or (amount and source != target):
            self.moves.append(Move(source, target, amount, creates))
            self._undo.append((_MOVED,))

    def _undo_one(self, entry: tuple) -> None:  # type: ignore[type-arg]
        if entry[0] == _MOVED:
            self.moves.pop()
        else:
            super()._undo_one(entry)
