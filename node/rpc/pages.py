"""The port to answers that are asked for with GET, beside JSON-RPC and on the same listener."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, Protocol

from node.rpc.http1 import answer

PREFIX: Final = b"/v1/"
"""Targets that are pages."""


@dataclass(frozen=True, slots=True)
class PageReply:
    """An answer."""

    status: HTTPStatus
    body: bytes
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def encode(self, extra_headers: bytes, *, with_body: bool, keep_alive: bool) -> bytes:
        """As HTTP/1.1 says it; `with_body` is false for HEAD."""
        lines = b"".join(
            b"%b: %b\r\n" % (name.encode(), text.encode()) for name, text in self.headers.items()
        )
        return answer(
            self.status,
            self.body if with_body else b"",
            self.content_type.encode(),
            lines + extra_headers,
            keep_alive=keep_alive,
        )


class Pages(Protocol):
    """Whoever answers below PREFIX."""

    async def answer(self, target: str, if_none_match: str | None) -> PageReply:
        """What a GET of this target gives; only StorageError comes out."""
        ...

    async def drain(self) -> None:
        """Until nothing is at work, or a while has passed."""
        ...
