"""One WebSocket connection: requests in text or binary frames, replies and notifications in text frames.

Handshake and reading are wsproto's. Frames to the client are made here: a server does not mask, so a frame is
its length and its payload. No extension is accepted: compressed frames could expand without bound.
"""

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    TextMessage,
)
from wsproto.events import Request as UpgradeRequest
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import RemoteProtocolError

from node.config.settings import RpcSettings
from node.rpc.app import Dispatcher
from node.rpc.budget import OverBudget
from node.rpc.connection import Connection
from node.rpc.http1 import HttpError, Request
from node.rpc.identity import INTERNAL, Identity
from node.rpc.jsonrpc import Message
from node.rpc.subscriptions import Session

CALLS_AT_ONCE: Final = 16
"""Requests of one connection that may wait for worker threads; then no more is read until one is done."""
QUEUE_BYTES_MAX: Final = 16 * 1024 * 1024
"""Notifications a client may leave unread before it is cut. Replies wait instead: nothing more is read."""
QUIET_TICKS_MAX: Final = 75
PING_AT_TICKS: Final = (45, 15)
"""Ticks left at which a silent client is asked whether it is there."""
MESSAGE_TICKS_MAX: Final = 30
"""Time for all frames of one message."""
PING_FRAME: Final = b"\x89\x00"

OpenSession = Callable[[Callable[[bytes], None]], Session]


