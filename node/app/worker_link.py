"""What a replica's node and its worker processes say to each other, over a socket pair of their own.

Frames of length(4) and MessagePack. Neither side waits for the other when it sends: what is not taken is kept
up to a bound, and who falls behind that is cut off. A link that ends is the other side's end.
"""

from collections import deque
from pathlib import Path
from typing import Any, Final

import msgspec
import trio

from node.config.settings import Settings
from node.rpc.identity import Identity, Role, Standing

LENGTH_BYTES: Final = 4
FRAME_BYTES_MAX: Final = 256 << 20
UNSENT_BYTES_MAX: Final = 256 << 20
READ_BYTES: Final = 256 * 1024
STORAGE_EXIT: Final = 3
"""A worker's exit code, as the node's own: the disk is at fault, and another start does not mend it."""


class Who(msgspec.Struct, frozen=True, array_like=True):
    """An Identity on its way."""

    name: str
    roles: tuple[str, ...]
    quota_per_s: float | None
    ends_at: float | None
    revoked: bool

    @classmethod
    def of(cls, identity: Identity) -> "Who":
        """For the wire."""
        roles = tuple(role.value for role in identity.roles)
        standing = identity.standing
        return cls(identity.name, roles, identity.quota_per_s, standing.ends_at, standing.revoked)

    def identity(self) -> Identity:
        """At the other end."""
        roles = frozenset(map(Role, self.roles))
        return Identity(self.name, roles, self.quota_per_s, Standing(self.ends_at, self.revoked))


class Begin(msgspec.Struct, frozen=True, tag=True):
    """To a worker, first: what it is to serve."""

    settings: bytes


class Look(msgspec.Struct, frozen=True, tag=True):
    """To a worker: there may be a new block, and how far the node is behind the network."""

    syncing: tuple[int, int, int] | None = None


class Waiting(msgspec.Struct, frozen=True, tag=True):
    """To a worker: transactions that have entered the pool."""

    transactions: list[bytes]


class Spent(msgspec.Struct, frozen=True, tag=True):
    """Both ways: what identities were charged elsewhere."""

    costs: dict[str, tuple[float, float]]


class Answer(msgspec.Struct, frozen=True, tag=True):
    """To a worker: the owner's answer to an Ask."""

    ask: int
    body: bytes | None


class Ready(msgspec.Struct, frozen=True, tag=True):
    """From a worker: it answers clients."""


class Asking(msgspec.Struct, frozen=True, array_like=True):
    """A call on its way to its owner."""

    id: bytes | None
    method: str
    params: list[Any]


class Ask(msgspec.Struct, frozen=True, tag=True):
    """From a worker: only the owner can answer this."""

    ask: int
    who: Who
    calls: list[Asking]
    is_batch: bool


class Note(msgspec.Struct, frozen=True, tag=True):
    """From a worker: for the audit log."""

    kind: str
    actor: str
    facts: dict[str, Any]


class Counted(msgspec.Struct, frozen=True, tag=True):
    """From a worker, once a second: what it has done since, and how it is."""

    calls: list[tuple[str, int, float]]
    """(method, how many, seconds)"""
    errors: list[tuple[str, int, int]]
    """(method, code, how many)"""
    numbers: dict[str, float]
    """By name of the metric, since the worker's start."""


ToWorker = Begin | Look | Waiting | Spent | Answer
FromWorker = Ready | Ask | Note | Spent | Counted
Message = ToWorker | FromWorker

_encode = msgspec.msgpack.Encoder().encode


class LinkBroken(Exception):
    """The other side is gone, or does not read."""


class Link:
    """One end. `run` must run while messages are sent."""

    def __init__(self, stream: trio.SocketStream, messages: Any) -> None:
        """`messages`: the union of what comes in."""
        self._stream = stream
        self._decode = msgspec.msgpack.Decoder(messages).decode
        self._held = bytearray()
        self._unsent: deque[bytes] = deque()
        self._unsent_bytes = 0
        self._wake = trio.Event()
        self.closed = False

    def send(self, message: Message) -> None:
        """Send soon, in order. LinkBroken when the other side does not read any more."""
        if self.closed:
            raise LinkBroken("the other side has gone")
        data = _encode(message)
        self._unsent.append(len(data).to_bytes(LENGTH_BYTES, "big") + data)
        self._unsent_bytes += len(data)
        if self._unsent_bytes > UNSENT_BYTES_MAX:
            raise LinkBroken("the other side does not read")
        self._wake.set()

    async def run(self) -> None:
        """Send what is to be sent, until cancelled or the other side is gone."""
        try:
            while True:
                await self._wake.wait()
                self._wake = trio.Event()
                while self._unsent:
                    data = b"".join(self._unsent)
                    self._unsent.clear()
                    self._unsent_bytes = 0
                    await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.closed = True

    async def receive(self) -> Any:
        """The other side's next message; None once it is gone."""
        try:
            while (message := self._next()) is None:
                data = await self._stream.receive_some(READ_BYTES)
                if not data:
                    break
                self._held += data
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            message = None
        self.closed = self.closed or message is None
        return message

    def _next(self) -> Any:
        """A message that has come as a whole."""
        held = self._held
        if len(held) < LENGTH_BYTES:
            return None
        end = LENGTH_BYTES + int.from_bytes(held[:LENGTH_BYTES], "big")
        if end > FRAME_BYTES_MAX:
            raise LinkBroken(f"a message of {end} bytes")
        if len(held) < end:
            return None
        message = self._decode(bytes(held[LENGTH_BYTES:end]))
        del held[:end]
        return message

    async def close(self) -> None:
        """The other side sees the end."""
        self.closed = True
        await trio.aclose_forcefully(self._stream)


def encode_settings(settings: Settings) -> bytes:
    """A worker's settings, as JSON. There are no secrets among settings, only files that hold them."""
    return msgspec.json.encode(settings, enc_hook=str)


def decode_settings(data: bytes) -> Settings:
    """Inverse of encode_settings."""
    return msgspec.json.decode(data, type=Settings, dec_hook=_path)


def _path(kind: type, value: Any) -> Any:
    assert kind is Path or issubclass(kind, Path), f"settings of type {kind} are not known here"
    return Path(value)
