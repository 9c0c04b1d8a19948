"""HTTP/1.1: bytes in, requests out; answers in, bytes out (RFC 9112, parsed by llhttp). Knows no socket.

Strangers are bounded here: bytes of a head, bytes of a body. Pipelined requests come out in order.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

import httptools

HEAD_BYTES_MAX: Final = 32 * 1024
"""Request line and headers together; llhttp itself sets no bound."""
LEARNT_BYTES_MAX: Final = 4096
"""A head that is longer is parsed each time."""

CHALLENGE: Final = b'www-authenticate: Bearer realm="json-rpc"\r\n'
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_JSON_HEAD: Final = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"

_KEPT_HEADERS: Final = frozenset(
    (
        b"host",
        b"origin",
        b"content-type",
        b"expect",
        b"if-none-match",
        b"upgrade",
        b"connection",
        b"sec-websocket-key",
        b"sec-websocket-version",
        b"sec-websocket-protocol",
        b"access-control-request-method",
        b"access-control-request-headers",
        b"content-length",
        b"authorization",
        b"x-api-key",
        b"transfer-encoding",
    )
)


_UNUSUAL: Final = frozenset((b"transfer-encoding", b"upgrade", b"expect"))
"""What makes a message more than its head and as many bytes as content-length says."""


class HttpError(Exception):
    """The bytes are no request that is answered; the connection ends with this status and sentence."""

    def __init__(self, status: HTTPStatus, text: str, headers: bytes = b"") -> None:
        """`headers` are whole lines."""
        super().__init__(text)
        self.status = status
        self.headers = headers


@dataclass(slots=True)
class Request:
    """One complete request."""

    method: bytes = b""
    target: bytes = b""
    headers: dict[bytes, bytes] = field(default_factory=dict)
    """Those that matter here, by lower-case name; the last one of a name wins. The same object as before when
    the whole head is the same as before."""
    body: bytes = b""
    keep_alive: bool = True

    @property
    def wants_websocket(self) -> bool:
        """Whether the client asks to speak WebSocket from now on."""
        return self.headers.get(b"upgrade", b"").lower() == b"websocket"


class RequestParser:
    """Requests out of a stream of bytes."""

    def __init__(self, body_bytes_max: int) -> None:
        self._body_bytes_max = body_bytes_max
        self._parser = httptools.HttpRequestParser(self)
        self._done: list[Request] = []
        self._request = Request()
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._feeding = 0
        self._request_bytes = 0
        self._in_head = True
        self._problem: HttpError | None = None
        self._last = Request()
        self._last_head = b""
        self._last_size = 0
        self.busy = False
        """A request has begun and is not complete."""
        self.continue_due = False
        """The client waits for CONTINUE before it sends the body; whoever sends that clears this."""
        self.rest = b""
        """What followed a WebSocket request: bytes of the other protocol."""

    @property
    def held_bytes(self) -> int:
        """What an incomplete request takes up."""
        return max(0, self._request_bytes) if self.busy else 0

    def feed(self, data: bytes | bytearray) -> list[Request]:
        """The requests that these bytes complete; HttpError when they cannot be the start of any."""
        if not self.busy:
            if len(data) == self._last_size and data.startswith(self._last_head):
                return [self._again(data)]
            done = self._parse(data)
            self._learn(data, done)
            return done
        return self._parse(data)

    def _again(self, data: bytes | bytearray) -> Request:
        """A whole request with the same head as the last one, which says how long it is."""
        last = self._last
        return Request(last.method, last.target, last.headers, bytes(data[len(self._last_head) :]))

    def _learn(self, data: bytes | bytearray, done: list[Request]) -> None:
        """Most clients send the same head each time, and one request at a time: it is parsed once."""
        self._last_size = 0
        if len(done) != 1 or self.busy or not done[0].keep_alive:
            return
        request, head = done[0], bytes(data[: len(data) - len(done[0].body)])
        # Nothing before the head and nothing after the body, whatever the parser puts up with.
        is_all = head[:1].isalpha() and head.find(b"\r\n\r\n") == len(head) - 4
        is_plain = head.count(b"\n") == head.count(b"\r\n") and b"content-length" in request.headers
        if (
            is_all
            and is_plain
            and len(head) <= LEARNT_BYTES_MAX
            and request.headers.keys().isdisjoint(_UNUSUAL)
        ):
            self._last = Request(request.method, request.target, request.headers)
            self._last_head, self._last_size = head, len(data)

    def _parse(self, data: bytes | bytearray) -> list[Request]:
        while data:
            self._feeding = len(data)
            try:
                self._parser.feed_data(data)
                break
            except httptools.HttpParserUpgrade as upgrade:
                data = self._after_upgrade(bytes(data[upgrade.args[0] :]))
            except httptools.HttpParserError as error:
                raise self._problem or HttpError(HTTPStatus.BAD_REQUEST, f"not HTTP/1.1: {error}") from None
        if self.busy:
            self._count(len(data))
        done, self._done = self._done, []
        return done

    def _count(self, size: int) -> None:
        """Bound what an incomplete request has cost so far; llhttp keeps half-read headers and trailers."""
        self._request_bytes += size
        if self._in_head and self._request_bytes > HEAD_BYTES_MAX:
            raise _head_too_large()
        if self._request_bytes > HEAD_BYTES_MAX + 2 * self._body_bytes_max:
            raise self._body_too_large()

    def _after_upgrade(self, rest: bytes) -> bytes:
        """What to parse next: llhttp stops at a head that asks to upgrade, and only WebSocket is granted.

        Some clients (Java's) offer h2c with every request, body and all, and are content with HTTP/1.1. The
        parser cannot be told to ignore the offer, so the head is put together again without it.
        """
        request = self._done[-1]
        if request.wants_websocket:
            self.rest = rest
            return b""
        if request.method == b"CONNECT":
            raise HttpError(HTTPStatus.METHOD_NOT_ALLOWED, "this is no proxy")
        self._done.pop()
        for offer in (b"upgrade", b"connection"):
            request.headers.pop(offer, None)
        version = self._parser.get_http_version().encode()
        self._parser = httptools.HttpRequestParser(self)
        head = b"%b %b HTTP/%b\r\n" % (request.method, request.target, version)
        head += b"".join(b"%b: %b\r\n" % header for header in request.headers.items())
        return head + b"\r\n" + rest

    # --- called by the parser

    def on_message_begin(self) -> None:
        """A request begins."""
        self._request = Request()
        self._in_head = self.busy = True
        # Where in the bytes being fed it begins is not known: they are not counted at all.
        self._request_bytes = -self._feeding

    def on_url(self, target: bytes) -> None:
        """The target, possibly in pieces."""
        self._request.target += target
        if len(self._request.target) > HEAD_BYTES_MAX:
            self._fail(_head_too_large())

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        name = name.lower()
        if name not in _KEPT_HEADERS or not self._in_head:
            return  # trailers must not change what the head said
        headers = self._request.headers
        if name == b"host" and name in headers:
            self._fail(HttpError(HTTPStatus.BAD_REQUEST, "two Host headers"))
        headers[name] = value

    def on_headers_complete(self) -> None:
        """The head is complete."""
        self._in_head = False
        if self._request.headers.get(b"expect", b"").lower() == b"100-continue":
            self.continue_due = True

    def on_body(self, piece: bytes) -> None:
        """A piece of the body."""
        self._body_bytes += len(piece)
        if self._body_bytes > self._body_bytes_max:
            self._fail(self._body_too_large())
        self._body.append(piece)

    def on_message_complete(self) -> None:
        """The request is complete."""
        request = self._request
        request.method = self._parser.get_method()
        request.keep_alive = self._parser.should_keep_alive()
        request.body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body = []
        self._body_bytes = 0
        self._done.append(request)
        self.busy = self.continue_due = False

    def _body_too_large(self) -> HttpError:
        text = f"request body larger than {self._body_bytes_max} bytes (setting rpc.body_bytes_max)"
        return HttpError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text)

    def _fail(self, problem: HttpError) -> None:
        """llhttp turns whatever a callback raises into an error of its own, so the problem is kept aside."""
        self._problem = problem
        raise problem


def credentials_of(headers: Mapping[bytes, bytes]) -> str | None:
    """What a request shows to say who sends it; HttpError for a scheme that is not known here."""
    given = headers.get(b"authorization")
    if given is None:
        key = headers.get(b"x-api-key")
        return None if key is None else key.decode("latin-1").strip()
    scheme, _, value = given.decode("latin-1").strip().partition(" ")
    if scheme.lower() != "bearer" or not value.strip():
        raise HttpError(HTTPStatus.UNAUTHORIZED, "send Authorization: Bearer TOKEN", CHALLENGE)
    return value.strip()


def json_answer(body: bytes, extra_headers: bytes = b"", *, keep_alive: bool = True) -> bytes:
    """200 with JSON; `extra_headers` are whole lines."""
    if keep_alive and not extra_headers:
        return _JSON_HEAD % len(body) + body
    return answer(HTTPStatus.OK, body, b"application/json", extra_headers, keep_alive=keep_alive)


def answer(
    status: HTTPStatus,
    body: bytes,
    content_type: bytes = b"text/plain; charset=utf-8",
    extra_headers: bytes = b"",
    *,
    keep_alive: bool = True,
) -> bytes:
    """A whole answer."""
    return b"HTTP/1.1 %d %b\r\ncontent-type: %b\r\ncontent-length: %d\r\n%b%b\r\n%b" % (
        status.value,
        status.phrase.encode(),
        content_type,
        len(body),
        extra_headers,
        b"" if keep_alive else b"connection: close\r\n",
        body,
    )


def _head_too_large() -> HttpError:
    text = f"request line and headers larger than {HEAD_BYTES_MAX} bytes"
    return HttpError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, text)
