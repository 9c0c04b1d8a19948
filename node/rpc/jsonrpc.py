"""JSON-RPC 2.0 as bytes in, calls out, and results in, bytes out. Pure: no clock, socket, thread or log.

What a message means and how its errors are worded follow geth, because web3.py, ethers and cast were
written against geth: codes from https://www.jsonrpc.org/specification and EIP-1474, code 3 for reverts as
geth has it.

A message is one call or a list of calls (a batch). A call without an id is a notification: done, never
answered.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final, TypeAlias

import msgspec

from node.primitives.errors import RequestError

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | msgspec.Raw | None"
"""What a method returns; Raw is JSON already encoded."""

NULL_ID: Final = b"null"
DEPTH_MAX: Final = 64
"""Deepest nesting that is decoded. The decoder recurses in C, bounded by the interpreter's recursion limit
alone, and py-evm raises that so far that a deeply nested message would overflow the stack: a crash, not an
exception.
"""
TOKENS_MAX: Final = 250_000
"""Quotes, commas and opening brackets in one message: bounds how long others wait while it is read."""
METHOD_CHARACTERS_MAX: Final = 128
"""A longer name is no method of ours; it is cut before it is repeated in an error."""


class RpcError(RequestError):
    """An error a client sees: a code, a sentence, and sometimes data."""

    code: int = -32000
    data: Json = None


class ParseError(RpcError):
    """Not JSON."""

    code = -32700


class InvalidRequest(RpcError):
    """JSON, but no JSON-RPC request."""

    code = -32600


class MethodNotFound(RpcError):
    """No such method, or its namespace is switched off."""

    code = -32601

    def __init__(self, method: str) -> None:
        super().__init__(f"the method {method[:METHOD_CHARACTERS_MAX]} does not exist/is not available")


class NotificationsUnsupported(RpcError):
    """eth_subscribe over a connection that cannot carry notifications."""

    code = -32601

    def __init__(self) -> None:
        super().__init__(
            "notifications not supported: subscribe over WebSocket (the same port), not over HTTP"
        )


class InvalidParams(RpcError):
    """Missing, superfluous or malformed arguments."""

    code = -32602


class RequestTimeout(RpcError):
    """The answer was not ready in time."""

    code = -32002

    def __init__(self, timeout_s: float) -> None:
        super().__init__(f"request timed out after {timeout_s:g} s (setting rpc.reply_timeout_s)")


class ResponseTooLarge(RpcError):
    """The answer has more bytes than this node sends."""

    code = -32003

    def __init__(self, limit: int) -> None:
        super().__init__(f"response too large: more than {limit} bytes; ask for less at once")


class LimitExceeded(RpcError):
    """The request is fine but asks for more than one request may (EIP-1474)."""

    code = -32005


class InternalError(RpcError):
    """Our fault; the log has the reason, the client does not."""

    code = -32603

    def __init__(self) -> None:
        super().__init__("internal error; the node's log has the reason")


class ExecutionReverted(RpcError):
    """The contract refused: code 3 and the revert data, as geth answers."""

    code = 3

    def __init__(self, message: str, output: bytes) -> None:
        super().__init__(message)
        self.data = "0x" + output.hex()


@dataclass(frozen=True, slots=True)
class Call:
    """A well-formed request."""

    id: bytes | None
    """The id as JSON, to be repeated as it came; None for a notification."""
    method: str
    params: list[Any]


@dataclass(frozen=True, slots=True)
class Refused:
    """A message, or a part of a batch, that is no request; it is answered with `error`."""

    id: bytes
    error: RpcError


Message: TypeAlias = Call | Refused | list[Call | Refused]


class _Request(msgspec.Struct):
    # Optional and untyped throughout, so that one bad member costs its request and not the whole batch.
    jsonrpc: Any = None
    id: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    method: Any = None
    params: Any = None


_ALL_BUT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_BRACKETS_AS_STEPS: Final = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
"""Seen as signed bytes: one down, one up."""

_decode_request = msgspec.json.Decoder(_Request).decode
_decode_batch = msgspec.json.Decoder(list[msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


def parse(body: bytes, batch_items_max: int) -> Message:
    """Read one message. Never raises: whatever cannot be read comes back as Refused."""
    if len(body) > TOKENS_MAX and sum(map(body.count, (b'"', b",", b"[", b"{"))) > TOKENS_MAX:
        text = f"parse error: more than {TOKENS_MAX} quotes, commas and brackets in one message"
        return Refused(NULL_ID, ParseError(text))
    if is_nested_deeper(body, DEPTH_MAX):
        return Refused(NULL_ID, ParseError(f"parse error: nested deeper than {DEPTH_MAX}"))
    if _is_batch(body):
        return _parse_batch(body, batch_items_max)
    return _parse_request(body)


def is_nested_deeper(body: bytes, depth_max: int) -> bool:
    """Whether brackets nest deeper than this. For malformed JSON either answer may come.

    All but the brackets outside strings is deleted; what is left is summed up as steps down and up.
    """
    if body.count(b"[") + body.count(b"{") <= depth_max:
        return False
    outside_strings = body.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2]
    steps = b"".join(outside_strings).translate(_BRACKETS_AS_STEPS, _ALL_BUT_BRACKETS)
    return max(accumulate(memoryview(steps).cast("b")), default=0) > depth_max


def encode_value(value: Json) -> msgspec.Raw:
    """A result as JSON, to be encoded where there is time for it (a worker thread)."""
    return msgspec.Raw(_encode(value))


def encode_result(call_id: bytes, result: Json) -> bytes:
    """The answer to a call that went well."""
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (call_id, _encode(result))


def encode_error(call_id: bytes, error: RpcError) -> bytes:
    """The answer to a call that did not."""
    member: dict[str, Json] = {"code": error.code, "message": str(error)}
    if error.data is not None:
        member["data"] = error.data
    return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (call_id, _encode(member))


def encode_notification(subscription: str, result: bytes) -> bytes:
    """What a subscriber is sent; `result` is JSON already, made once for all subscribers."""
    return b'{"jsonrpc":"2.0","method":"eth_subscription","params":{"subscription":"%b","result":%b}}' % (
        subscription.encode(),
        result,
    )


def encode_failure(subscription: str, error: RpcError) -> bytes:
    """The last notification of a subscription that cannot go on."""
    told = {"code": error.code, "message": str(error)}
    params = {"subscription": subscription, "error": told}
    return _encode({"jsonrpc": "2.0", "method": "eth_subscription", "params": params})


def encode_batch(answers: Sequence[bytes]) -> bytes:
    """The answers to a batch, in the order of its calls."""
    return b"[" + b",".join(answers) + b"]"


def _is_batch(body: bytes) -> bool:
    return body[:1] == b"[" or body.lstrip(b" \t\r\n")[:1] == b"["


def _parse_batch(body: bytes, batch_items_max: int) -> Message:
    try:
        items = _decode_batch(body)
    except msgspec.DecodeError as error:
        return Refused(NULL_ID, ParseError(f"parse error: {error}"))
    if not items:
        return Refused(NULL_ID, InvalidRequest("empty batch"))
    if len(items) > batch_items_max:
        text = f"batch too large: {len(items)} requests where {batch_items_max} are allowed"
        return Refused(NULL_ID, InvalidRequest(text))
    return [_parse_request(bytes(item)) for item in items]


def _parse_request(body: bytes) -> Call | Refused:
    try:
        request = _decode_request(body)
    except msgspec.ValidationError as error:
        return Refused(NULL_ID, InvalidRequest(f"invalid request: {error}"))
    except msgspec.DecodeError as error:
        return Refused(NULL_ID, ParseError(f"parse error: {error}"))
    call_id = None if request.id is msgspec.UNSET else _checked_id(bytes(request.id))
    if call_id == b"":
        return Refused(NULL_ID, InvalidRequest("invalid request: id must be a string, a number or null"))
    method, params = request.method, request.params
    if request.jsonrpc != "2.0" or not isinstance(method, str) or not method:
        text = 'invalid request: it needs "jsonrpc": "2.0" and a "method"'
        return Refused(call_id or NULL_ID, InvalidRequest(text))
    if params is None:
        params = []
    if not isinstance(params, list):
        return Refused(call_id or NULL_ID, InvalidParams("non-array args"))
    return Call(call_id, method, params)


def _checked_id(raw: bytes) -> bytes:
    """The id as it came, or b"" for one that may not be repeated."""
    if raw[:1] in (b"{", b"["):
        return b""
    # msgspec does not look into what it skips: invalid UTF-8 would go back out as our own answer.
    if not raw.isascii():
        try:
            raw.decode()
        except UnicodeDecodeError:
            return b""
    return raw
