"""Places at the table: each identity has one connection at most, strangers never crowd out those we know.

Decides; closes nothing itself. Two nodes that dial each other at once must both keep the same connection, so
the choice depends on nothing but the two identities and who dialled.
"""

from collections.abc import Callable, Collection
from typing import Final

import trio

from p2p.connection import Connection
from p2p.devp2p.messages import DisconnectReason
from p2p.errors import PeerRefused
from p2p.peer import Peer
from p2p.reports import PeerInfo

SILENT_SHARE: Final = 0.5
"""A connection without a sign of life for this share of the idle time gives way to a new one: a live peer has
been asked for one, and answers, before that; a peer that lost power dials again before we notice."""


class Place:
    """One connection, from its first byte on; it takes a place once its identity is known."""

    def __init__(self, connection: Connection, *, dialled_by_us: bool) -> None:
        self.connection = connection
        self.dialled_by_us = dialled_by_us
        self.is_knocking = not dialled_by_us
        """Whether it is counted at the gate."""
        self.id: bytes | None = None
        """None until it is taken."""
        self.handshake = trio.CancelScope()
        self.peer: Peer | None = None
        self.predecessor: Place | None = None
        """The connection of the same identity that gave way to this one."""
        self.is_replaced = False
        self.gone = trio.Event()

    @property
    def silent_s(self) -> float:
        """Seconds since the last whole message."""
        return trio.current_time() - self.connection.message_seen_at

    def give_way(self) -> None:
        """End, because another connection of the same identity is preferred."""
        self.is_replaced = True
        self.handshake.cancel()
        if self.peer is not None:
            self.peer.disconnect(DisconnectReason.ALREADY_CONNECTED, "another connection took its place")


class Places:
    """Who is connected or about to be, by identity."""

    def __init__(self, own_id: bytes, peers_max: int, idle_timeout_s: float) -> None:
        self._own_id = own_id
        self._peers_max = peers_max
        self._silent_s = SILENT_SHARE * idle_timeout_s
        self._taken: dict[bytes, Place] = {}
        self._strangers: set[bytes] = set()

    def __contains__(self, identity: bytes) -> bool:
        return identity in self._taken

    def get(self, identity: bytes) -> Place | None:
        """The place of an identity, if it has one."""
        return self._taken.get(identity)

    def take(
        self,
        place: Place,
        info: PeerInfo,
        *,
        banned_s: float,
        static: Collection[bytes],
        permit: Callable[[PeerInfo], str | None],
    ) -> None:
        """Give the connection its place, telling an older one to go if need be; PeerRefused says why not."""
        if info.id == self._own_id:
            raise PeerRefused(DisconnectReason.SELF, "it is ourselves")
        if banned_s > 0:
            raise PeerRefused(DisconnectReason.USELESS_PEER, f"shut out for another {banned_s:.0f} s")
        if (words := permit(info)) is not None:
            raise PeerRefused(DisconnectReason.USELESS_PEER, words)
        older = self._taken.get(info.id)
        if older is None:
            self._check_room(info, static)
        elif self._is_preferred(place, older, info.id):
            older.give_way()
        else:
            raise PeerRefused(DisconnectReason.ALREADY_CONNECTED, "already connected")
        place.id, place.predecessor = info.id, older
        self._taken[info.id] = place
        if not (info.static or info.trusted):
            self._strangers.add(info.id)

    def vacate(self, place: Place) -> None:
        """The connection is over; safe to call twice, and for one that never took a place."""
        if place.id is not None and self._taken.get(place.id) is place:
            del self._taken[place.id]
            self._strangers.discard(place.id)
        place.gone.set()

    def _check_room(self, info: PeerInfo, static: Collection[bytes]) -> None:
        if info.trusted:
            return
        full = len(self._taken) >= self._peers_max
        # The places of static peers are kept free for them, connected or not.
        if not info.static:
            full = full or len(self._strangers) >= self._peers_max - len(static)
        if full:
            raise PeerRefused(DisconnectReason.TOO_MANY_PEERS, f"all {self._peers_max} places are taken")

    def _is_preferred(self, new: Place, older: Place, identity: bytes) -> bool:
        if older.silent_s >= self._silent_s:
            return True
        if new.dialled_by_us == older.dialled_by_us:
            return False
        # Both sides see the same two keys: the connection that the greater one dialled stays.
        return new.dialled_by_us == (self._own_id > identity)
