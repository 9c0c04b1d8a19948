"""Disconnect in all the forms that clients send it."""

import pytest

from p2p.devp2p.messages import DisconnectReason, decode_disconnect, describe, encode_disconnect


@pytest.mark.parametrize("reason", list(DisconnectReason))
def test_every_reason_survives_the_wire(reason: DisconnectReason) -> None:
    assert decode_disconnect(encode_disconnect(reason)) is reason


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"", DisconnectReason.REQUESTED),
        (b"\xc0", DisconnectReason.REQUESTED),
        (b"\xc1\x80", DisconnectReason.REQUESTED),
        (b"\xc1\x00", DisconnectReason.REQUESTED),
        (b"\x04", DisconnectReason.TOO_MANY_PEERS),
        (b"\x00", DisconnectReason.REQUESTED),
        (b"\xc2\xc1\x04", DisconnectReason.TOO_MANY_PEERS),
        (b"\xc1\x10", DisconnectReason.SUBPROTOCOL_ERROR),
        (b"\xc1\x42", 0x42),
        (b"\xff\xff\xff", DisconnectReason.REQUESTED),
        (b"\xc2\x04\x05", DisconnectReason.TOO_MANY_PEERS),
    ],
)
def test_every_form_of_disconnect_is_read(payload: bytes, expected: int) -> None:
    assert decode_disconnect(payload) == expected


def test_reasons_read_as_words() -> None:
    assert describe(DisconnectReason.TOO_MANY_PEERS) == "too many peers"
    assert describe(0x42) == "reason 0x42"
