"""The peer-to-peer half of the composition root: who we are, whom we let in, and what is said of them."""

import logging
from collections.abc import Awaitable, Callable, Collection

from node.app.permits import Permits
from node.audit.records import Kind
from node.audit.trail import AuditTrail
from node.chain.reader import ChainReader
from node.config.settings import Settings
from node.observability.build import client_version
from node.observability.metrics import Metrics
from node.primitives.crypto import PrivateKey
from p2p.enode import parse_enode
from p2p.eth.status import Status, check_fork_id, fork_id
from p2p.evidence import EVIDENCE
from p2p.options import P2POptions
from p2p.peer import Peer
from p2p.phx import PHX
from p2p.pool import PeerPool
from p2p.reports import (
    ConnectionFault,
    DialFailed,
    HandshakeEnded,
    PeerConnected,
    PeerInfo,
    PeerLeft,
    PeerPenalised,
    Report,
)
from p2p.tls import TlsFiles

log = logging.getLogger(__name__)


class Network:
    """Our place among the peers."""

    def __init__(
        self,
        settings: Settings,
        key: PrivateKey,
        reader: ChainReader,
        serve: Callable[[Peer], Awaitable[None]],
        metrics: Metrics,
        audit: AuditTrail,
        permits: Permits,
    ) -> None:
        self._reader = reader
        self._metrics = metrics
        self._audit = audit
        self._permits = permits
        self.pool = PeerPool(
            key,
            _options(settings),
            self._status,
            self._accept,
            serve,
            permits.permit,
            may_dial=permits.may_dial,
            report=self._report,
        )
        permits.attach(self.pool)

    def block(self, enode_urls: Collection[str]) -> None:
        """Neither dial, admit nor keep these peers; replaces the former list. InvalidEnode for a bad URL."""
        blocked = frozenset(parse_enode(url).public_key for url in enode_urls)
        self._permits.rules.blocked = blocked
        log.warning("blocked peers were set", extra={"count": len(blocked)})
        self.pool.recheck_permits()

    def _status(self) -> Status:
        spec, head, genesis = self._reader.spec, self._reader.head, self._reader.genesis
        return Status(
            version=0,  # the pool puts in the one that was agreed with the peer
            network_id=spec.chain_id,
            total_difficulty=self._reader.total_difficulty(head.hash) or 0,
            head_hash=head.hash,
            genesis_hash=genesis.hash,
            fork_id=fork_id(genesis.hash, spec.fork_id_blocks, head.number),
        )

    def _accept(self, theirs: Status) -> None:
        reader = self._reader
        check_fork_id(reader.genesis.hash, reader.spec.fork_id_blocks, reader.head.number, theirs.fork_id)

    def _report(self, report: Report) -> None:
        match report:
            case PeerConnected(info):
                log.info("peer connected", extra={"peer": str(info), "inbound": info.inbound})
                self._audit.note(Kind.PEER_ADMITTED, _actor(info), {"inbound": info.inbound})
            case PeerLeft(info, by_us, reason):
                log.info("peer left", extra={"peer": str(info), "by_us": by_us, "reason": reason})
                self._audit.note(Kind.PEER_LEFT, _actor(info), {"by_us": by_us, "reason": reason})
                if by_us:
                    self._metrics.peers_dropped.inc()
            case DialFailed(enode, reason, retry_s):
                log.info(
                    "peer not reached",
                    extra={"enode": enode, "reason": reason, "retry_s": round(retry_s, 1)},
                )
            case PeerPenalised(info, points, score, reason, banned):
                log.warning(
                    "peer penalised",
                    extra={
                        "peer": str(info),
                        "points": points,
                        "score": round(score, 1),
                        "reason": reason,
                        "banned": banned,
                    },
                )
            case HandshakeEnded(remote, _, reason):
                log.info("no handshake", extra={"remote": str(remote), "reason": reason})
            case ConnectionFault(remote, error):
                log.error(
                    "a connection failed by our own fault", extra={"remote": str(remote)}, exc_info=error
                )


def _actor(info: PeerInfo) -> str:
    return f"peer:{info.id[:16].hex()}@{info.remote}"


def _options(settings: Settings) -> P2POptions:
    p2p = settings.p2p
    tls = None
    if p2p.tls_certificate and p2p.tls_key and p2p.tls_ca:
        tls = TlsFiles(p2p.tls_certificate, p2p.tls_key, p2p.tls_ca)
    return P2POptions(
        client_name=client_version(),
        host=p2p.host,
        port=p2p.port,
        advertise_host=p2p.advertise_host,
        static_peers=p2p.static_peers,
        trusted_peers=p2p.trusted_peers,
        peers_max=p2p.peers_max,
        dial_timeout_s=p2p.dial_timeout_s,
        handshake_timeout_s=p2p.handshake_timeout_s,
        idle_timeout_s=p2p.idle_timeout_s,
        request_timeout_s=p2p.request_timeout_s,
        tls=tls,
        capabilities=(EVIDENCE, PHX),
    )
