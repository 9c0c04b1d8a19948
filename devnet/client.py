"""JSON-RPC over HTTP with the standard library: importing a web3 client would cost every command a second."""

import http.client
import json
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

TIMEOUT_S: Final = 10.0
FANOUT_MAX: Final = 16
"""Nodes asked at the same time."""

BATCH_REQUESTS_MAX: Final = 250
"""Requests sent together; nodes refuse more than their rpc.batch_items_max."""

Result = TypeVar("Result")
Item = TypeVar("Item")


class Unreachable(Exception):
    """No answer: not listening, too slow, or not JSON-RPC."""

    def __init__(self, url: str, reason: object) -> None:
        super().__init__(f"{url}: {reason}")
        self.url = url


class RpcError(Exception):
    """The node answered with an error."""

    def __init__(self, method: str, error: dict[str, Any], url: str = "") -> None:
        super().__init__(f"{url} {method}: {error.get('message')} (code {error.get('code')})".lstrip())
        self.url = url
        self.code: int | None = error.get("code")
        self.message: str = str(error.get("message"))
        self.data: Any = error.get("data")


class RpcClient:
    """One node's JSON-RPC over one kept connection; may be shared by threads."""

    def __init__(self, url: str, timeout_s: float = TIMEOUT_S) -> None:
        address = urlsplit(url)
        assert address.hostname is not None
        self.url = url
        self._connection = http.client.HTTPConnection(address.hostname, address.port, timeout=timeout_s)
        self._lock = threading.Lock()

    def call(self, method: str, *params: Any) -> Any:
        """The result of one request; RpcError or Unreachable."""
        reply = self._exchange({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        outcome = self._outcome(method, reply)
        if isinstance(outcome, RpcError):
            raise outcome
        return outcome

    def batch(self, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[Any | RpcError]:
        """Results in order of the requests, an RpcError in place of a result that is one."""
        answers: list[Any | RpcError] = []
        for first in range(0, len(requests), BATCH_REQUESTS_MAX):
            answers += self._batch(requests[first : first + BATCH_REQUESTS_MAX])
        return answers

    def _batch(self, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[Any | RpcError]:
        payload = [
            {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
            for number, (method, params) in enumerate(requests)
        ]
        replies = self._exchange(payload)
        if not isinstance(replies, list):
            raise Unreachable(self.url, f"a batch was answered with {json.dumps(replies)[:200]}")
        by_id = {reply.get("id"): reply for reply in replies}
        return [self._outcome(method, by_id.get(number)) for number, (method, _) in enumerate(requests)]

    def close(self) -> None:
        """Let the connection go; the next call makes a new one."""
        with self._lock:
            self._connection.close()

    def _outcome(self, method: str, reply: Any) -> Any | RpcError:
        if not isinstance(reply, dict) or not ("result" in reply or "error" in reply):
            shown = json.dumps(reply)[:200]
            return RpcError(method, {"message": f"an answer that is no JSON-RPC: {shown}"}, self.url)
        error = reply.get("error")
        return RpcError(method, error, self.url) if error else reply.get("result")

    def _exchange(self, payload: Any) -> Any:
        body = json.dumps(payload)
        with self._lock:
            try:
                return self._post(body)
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                # The node may have closed a connection that was idle, or restarted: ask once more.
                self._connection.close()
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise self._unreachable(error) from error
            try:
                return self._post(body)
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> Unreachable:
        self._connection.close()
        return Unreachable(self.url, error or type(error).__name__)

    def _post(self, body: str) -> Any:
        self._connection.request("POST", "/", body, {"Content-Type": "application/json"})
        return json.loads(self._connection.getresponse().read())


def on_all(items: Iterable[Item], function: Callable[[Item], Result]) -> list[Result]:
    """`function` of every item, all at the same time, in order; the first exception is raised."""
    with ThreadPoolExecutor(FANOUT_MAX) as pool:
        return list(pool.map(function, items))
