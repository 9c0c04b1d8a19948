"""What an error means for a connection: who ended it, what the peer is told, what it costs."""

import pytest

from node.primitives.errors import ChainError, StorageError
from node.primitives.rlp import RlpError
from p2p.devp2p.messages import DisconnectReason
from p2p.endings import ending_of, holds_storage_error, is_ours, penalty_of
from p2p.errors import (
    BreachOfProtocol,
    BrokenFrame,
    HandshakeFailed,
    IncompatiblePeer,
    MalformedMessage,
    PeerGone,
    PeerRefused,
    PeerTimeout,
    UselessPeer,
    WrongIdentity,
)


@pytest.mark.parametrize(
    ("error", "say", "penalty"),
    [
        (PeerGone("gone"), None, 0),
        (PeerTimeout("slow"), DisconnectReason.TIMEOUT, 0),
        (PeerRefused(DisconnectReason.TOO_MANY_PEERS, "full"), DisconnectReason.TOO_MANY_PEERS, 0),
        (UselessPeer("no eth"), DisconnectReason.USELESS_PEER, 0),
        (IncompatiblePeer("other genesis"), DisconnectReason.SUBPROTOCOL_ERROR, 0),
        (WrongIdentity("other key"), DisconnectReason.UNEXPECTED_IDENTITY, 50),
        (HandshakeFailed("noise"), DisconnectReason.BREACH_OF_PROTOCOL, 0),
        (BreachOfProtocol("unasked"), DisconnectReason.BREACH_OF_PROTOCOL, 50),
        (MalformedMessage("nonsense"), DisconnectReason.BREACH_OF_PROTOCOL, 100),
        (BrokenFrame("wrong MAC"), DisconnectReason.BREACH_OF_PROTOCOL, 0),
        (RlpError("not canonical"), DisconnectReason.BREACH_OF_PROTOCOL, 50),
        (ChainError("invalid block"), DisconnectReason.BREACH_OF_PROTOCOL, 50),
        (RuntimeError("ours"), DisconnectReason.REQUESTED, 0),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_every_kind_of_error_has_its_end(
    error: Exception, say: DisconnectReason | None, penalty: float
) -> None:
    ending = ending_of(error)
    assert (ending.say, ending.by_us, ending.error) == (say, say is not None, error)
    assert penalty_of(error) == penalty
    assert is_ours(error) is isinstance(error, RuntimeError)


def test_the_gravest_of_a_group_counts() -> None:
    gone, theirs, ours = PeerGone("gone"), ChainError("theirs"), RuntimeError("ours")
    assert ending_of(ExceptionGroup("", [gone, ExceptionGroup("", [theirs])])).error is theirs
    assert ending_of(ExceptionGroup("", [theirs, ExceptionGroup("", [ours, gone])])).error is ours


def test_a_failing_disk_is_found_in_any_group() -> None:
    disk = StorageError("the disk is gone")
    assert holds_storage_error(disk)
    assert holds_storage_error(ExceptionGroup("", [PeerGone(""), ExceptionGroup("", [disk])]))
    assert not holds_storage_error(ExceptionGroup("", [PeerGone("")]))


def test_no_error_costs_nothing() -> None:
    assert penalty_of(None) == 0
    assert not is_ours(None)
