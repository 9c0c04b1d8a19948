"""A door: where clients come in, which methods they find there, and how it is known who they are."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import trio

from node.rpc.app import Dispatcher
from node.rpc.identity import INTERNAL, Identity

Wrap = Callable[[trio.SocketStream], Awaitable[trio.abc.Stream]]
"""Turns an accepted socket into the stream to speak on: where TLS comes in. May raise anything."""


def _everybody(_: trio.abc.Stream, __: str) -> Identity:
    return INTERNAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """One listener."""

    host: str
    port: int
    dispatcher: Dispatcher
    wrap: Wrap | None = None
    greet: Callable[[trio.abc.Stream, str], Identity] = _everybody
    """(stream, address) -> who has connected, before a word is said. May raise anything."""
    sockets: Sequence[trio.socket.SocketType] = ()
    """Listening already, opened by another process; then host and port are only told."""
    identify: Callable[[str, str], Awaitable[Identity]] | None = None
    """(credentials, address) -> who shows them; LoginRefused."""
