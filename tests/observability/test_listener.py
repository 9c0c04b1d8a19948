import json

import pytest
import trio

from node.observability.health import Health
from node.observability.listener import REQUEST_BYTES_MAX, serve_observability
from node.observability.metrics import Metrics


@pytest.fixture
async def port(nursery: trio.Nursery) -> int:
    health = Health(ready=[lambda: "no peers"])
    listeners = await nursery.start(serve_observability, "127.0.0.1", 0, Metrics("0", "full"), health)
    return listeners[0].socket.getsockname()[1]


async def exchange(port: int, request: bytes) -> tuple[bytes, bytes]:
    """Status line and body of the reply."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        await stream.send_all(request)
        await stream.send_eof()
        reply = b"".join([chunk async for chunk in stream])
    head, _, body = reply.partition(b"\r\n\r\n")
    return head.split(b"\r\n")[0], body


async def test_metrics_page_is_prometheus_text(port: int) -> None:
    status, body = await exchange(port, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    assert status == b"HTTP/1.1 200 OK"
    assert b"\nphoenix_blocks_imported_total 0.0\n" in body


async def test_live_and_not_ready_have_their_status_and_reasons(port: int) -> None:
    assert (await exchange(port, b"GET /health/live HTTP/1.1\r\n\r\n"))[0] == b"HTTP/1.1 200 OK"
    status, body = await exchange(port, b"GET /health/ready?verbose HTTP/1.1\r\n\r\n")
    assert status == b"HTTP/1.1 503 Service Unavailable"
    assert json.loads(body) == {"status": "not ok", "reasons": ["no peers"]}


async def test_head_gets_no_body(port: int) -> None:
    assert await exchange(port, b"HEAD /health/live HTTP/1.1\r\n\r\n") == (b"HTTP/1.1 200 OK", b"")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /nothing HTTP/1.1\r\n\r\n", b"HTTP/1.1 404 Not Found"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"HTTP/1.1 405 Method Not Allowed"),
        (b"GET /metrics", b"HTTP/1.1 400 Bad Request"),
        (b"\x16\x03\x01 hello\r\n\r\n", b"HTTP/1.1 400 Bad Request"),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * REQUEST_BYTES_MAX, b"HTTP/1.1 400 Bad Request"),
    ],
)
async def test_what_is_no_request_of_ours_is_refused(port: int, request_bytes: bytes, status: bytes) -> None:
    assert (await exchange(port, request_bytes))[0] == status


async def test_one_client_that_says_nothing_does_not_hold_up_another(port: int) -> None:
    async with await trio.open_tcp_stream("127.0.0.1", port):
        assert (await exchange(port, b"GET /health/live HTTP/1.1\r\n\r\n"))[0] == b"HTTP/1.1 200 OK"
