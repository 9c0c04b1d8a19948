"""HTTP/1.1 under mutual TLS 1.3, for a few known clients; whoever else connects is closed and noted."""

import hashlib
import logging
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Final

import httptools
import trio
from cryptography import x509

from node.audit.records import Kind
from node.signing.remote import HOLDER_HEADER
from node.signing.service import Answer, Client
from node.signing.serving import Serving

HANDSHAKE_TIMEOUT_S: Final = 10.0
IDLE_TIMEOUT_S: Final = 300.0
"""A validator of a slow chain asks seldom."""
REQUEST_BYTES_MAX: Final = 64 * 1024
"""Head and body together: a header of 2000 signers."""
CONNECTIONS_MAX: Final = 64

audit = logging.getLogger("node.signing.audit")


async def serve(serving: Serving, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
    """Answer until cancelled; started with the port."""
    places = trio.CapacityLimiter(CONNECTIONS_MAX)
    settings = serving.settings
    listeners = await trio.open_tcp_listeners(settings.port, host=settings.host)
    task_status.started(listeners[0].socket.getsockname()[1])
    await trio.serve_listeners(partial(_serve_connection, serving, places), listeners)


async def _serve_connection(serving: Serving, places: trio.CapacityLimiter, plain: trio.SocketStream) -> None:
    try:
        places.acquire_on_behalf_of_nowait(plain)
    except trio.WouldBlock:
        await trio.aclose_forcefully(plain)
        return
    try:
        stream = trio.SSLStream(plain, serving.context, server_side=True, https_compatible=True)
        with trio.fail_after(HANDSHAKE_TIMEOUT_S):
            await stream.do_handshake()
        certificate = stream.getpeercert(binary_form=True)
        if _client_of(serving, certificate) is not None:
            await _talk(serving, certificate, stream)
    except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError) as error:
        audit.info("a connection ended: %s", error.__cause__ or type(error).__name__)
    finally:
        places.release_on_behalf_of(plain)
        await trio.aclose_forcefully(plain)


async def _talk(serving: Serving, certificate: bytes, stream: trio.SSLStream[trio.SocketStream]) -> None:
    reading = _Reading()
    parser = httptools.HttpRequestParser(reading)
    while True:
        with trio.fail_after(IDLE_TIMEOUT_S):
            data = await stream.receive_some()
        if not data:
            return
        reading.request_bytes += len(data)
        try:
            parser.feed_data(bytes(data))
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            await stream.send_all(_frame(Answer(HTTPStatus.BAD_REQUEST, b"not HTTP/1.1"), keep=False))
            return
        if reading.request_bytes > REQUEST_BYTES_MAX:
            await stream.send_all(
                _frame(Answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, b"too large"), keep=False)
            )
            return
        if reading.complete:
            target = reading.target.decode(errors="replace")
            method = parser.get_method().decode()
            # Asked each time: who was taken off the list, or whose certificate was taken back, has no more to
            # say on a connection that is open.
            client = _client_of(serving, certificate)
            if client is None:
                return
            asker = Client(client, reading.holder)
            answer = await serving.service.answer(asker, method, target, reading.body)
            keep = parser.should_keep_alive()
            await stream.send_all(_frame(answer, keep=keep))
            if not keep:
                return
            reading = _Reading()
            parser = httptools.HttpRequestParser(reading)


def _client_of(serving: Serving, certificate: bytes) -> str | None:
    """Whose certificate this is; nobody's is noted."""
    fingerprint = hashlib.sha256(certificate).digest()
    client, reason = serving.client_of(fingerprint), None
    if client is None:
        reason = "not on the list"
        audit.warning("a client whose certificate is not on the list was turned away")
    elif serving.revocations.has(x509.load_der_x509_certificate(certificate)):
        reason = "its certificate was taken back"
        audit.warning("the certificate of %s was taken back: turned away", client)
    if reason is not None:
        serving.trail.note(Kind.LOGIN_REFUSED, f"certificate:{fingerprint.hex()}", {"reason": reason})
    return client if reason is None else None


@dataclass(slots=True)
class _Reading:
    """One request as the parser finds it. Pipelining is not offered: each client waits for its answer."""

    target: bytes = b""
    body: bytes = b""
    complete: bool = False
    request_bytes: int = 0
    holder: str = ""

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == HOLDER_HEADER.encode():
            self.holder = "".join(c for c in value.decode(errors="replace") if c.isalnum())

    def on_url(self, target: bytes) -> None:
        self.target += target

    def on_body(self, piece: bytes) -> None:
        self.body += piece

    def on_message_complete(self) -> None:
        self.complete = True


def _frame(answer: Answer, *, keep: bool) -> bytes:
    head = (
        f"HTTP/1.1 {answer.status.value} {answer.status.phrase}\r\n"
        f"content-type: {answer.content_type}\r\ncontent-length: {len(answer.body)}\r\n"
    )
    return head.encode() + (b"\r\n" if keep else b"connection: close\r\n\r\n") + answer.body
