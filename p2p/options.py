"""What an operator, or a test, can choose about peers. The app fills it from its settings."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from node.primitives.errors import ConfigError
from p2p.devp2p.hello import CapabilitySpec
from p2p.enode import Enode, InvalidEnode, parse_dialable, parse_enode
from p2p.limits import GateLimits
from p2p.tls import TlsFiles

MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerLimits:
    """What one connection may cost."""

    outbox_messages_max: int = 4096
    """Waiting to be sent; a peer that reads too slowly for this is dropped."""
    outbox_bytes_max: int = 32 * MIB
    inbox_messages_max: int = 1024
    """Waiting to be looked at by whoever serves the peer; what comes on top is lost.

    In bytes of the wire; decoded, they take several times as much memory.
    """
    inbox_bytes_max: int = 8 * MIB
    messages_per_s: float = 2000.0
    """Inbound; a peer that sends more is read no faster, and loses score."""
    messages_burst: int = 8000
    bytes_per_s: float = 24.0 * MIB
    """Inbound, decompressed; a peer that sends more is read no faster."""
    bytes_burst: int = 48 * MIB
    requests_max: int = 32
    """Our requests under way; further ones wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class P2POptions:
    """Whom to meet and how. Times are seconds."""

    client_name: str = "phoenix"
    host: str = "0.0.0.0"
    port: int = 30303
    advertise_host: str | None = None
    """Host in our own enode URL; the listening host when absent."""
    static_peers: tuple[str, ...] = ()
    """enode URLs, dialled for ever; their places are kept free of strangers."""
    trusted_peers: tuple[str, ...] = ()
    """enode URLs let in even when all places are taken."""
    peers_max: int = 50
    dial_timeout_s: float = 10.0
    handshake_timeout_s: float = 5.0
    """For TLS, RLPx, Hello and Status together."""
    idle_timeout_s: float = 30.0
    """A peer is asked for a sign of life after a third of this, and dropped after the whole."""
    request_timeout_s: float = 10.0
    redial_s_min: float = 1.0
    redial_s_max: float = 30.0
    ban_s: float = 300.0
    score_forgiven_per_s: float = 0.2
    tls: TlsFiles | None = None
    """With it, every connection is wrapped in mutual TLS 1.3."""
    capabilities: tuple[CapabilitySpec, ...] = ()
    """Protocols beside eth; their messages stay opaque (Peer.send_opaque, Peer.receive_opaque)."""
    gate: GateLimits = field(default_factory=GateLimits)
    peer: PeerLimits = field(default_factory=PeerLimits)


def read_peers(options: P2POptions) -> tuple[list[Enode], list[Enode]]:
    """Static and trusted peers; ConfigError lists every URL that is none."""
    problems: list[str] = []

    def read(name: str, urls: tuple[str, ...], parse: Callable[[str], Enode]) -> list[Enode]:
        enodes = []
        for url in urls:
            try:
                enodes.append(parse(url))
            except InvalidEnode as error:
                problems.append(f"{name} {url!r}: {error}")
        return enodes

    static = read("static peer", options.static_peers, parse_dialable)
    trusted = read("trusted peer", options.trusted_peers, parse_enode)
    if problems:
        raise ConfigError(problems)
    return static, trusted
