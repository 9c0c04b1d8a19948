"""Byte streams: the port, TCP with or without mutual TLS 1.3, and a network in memory for tests.

Every failure of a stream comes out as PeerGone: whoever uses one needs to know no socket library.
"""

import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, NamedTuple, Protocol, TypeAlias

import trio

from node.primitives.errors import ConfigError
from p2p.errors import PeerGone
from p2p.tls import FollowedTls

CLOSE_TIMEOUT_S: Final = 0.5
"""How long a goodbye at the TLS level may take."""


class Endpoint(NamedTuple):
    """One end of a connection; never an identity."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Stream(Protocol):
    """A connection to somebody."""

    @property
    def remote(self) -> Endpoint:
        """The other end."""
        ...

    async def prepare(self) -> None:
        """What has to be agreed on before the first byte (TLS); done under the caller's time limit."""
        ...

    def send_at_once(self, data: bytes) -> int:
        """Send what can be sent without waiting: how many bytes; none where that cannot be told."""
        ...

    async def send_all(self, data: bytes) -> None:
        """Send, waiting as long as the other side does not read."""
        ...

    async def receive_some(self, count_max: int) -> bytes:
        """At least one byte; b"" at the end."""
        ...

    async def aclose(self) -> None:
        """Close within CLOSE_TIMEOUT_S; never fails."""
        ...


Handler: TypeAlias = Callable[[Stream], Awaitable[None]]


class Listener(Protocol):
    """Somewhere to be dialled."""

    @property
    def port(self) -> int:
        """The port that was bound."""
        ...

    async def serve(self, handler: Handler) -> None:
        """Run `handler` in a task of its own for every connection, for ever. The handler must not raise."""
        ...


class Transport(Protocol):
    """How streams are made."""

    async def dial(self, host: str, port: int) -> Stream:
        """Connect, resolving the host name now. PeerGone says why it could not be done."""
        ...

    async def listen(self, host: str, port: int) -> Listener:
        """Bind; port 0 takes a free one. ConfigError when the address cannot be had."""
        ...


# --- TCP


class TcpTransport:
    """Streams over TCP, each wrapped in mutual TLS where that is given."""

    def __init__(self, tls: FollowedTls | None = None) -> None:
        self._tls = tls

    async def dial(self, host: str, port: int) -> "TcpStream":
        """See Transport."""
        try:
            stream = await trio.open_tcp_stream(host, port)
            remote = Endpoint(*stream.socket.getpeername()[:2])
        except (OSError, ValueError, UnicodeError) as error:
            raise PeerGone(f"cannot reach {host}:{port}: {_words(error)}") from error
        if self._tls is None:
            return TcpStream(stream, remote)
        return TcpStream(trio.SSLStream(stream, (await self._tls.now()).client), remote)

    async def listen(self, host: str, port: int) -> "TcpListener":
        """See Transport."""
        try:
            listeners = await trio.open_tcp_listeners(port, host=host)
        except OSError as error:
            raise ConfigError([f"cannot listen for peers on {host}:{port}: {_words(error)}"]) from error
        return TcpListener(listeners, self._tls)


class TcpListener:
    """Accepts for ever, also through a time without free file descriptors."""

    def __init__(self, listeners: list[trio.SocketListener], tls: FollowedTls | None) -> None:
        self._listeners = listeners
        self._tls = tls
        self.port: int = listeners[0].socket.getsockname()[1]

    async def serve(self, handler: Handler) -> None:
        """See Listener."""

        async def wrap(stream: trio.SocketStream) -> None:
            try:
                remote = Endpoint(*stream.socket.getpeername()[:2])
            except OSError:
                return await trio.aclose_forcefully(stream)  # gone before it was looked at
            if self._tls is None:
                return await handler(TcpStream(stream, remote))
            secured = trio.SSLStream(stream, (await self._tls.now()).server, server_side=True)
            return await handler(TcpStream(secured, remote))

        await trio.serve_listeners(wrap, self._listeners)


class TcpStream:
    """A TCP connection, plain or under TLS."""

    def __init__(
        self, stream: "trio.SocketStream | trio.SSLStream[trio.SocketStream]", remote: Endpoint
    ) -> None:
        self._stream = stream
        self.remote = remote

    async def prepare(self) -> None:
        """See Stream."""
        if isinstance(self._stream, trio.SSLStream):
            with _as_peer_gone("TLS failed"):
                await self._stream.do_handshake()

    def send_at_once(self, data: bytes) -> int:
        """See Stream."""
        if isinstance(self._stream, trio.SSLStream):
            return 0
        with _as_peer_gone("the connection broke"):
            try:
                return os.write(self._stream.socket.fileno(), data)
            except BlockingIOError:
                return 0

    async def send_all(self, data: bytes) -> None:
        """See Stream."""
        with _as_peer_gone("the connection broke"):
            await self._stream.send_all(data)

    async def receive_some(self, count_max: int) -> bytes:
        """See Stream."""
        with _as_peer_gone("the connection broke"):
            return bytes(await self._stream.receive_some(count_max))

    async def aclose(self) -> None:
        """See Stream."""
        with trio.move_on_after(CLOSE_TIMEOUT_S, shield=True):
            with suppress(
                OSError, trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError
            ):
                await self._stream.aclose()


