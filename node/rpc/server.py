"""The listener: HTTP/1.1 and WebSocket on one port, straight on trio streams.

Written by hand because it answers twenty times as many requests per CPU second as the ASGI servers that
run on trio. Whatever a client does ends at its own connection: no exception but StorageError leaves a
handler.

Who may ask: a browser is the one client that a stranger can steer, so a Host header that is a foreign name is
refused (DNS rebinding; addresses are harmless), JSON must be declared as such (else a page could post it
without asking first), and pages of other origins get CORS headers and WebSockets only when listed.
"""

import logging
import math
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

import trio

from node.config.settings import RpcSettings
from node.primitives.errors import StorageError
from node.rpc.api import RpcApi
from node.rpc.budget import Budget, OverBudget
from node.rpc.connection import TICK_S, Connection
from node.rpc.door import Door, Wrap
from node.rpc.guard import QuotaExceeded
from node.rpc.http1 import (
    CHALLENGE,
    CONTINUE,
    HttpError,
    Request,
    RequestParser,
    answer,
    credentials_of,
    json_answer,
)
from node.rpc.identity import Identity, LoginRefused
from node.rpc.jsonrpc import RpcError
from node.rpc.origins import Origins
from node.rpc.pages import PREFIX
from node.rpc.quick_stream import QuickStream
from node.rpc.websocket import WebSocket

IDLE_TICKS_MAX: Final = 120
"""A kept-alive connection without a request."""
REQUEST_TICKS_MAX: Final = 30
"""From a request's first byte to its last."""
HANDSHAKE_TIMEOUT_S: Final = 10.0
LINGER_S: Final = 2.0
FLUSH_BYTES: Final = 64 * 1024
"""Answers to pipelined requests are gathered up to this size before they are sent."""
SHUTDOWN_GRACE_S: Final = 5.0
"""Replies in the making get this long when the node stops."""
JSON_TYPES: Final = (b"application/json", b"application/json-rpc", b"application/jsonrequest")
GREETING: Final = b"Phoenix Ledger JSON-RPC: POST a request, or open a WebSocket.\n"

log = logging.getLogger(__name__)


