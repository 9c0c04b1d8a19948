"""JSON-RPC to one upstream over a few kept connections. Blocking; any thread."""

import ssl
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from node.light.errors import InvalidClaim, UpstreamRefusal
from node.light.http import HttpConnection

EVIDENCE_BYTES_MAX: Final = 64 * 1024
CONNECTIONS_KEPT: Final = 4
ERROR_TEXT_MAX: Final = 300

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Refusal:
    """A JSON-RPC error in place of a result."""

    code: int
    text: str


class JsonRpc:
    """Calls and batches, each bounded in bytes and in time."""

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float,
        bytes_max: int,
        context: ssl.SSLContext | None = None,
        token: str | None = None,
    ) -> None:
        """`token`: sent as bearer of each request; `name`, which reports show, never holds it."""
        address = urlsplit(url)
        self.name = f"{address.scheme}://{address.netloc.rpartition('@')[2]}{address.path.rstrip('/')}"
        self.bytes_max = bytes_max
        self._url, self._timeout_s, self._context, self._token = url, timeout_s, context, token
        self._idle: list[HttpConnection] = []
        self._lock = threading.Lock()
        self._local = threading.local()

    def call(self, method: str, params: Sequence[Any], bytes_max: int) -> Any:
        """One result; UpstreamRefusal in the upstream's words."""
        reply = self._exchange({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}, bytes_max)
        outcome = _outcome(reply)
        if isinstance(outcome, Refusal):
            raise UpstreamRefusal(self.name, method, outcome.code, outcome.text)
        return outcome

    def batch(self, requests: Sequence[tuple[str, Sequence[Any]]], bytes_max: int) -> list[Any]:
        """Results in order of the requests, a Refusal in place of each error."""
        if not requests:
            return []
        payload = [
            {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
            for number, (method, params) in enumerate(requests)
        ]
        replies = self._exchange(payload, bytes_max)
        if isinstance(replies, dict):
            refusal = _outcome(replies)
            if isinstance(refusal, Refusal):
                raise UpstreamRefusal(self.name, requests[0][0], refusal.code, refusal.text)
        if not isinstance(replies, list):
            raise InvalidClaim("a batch was answered with something else")
        by_id = {reply.get("id"): reply for reply in replies if isinstance(reply, dict)}
        return [_outcome(by_id.get(number)) for number in range(len(requests))]

    def last_exchange(self) -> tuple[bytes, bytes]:
        """What this thread sent last and was answered, cut to a size fit for a report."""
        return getattr(self._local, "exchange", (b"", b""))

    def close(self) -> None:
        """Hang up."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _new_connection(self) -> HttpConnection:
        return HttpConnection(self._url, self._context, self._token)

    def _exchange(self, payload: Any, bytes_max: int) -> Any:
        body = _encode(payload)
        self._local.exchange = (body[:EVIDENCE_BYTES_MAX], b"")
        with self._lock:
            connection = (
                self._idle.pop() if self._idle else HttpConnection(self._url, self._context, self._token)
            )
        answer = connection.post(body, timeout_s=self._timeout_s, bytes_max=min(bytes_max, self.bytes_max))
        self._local.exchange = (body[:EVIDENCE_BYTES_MAX], answer[:EVIDENCE_BYTES_MAX])
        if connection.is_open:
            with self._lock:
                if len(self._idle) < CONNECTIONS_KEPT:
                    self._idle.append(connection)
                    connection = None  # type: ignore[assignment]
            if connection is not None:
                connection.close()
        try:
            return _decode(answer)
        except (msgspec.DecodeError, RecursionError) as error:
            raise InvalidClaim(f"the answer is no JSON: {error}") from None


def _outcome(reply: Any) -> Any:
    if not isinstance(reply, dict) or not ("result" in reply or "error" in reply):
        raise InvalidClaim("an answer that is no JSON-RPC")
    error = reply.get("error")
    if error is None:
        return reply.get("result")
    if not isinstance(error, dict):
        return Refusal(0, str(error)[:ERROR_TEXT_MAX])
    code = error.get("code")
    return Refusal(code if isinstance(code, int) else 0, str(error.get("message"))[:ERROR_TEXT_MAX])
