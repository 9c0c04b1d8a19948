"""Whose fault a broken session is: nearly always the peer's, so all of these are ChainErrors.

`penalty` is what the error costs the peer's score (100 bans): breaking the protocol is dear, being slow is
cheap, leaving is free.
"""

from typing import ClassVar, Final

from node.primitives.errors import ChainError
from p2p.devp2p.messages import DisconnectReason

PENALTY_BAN: Final = 100
"""The score at which an identity is shut out for a while."""
PENALTY_UNANSWERED: Final = 10
"""For a request that got no answer in time."""
PENALTY_FLOOD: Final = 10
"""For each second in which a peer sends more messages than its share."""
PENALTY_UNKNOWN_FAULT: Final = 50
"""For a ChainError that is no PeerError: what the peer sent broke a rule of the chain."""


class PeerError(ChainError):
    """A peer, or whoever claims to be one, did what ends the connection."""

    penalty: ClassVar[int] = 50


class HandshakeFailed(PeerError):
    """The RLPx handshake holds something else than it must: wrong key, wrong bytes, wrong size.

    Costs nothing: until a first frame with a right MAC has come, nobody has proved to be the peer.
    """

    penalty = 0


class BrokenFrame(PeerError):
    """A frame whose MAC is wrong; nothing after it can be read.

    Costs nothing: anybody on the way can change a byte, and must not get the peer banned by it.
    """

    penalty = 0


class MalformedMessage(PeerError):
    """A message, proved to be the peer's, that its protocol does not know, or that breaks its bounds."""

    penalty = PENALTY_BAN


class BreachOfProtocol(PeerError):
    """A well-formed message at a moment, or in an amount, that the protocol forbids."""


class UselessPeer(PeerError):
    """A peer that shares no protocol with us."""

    penalty = 0


class IncompatiblePeer(PeerError):
    """A peer of another network, genesis or fork schedule."""

    penalty = 0


class WrongIdentity(PeerError):
    """The key in Hello is not the key of the encrypted channel, or not the one that was dialled."""


class PeerRefused(PeerError):
    """We do not take this peer now: full, banned, not permitted, already connected, ourselves."""

    penalty = 0

    def __init__(self, reason: DisconnectReason, words: str) -> None:
        super().__init__(words)
        self.reason = reason


class PeerTimeout(PeerError):
    """The peer let a deadline pass. A request that went unanswered has cost it PENALTY_UNANSWERED already."""

    penalty = 0


class PeerGone(PeerError):
    """The connection ended."""

    penalty = 0
