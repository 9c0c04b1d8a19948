"""Announced transactions that we lack: who has them, who is asked, whom to ask next. Pure; times come in.

Each is asked of one peer at a time, however many announce it; a peer that does not deliver is not asked for
it again. Bounded in all and per peer: what does not fit is not fetched, and comes in a block at the latest.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from node.primitives.ids import Hash32
from node.sync.ports import PeerId

WANTED_MAX: Final = 16_384
WANTED_PER_PEER_MAX: Final = 4_096
HASHES_PER_REQUEST: Final = 256
BYTES_PER_REQUEST: Final = 128 * 1024
"""By the announced sizes."""
ANNOUNCERS_MAX: Final = 8
"""Peers remembered per transaction."""


@dataclass(slots=True)
class _Wanted:
    ready_s: float
    """Not asked for before: it may come by itself."""
    announcers: dict[PeerId, int] = field(default_factory=dict)
    """Who has it -> its size, as that peer says."""
    asked: PeerId | None = None


class FetchTable:
    """See the module."""

    def __init__(self) -> None:
        self._wanted: dict[Hash32, _Wanted] = {}
        self._by_peer: dict[PeerId, dict[Hash32, None]] = {}

    def __len__(self) -> int:
        """Transactions that are wanted."""
        return len(self._wanted)

    def announce(self, peer: PeerId, items: Iterable[tuple[Hash32, int]], ready_s: float) -> None:
        """A peer has these (hash, size); they may be asked for from `ready_s` on."""
        theirs = self._by_peer.setdefault(peer, {})
        for tx_hash, size in items:
            if len(theirs) >= WANTED_PER_PEER_MAX:
                return
            wanted = self._wanted.get(tx_hash)
            if wanted is None:
                if len(self._wanted) >= WANTED_MAX:
                    return
                wanted = self._wanted[tx_hash] = _Wanted(ready_s)
            if len(wanted.announcers) < ANNOUNCERS_MAX:
                wanted.announcers.setdefault(peer, size)
                theirs[tx_hash] = None

    def next_ready_s(self, peer: PeerId) -> float | None:
        """When the peer can next be asked for something that nobody is asked for; None when for nothing."""
        waiting = (self._wanted[tx_hash] for tx_hash in self._by_peer.get(peer, ()))
        return min((wanted.ready_s for wanted in waiting if wanted.asked is None), default=None)

    def take(self, peer: PeerId, now_s: float, has: Callable[[Hash32], bool]) -> tuple[Hash32, ...]:
        """What to ask the peer for now; what we have by now (`has`) is forgotten."""
        chosen: list[Hash32] = []
        size = 0
        for tx_hash in list(self._by_peer.get(peer, ())):
            wanted = self._wanted[tx_hash]
            if wanted.asked is not None or wanted.ready_s > now_s:
                continue
            if has(tx_hash):
                self.forget(tx_hash)
                continue
            size += wanted.announcers[peer]
            if chosen and size > BYTES_PER_REQUEST:
                break
            wanted.asked = peer
            chosen.append(tx_hash)
            if len(chosen) == HASHES_PER_REQUEST:
                break
        return tuple(chosen)

    def answered(self, peer: PeerId, asked: Iterable[Hash32], delivered: set[Hash32]) -> None:
        """The peer's answer to `take`; what it left out is asked of the next that announced it."""
        for tx_hash in asked:
            if tx_hash in delivered:
                self.forget(tx_hash)
            else:
                self._leave(tx_hash, peer)

    def forget(self, tx_hash: Hash32) -> None:
        """The transaction has come, or is not wanted any more."""
        wanted = self._wanted.pop(tx_hash, None)
        if wanted is not None:
            for peer in wanted.announcers:
                del self._by_peer[peer][tx_hash]

    def drop(self, peer: PeerId) -> None:
        """The peer is gone."""
        for tx_hash in list(self._by_peer.get(peer, ())):
            self._leave(tx_hash, peer)
        self._by_peer.pop(peer, None)

    def _leave(self, tx_hash: Hash32, peer: PeerId) -> None:
        wanted = self._wanted.get(tx_hash)
        if wanted is None or peer not in wanted.announcers:
            return
        del wanted.announcers[peer]
        del self._by_peer[peer][tx_hash]
        if wanted.asked == peer:
            wanted.asked = None
        if not wanted.announcers:
            del self._wanted[tx_hash]
