"""One JSON-RPC request to an upstream, in a worker thread."""

import http.client
import ssl
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import trio

from node.primitives.errors import ConfigError

TIMEOUT_S: Final = 10.0
ANSWER_BYTES_MAX: Final = 1 << 20


class Poster:
    """Sends requests, with a bearer token if there is one."""

    def __init__(self, token_file: Path | None) -> None:
        """ConfigError when the token cannot be read."""
        self._headers = {"content-type": "application/json"}
        if token_file is not None:
            try:
                self._headers["authorization"] = f"Bearer {token_file.read_text().strip()}"
            except OSError as error:
                raise ConfigError([f"replica.upstream_token_file: {token_file}: {error.strerror}"]) from error
        self._limiter = trio.CapacityLimiter(1)

    async def post(self, url: str, body: bytes) -> bytes:
        """The answer; OSError or ValueError when there is none."""
        # Cancelled at the node's end: the thread is left behind, and ends by its timeout.
        return await trio.to_thread.run_sync(
            self._exchange, url, body, limiter=self._limiter, abandon_on_cancel=True
        )

    def _exchange(self, url: str, body: bytes) -> bytes:
        parts = urlsplit(url)
        assert parts.hostname is not None, "settings are checked"
        connection: http.client.HTTPConnection
        if parts.scheme == "https":
            context = ssl.create_default_context()
            connection = http.client.HTTPSConnection(
                parts.hostname, parts.port, timeout=TIMEOUT_S, context=context
            )
        else:
            connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT_S)
        try:
            connection.request("POST", parts.path or "/", body, self._headers)
            reply = connection.getresponse()
            answer = reply.read(ANSWER_BYTES_MAX)
        except http.client.HTTPException as error:
            raise OSError(f"{type(error).__name__}: {error}") from error
        finally:
            connection.close()
        if reply.status != 200:
            raise OSError(f"HTTP status {reply.status}")
        return answer