class WebSocket:
    """The life of one WebSocket on a connection that began as HTTP."""

    def __init__(
        self,
        connection: Connection,
        dispatcher: Dispatcher,
        settings: RpcSettings,
        open_session: OpenSession,
        identity: Identity = INTERNAL,
    ) -> None:
        self._identity = identity
        self._connection = connection
        self._dispatcher = dispatcher
        self._body_bytes_max = settings.body_bytes_max
        self._protocol = WSConnection(ConnectionType.SERVER)
        self._session = open_session(self._notify)
        self._places = trio.CapacityLimiter(CALLS_AT_ONCE)
        self._reading = trio.CancelScope()
        self._leaving: tuple[CloseReason, str] | None = None
        """Why this side ends it."""
        self._message: list[bytes] = []
        self._message_bytes = 0
        self._message_ticks = 0
        self._queue: list[bytes] = []
        self._queue_bytes = 0
        self._sending = False
        self._queued = trio.Event()
        self._taken = trio.lowlevel.ParkingLot()
        """Those who wait for the client to take what is queued."""

    async def serve(self, request: Request, rest: bytes) -> None:
        """Shake hands, then answer until either side closes. HttpError when the handshake is none."""
        await self._connection.send(self._handshake(request))
        self._connection.read_ticks = QUIET_TICKS_MAX
        try:
            async with trio.open_nursery() as writer:
                writer.start_soon(self._write)
                async with trio.open_nursery() as calls:
                    with self._reading:
                        await self._read(rest, calls)
                    if not self._leaving:
                        calls.cancel_scope.cancel()
                if self._leaving:
                    self._send_close(*self._leaving)
                while self._queue or self._sending:
                    await self._taken.park()
                writer.cancel_scope.cancel()
        finally:
            self._session.close()
            self._drop_message()
            self._connection.budget.give(self._queue_bytes)

    def tick(self) -> None:
        """One more second has passed."""
        ended = self._identity.ended(time.time())
        if ended is not None:
            # Notifications would go on for ever, whatever calls are answered with.
            self._leave(CloseReason.POLICY_VIOLATION, ended)
        if self._connection.read_ticks in PING_AT_TICKS:
            self._enqueue(PING_FRAME)
        if self._message_ticks:
            self._message_ticks -= 1
            if not self._message_ticks:
                self._connection.cut("a message took too long to arrive")

    def go_away(self) -> None:
        """The server stops: read nothing more, finish what was asked, say goodbye."""
        self._leave(CloseReason.GOING_AWAY, "the node is shutting down")

    def _leave(self, code: CloseReason, reason: str) -> None:
        self._leaving = self._leaving or (code, reason)
        self._reading.cancel()

    def _handshake(self, request: Request) -> bytes:
        headers = [(name, value) for name, value in request.headers.items()]
        try:
            self._protocol.initiate_upgrade_connection(headers, request.target.decode("ascii", "replace"))
            events = list(self._protocol.events())
            if len(events) != 1 or not isinstance(events[0], UpgradeRequest):
                raise HttpError(HTTPStatus.BAD_REQUEST, "not a WebSocket handshake")
            return self._protocol.send(AcceptConnection())
        except RemoteProtocolError as error:
            raise HttpError(HTTPStatus.BAD_REQUEST, f"not a WebSocket handshake: {error}") from None

    # --- reading

    async def _read(self, data: bytes | bytearray, calls: trio.Nursery) -> None:
        """Until either side closes."""
        while True:
            try:
                self._protocol.receive_data(bytes(data))
                for event in self._protocol.events():
                    if not await self._handle(event, calls):
                        return
            except RemoteProtocolError as error:
                self._send_close(CloseReason.PROTOCOL_ERROR, str(error))
                return
            try:
                data = await self._connection.stream.receive_some(65536)
            except trio.BrokenResourceError:
                data = b""
            if not data:
                self._connection.cut("went away")
                return
            self._connection.read_ticks = QUIET_TICKS_MAX

    async def _handle(self, event: Event, calls: trio.Nursery) -> bool:
        """Whether to go on reading."""
        match event:
            case TextMessage():
                return await self._collect(event.data.encode(), event.message_finished, calls)
            case BytesMessage():
                return await self._collect(bytes(event.data), event.message_finished, calls)
            case Ping():
                self._enqueue(self._protocol.send(event.response()))
            case CloseConnection():
                self._enqueue(self._protocol.send(event.response()))
                return False
            case Pong():
                pass  # any byte received says that the client is there
            case _:
                raise AssertionError(f"wsproto sent {event!r} in mid-connection")
        return True

    async def _collect(self, piece: bytes, finished: bool, calls: trio.Nursery) -> bool:
        """A piece of a message; the whole message is answered. Whether to go on reading."""
        try:
            self._connection.budget.take(len(piece))
        except OverBudget as error:
            self._send_close(CloseReason.TRY_AGAIN_LATER, str(error))
            return False
        self._message.append(piece)
        self._message_bytes += len(piece)
        if self._message_bytes > self._body_bytes_max:
            text = f"message larger than {self._body_bytes_max} bytes (setting rpc.body_bytes_max)"
            self._send_close(CloseReason.MESSAGE_TOO_BIG, text)
            return False
        if not finished:
            self._message_ticks = self._message_ticks or MESSAGE_TICKS_MAX
            return True
        body = b"".join(self._message)
        self._drop_message()
        message = self._dispatcher.parse(body)
        if self._dispatcher.waits(message):
            place = object()
            await self._places.acquire_on_behalf_of(place)
            calls.start_soon(self._answer_later, message, place)
        else:
            await self._answer(message)
        return True

    def _drop_message(self) -> None:
        self._connection.budget.give(self._message_bytes)
        self._message, self._message_bytes, self._message_ticks = [], 0, 0

    async def _answer_later(self, message: Message, place: object) -> None:
        try:
            await self._answer(message)
        finally:
            self._places.release_on_behalf_of(place)

    async def _answer(self, message: Message) -> None:
        reply = await self._dispatcher.answer(message, self._session, self._identity)
        if reply is not None:
            while self._queue_bytes > QUEUE_BYTES_MAX:
                await self._taken.park()
            self._enqueue(text_frame(reply))
        # Only now may notifications follow: the client has to know the id they carry.
        self._session.activate()

    # --- writing

    def _notify(self, message: bytes) -> None:
        if self._queue_bytes > QUEUE_BYTES_MAX:
            self._connection.cut(f"left more than {QUEUE_BYTES_MAX} bytes of notifications unread")
            return
        self._enqueue(text_frame(message))

    def _enqueue(self, frame: bytes) -> None:
        try:
            self._connection.budget.take(len(frame))
        except OverBudget as error:
            self._connection.cut(str(error))
            return
        self._queue.append(frame)
        self._queue_bytes += len(frame)
        self._queued.set()

    def _send_close(self, code: CloseReason, reason: str) -> None:
        # A control frame carries at most 125 bytes, two of them the code.
        short = reason.encode()[:120].decode("utf-8", "ignore")
        self._enqueue(self._protocol.send(CloseConnection(code, short)))

    async def _write(self) -> None:
        try:
            while True:
                await self._queued.wait()
                self._queued = trio.Event()
                frames, self._queue = self._queue, []
                self._connection.budget.give(self._queue_bytes)
                self._queue_bytes = 0
                self._sending = True
                await self._connection.send(b"".join(frames))
                self._sending = False
                self._taken.unpark_all()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._connection.cut("went away")
        except OverBudget as error:
            self._connection.cut(str(error))


def text_frame(payload: bytes) -> bytes:
    """One unmasked, unfragmented text frame (RFC 6455 5.2)."""
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 1 << 16:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload
