"""Which member lets strangers in: what members say of their connections, held against the rules. Pure.

Every member signs whom it is connected to and passes on what others signed. A key that no rule of ours
knows, in anybody's set, is a stranger in the network: the member that let it in does not enforce the rules,
or has other ones. A member that others are connected to and that says nothing is *silent*: it may hide
something. One that lies is not found by this; but it has signed its lie.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from node.primitives.ids import BlockNumber

MEMBERS_KEPT: Final = 4_096
STALE_BLOCKS: Final = 256
"""A set that is so much older than our head says nothing any more."""
AHEAD_BLOCKS: Final = 1_024
"""A set from so far above our head is not taken: we could never tell when it is old."""


class Signed(Protocol):
    """p2p.phx.PeerSet is one."""

    @property
    def node(self) -> bytes:
        """Who signed."""
        ...

    @property
    def block(self) -> BlockNumber:
        """Its head."""
        ...

    @property
    def time_ms(self) -> int:
        """Its clock."""
        ...

    @property
    def peers(self) -> tuple[bytes, ...]:
        """Whom it is connected to."""
        ...


@dataclass(frozen=True, slots=True)
class Stranger:
    """A key that no rule of ours knows, and who lets it in."""

    id: bytes
    host: bytes
    """The member it is connected to."""
    block: BlockNumber


class PeerSetBook:
    """The newest set of each member."""

    def __init__(self, own_id: bytes, is_member: Callable[[bytes], bool]) -> None:
        self._own_id = own_id
        self._is_member = is_member
        self._newest: dict[bytes, Signed] = {}

    def take(self, found: Signed, head: BlockNumber) -> bool:
        """Whether it is news: of a member, newer than what we have, and neither stale nor from nowhere."""
        if not head - STALE_BLOCKS <= found.block <= head + AHEAD_BLOCKS:
            return False
        known = self._newest.get(found.node)
        if known is not None and (found.block, found.time_ms) <= (known.block, known.time_ms):
            return False
        if found.node != self._own_id and not self._is_member(found.node):
            return False
        if known is None and len(self._newest) >= MEMBERS_KEPT:
            return False
        self._newest[found.node] = found
        return True

    def newest(self) -> tuple[Signed, ...]:
        """All that is known, for a peer that has just come and for whoever asks."""
        return tuple(self._newest.values())

    def forget(self, head: BlockNumber) -> None:
        """Drop what is stale."""
        self._newest = {key: each for key, each in self._newest.items() if each.block >= head - STALE_BLOCKS}

    def strangers(self, sets: Iterable[Signed] | None = None) -> tuple[Stranger, ...]:
        """Keys that are no member's, in these sets or in anybody's."""
        return tuple(
            Stranger(peer, each.node, each.block)
            for each in (self._newest.values() if sets is None else sets)
            for peer in each.peers
            if peer != self._own_id and not self._is_member(peer)
        )

    def silent(self) -> tuple[bytes, ...]:
        """Members that others are connected to and that have not said whom they are connected to."""
        seen = {peer for each in self._newest.values() for peer in each.peers}
        return tuple(sorted(peer for peer in seen if peer not in self._newest and self._is_member(peer)))
