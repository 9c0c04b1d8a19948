"""The HTTP parser: every message whole, byte by byte and pipelined; bounds on what a stranger sends."""

from contextlib import suppress
from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.rpc.http1 import HEAD_BYTES_MAX, HttpError, Request, RequestParser, answer, json_answer

POST = b"POST / HTTP/1.1\r\nHost: node:8545\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = b"POST / HTTP/1.1\r\nHost: node\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"
GET = b"GET /x?y HTTP/1.1\r\nHost: node\r\n\r\n"
OFFER = (
    b"POST / HTTP/1.1\r\nHost: node\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"Content-Length: 2\r\n\r\n{}"
)
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: node\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: a\r\n\r\n"
)


PIECE = 1000


def feed_in_pieces(parser: RequestParser, data: bytes) -> None:
    for start in range(0, len(data), PIECE):
        parser.feed(data[start : start + PIECE])


def essence(requests: list[Request]) -> list[tuple[bytes, bytes, bytes]]:
    return [(request.method, request.target, request.body) for request in requests]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (POST, (b"POST", b"/", b"{}")),
        (CHUNKED, (b"POST", b"/", b"{}")),
        (GET, (b"GET", b"/x?y", b"")),
        (OFFER, (b"POST", b"/", b"{}")),
    ],
)
def test_a_request_whole_byte_by_byte_and_three_at_once(
    data: bytes, expected: tuple[bytes, bytes, bytes]
) -> None:
    assert essence(RequestParser(10).feed(data)) == [expected]
    parser = RequestParser(10)
    assert essence([request for byte in data for request in parser.feed(bytes((byte,)))]) == [expected]
    assert not parser.busy
    assert essence(RequestParser(10).feed(data * 3)) == [expected] * 3


PLAIN = (POST, POST.replace(b"2\r\n\r\n{}", b"3\r\n\r\n[1]"), POST.replace(b"{}", b"[]"))
ODD = (
    CHUNKED,
    GET,
    OFFER,
    b"\r\n" + POST,
    POST + b"\r\n",
    POST.replace(b"{}", b"\r\n") + b"\r\n",
    POST.replace(b"{}", b"\r\n"),
    POST[:-2] + b"\n\n",
    POST.replace(b"POST", b"PUT"),
    POST.replace(b"Host", b"Expect: 100-continue\r\nHost"),
    POST.replace(b"HTTP/1.1", b"HTTP/1.0"),
    POST + POST,
    POST[:40],
    POST[40:],
    POST[:-1],
)


@given(st.lists(st.sampled_from((*PLAIN, *PLAIN, *ODD)), min_size=2, max_size=12))
def test_a_head_that_was_learnt_changes_nothing(pieces: list[bytes]) -> None:
    def outcome(*, forgets: bool) -> list[object]:
        parser, found = RequestParser(10), list[object]()
        try:
            for piece in pieces:
                found += [
                    (each.method, each.target, each.headers, each.body, each.keep_alive)
                    for each in parser.feed(piece)
                ]
                if forgets:
                    parser._last_size = 0
        except HttpError as error:
            found.append(error.status)
        return found

    assert outcome(forgets=False) == outcome(forgets=True)


def test_the_same_head_is_parsed_once_and_another_one_again() -> None:
    parser = RequestParser(10)
    first, second, third = (parser.feed(each)[0] for each in (POST, POST.replace(b"{}", b"[]"), PLAIN[1]))
    assert second.body == b"[]"
    assert second.headers is first.headers
    assert third.headers is not first.headers
    assert third.body == b"[1]"


def test_half_a_request_is_waited_for() -> None:
    parser = RequestParser(10)
    assert essence(parser.feed(POST + POST[:30])) == [(b"POST", b"/", b"{}")]
    assert parser.busy
    assert essence(parser.feed(POST[30:])) == [(b"POST", b"/", b"{}")]


def test_headers_that_matter_are_kept_in_lower_case() -> None:
    [request] = RequestParser(10).feed(POST)
    assert request.headers[b"host"] == b"node:8545"
    assert request.keep_alive


@pytest.mark.parametrize("head", [b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"])
def test_who_does_not_want_to_stay(head: bytes) -> None:
    [request] = RequestParser(10).feed(head)
    assert not request.keep_alive


def test_after_a_websocket_request_the_rest_is_not_http() -> None:
    parser = RequestParser(10)
    [request] = parser.feed(UPGRADE + b"\x81\x00")
    assert request.wants_websocket
    assert parser.rest == b"\x81\x00"


def test_trailers_do_not_change_what_the_head_said() -> None:
    data = CHUNKED[:-2] + b"Host: evil\r\n\r\n"
    [request] = RequestParser(10).feed(data)
    assert request.headers[b"host"] == b"node"


def test_a_client_that_waits_for_leave_to_send() -> None:
    parser = RequestParser(10)
    assert parser.feed(b"POST / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n") == []
    assert parser.continue_due


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"CONNECT a:1 HTTP/1.1\r\n\r\n", 405),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 11\r\n\r\n" + b"x" * 11, 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n" + b"x" * 11, 413),
        (b"GET /" + b"a" * (HEAD_BYTES_MAX + PIECE), 431),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * (HEAD_BYTES_MAX + PIECE), 431),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * HEAD_BYTES_MAX, 431),
    ],
)
def test_what_is_refused_and_how(data: bytes, status: int) -> None:
    parser = RequestParser(10)
    with pytest.raises(HttpError) as refusal:
        feed_in_pieces(parser, data)
    assert refusal.value.status == status


def test_endless_trailers_are_refused() -> None:
    parser = RequestParser(10)
    parser.feed(CHUNKED[:-2] + b"A: ")
    with pytest.raises(HttpError):
        feed_in_pieces(parser, b"a" * 2 * HEAD_BYTES_MAX)


def test_pipelined_requests_do_not_count_against_the_next_head() -> None:
    parser = RequestParser(10)
    data = POST * (2 * HEAD_BYTES_MAX // len(POST))
    assert len(parser.feed(data + POST[:40])) == len(data) // len(POST)
    assert len(parser.feed(POST[40:])) == 1


@given(
    st.lists(st.binary(max_size=40) | st.sampled_from([POST, OFFER, CHUNKED, UPGRADE, POST[:50]]), max_size=6)
)
def test_no_bytes_make_the_parser_raise_anything_else(pieces: list[bytes]) -> None:
    parser = RequestParser(100)
    with suppress(HttpError):
        for piece in pieces:
            parser.feed(piece)


def test_answers() -> None:
    assert json_answer(b"{}") == (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
    )
    assert b"\r\nconnection: close\r\n\r\n" in json_answer(b"{}", keep_alive=False)
    assert b"\r\nvary: origin\r\n" in json_answer(b"{}", b"vary: origin\r\n")
    assert answer(HTTPStatus.NOT_FOUND, b"no\n").startswith(b"HTTP/1.1 404 Not Found\r\n")
