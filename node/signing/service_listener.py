"""HTTP/1.1 under mutual TLS 1.3, for a few known clients; whoever else connects is closed and noted."""

import hashlib
import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Final

import httptools
import trio

from node.primitives.errors import ConfigError
from node.signing.guard import GuardedSigner
from node.signing.keystore import read_secret_file
from node.signing.lease import KeyLease
from node.signing.opening import open_own_key
from node.signing.remote import HOLDER_HEADER
from node.signing.service import Answer, Client, HeldKey, SigningService
from node.signing.service_settings import ServiceSettings
from node.storage.kv import KeyValue

HANDSHAKE_TIMEOUT_S: Final = 10.0
IDLE_TIMEOUT_S: Final = 300.0
"""A validator of a slow chain asks seldom."""
REQUEST_BYTES_MAX: Final = 64 * 1024
"""Head and body together: a header of 2000 signers."""
CONNECTIONS_MAX: Final = 64

audit = logging.getLogger("node.signing.audit")


def hold_keys(settings: ServiceSettings, kv: KeyValue) -> SigningService:
    """Open every key behind the guard in `kv`; may ask for passwords. KeyStoreError if one cannot be used."""
    held = []
    for policy in settings.keys:
        key = open_own_key(policy.signing)
        signer = GuardedSigner(key, kv, policy.chain_id)
        lease = KeyLease(kv, key.address, policy.chain_id, settings.lease_s)
        held.append(HeldKey(signer, key.public_key, policy.chain_id, policy.clients, policy.kinds, lease))
    return SigningService(held)


async def serve(
    settings: ServiceSettings,
    service: SigningService,
    *,
    tls: ssl.SSLContext | None = None,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer until cancelled; started with the port. ConfigError for TLS files that do not fit."""
    context = tls or tls_of(settings)
    places = trio.CapacityLimiter(CONNECTIONS_MAX)
    listeners = await trio.open_tcp_listeners(settings.port, host=settings.host)
    handler = partial(_serve_connection, context, settings.clients, service, places)
    task_status.started(listeners[0].socket.getsockname()[1])
    await trio.serve_listeners(handler, listeners)


def tls_of(settings: ServiceSettings) -> ssl.SSLContext:
    """Mutual TLS 1.3 with the files of the settings; ConfigError when they do not fit, or others can read
    the key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    load_tls(context, settings)
    return context


def load_tls(context: ssl.SSLContext, settings: ServiceSettings) -> None:
    """Read the files again: connections from now on use them. ConfigError: those before stay in use."""
    read_secret_file(settings.tls_key)
    try:
        # Tried on one that nobody uses: a pair that does not fit leaves a context without any.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.tls_certificate, settings.tls_key)
        context.load_verify_locations(settings.tls_ca)
        context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    except OSError as error:
        raise ConfigError([f"the TLS files of the signer do not fit: {error}"]) from error


async def _serve_connection(
    context: ssl.SSLContext,
    clients: Mapping[bytes, str],
    service: SigningService,
    places: trio.CapacityLimiter,
    plain: trio.SocketStream,
) -> None:
    try:
        places.acquire_on_behalf_of_nowait(plain)
    except trio.WouldBlock:
        await trio.aclose_forcefully(plain)
        return
    try:
        stream = trio.SSLStream(plain, context, server_side=True, https_compatible=True)
        with trio.fail_after(HANDSHAKE_TIMEOUT_S):
            await stream.do_handshake()
        client = clients.get(hashlib.sha256(stream.getpeercert(binary_form=True)).digest())
        if client is None:
            audit.warning("a client whose certificate is not on the list was turned away")
        else:
            await _talk(client, service, stream)
    except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError) as error:
        audit.info("a connection ended: %s", error.__cause__ or type(error).__name__)
    finally:
        places.release_on_behalf_of(plain)
        await trio.aclose_forcefully(plain)


async def _talk(client: str, service: SigningService, stream: trio.SSLStream[trio.SocketStream]) -> None:
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
            asker = Client(client, reading.holder)
            answer = await service.answer(asker, method, target, reading.body)
            keep = parser.should_keep_alive()
            await stream.send_all(_frame(answer, keep=keep))
            if not keep:
                return
            reading = _Reading()
            parser = httptools.HttpRequestParser(reading)


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