async def serve_rpc(
    settings: RpcSettings,
    api: RpcApi,
    *,
    doors: Sequence[Door] | None = None,
    task_status: trio.TaskStatus[list[trio.SocketListener]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Listen until cancelled, then finish the replies in the making. OSError when a port cannot be had.

    Without `doors` there is one, as the settings have it, at which everybody may do everything: for tests.
    """
    if doors is None:
        doors = (Door(host=settings.host, port=settings.port, dispatcher=api.dispatcher),)
    opened = [await _opened(door) for door in doors]
    budget = Budget()
    try:
        async with trio.open_nursery() as house:
            await house.start(api.run)
            for door, listeners in zip(doors, opened, strict=True):
                await house.start(_serve_door, RpcServer(settings, api, door, budget), listeners)
            task_status.started([listener for listeners in opened for listener in listeners])
    finally:
        with trio.CancelScope(shield=True):
            await api.drain()


async def _opened(door: Door) -> list[trio.SocketListener]:
    if door.sockets:
        return [trio.SocketListener(each) for each in door.sockets]
    return await trio.open_tcp_listeners(door.port, host=door.host)


async def _serve_door(
    server: "RpcServer",
    listeners: list[trio.SocketListener],
    *,
    task_status: trio.TaskStatus[list[trio.SocketListener]],
) -> None:
    async with trio.open_nursery() as house:
        house.start_soon(server.sweep)
        async with trio.open_nursery() as connections:
            try:
                await trio.serve_listeners(
                    server.serve, listeners, handler_nursery=connections, task_status=task_status
                )
            finally:
                server.stop()


class RpcServer:
    """All connections of one listener."""

    def __init__(
        self, settings: RpcSettings, api: RpcApi, door: Door | None = None, budget: Budget | None = None
    ) -> None:
        self._settings = settings
        self._api = api
        self._door = door or Door(host=settings.host, port=settings.port, dispatcher=api.dispatcher)
        self._wrap = self._door.wrap
        self._origins = Origins(settings)
        self._connections: set[_HttpConnection] = set()
        self._budget = budget or Budget()
        self._stopping = False

    def __len__(self) -> int:
        return len(self._connections)

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection, from its first byte to its last."""
        address = _address_of(stream)
        is_plain = self._wrap is None and isinstance(stream, trio.SocketStream)
        connection = _HttpConnection(QuickStream(stream) if is_plain else stream, self._budget, address)
        self._connections.add(connection)
        try:
            # Shielded from the server's end, which `stop` brings about in good order.
            with connection.scope:
                await self._converse(connection, stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client went away
        except StorageError:
            raise
        except Exception as error:
            if _storage_failed(error):
                raise
            log.exception("a connection failed")
        finally:
            self._connections.discard(connection)
            connection.hold(0)
            if connection.cut_reason:
                log.debug("connection cut", extra={"reason": connection.cut_reason})
            await trio.aclose_forcefully(connection.stream)

    async def sweep(self) -> None:
        """Tick every connection once a second, until cancelled."""
        while True:
            await trio.sleep(TICK_S)
            for connection in tuple(self._connections):
                connection.tick()

    def stop(self) -> None:
        """Let replies in the making finish, for a while; end all else."""
        self._stopping = True
        for connection in self._connections:
            connection.scope.deadline = trio.current_time() + SHUTDOWN_GRACE_S
            if connection.websocket is not None:
                connection.websocket.go_away()
            elif not connection.answering:
                connection.cut("the node is shutting down")

    async def _converse(self, connection: "_HttpConnection", stream: trio.SocketStream) -> None:
        if len(self._connections) > self._settings.connections_max:
            text = f"all {self._settings.connections_max} connections are taken (setting rpc.connections_max)"
            if self._wrap is None:
                await connection.send(_refusal(HttpError(HTTPStatus.SERVICE_UNAVAILABLE, text)))
            return
        if self._wrap is not None and not await self._shake_hands(connection, stream, self._wrap):
            return
        connection.identity = self._door.greet(connection.stream, connection.address)
        try:
            await self._serve_http(connection)
        except (HttpError, OverBudget) as error:
            connection.read_ticks = 0
            await connection.send(_refusal(error))
            connection.answering = False
            await _linger(connection.stream)

    async def _shake_hands(
        self, connection: "_HttpConnection", stream: trio.SocketStream, wrap: Wrap
    ) -> bool:
        """Whether the client and `wrap` agree on how to speak; most who do not are scanning for ports."""
        try:
            with trio.fail_after(HANDSHAKE_TIMEOUT_S):
                connection.stream = await wrap(stream)
        except Exception as error:
            log.debug("no handshake", extra={"reason": str(error)})
            return False
        return True

    async def _serve_http(self, connection: "_HttpConnection") -> None:
        parser = RequestParser(self._settings.body_bytes_max)
        while not self._stopping:
            if not parser.busy:
                connection.read_ticks = IDLE_TICKS_MAX
            data = await connection.stream.receive_some(65536)
            if not data:
                return
            was_busy = parser.busy
            requests = parser.feed(data)
            if parser.held_bytes != connection.held_bytes:
                connection.hold(parser.held_bytes)
            if requests:
                connection.read_ticks = 0
                connection.answering = True
                if not await self._answer_all(connection, requests, parser.rest):
                    return
                connection.answering = False
            if parser.busy and (requests or not was_busy):
                connection.read_ticks = REQUEST_TICKS_MAX
            if parser.continue_due:
                parser.continue_due = False
                await connection.send(CONTINUE)

    async def _answer_all(self, connection: "_HttpConnection", requests: list[Request], rest: bytes) -> bool:
        """Answer pipelined requests in their order. Whether the connection stays open."""
        pending = b""
        for request in requests:
            if request.wants_websocket:
                await connection.send(pending)
                await self._serve_websocket(connection, request, rest)
                return False
            try:
                reply = await self._answer(request, connection)
            except HttpError:
                await connection.send(pending)
                raise
            pending = pending + reply if pending else reply
            if not request.keep_alive:
                break
            if len(pending) > FLUSH_BYTES:
                await connection.send(pending)
                pending = b""
        await connection.send(pending)
        return request.keep_alive

    async def _answer(self, request: Request, connection: "_HttpConnection") -> bytes:
        """The answer to one HTTP request. HttpError where the connection should end, too."""
        headers = request.headers
        if headers is not connection.checked:
            self._origins.check_host(headers.get(b"host", b""))
            if request.target.startswith(PREFIX) and request.method in (b"GET", b"HEAD"):
                return await self._answer_page(request, connection)
            if request.method != b"POST":
                return self._answer_other(request)
            _check_call(request)
            connection.checked = headers
        identity = await self._identify(request, connection)
        dispatcher = self._door.dispatcher
        wait_s = dispatcher.wait_s(identity)
        message = dispatcher.parse(request.body)
        cors = self._origins.cors_headers(request) if b"origin" in headers else b""
        if wait_s > 0:
            reply = dispatcher.refuse_all(message, identity, wait_s)
            return answer(
                HTTPStatus.TOO_MANY_REQUESTS, reply or b"", b"application/json", cors + _later(wait_s),
                keep_alive=request.keep_alive,
            )  # fmt: skip
        reply = await dispatcher.answer(message, None, identity)
        return json_answer(reply or b"", cors, keep_alive=request.keep_alive)

    async def _identify(self, request: Request, connection: "_HttpConnection") -> Identity:
        """Who sends a request: whoever its credentials name, else whoever has connected."""
        if b"authorization" not in request.headers and b"x-api-key" not in request.headers:
            return connection.identity
        credentials = credentials_of(request.headers)
        if credentials is None or self._door.identify is None:
            return connection.identity
        try:
            return await self._door.identify(credentials, connection.address)
        except LoginRefused as error:
            raise HttpError(HTTPStatus.UNAUTHORIZED, str(error), CHALLENGE) from None

    async def _answer_page(self, request: Request, connection: "_HttpConnection") -> bytes:
        """What is not JSON-RPC: the pages of a node that has some."""
        pages = self._api.pages
        if pages is None:
            raise HttpError(HTTPStatus.NOT_FOUND, "this node has no query API; replicas have")
        try:
            self._door.dispatcher.admit_page(await self._identify(request, connection))
        except QuotaExceeded as error:
            raise HttpError(HTTPStatus.TOO_MANY_REQUESTS, str(error), _later(error.wait_s)) from None
        except RpcError as error:
            raise HttpError(HTTPStatus.FORBIDDEN, str(error)) from None
        tag = request.headers.get(b"if-none-match")
        reply = await pages.answer(
            request.target.decode("ascii", "replace"), None if tag is None else tag.decode("ascii", "replace")
        )
        cors = self._origins.cors_headers(request) if b"origin" in request.headers else b""
        return reply.encode(cors, with_body=request.method == b"GET", keep_alive=request.keep_alive)

    def _answer_other(self, request: Request) -> bytes:
        """What is asked with other methods than POST: a probe, or a browser's leave to post."""
        if request.method == b"OPTIONS":
            allowed = self._origins.cors_headers(request)
            return answer(
                HTTPStatus.OK,
                b"",
                extra_headers=allowed + b"allow: POST, GET, OPTIONS\r\n",
                keep_alive=request.keep_alive,
            )
        if request.method in (b"GET", b"HEAD"):
            return answer(
                HTTPStatus.OK, GREETING if request.method == b"GET" else b"", keep_alive=request.keep_alive
            )
        raise HttpError(HTTPStatus.METHOD_NOT_ALLOWED, "POST a JSON-RPC request")

    async def _serve_websocket(self, connection: "_HttpConnection", request: Request, rest: bytes) -> None:
        self._origins.check_host(request.headers.get(b"host", b""))
        origin = request.headers.get(b"origin")
        if origin is not None and not self._origins.allows(origin):
            text = f"origin {origin.decode('ascii', 'replace')} is not allowed (setting rpc.cors_origins)"
            raise HttpError(HTTPStatus.FORBIDDEN, text)
        identity = await self._identify(request, connection)
        websocket = WebSocket(
            connection, self._door.dispatcher, self._settings, self._api.open_session, identity
        )
        connection.websocket = websocket
        connection.on_tick = websocket.tick
        await websocket.serve(request, rest)


class _HttpConnection(Connection):
    """A connection as the server sees it."""

    __slots__ = ("address", "answering", "checked", "held_bytes", "websocket")

    def __init__(self, stream: trio.abc.Stream, budget: Budget, address: str = "") -> None:
        super().__init__(stream, budget)
        self.address = address
        """Of the client, without its port."""
        self.answering = False
        self.checked: dict[bytes, bytes] | None = None
        """Headers of a request that was found to be a call, as one with the very same head is."""
        self.held_bytes = 0
        """Of the budget, for a request that is being received."""
        self.websocket: WebSocket | None = None

    def hold(self, size: int) -> None:
        """Account for a request of which so many bytes have come; OverBudget when they are too many."""
        self.budget.give(self.held_bytes)
        self.held_bytes = 0
        self.budget.take(size)
        self.held_bytes = size


def _check_call(request: Request) -> None:
    """HttpError for a POST that is no JSON-RPC."""
    if request.target.partition(b"?")[0] != b"/":
        raise HttpError(HTTPStatus.NOT_FOUND, "JSON-RPC is served at /")
    content_type = request.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if content_type not in JSON_TYPES:
        text = f"content type {content_type.decode('ascii', 'replace')!r}; send application/json"
        raise HttpError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, text)


def _refusal(error: HttpError | OverBudget) -> bytes:
    status = error.status if isinstance(error, HttpError) else HTTPStatus.SERVICE_UNAVAILABLE
    headers = error.headers if isinstance(error, HttpError) else b""
    return answer(status, f"{error}\n".encode(), extra_headers=headers, keep_alive=False)


def _later(wait_s: float) -> bytes:
    return b"retry-after: %d\r\n" % math.ceil(wait_s)


def _address_of(stream: trio.abc.Stream) -> str:
    """Streams in memory have none."""
    if not isinstance(stream, trio.SocketStream):
        return ""
    return str(stream.socket.getpeername()[0])


async def _linger(stream: trio.abc.Stream) -> None:
    """Let the client read why it was refused: closing on unread bytes would tear the answer up."""
    if isinstance(stream, trio.abc.HalfCloseableStream):
        with trio.move_on_after(LINGER_S):
            await stream.send_eof()
            while await stream.receive_some(65536):
                pass


def _storage_failed(error: BaseException) -> bool:
    """Whether a StorageError is what is wrong, however deep nurseries have wrapped it."""
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(StorageError) is not None
    return isinstance(error, StorageError)
