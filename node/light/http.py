"""One HTTP/1.1 connection to an upstream: post, and read an answer no larger and no later than agreed.

Straight on a socket, because what an upstream sends is hostile until proved: the bytes are counted as they
come, and the deadline holds for the whole answer, not for each packet of it.
"""

import contextlib
import socket
import ssl
import time
from typing import Final
from urllib.parse import urlsplit

import httptools

from node.light.errors import TooLarge, TooSlow, Unreachable

READ_BYTES: Final = 64 * 1024
HEAD_BYTES_MAX: Final = 64 * 1024
"""Of status line and header fields."""


class HttpConnection:
    """A kept connection; one exchange at a time."""

    def __init__(self, url: str, context: ssl.SSLContext | None, token: str | None = None) -> None:
        """Does not connect. `context` is for https, `token` goes into the Authorization field."""
        address = urlsplit(url)
        assert address.hostname is not None
        self._host = address.hostname
        self._port = address.port or (443 if address.scheme == "https" else 80)
        self._context = context if address.scheme == "https" else None
        target = (address.path or "/") + (f"?{address.query}" if address.query else "")
        self._head = (
            f"POST {target} HTTP/1.1\r\nHost: {address.netloc.rpartition('@')[2]}\r\n"
            "Content-Type: application/json\r\nAccept: application/json\r\n"
            + ("" if token is None else f"Authorization: Bearer {token}\r\n")
            + "Content-Length: "
        ).encode()
        self._socket: socket.socket | None = None

    @property
    def is_open(self) -> bool:
        """Whether it may be used again."""
        return self._socket is not None

    def post(self, body: bytes, *, timeout_s: float, bytes_max: int) -> bytes:
        """The answer's body. Unreachable, TooSlow or TooLarge; the connection is then closed."""
        deadline = time.monotonic() + timeout_s
        message = self._head + b"%d\r\n\r\n%s" % (len(body), body)
        try:
            kept = self._socket is not None
            try:
                return self._exchange(message, deadline, bytes_max)
            except (Unreachable, ConnectionError):
                # A connection that idled may have been closed by the other side: that is found out here.
                if not kept:
                    raise
                self.close()
                return self._exchange(message, deadline, bytes_max)
        except TimeoutError:
            self.close()
            raise TooSlow(f"no whole answer within {timeout_s:g} s") from None
        except OSError as error:
            self.close()
            raise Unreachable(str(error) or type(error).__name__) from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Hang up."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()
            self._socket = None

    def _exchange(self, message: bytes, deadline: float, bytes_max: int) -> bytes:
        if self._socket is None:
            self._socket = self._connect(deadline)
        connection = self._socket
        connection.settimeout(_left(deadline))
        connection.sendall(message)
        answer = _Answer(bytes_max)
        parser = httptools.HttpResponseParser(answer)
        received = 0
        while not answer.complete:
            connection.settimeout(_left(deadline))
            data = connection.recv(READ_BYTES)
            if not data:
                raise Unreachable("the connection was closed in the middle of an answer")
            received += len(data)
            if received > bytes_max + HEAD_BYTES_MAX:
                raise TooLarge(f"more than {bytes_max} bytes")
            try:
                parser.feed_data(data)
            except httptools.HttpParserError as error:
                raise answer.fault or Unreachable(f"this is no HTTP: {error}") from error
        status = parser.get_status_code()
        if not parser.should_keep_alive():
            self.close()
        if status != 200:
            raise Unreachable(f"HTTP status {status}")
        return b"".join(answer.parts)

    def _connect(self, deadline: float) -> socket.socket:
        plain = socket.create_connection((self._host, self._port), timeout=_left(deadline))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._context is None:
            return plain
        try:
            return self._context.wrap_socket(plain, server_hostname=self._host)
        except BaseException:
            plain.close()
            raise


class _Answer:
    """What httptools tells of an answer."""

    def __init__(self, bytes_max: int) -> None:
        self.parts: list[bytes] = []
        self.complete = False
        self.fault: TooLarge | None = None
        self._room = bytes_max

    def on_body(self, data: bytes) -> None:
        self._room -= len(data)
        if self._room < 0:
            self.fault = TooLarge("more bytes than any honest answer has")
            raise self.fault
        self.parts.append(data)

    def on_message_complete(self) -> None:
        self.complete = True


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
