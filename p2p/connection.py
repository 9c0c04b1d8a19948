"""A stream with a session in it: handshakes, then messages both ways. One reader and one writer at a time."""

from contextlib import suppress
from typing import Final

import trio

from p2p.devp2p.hello import (
    HELLO_BYTES_MAX,
    HELLO_CODE,
    PROTOCOL_VERSION,
    Hello,
    SharedCapability,
    decode_hello,
    encode_hello,
)
from p2p.devp2p.messages import (
    DISCONNECT_CODE,
    EMPTY_PAYLOAD,
    PING_CODE,
    PONG_CODE,
    DisconnectReason,
    decode_disconnect,
    describe,
    encode_disconnect,
)
from p2p.errors import BreachOfProtocol, PeerError, PeerGone, WrongIdentity
from p2p.eth.status import STATUS_CODE, Status, decode_status, encode_status
from p2p.rlpx.frames import FRAME_BYTES_MAX
from p2p.rlpx.session import RawMessage, Session
from p2p.transport import Stream

READ_BYTES: Final = 65_536
WRITE_BYTES: Final = 65_536
"""A write is cut into pieces of this, each with its own time limit: progress is what counts."""
HELLO_FRAME_BYTES_MAX: Final = HELLO_BYTES_MAX + 1
STATUS_FRAME_BYTES_MAX: Final = 16_384
EARLY_MESSAGES_MAX: Final = 16
"""Messages of other protocols that are kept while Status is awaited."""
LINGER_S: Final = 1.0
LINGER_BYTES_MAX: Final = 1 << 20


class Disconnected(PeerGone):
    """The peer said goodbye."""

    def __init__(self, reason: DisconnectReason | int) -> None:
        super().__init__(f"the peer disconnected: {describe(reason)}")
        self.reason = reason


class Connection:
    """See the module. Everything here raises PeerError when the peer or the wire fails."""

    def __init__(self, stream: Stream, session: Session) -> None:
        self.stream = stream
        self.session = session
        self.bytes_in = 0
        self.bytes_out = 0
        self.messages_in = 0
        self.messages_out = 0
        self.bytes_seen_at = trio.current_time()
        self.message_seen_at = trio.current_time()
        self.early: list[RawMessage] = []
        """Messages of other protocols that came before Status."""

    async def establish(self) -> bytes:
        """Agree on the encrypted channel; the peer's identity."""
        self.session.frame_bytes_max = HELLO_FRAME_BYTES_MAX
        await self.stream.prepare()
        await self._flush()
        while not self.session.shake_hands():
            await self._receive()
        await self._flush()
        assert self.session.remote_public_key is not None
        return self.session.remote_public_key

    async def read(self) -> RawMessage:
        """The next message; PeerGone when the stream has ended."""
        while (message := self.session.next_message()) is None:
            await self._receive()
        self.messages_in += 1
        self.message_seen_at = trio.current_time()
        return message

    async def write(self, code: int, payload: bytes) -> None:
        """Send one message, and wait until the wire has taken it."""
        await self.send_encoded(self.encode(code, payload))

    def encode(self, code: int, payload: bytes) -> bytes:
        """The bytes of a message, which must be sent in the order of these calls."""
        self.messages_out += 1
        return self.session.encode(code, payload)

    async def send_encoded(self, data: bytes, piece_timeout_s: float | None = None) -> None:
        """Send bytes from `encode`; PeerGone when the peer takes nothing for `piece_timeout_s`."""
        for start in range(0, len(data), WRITE_BYTES):
            piece = data[start : start + WRITE_BYTES]
            sent = self.stream.send_at_once(piece)
            if sent < len(piece):
                with trio.move_on_after(piece_timeout_s or float("inf")) as scope:
                    await self.stream.send_all(piece[sent:])
                if scope.cancelled_caught:
                    raise PeerGone(f"the peer has read nothing for {piece_timeout_s:g} s")
            self.bytes_out += len(piece)

    async def exchange_hello(self, ours: Hello) -> Hello:
        """Say and hear hello; the channel is compressed and wider from here on."""
        await self.write(HELLO_CODE, encode_hello(ours))
        message = await self.read()
        if message.code == DISCONNECT_CODE:
            raise Disconnected(decode_disconnect(message.payload))
        if message.code != HELLO_CODE:
            raise BreachOfProtocol(f"message {message.code:#04x} where Hello is expected")
        theirs = decode_hello(message.payload)
        if theirs.node_id != self.session.remote_public_key:
            raise WrongIdentity("Hello names another node than the one that holds the channel's key")
        if theirs.version >= PROTOCOL_VERSION:
            self.session.enable_snappy()
        self.session.frame_bytes_max = STATUS_FRAME_BYTES_MAX
        return theirs

    async def exchange_status(self, eth: SharedCapability, ours: Status) -> Status:
        """Say and hear the eth Status; messages of any allowed size may follow."""
        await self.write(eth.offset + STATUS_CODE, encode_status(ours))
        while True:
            message = await self.read()
            if message.code == eth.offset + STATUS_CODE:
                self.session.frame_bytes_max = FRAME_BYTES_MAX
                return decode_status(message.payload)
            if message.code == DISCONNECT_CODE:
                raise Disconnected(decode_disconnect(message.payload))
            if message.code == PING_CODE:
                await self.write(PONG_CODE, EMPTY_PAYLOAD)
            elif message.code in eth or message.code == HELLO_CODE or len(self.early) >= EARLY_MESSAGES_MAX:
                raise BreachOfProtocol(f"message {message.code:#04x} where Status is expected")
            elif message.code != PONG_CODE:
                self.early.append(message)

    async def refuse(self, reason: DisconnectReason) -> None:
        """Say goodbye with a reason, as far as the peer listens, and close."""
        with trio.move_on_after(LINGER_S, shield=True), suppress(PeerGone):
            if self.session.is_established:
                await self.write(DISCONNECT_CODE, encode_disconnect(reason))
                await self.linger()
        await self.stream.aclose()

    async def linger(self) -> None:
        """Wait until the peer has closed or said goodbye too.

        Closing first, with bytes unread, would destroy our last words on their way.
        """
        stop_at = self.bytes_in + LINGER_BYTES_MAX
        with trio.move_on_after(LINGER_S, shield=True), suppress(PeerGone):
            while self.bytes_in < stop_at:
                try:
                    if (await self.read()).code == DISCONNECT_CODE:
                        return
                except PeerGone:
                    raise
                except PeerError:
                    await self._receive()  # nothing can be read any more, but the bytes must be taken

    async def _receive(self) -> None:
        data = await self.stream.receive_some(READ_BYTES)
        if not data:
            raise PeerGone("the peer closed the connection")
        self.bytes_in += len(data)
        self.bytes_seen_at = trio.current_time()
        self.session.receive_data(data)

    async def _flush(self) -> None:
        if data := self.session.bytes_to_send():
            await self.send_encoded(data)