@contextmanager
def _as_peer_gone(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise PeerGone(f"{what}: {_words(error.__cause__ or error)}") from error


def _words(error: BaseException) -> str:
    """One line for people: what the system says, or what kind of error it is."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


# --- memory


class MemoryNetwork:
    """Hosts inside one process that can dial one another; for tests and simulation.

    Pipes hold `pipe_bytes` each way and then make the sender wait, as sockets do.
    """

    def __init__(self, pipe_bytes: int = 65_536) -> None:
        self._pipe_bytes = pipe_bytes
        self._listeners: dict[Endpoint, MemoryListener] = {}
        self._last_port = 49_151

    def host(self, name: str) -> "MemoryTransport":
        """The transport of one host."""
        return MemoryTransport(self, name)

    def bind(self, host: str, port: int) -> "MemoryListener":
        """What MemoryTransport.listen does."""
        endpoint = Endpoint(host, port or self._free_port())
        if endpoint in self._listeners:
            raise ConfigError([f"cannot listen for peers on {endpoint}: it is taken"])
        listener = MemoryListener(endpoint, lambda: self._listeners.pop(endpoint))
        self._listeners[endpoint] = listener
        return listener

    def connect(self, host: str, to: Endpoint) -> "MemoryStream":
        """What MemoryTransport.dial does."""
        listener = self._listeners.get(to)
        if listener is None:
            raise PeerGone(f"cannot reach {to}: nobody listens")
        there, back = _Pipe(self._pipe_bytes), _Pipe(self._pipe_bytes)
        listener.accept(MemoryStream(Endpoint(host, self._free_port()), there, back))
        return MemoryStream(to, back, there)

    def _free_port(self) -> int:
        self._last_port += 1
        return self._last_port


class MemoryTransport:
    """One host of a MemoryNetwork."""

    def __init__(self, network: MemoryNetwork, host: str) -> None:
        self._network = network
        self._host = host

    async def dial(self, host: str, port: int) -> "MemoryStream":
        """See Transport."""
        await trio.lowlevel.checkpoint()
        return self._network.connect(self._host, Endpoint(host, port))

    async def listen(self, host: str, port: int) -> "MemoryListener":
        """See Transport; binds on this host, whatever address is named."""
        await trio.lowlevel.checkpoint()
        return self._network.bind(self._host, port)


class MemoryListener:
    """Somewhere to be dialled, in memory."""

    def __init__(self, endpoint: Endpoint, unbind: Callable[[], object]) -> None:
        self.port = endpoint.port
        self._unbind = unbind
        self._accepted, self._incoming = trio.open_memory_channel["MemoryStream"](1024)

    def accept(self, stream: "MemoryStream") -> None:
        """Hand over the listening side of a new connection; PeerGone when too many wait."""
        try:
            self._accepted.send_nowait(stream)
        except trio.WouldBlock as error:
            raise PeerGone("too many connections wait to be accepted") from error

    async def serve(self, handler: Handler) -> None:
        """See Listener."""
        try:
            async with trio.open_nursery() as nursery:
                async for stream in self._incoming:
                    nursery.start_soon(handler, stream)
        finally:
            self._unbind()


class MemoryStream:
    """One end of a connection in memory."""

    def __init__(self, remote: Endpoint, incoming: "_Pipe", outgoing: "_Pipe") -> None:
        self.remote = remote
        self._incoming = incoming
        self._outgoing = outgoing

    async def prepare(self) -> None:
        """See Stream."""
        await trio.lowlevel.checkpoint()

    def send_at_once(self, data: bytes) -> int:
        """See Stream."""
        return 0

    async def send_all(self, data: bytes) -> None:
        """See Stream."""
        await self._outgoing.write(data)

    async def receive_some(self, count_max: int) -> bytes:
        """See Stream."""
        return await self._incoming.read(count_max)

    async def aclose(self) -> None:
        """See Stream."""
        self._incoming.close()
        self._outgoing.close()
        with trio.CancelScope(shield=True):
            await trio.lowlevel.checkpoint()


class _Pipe:
    """Bytes one way."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._bytes = bytearray()
        self._closed = False
        self._changed = trio.lowlevel.ParkingLot()

    async def write(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        rest = memoryview(data)
        while rest:
            if self._closed:
                raise PeerGone("the connection broke: closed")
            room = self._size - len(self._bytes)
            if room > 0:
                self._bytes += rest[:room]
                rest = rest[room:]
                self._changed.unpark_all()
            else:
                await self._changed.park()

    async def read(self, count_max: int) -> bytes:
        await trio.lowlevel.checkpoint()
        while not self._bytes and not self._closed:
            await self._changed.park()
        taken = bytes(self._bytes[:count_max])
        del self._bytes[:count_max]
        self._changed.unpark_all()
        return taken

    def close(self) -> None:
        self._closed = True
        self._changed.unpark_all()
