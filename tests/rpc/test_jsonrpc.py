"""The message layer: what is a call, what is refused, and how answers are written."""

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
