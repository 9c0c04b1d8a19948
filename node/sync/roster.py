"""The peers that are connected, and what is known of each: its head, what it has seen, whether it rests."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import trio

from node.primitives.block import BlockRef
from node.primitives.ids import Hash32
from node.sync.planner import Offer
from node.sync.ports import Connection, PeerId
from node.txpool.recent import Recent

KNOWN_BLOCKS_MAX: Final = 1_024
KNOWN_TRANSACTIONS_MAX: Final = 16_384
"""Hashes remembered per peer, so that nothing is sent to a peer twice."""
REST_S_LEAST: Final = 2.0
REST_S_MOST: Final = 300.0
"""How long a peer that failed us is not followed: doubling from failure to failure."""


@dataclass(slots=True, eq=False)
class Member:
    """One connected peer."""

    connection: Connection
    head_hash: Hash32
    total_difficulty: int
    """Of its head, as it says."""
    known_blocks: Recent[Hash32] = field(default_factory=lambda: Recent(KNOWN_BLOCKS_MAX))
    known_transactions: Recent[Hash32] = field(default_factory=lambda: Recent(KNOWN_TRANSACTIONS_MAX))
    failures: int = 0
    """Catch-ups in a row that failed with it as their source."""
    rests_until_s: float = 0.0
    """trio time before which it is not followed again."""

    @property
    def id(self) -> PeerId:
        """Its public key."""
        return PeerId(self.connection.id)

    def rest(self, now_s: float) -> None:
        """Do not follow it for a while."""
        self.rests_until_s = now_s + min(REST_S_LEAST * 2.0**self.failures, REST_S_MOST)
        self.failures += 1


class Roster:
    """All members by id. Whoever waits for news of them waits for `wait_changed`."""

    def __init__(self) -> None:
        self._members: dict[PeerId, Member] = {}
        self._changed = trio.Event()

    def __iter__(self) -> Iterator[Member]:
        return iter(list(self._members.values()))

    def __len__(self) -> int:
        return len(self._members)

    def get(self, peer: PeerId) -> Member | None:
        """The member with this id, while it is connected."""
        return self._members.get(peer)

    def add(self, connection: Connection) -> Member:
        """A peer has come."""
        status = connection.status
        member = Member(connection, status.head_hash, status.total_difficulty)
        member.known_blocks.add(status.head_hash)
        self._members[member.id] = member
        self._tell()
        return member

    def remove(self, member: Member) -> None:
        """A peer has gone."""
        if self._members.get(member.id) is member:
            del self._members[member.id]
            self._tell()

    def note_head(self, member: Member, ref: BlockRef, total_difficulty: int) -> None:
        """A peer has told us of a block it has; only a heavier one, or as heavy a one, is its new head."""
        member.known_blocks.add(ref.hash)
        if total_difficulty >= member.total_difficulty and ref.hash != member.head_hash:
            member.head_hash = ref.hash
            member.total_difficulty = total_difficulty
            self._tell()

    def offers(self, now_s: float) -> list[Offer]:
        """What the members that do not rest say of their chains."""
        return [
            Offer(member.id, member.head_hash, member.total_difficulty)
            for member in self._members.values()
            if member.rests_until_s <= now_s
        ]

    async def wait_changed(self) -> None:
        """Wait until a member comes, goes or has a new head."""
        await self._changed.wait()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
