"""The message layer: what is a call, what is refused, and how answers are written."""

import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.rpc.jsonrpc import (
    Call,
    ExecutionReverted,
    InvalidParams,
    InvalidRequest,
    LimitExceeded,
    ParseError,
    Refused,
    encode_batch,
    encode_error,
    encode_notification,
    encode_result,
    is_nested_deeper,
    parse,
)


def refused(body: bytes) -> tuple[bytes, int]:
    message = parse(body, 10)
    assert isinstance(message, Refused)
    return message.id, message.error.code


@pytest.mark.parametrize("call_id", [b"1", b'"a"', b"null", b"1.5", b"-7", b'"\\u00e9"', '"é"'.encode()])
def test_an_id_is_repeated_as_it_came(call_id: bytes) -> None:
    message = parse(b'{"jsonrpc":"2.0","id":' + call_id + b',"method":"m"}', 10)
    assert message == Call(call_id, "m", [])


def test_a_call_without_id_is_a_notification() -> None:
    assert parse(b'{"jsonrpc":"2.0","method":"m","params":[1]}', 10) == Call(None, "m", [1])


def test_null_params_are_no_params() -> None:
    assert parse(b'{"jsonrpc":"2.0","id":1,"method":"m","params":null}', 10) == Call(b"1", "m", [])


def test_integers_of_any_size_stay_exact() -> None:
    message = parse(b'{"jsonrpc":"2.0","id":1,"method":"m","params":[%d]}' % 2**70, 10)
    assert isinstance(message, Call)
    assert message.params == [2**70]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", (b"null", -32700)),
        (b"{", (b"null", -32700)),
        (b'{"jsonrpc":"2.0","id":1,"method":"m"}x', (b"null", -32700)),
        (b"5", (b"null", -32600)),
        (b"[]", (b"null", -32600)),
        (b"{}", (b"null", -32600)),
        (b'{"jsonrpc":"1.0","id":4,"method":"m"}', (b"4", -32600)),
        (b'{"jsonrpc":"2.0","id":4}', (b"4", -32600)),
        (b'{"jsonrpc":"2.0","id":4,"method":5}', (b"4", -32600)),
        (b'{"jsonrpc":"2.0","id":{},"method":"m"}', (b"null", -32600)),
        (b'{"jsonrpc":"2.0","id":[1],"method":"m"}', (b"null", -32600)),
        (b'{"jsonrpc":"2.0","id":"\xff","method":"m"}', (b"null", -32600)),
        (b'{"jsonrpc":"2.0","id":4,"method":"m","params":{"a":1}}', (b"4", -32602)),
        (b'{"params":' + b"[" * 100_000 + b"]" * 100_000 + b"}", (b"null", -32700)),
        (b"[" * 100_000 + b"]" * 100_000, (b"null", -32700)),
    ],
)
def test_what_is_no_request_is_refused_with_geths_code(body: bytes, expected: tuple[bytes, int]) -> None:
    assert refused(body) == expected


DEEP = 10**6


@pytest.mark.parametrize(
    ("body", "deeper"),
    [
        (b"[" * 64 + b"]" * 64, False),
        (b"[" * 65 + b"]" * 65, True),
        (b'{"a":[' * 32 + b"1" + b"]}" * 32, False),
        (b'{"a":[' * 33 + b"1" + b"]}" * 33, True),
        (b"[" + b'{"a":[1,{}]},' * 1000 + b"1]", False),
        (b'["' + b"[" * 100 + b'"]', False),  # brackets in a string are text
        (b'["\\"' + b"[" * 100 + b'"]', False),  # also behind an escaped quote
        (b'["\\\\",' + b"[" * 100 + b"]" * 100 + b"]", True),  # a backslash ends with the string
        (b"[" * DEEP, True),
        (b'{"a":' * DEEP, True),
    ],
)
def test_nesting_is_measured_before_it_is_decoded(body: bytes, deeper: bool) -> None:
    assert is_nested_deeper(body, 64) is deeper


@pytest.mark.parametrize("token", [b'"', b"1,", b"[]", b"{}"])
def test_a_message_of_nothing_but_tokens_is_refused_unread(token: bytes) -> None:
    assert refused(b"[" + token * 250_001 + b"]") == (b"null", -32700)


def test_a_deeply_nested_message_is_refused_whatever_the_recursion_limit() -> None:
    # py-evm raises the limit so far that the decoder would overflow the C stack.
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10**6)
    try:
        for body in (b"[" * DEEP + b"]" * DEEP, b'{"params":' * DEEP + b"1" + b"}" * DEEP):
            assert refused(body) == (b"null", -32700)
    finally:
        sys.setrecursionlimit(limit)


def test_a_bad_item_costs_itself_and_not_its_batch() -> None:
    message = parse(b'[{"jsonrpc":"2.0","id":1,"method":"m"},7,{"jsonrpc":"2.0","id":2,"method":"n"}]', 10)
    assert isinstance(message, list)
    assert [type(item) for item in message] == [Call, Refused, Call]


def test_a_batch_that_is_too_large_is_refused_whole() -> None:
    message = parse(b"[" + b",".join([b"1"] * 11) + b"]", 10)
    assert isinstance(message, Refused)
    assert str(message.error) == "batch too large: 11 requests where 10 are allowed"


def test_blanks_before_a_batch_do_not_hide_it() -> None:
    assert isinstance(parse(b' \r\n\t[{"jsonrpc":"2.0","id":1,"method":"m"}]', 10), list)


def test_answers_as_bytes() -> None:
    result = encode_result(b"1", {"a": "0x1"})
    assert result == b'{"jsonrpc":"2.0","id":1,"result":{"a":"0x1"}}'
    assert encode_result(b"1", msgspec.Raw(b"[1]")) == b'{"jsonrpc":"2.0","id":1,"result":[1]}'
    error = encode_error(b'"x"', LimitExceeded("too much"))
    assert error == b'{"jsonrpc":"2.0","id":"x","error":{"code":-32005,"message":"too much"}}'
    assert encode_batch([result, error]) == b"[" + result + b"," + error + b"]"
    assert encode_notification("0xab", b'"0x1"') == (
        b'{"jsonrpc":"2.0","method":"eth_subscription","params":{"subscription":"0xab","result":"0x1"}}'
    )


def test_a_revert_carries_its_data() -> None:
    error = encode_error(b"1", ExecutionReverted("execution reverted: no", b"\x01\x02"))
    assert msgspec.json.decode(error)["error"] == {
        "code": 3,
        "message": "execution reverted: no",
        "data": "0x0102",
    }


@given(st.binary(max_size=200))
def test_no_bytes_make_parsing_raise(body: bytes) -> None:
    message = parse(body, 10)
    for item in message if isinstance(message, list) else [message]:
        if isinstance(item, Refused):
            assert isinstance(item.error, ParseError | InvalidRequest | InvalidParams)
            msgspec.json.decode(encode_error(item.id, item.error))
