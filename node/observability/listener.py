"""A small HTTP listener for scrapers and orchestrators: /metrics, /health/live, /health/ready.

Kept apart from the JSON-RPC server, so that it answers when that one is busy or switched off. One request
per connection, and every request is bounded in bytes and time.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Final, Protocol

import trio

from node.observability.health import Health, Verdict
from node.observability.metrics import CONTENT_TYPE

REQUEST_BYTES_MAX: Final = 8_192
REQUEST_TIMEOUT_S: Final = 5.0
CONNECTIONS_MAX: Final = 32

log = logging.getLogger(__name__)


class Numbers(Protocol):
    """What is shown at /metrics: a node's, or a signer's."""

    def exposition(self) -> bytes:
        """Prometheus' text format."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back to the client."""

    status: HTTPStatus
    content_type: str
    body: bytes


def answer(target: str, metrics: Numbers, health: Health) -> Answer:
    """The answer to GET `target`."""
    pages: dict[str, Callable[[], Answer]] = {
        "/metrics": lambda: Answer(HTTPStatus.OK, CONTENT_TYPE, metrics.exposition()),
        "/health/live": lambda: _verdict(health.is_live()),
        "/health/ready": lambda: _verdict(health.is_ready()),
    }
    page = pages.get(target.partition("?")[0])
    if page is None:
        return _text(HTTPStatus.NOT_FOUND, "pages here: " + ", ".join(pages))
    return page()


async def serve_observability(
    host: str,
    port: int,
    metrics: Numbers,
    health: Health,
    *,
    task_status: trio.TaskStatus[list[trio.SocketListener]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Listen until cancelled; OSError when the port cannot be had. Started with the listeners."""
    places = trio.CapacityLimiter(CONNECTIONS_MAX)
    listeners = await trio.open_tcp_listeners(port, host=host)
    # A handler that raises would end every other connection with it, so _serve_one lets nothing out.
    await trio.serve_listeners(
        partial(_serve_one, metrics=metrics, health=health, places=places),
        listeners,
        task_status=task_status,
    )


async def _serve_one(
    stream: trio.SocketStream, *, metrics: Numbers, health: Health, places: trio.CapacityLimiter
) -> None:
    async with stream:
        with trio.move_on_after(REQUEST_TIMEOUT_S):
            try:
                async with places:
                    await stream.send_all(_encode(*_reply(await _read_head(stream), metrics, health)))
            except trio.BrokenResourceError:
                pass  # the client went away; there is nobody to tell
            except Exception:
                log.exception("an observability request failed")


async def _read_head(stream: trio.SocketStream) -> bytes:
    """Bytes up to the blank line; cut short when the client stops or sends too much."""
    head = b""
    while b"\r\n\r\n" not in head and len(head) <= REQUEST_BYTES_MAX:
        chunk = await stream.receive_some(REQUEST_BYTES_MAX)
        if not chunk:
            break
        head += chunk
    return head


def _reply(head: bytes, metrics: Numbers, health: Health) -> tuple[Answer, bool]:
    """The answer, and whether its body is sent (not for HEAD)."""
    if b"\r\n\r\n" not in head:
        return _text(HTTPStatus.BAD_REQUEST, f"no complete request within {REQUEST_BYTES_MAX} bytes"), True
    words = head.split(b"\r\n", 1)[0].decode("ascii", "replace").split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        return _text(HTTPStatus.BAD_REQUEST, "this is not HTTP/1"), True
    method, target, _ = words
    if method not in ("GET", "HEAD"):
        return _text(HTTPStatus.METHOD_NOT_ALLOWED, "GET and HEAD only"), True
    return answer(target, metrics, health), method == "GET"


def _verdict(verdict: Verdict) -> Answer:
    status = HTTPStatus.OK if verdict.well else HTTPStatus.SERVICE_UNAVAILABLE
    body = {"status": "ok" if verdict.well else "not ok", "reasons": list(verdict.reasons)}
    if verdict.notices:
        body["notices"] = list(verdict.notices)
    return Answer(status, "application/json", json.dumps(body).encode() + b"\n")


def _text(status: HTTPStatus, text: str) -> Answer:
    return Answer(status, "text/plain; charset=utf-8", text.encode() + b"\n")


def _encode(reply: Answer, with_body: bool) -> bytes:
    head = (
        f"HTTP/1.1 {reply.status.value} {reply.status.phrase}\r\n"
        f"Content-Type: {reply.content_type}\r\n"
        f"Content-Length: {len(reply.body)}\r\n"
        "Cache-Control: no-store\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + (reply.body if with_body else b"")
