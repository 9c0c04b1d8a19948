"""Which member lets strangers in: what members say of their connections, held against the rules. Pure.

Every member signs whom it is connected to and passes on what others signed. A key that no rule of ours
knows, in anybody's set, is a stranger in the network: the member that let it in does not enforce the rules,
or has other ones. A member that others are connected to and that says nothing is *silent*: it may hide
something. Two members' words can also be held against each other: a connection has two ends, so what one of
them says and the other does not, for as long as both go on signing, is a lie of one of them; and two members
whom their tiers keep apart are not connected without one that does not enforce.

What no word of a member shows is not found: one that lets a stranger in and leaves it out of its set. The
stranger signs nothing, and it need not be connected at all: a member can hand on what it knows as it likes.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import Final, Protocol

from node.primitives.ids import BlockNumber

MEMBERS_KEPT: Final = 4_096
STALE_BLOCKS: Final = 256
"""A set that is so much older than our head says nothing any more."""
AHEAD_BLOCKS: Final = 1_024
"""A set from so far above our head is not taken: we could never tell when it is old."""
STRANGERS_NAMED_MAX: Final = 64
"""Of one member: it could invent any number."""
GRACE_BLOCKS: Final = 48
"""Who contradicts another must have done so for so many of its own blocks: sets are signed at every 16th at
least, and one end may notice later than the other that a connection is gone."""
FORBIDDEN_BLOCKS: Final = 8
"""Who says that it is connected to whom it may not be must say it again so many of its blocks later: where a
tier has just changed, the connection is gone after one block."""
FULL: Final = 1_024
"""A set of so many may have been cut, and what it leaves out says nothing."""
FINDINGS_MAX: Final = 256


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


class Fault(Enum):
    """What is wrong with a connection that a member says it has."""

    DENIED = "denied"
    """The other end does not say so: one of the two signs what is not true."""
    FORBIDDEN = "forbidden"
    """The rules keep the two apart."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A connection that cannot be as a member says, or should not be."""

    fault: Fault
    says: bytes
    """The member that signed it."""
    of: bytes
    """The other end, a member, too."""


class PeerSetBook:
    """The newest set of each member."""

    def __init__(
        self,
        own_id: bytes,
        is_member: Callable[[bytes], bool],
        may_meet: Callable[[bytes, bytes], bool] = lambda one, other: True,
    ) -> None:
        """`may_meet`: whether the rules let these two members be connected, whoever dials."""
        self._own_id = own_id
        self._is_member = is_member
        self._may_meet = may_meet
        self._newest: dict[bytes, Signed] = {}
        self._since: dict[Finding, tuple[BlockNumber, BlockNumber]] = {}
        """What is wrong now, and the blocks of both ends' sets when it was first seen."""

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
            for peer in islice(filter(self._is_stranger, each.peers), STRANGERS_NAMED_MAX)
        )

    def findings(self) -> tuple[Finding, ...]:
        """Words of members that contradict each other or the rules, and have gone on doing so; looks anew.

        Time is what both ends say it is: their own blocks. A node that catches up judges no sooner for it.
        """
        before, self._since = self._since, {}
        found = []
        for finding, blocks in self._wrong():
            first = self._since[finding] = before.get(finding, blocks)
            grace = GRACE_BLOCKS if finding.fault is Fault.DENIED else FORBIDDEN_BLOCKS
            if all(now - then >= grace for now, then in zip(blocks, first, strict=True)):
                found.append(finding)
        return tuple(found)

    def silent(self) -> tuple[bytes, ...]:
        """Members that others are connected to and that have not said whom they are connected to."""
        seen = {peer for each in self._newest.values() for peer in each.peers}
        return tuple(sorted(peer for peer in seen if peer not in self._newest and self._is_member(peer)))

    def _is_stranger(self, peer: bytes) -> bool:
        return peer != self._own_id and not self._is_member(peer)

    def _wrong(self) -> Iterator[tuple[Finding, tuple[BlockNumber, BlockNumber]]]:
        """At most so many, with the blocks of both ends' sets."""
        said = {node: frozenset(each.peers) for node, each in self._newest.items()}
        return islice((found for node in said for found in self._wrong_of(node, said)), FINDINGS_MAX)

    def _wrong_of(
        self, node: bytes, said: Mapping[bytes, frozenset[bytes]]
    ) -> Iterator[tuple[Finding, tuple[BlockNumber, BlockNumber]]]:
        block = self._newest[node].block
        for peer in self._newest[node].peers:
            heard = said.get(peer)
            if heard is not None and node not in heard and len(heard) < FULL:
                yield Finding(Fault.DENIED, node, peer), (block, self._newest[peer].block)
            if not self._is_stranger(peer) and not self._may_meet(node, peer):
                yield Finding(Fault.FORBIDDEN, node, peer), (block, block)
