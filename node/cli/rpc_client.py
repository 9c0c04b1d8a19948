"""JSON-RPC over HTTP to a node, for commands that work on a running network."""

import http.client
import json
from typing import Any, Final
from urllib.parse import urlsplit

from node.primitives.errors import PhoenixError

TIMEOUT_S: Final = 30.0
ANSWER_BYTES_MAX: Final = 8 << 20


class CallFailed(PhoenixError):
    """The node refuses, or does not answer; the text says which node and why."""


class NodeRpc:
    """One node."""

    def __init__(self, url: str, token: str | None = None) -> None:
        """`token` is sent as bearer token."""
        self.url = url
        self._headers = {"content-type": "application/json"}
        if token is not None:
            self._headers["authorization"] = f"Bearer {token}"

    def call(self, method: str, *parameters: Any) -> Any:
        """The result; CallFailed otherwise."""
        parts = urlsplit(self.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters})
        try:
            connection.request("POST", parts.path or "/", body, self._headers)
            answer = connection.getresponse()
            content = answer.read(ANSWER_BYTES_MAX)
        except (OSError, http.client.HTTPException) as error:
            raise CallFailed(f"{self.url}: {error or type(error).__name__}") from error
        finally:
            connection.close()
        try:
            reply = json.loads(content)
        except ValueError:
            reply = None
        if not isinstance(reply, dict) or "result" not in reply:
            words = reply.get("error") if isinstance(reply, dict) else content[:200].decode(errors="replace")
            raise CallFailed(f"{self.url}: {method}: {words} ({answer.status})")
        return reply["result"]
