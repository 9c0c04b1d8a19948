"""Disconnect, Ping and Pong: what any session may say at any time after Hello."""

from enum import IntEnum
from typing import Final

from node.primitives import rlp

DISCONNECT_CODE: Final = 0x01
PING_CODE: Final = 0x02
PONG_CODE: Final = 0x03
EMPTY_PAYLOAD: Final = rlp.encode([])
"""Of Ping and Pong."""


class DisconnectReason(IntEnum):
    """Why a session ends (rlpx.md)."""

    REQUESTED = 0x00
    TCP_ERROR = 0x01
    BREACH_OF_PROTOCOL = 0x02
    USELESS_PEER = 0x03
    TOO_MANY_PEERS = 0x04
    ALREADY_CONNECTED = 0x05
    INCOMPATIBLE_VERSION = 0x06
    NULL_IDENTITY = 0x07
    CLIENT_QUITTING = 0x08
    UNEXPECTED_IDENTITY = 0x09
    SELF = 0x0A
    TIMEOUT = 0x0B
    SUBPROTOCOL_ERROR = 0x10

    @property
    def text(self) -> str:
        """The reason in words."""
        return self.name.lower().replace("_", " ")


def encode_disconnect(reason: DisconnectReason) -> bytes:
    """The payload of message DISCONNECT_CODE."""
    return rlp.encode([int(reason)])


def decode_disconnect(payload: bytes) -> DisconnectReason | int:
    """The reason given, a bare number when it is none we know. Never fails: the peer leaves either way.

    Clients differ: a list of one number, the number alone, or nothing (which means "requested").
    """
    try:
        item = rlp.decode(payload) if payload else b""
        while isinstance(item, list):
            item = item[0] if item else b""
        code = rlp.as_uint(item, 8)
    except rlp.RlpError:
        # geth once sent the number as it is, and zero bytes are no canonical integer.
        code = payload[0] if len(payload) == 1 else DisconnectReason.REQUESTED
    try:
        return DisconnectReason(code)
    except ValueError:
        return code


def describe(reason: DisconnectReason | int) -> str:
    """The reason in words, for log lines."""
    return reason.text if isinstance(reason, DisconnectReason) else f"reason {reason:#04x}"
