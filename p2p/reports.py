"""What the pool tells whoever keeps logs and metrics: plain values, through a callback that must not wait."""

from dataclasses import dataclass
from typing import TypeAlias

from p2p.devp2p.hello import Capability
from p2p.eth.status import Status
from p2p.transport import Endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerInfo:
    """Who is at the other end."""

    id: bytes
    """64-byte public key: the identity."""
    name: str
    """What the client calls itself."""
    capabilities: tuple[Capability, ...]
    remote: Endpoint
    listen_port: int
    inbound: bool
    static: bool
    trusted: bool
    status: Status | None = None
    """None until the eth handshake is done: a permit is asked for before."""

    def __str__(self) -> str:
        return f"{self.id[:4].hex()}@{self.remote} ({self.name})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What went over one connection, or over all; bytes as on the wire."""

    bytes_in: int = 0
    bytes_out: int = 0
    messages_in: int = 0
    messages_out: int = 0
    messages_lost: int = 0
    """Inbound messages thrown away because nobody took them in time."""

    def __add__(self, other: "Traffic") -> "Traffic":
        return Traffic(
            bytes_in=self.bytes_in + other.bytes_in,
            bytes_out=self.bytes_out + other.bytes_out,
            messages_in=self.messages_in + other.messages_in,
            messages_out=self.messages_out + other.messages_out,
            messages_lost=self.messages_lost + other.messages_lost,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStatistics:
    """The pool at one moment; counters run from its start."""

    peers: int
    handshakes: int
    """Inbound connections that have not said who they are."""
    inbound_refused: int
    """Connections closed at the gate: too many, or too fast."""
    dials_failed: int
    bans: int
    """Times that an identity was shut out."""
    traffic: Traffic


@dataclass(frozen=True, slots=True)
class PeerConnected:
    """A peer has passed every handshake."""

    info: PeerInfo


@dataclass(frozen=True, slots=True)
class PeerLeft:
    """A connected peer is gone."""

    info: PeerInfo
    by_us: bool
    """Who ended it."""
    reason: str
    """In words: the Disconnect reason sent or received, with what is known beside it."""
    connected_s: float
    traffic: Traffic


@dataclass(frozen=True, slots=True)
class HandshakeEnded:
    """A connection that came in ended before it was a peer."""

    remote: Endpoint
    id: bytes | None
    """None when the other side did not get as far as proving a key."""
    reason: str


@dataclass(frozen=True, slots=True)
class DialFailed:
    """A static peer was not reached, or did not stay."""

    enode: str
    reason: str
    retry_s: float


@dataclass(frozen=True, slots=True)
class PeerPenalised:
    """A peer did something wrong."""

    info: PeerInfo
    points: float
    score: float
    reason: str
    banned: bool


@dataclass(frozen=True, slots=True)
class ConnectionFault:
    """Our own fault inside a connection: the connection is closed, the node goes on, somebody should look."""

    remote: Endpoint
    error: BaseException | None


Report: TypeAlias = PeerConnected | PeerLeft | HandshakeEnded | DialFailed | PeerPenalised | ConnectionFault
