"""One encrypted session, sans-IO: bytes in, messages out; a message in, bytes out.

    session = Session.initiator(key, remote_public_key, entropy)    # or Session.responder(key, entropy)
    send(session.bytes_to_send())
    session.receive_data(received)
    while (message := session.next_message()) is not None: ...    # shakes hands first
    send(session.encode(code, payload))

A caller reads little at a time (64 KiB) and drains messages before it reads on: then no more than one frame
and one read are ever held.
"""

from dataclasses import dataclass
from typing import Final

import cramjam

from node.primitives import rlp
from node.primitives.crypto import PrivateKey
from p2p.errors import MalformedMessage, PeerError
from p2p.rlpx import handshake
from p2p.rlpx.frames import FRAME_BYTES_MAX, HEAD_BYTES, FrameCodec, rest_bytes
from p2p.rlpx.handshake import Entropy, Initiation, Secrets

DISCONNECT_CODE: Final = 0x01
SNAPPY_GROWTH_MAX: Final = 64 / 3
"""A snappy copy makes at most 64 bytes out of three; a stream that declares more is a lie."""


@dataclass(frozen=True, slots=True)
class RawMessage:
    """A message as the session carries it."""

    code: int
    """Message id, counted over all protocols of the session."""
    payload: bytes


class Session:
    """The machine. Any ChainError out of it is final: it then refuses everything."""

    def __init__(self, key: PrivateKey, entropy: Entropy, initiation: Initiation | None) -> None:
        """Use `initiator` or `responder`."""
        self._key = key
        self._entropy = entropy
        self._initiation = initiation
        self._outgoing = initiation.auth_packet if initiation else b""
        self._incoming = bytearray()
        self._frames: FrameCodec | None = None
        self._body_size: int | None = None
        self._plain_auth_excluded = False
        self._snappy = False
        self._failure: PeerError | None = None
        self.remote_public_key: bytes | None = initiation.remote_public_key if initiation else None
        """The peer's identity, 64 bytes; for a responder None until auth has named it.

        Proved only by the first message that is read: a packet of the handshake can be a replayed one.
        """
        self.frame_bytes_max = FRAME_BYTES_MAX
        """Limit for a message, as a frame and decompressed; callers lower it until the peer is known."""

    @classmethod
    def initiator(cls, key: PrivateKey, remote_public_key: bytes, entropy: Entropy) -> "Session":
        """The dialling side; HandshakeFailed when the remote key is no key."""
        return cls(key, entropy, handshake.initiate(key, remote_public_key, entropy))

    @classmethod
    def responder(cls, key: PrivateKey, entropy: Entropy) -> "Session":
        """The listening side."""
        return cls(key, entropy, None)

    def __repr__(self) -> str:
        role = "initiator" if self._initiation else "responder"
        return f"<Session {role} established={self.is_established}>"

    @property
    def is_established(self) -> bool:
        """Whether the handshake is done and messages can be encoded."""
        return self._frames is not None

    @property
    def has_partial_message(self) -> bool:
        """Whether bytes of an unfinished packet or frame are waiting for more."""
        return bool(self._incoming) or self._body_size is not None

    def enable_snappy(self) -> None:
        """Compress messages from now on: after Hello, when both sides speak version 5."""
        self._snappy = True

    def bytes_to_send(self) -> bytes:
        """Handshake bytes that must go out now; each is handed out once."""
        outgoing, self._outgoing = self._outgoing, b""
        return outgoing

    def receive_data(self, data: bytes) -> None:
        """Take bytes off the wire; `next_message` reads them."""
        if self._failure is None:
            self._incoming += data

    def shake_hands(self) -> bool:
        """Go on with the handshake as far as the bytes reach; whether it is done. A PeerError ends it."""
        if self._failure is not None:
            raise self._failure
        try:
            return self._frames is not None or self._finish_handshake()
        except PeerError as error:
            raise self._failed(error) from error.__cause__

    def next_message(self) -> RawMessage | None:
        """The next whole message, or None when more bytes are needed; a PeerError ends the session."""
        if not self.shake_hands():
            return None
        try:
            return self._next_frame()
        except PeerError as error:
            raise self._failed(error) from error.__cause__

    def encode(self, code: int, payload: bytes) -> bytes:
        """The bytes of one message; they must reach the wire in the order of these calls."""
        assert self._frames is not None, "no message before the handshake is done"
        body = bytes(cramjam.snappy.compress_raw(payload)) if self._snappy else payload
        return self._frames.encode(rlp.encode_uint(code) + body)

    def _failed(self, error: PeerError) -> PeerError:
        self._failure = error
        self._incoming.clear()
        return error

    # --- handshake

    def _finish_handshake(self) -> bool:
        packet = self._next_packet()
        if packet is None:
            return False
        if self._initiation is not None:
            secrets: Secrets = handshake.conclude(self._initiation, packet)
        else:
            self._outgoing, secrets = handshake.respond(self._key, packet, self._entropy)
        self.remote_public_key = secrets.remote_public_key
        self._frames = FrameCodec(secrets)
        return True

    def _next_packet(self) -> bytes | None:
        """The whole handshake packet, when it is there."""
        plain_size = handshake.PLAIN_AUTH_BYTES
        # A packet that starts with 4 may be from before EIP-8, or have 1026 to 1281 bytes: its MAC tells.
        if self._initiation is None and self._incoming[:1] == b"\x04" and not self._plain_auth_excluded:
            if len(self._incoming) < plain_size:
                return None
            if handshake.is_plain_auth(self._key, bytes(self._incoming[:plain_size])):
                return self._take(plain_size)
            self._plain_auth_excluded = True
        if len(self._incoming) < handshake.SIZE_PREFIX_BYTES:
            return None
        size = handshake.packet_size(bytes(self._incoming[: handshake.SIZE_PREFIX_BYTES]))
        return self._take(size) if len(self._incoming) >= size else None

    # --- frames

    def _next_frame(self) -> RawMessage | None:
        assert self._frames is not None
        if self._body_size is None:
            if len(self._incoming) < HEAD_BYTES:
                return None
            size = self._frames.decode_head(self._take(HEAD_BYTES))
            if not 0 < size <= self.frame_bytes_max:
                raise MalformedMessage(
                    f"a frame of {size} bytes; between 1 and {self.frame_bytes_max} are allowed"
                )
            self._body_size = size
        rest = rest_bytes(self._body_size)
        if len(self._incoming) < rest:
            return None
        body = self._frames.decode_body(self._take(rest), self._body_size)
        self._body_size = None
        return self._read_message(body)

    def _read_message(self, body: bytes) -> RawMessage:
        try:
            _, end, is_list = rlp.item_bounds(body, 0, len(body))
            code = rlp.as_uint(rlp.decode(body[:end]), 16) if not is_list else -1
        except rlp.RlpError as error:
            raise MalformedMessage(f"a frame that does not start with a message id: {error}") from error
        if code < 0:
            raise MalformedMessage("a frame that starts with a list where a message id is expected")
        payload = body[end:]
        if not self._snappy or not payload:
            return RawMessage(code, payload)
        try:
            return RawMessage(code, self._decompress(payload))
        except MalformedMessage:
            # Some clients send Disconnect uncompressed whatever was agreed on.
            if code != DISCONNECT_CODE:
                raise
            return RawMessage(code, payload)

    def _decompress(self, payload: bytes) -> bytes:
        try:
            declared = cramjam.snappy.decompress_raw_len(payload)
            # Checked first: the decompressor allocates what the stream declares.
            if declared > min(self.frame_bytes_max, SNAPPY_GROWTH_MAX * len(payload)):
                raise MalformedMessage(f"{len(payload)} compressed bytes that declare {declared}")
            return bytes(cramjam.snappy.decompress_raw(payload))
        except cramjam.DecompressionError as error:
            raise MalformedMessage("a message that is no snappy block") from error

    def _take(self, count: int) -> bytes:
        taken = bytes(self._incoming[:count])
        del self._incoming[:count]
        return taken
