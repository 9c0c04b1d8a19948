"""Small clients for the server under test: HTTP and WebSocket over a real socket, or over memory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)

from node.config.settings import RpcSettings
from node.rpc.api import RpcApi
from node.rpc.server import serve_rpc
from tests.rpc.world import World


class Place:
    """A served world: opens clients, and closes them at the end."""

    def __init__(self) -> None:
        self.port = 0
        self._scope = trio.CancelScope()
        self._streams: list[trio.SocketStream] = []

    async def run(self, settings: RpcSettings, api: RpcApi, task_status: trio.TaskStatus[None]) -> None:
        """Serve until stopped."""
        with self._scope:
            async with trio.open_nursery() as nursery:
                listeners = await nursery.start(serve_rpc, settings, api)
                self.port = listeners[0].socket.getsockname()[1]
                task_status.started()

    def stop(self) -> None:
        """Stop the server, as the end of the program would."""
        self._scope.cancel()

    async def http(self) -> "HttpClient":
        """A new connection."""
        return HttpClient(await self._open())

    async def websocket(self, **headers: str) -> "WebSocketClient":
        """A new WebSocket; ConnectionRefusedError with the status when there is none."""
        client = WebSocketClient(await self._open())
        await client.shake_hands(**headers)
        return client

    async def close(self) -> None:
        for stream in self._streams:
            await trio.aclose_forcefully(stream)

    async def _open(self) -> trio.SocketStream:
        self._streams.append(await trio.open_tcp_stream("127.0.0.1", self.port))
        return self._streams[-1]


@asynccontextmanager
async def served(world: World, **settings: Any) -> AsyncIterator[Place]:
    """The world's API on a free port of the loopback."""
    api = world.api(**settings)
    place = Place()
    async with trio.open_nursery() as nursery:
        await nursery.start(place.run, world.settings, api)
        try:
            yield place
        finally:
            await place.close()
            nursery.cancel_scope.cancel()


def request_bytes(body: bytes, *headers: bytes, host: bytes = b"localhost") -> bytes:
    """A POST as most clients send it."""
    lines = [b"POST / HTTP/1.1", b"Host: " + host, b"Content-Type: application/json", *headers]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body])


def call_bytes(method: str, *params: Any, call_id: Any = 1) -> bytes:
    """A call as JSON."""
    return msgspec.json.encode({"jsonrpc": "2.0", "id": call_id, "method": method, "params": params})


class HttpClient:
    """One connection; reads answers by their content length."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._buffer = b""

    async def read(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the next answer."""
        while b"\r\n\r\n" not in self._buffer:
            await self._more()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        status_line, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        size = int(headers.get("content-length", "0"))
        while len(self._buffer) < size:
            await self._more()
        body, self._buffer = self._buffer[:size], self._buffer[size:]
        return int(status_line.split(" ")[1]), headers, body

    async def exchange(self, data: bytes) -> tuple[int, dict[str, str], bytes]:
        await self.stream.send_all(data)
        return await self.read()

    async def call(self, method: str, *params: Any) -> Any:
        """The whole answer to one call."""
        status, _, body = await self.exchange(request_bytes(call_bytes(method, *params)))
        assert status == 200
        return msgspec.json.decode(body)

    async def result(self, method: str, *params: Any) -> Any:
        answer = await self.call(method, *params)
        assert "error" not in answer, answer
        return answer["result"]

    async def ended(self) -> bool:
        """Whether the server has closed without another word."""
        try:
            return await self.stream.receive_some(1) == b""
        except trio.BrokenResourceError:
            return True

    async def _more(self) -> None:
        data = await self.stream.receive_some(65536)
        if not data:
            raise EOFError(self._buffer)
        self._buffer += data


class WebSocketClient:
    """One WebSocket, spoken through wsproto."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.protocol = WSConnection(ConnectionType.CLIENT)
        self._events: list[Event] = []

    async def shake_hands(self, **headers: str) -> None:
        extra = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self.send(Request(host="localhost", target="/", extra_headers=extra))
        event = await self.event()
        if isinstance(event, RejectConnection):
            raise ConnectionRefusedError(event.status_code)
        assert isinstance(event, AcceptConnection)

    async def send(self, event: Event) -> None:
        await self.stream.send_all(self.protocol.send(event))

    async def event(self) -> Event:
        while not self._events:
            data = await self.stream.receive_some(65536)
            self.protocol.receive_data(data or None)
            self._events = list(self.protocol.events())
        return self._events.pop(0)

    async def receive(self) -> Any:
        """The next message, decoded; pings are answered on the way."""
        text = ""
        while True:
            event = await self.event()
            if isinstance(event, Ping):
                await self.send(event.response())
            elif isinstance(event, TextMessage):
                text += event.data
                if event.message_finished:
                    return msgspec.json.decode(text)
            else:
                raise EOFError(event)

    async def call(self, method: str, *params: Any, binary: bool = False, call_id: Any = 1) -> Any:
        """The next message after this call, which is its answer where no notifications come between."""
        body = call_bytes(method, *params, call_id=call_id)
        await self.send(BytesMessage(body) if binary else TextMessage(body.decode()))
        return await self.receive()

    async def closed(self) -> CloseConnection:
        event = await self.event()
        while not isinstance(event, CloseConnection):
            event = await self.event()
        return event
