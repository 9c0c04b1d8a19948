"""Evidence between members: what we know when a peer comes, what is new when it is new, to whoever listens.

Every member that hears of something new tells all its peers, so it reaches everybody; what is known already
goes no further, so it ends.
"""

from typing import Final, Protocol

import trio

from consensus.clique.evidence import Equivocation
from node.chain.evidence import EvidenceBook
from node.primitives.ids import Address
from p2p.errors import PENALTY_FLOOD
from p2p.evidence import EVIDENCE, EVIDENCE_CODE, decode_evidence, encode_evidence
from p2p.limits import TokenBucket

TOLD_AT_FIRST_MAX: Final = 64
"""Proofs that a peer is told when it comes."""
PAIRS_PER_S: Final = 1.0
PAIRS_BURST: Final = 2.0 * TOLD_AT_FIRST_MAX
"""What one peer may send: each pair costs us two recoveries of a key."""


class EvidencePeer(Protocol):
    """What is asked of p2p.peer.Peer."""

    def shares(self, capability: str) -> bool:
        """Whether the peer speaks this protocol as well."""
        ...

    def send_opaque(self, capability: str, code: int, payload: bytes) -> bool:
        """Queue a message."""
        ...

    async def receive_opaque(self, capability: str) -> tuple[int, bytes]:
        """The next message; PeerGone at the end."""
        ...

    def penalise(self, points: float, reason: str) -> None:
        """Count against the peer."""
        ...


class EvidenceExchange:
    """Every peer's evidence into the book, and what is new in the book to every peer."""

    def __init__(self, book: EvidenceBook) -> None:
        self._book = book
        self._peers: dict[EvidencePeer, set[tuple[Address, int]]] = {}
        """Of each, what it knows: from us, or told by it."""
        self._verifying = trio.CapacityLimiter(1)
        book.pass_on = self.send

    def send(self, proof: Equivocation) -> None:
        """Tell every peer that does not know it."""
        for peer in list(self._peers):
            self._tell(peer, proof)

    async def serve_peer(self, peer: EvidencePeer) -> None:
        """Until the peer is gone; ChainError when what it sends proves nothing."""
        if not peer.shares(EVIDENCE.name):
            return
        self._peers[peer] = set()
        try:
            for row in self._book.entries()[-TOLD_AT_FIRST_MAX:]:
                self._tell(peer, Equivocation(row.signer, row.first, row.second))
            bucket = TokenBucket(PAIRS_PER_S, PAIRS_BURST, trio.current_time())
            while True:
                await self._receive(peer, bucket)
        finally:
            del self._peers[peer]

    async def _receive(self, peer: EvidencePeer, bucket: TokenBucket) -> None:
        pairs = decode_evidence(*await peer.receive_opaque(EVIDENCE.name))
        if bucket.take(len(pairs), trio.current_time()) > 0:
            peer.penalise(PENALTY_FLOOD, "more evidence than is looked at")
            return
        for one, other in pairs:
            proof = await trio.to_thread.run_sync(self._book.take, one, other, limiter=self._verifying)
            if proof is not None:
                self._peers[peer].add((proof.signer, proof.number))
                self._book.tell((proof,))

    def _tell(self, peer: EvidencePeer, proof: Equivocation) -> None:
        known = self._peers[peer]
        if (proof.signer, proof.number) not in known:
            known.add((proof.signer, proof.number))
            peer.send_opaque(EVIDENCE.name, EVIDENCE_CODE, encode_evidence([(proof.first, proof.second)]))
