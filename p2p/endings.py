"""Why a connection ended, what we say to the peer about it, and what it costs the peer. Pure."""

from dataclasses import dataclass

from node.primitives.errors import ChainError, StorageError
from p2p.devp2p.messages import DisconnectReason
from p2p.errors import (
    PENALTY_UNKNOWN_FAULT,
    IncompatiblePeer,
    PeerError,
    PeerGone,
    PeerRefused,
    PeerTimeout,
    UselessPeer,
    WrongIdentity,
)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a connection ended."""

    words: str
    say: DisconnectReason | None
    """What we tell the peer; None when it is not there to hear it."""
    error: BaseException | None = None

    @property
    def by_us(self) -> bool:
        """Whether we ended it."""
        return self.say is not None


def ending_of(error: BaseException) -> Ending:
    """What an error, or the gravest of a group, means for the connection."""
    cause = max(_leaves(error), key=_gravity)
    match cause:
        case PeerGone():
            return Ending(str(cause), None, cause)
        case PeerTimeout():
            return Ending(str(cause), DisconnectReason.TIMEOUT, cause)
        case PeerRefused():
            return Ending(str(cause), cause.reason, cause)
        case WrongIdentity():
            return Ending(str(cause), DisconnectReason.UNEXPECTED_IDENTITY, cause)
        case IncompatiblePeer():
            return Ending(str(cause), DisconnectReason.SUBPROTOCOL_ERROR, cause)
        case UselessPeer():
            return Ending(str(cause), DisconnectReason.USELESS_PEER, cause)
        case ChainError():
            return Ending(str(cause), DisconnectReason.BREACH_OF_PROTOCOL, cause)
        case _:
            return Ending(f"a fault of ours: {cause!r}", DisconnectReason.REQUESTED, cause)


def penalty_of(error: BaseException | None) -> float:
    """What an error that ended a connection costs the peer; our own faults cost it nothing."""
    if isinstance(error, PeerError):
        return error.penalty
    return PENALTY_UNKNOWN_FAULT if isinstance(error, ChainError) else 0


def is_ours(error: BaseException | None) -> bool:
    """Whether an error is a fault in this program rather than in what the peer did."""
    return error is not None and not isinstance(error, ChainError)


def holds_storage_error(error: BaseException) -> bool:
    """Whether the disk failed: that stops the node and is never contained in a connection."""
    return any(isinstance(leaf, StorageError) for leaf in _leaves(error))


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]


def _gravity(error: BaseException) -> int:
    """Ours before theirs before nobody's: a fault of ours must not hide behind the others."""
    if not isinstance(error, ChainError):
        return 2
    return 0 if isinstance(error, PeerGone) else 1
