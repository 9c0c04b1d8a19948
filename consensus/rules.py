"""SealRules: the port through which import, sync and the light client verify what validators sealed.

`State` is whatever an engine must know of the past to judge the next header (Clique: signers, recents,
votes). It is immutable; each header's state follows from its parent's state and the header alone.
"""

from typing import Protocol, TypeVar

from node.primitives.block import Header
from node.primitives.ids import Address

State = TypeVar("State")


class SealRules(Protocol[State]):
    """The rules of one engine for headers."""

    def initial(self, checkpoint: Header) -> State:
        """State after a trusted header that lists its validators: genesis or an epoch's checkpoint."""
        ...

    def advance(self, state: State, parent: Header, header: Header) -> State:
        """Verify `header` against the state after `parent`; the state after `header`. InvalidSeal otherwise.

        Checks every field the engine gives a meaning to, and the time against the parent's; a time in the
        future is the caller's business, because only the caller has a clock.
        """
        ...

    def author(self, header: Header) -> Address:
        """Who made the block: COINBASE and the receiver of its fees. InvalidSeal when that cannot be told."""
        ...

    def turn_distance(self, state: State) -> int:
        """Blocks since it was last the turn of the last header's author, 0 in turn.

        Fork choice breaks ties with it; always 0 for engines whose branches do not compete by turns.
        """
        ...

    def validators(self, state: State) -> tuple[Address, ...]:
        """Who may make or agree the next block, ascending."""
        ...

    def encode_state(self, state: State) -> bytes:
        """The state as bytes for the disk."""
        ...

    def decode_state(self, encoded: bytes) -> State:
        """Inverse of encode_state; RlpError for anything else."""
        ...
