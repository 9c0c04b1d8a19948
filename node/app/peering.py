"""phx/1 at work: our signed peer set to all members and theirs held against the rules; whose clock is right.

What is found is told in the log once, in the metrics, and over RPC (perm_peerSets).
"""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from node.app.parts import Node
from node.app.permits import Permits
from node.audit.records import Kind
from node.chain.genesis import rules_digest
from node.chain.reader import ChainReader
from node.permissioning.peer_sets import Finding, PeerSetBook, Stranger
from node.primitives.crypto import PrivateKey
from node.primitives.ids import Address
from node.signing.signer import Signer, SigningError, SigningRequest
from node.sync.clocks import LIMIT_MS, WARN_MS, ClockBook, in_words
from p2p.devp2p.messages import DisconnectReason
from p2p.errors import PENALTY_FLOOD, IncompatiblePeer
from p2p.limits import TokenBucket
from p2p.peer import Peer
from p2p.phx import (
    PHX,
    SETS_MAX,
    Message,
    PeerSet,
    PeerSets,
    Ping,
    Pong,
    Rules,
    decode,
    encode,
    sign_peer_set,
)

ATTEST_BLOCKS: Final = 16
"""Our peer set is signed anew after so many blocks, and at the next head when it has changed."""
PING_S: Final = 10.0
SETS_PER_S: Final = 20.0
SETS_BURST: Final = 2_000.0
"""What one peer may send: each costs us a recovery of a key."""
REPORTS_PER_S: Final = 0.1
REPORTS_BURST: Final = 64.0
"""What is logged of one member's words."""
LARGE_BYTES: Final = 4_096
"""Peer sets that are longer are proved in a worker thread."""

log = logging.getLogger(__name__)
ServePeer = Callable[[Peer], Awaitable[None]]


class Peering:
    """One node's part."""

    def __init__(
        self, node: Node, key: PrivateKey, permits: Permits, unix_time: Callable[[], float] = time.time
    ) -> None:
        self.book = PeerSetBook(key.public_key, permits.rules.is_member, permits.rules.may_meet)
        self.clocks = ClockBook()
        self._node = node
        self._key = key
        self._reader: ChainReader = node.chain.reader
        self._permits = permits
        self._unix_time = unix_time
        self._rules = rules_digest(self._reader.spec)
        self._chain = self._reader.genesis.hash
        self._peers: dict[bytes, Peer] = {}
        self._said: tuple[int, frozenset[bytes]] = (-ATTEST_BLOCKS, frozenset())
        self._strangers: tuple[Stranger, ...] = ()
        self._findings: tuple[Finding, ...] = ()
        self._reports: dict[bytes, TokenBucket] = {}
        self._warned = False
        self._verifying = trio.CapacityLimiter(1)
        metrics = node.metrics
        metrics.read_at_scrape(
            "strangers", "Connections of any member to who is none.", lambda: len(self.strangers())
        )
        metrics.read_at_scrape(
            "silent_members", "Members that do not say whom they are connected to.",
            lambda: len(self.book.silent()),
        )  # fmt: skip
        metrics.read_at_scrape(
            "peer_set_findings", "Connections that members deny each other, or that their tiers forbid.",
            lambda: len(self._findings),
        )  # fmt: skip
        metrics.read_at_scrape(
            "clock_drift_seconds", "How far our clock is ahead of our peers'.",
            lambda: (self.clocks.drift_ms or 0) / 1000,
        )  # fmt: skip

    def strangers(self) -> tuple[Stranger, ...]:
        """Who is connected anywhere without being a member, as of the head."""
        return self._strangers

    def findings(self) -> tuple[Finding, ...]:
        """Where members' words contradict each other or the rules, as of the head."""
        return self._findings

    @property
    def problem(self) -> str | None:
        """For health."""
        return self.clocks.problem

    # --- one peer

    def beside(self, serve: ServePeer) -> ServePeer:
        """`serve` with phx/1 beside it."""

        async def serve_both(peer: Peer) -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._serve, peer)
                await serve(peer)
                nursery.cancel_scope.cancel()

        return serve_both

    async def _serve(self, peer: Peer) -> None:
        if not peer.shares(PHX.name):
            return
        self._peers[peer.id] = peer
        try:
            self._tell(peer, Rules(self._rules))
            known = [each for each in self.book.newest() if isinstance(each, PeerSet)]
            for start in range(0, len(known), SETS_MAX):
                self._tell(peer, PeerSets(tuple(known[start : start + SETS_MAX])))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._ask_time, peer)
                await self._hear(peer)
        finally:
            if self._peers.get(peer.id) is peer:
                del self._peers[peer.id]
                self.clocks.forget(peer.id)

    async def _ask_time(self, peer: Peer) -> None:
        while True:
            self._tell(peer, Ping(self._now_ms()))
            await trio.sleep(PING_S)

    async def _hear(self, peer: Peer) -> None:
        bucket = TokenBucket(SETS_PER_S, SETS_BURST, trio.current_time())
        while True:
            code, payload = await peer.receive_opaque(PHX.name)
            message = (
                await trio.to_thread.run_sync(decode, code, payload, self._chain, limiter=self._verifying)
                if len(payload) > LARGE_BYTES
                else decode(code, payload, self._chain)
            )
            match message:
                case Rules(digest):
                    if digest != self._rules:
                        raise IncompatiblePeer("it plays by other rules of the chain: compare genesis.json")
                case PeerSets(sets):
                    if bucket.take(max(1, len(sets)), trio.current_time()) > 0:
                        peer.penalise(PENALTY_FLOOD, "more peer sets than are looked at")
                    else:
                        self._take(peer, sets)
                case Ping(time_ms):
                    if bucket.take(1, trio.current_time()) == 0:
                        self._tell(peer, Pong(time_ms, self._now_ms()))
                case Pong(asked_ms, time_ms):
                    self._take_time(peer, asked_ms, time_ms)

    def _take(self, source: Peer, sets: tuple[PeerSet, ...]) -> None:
        head = self._reader.head.number
        news = tuple(each for each in sets if self.book.take(each, head))
        if news:
            self._tell_all(PeerSets(news), but=source)
            found = self.book.strangers(news)
            self._report(found)
            said = {each.node for each in news}
            others = (each for each in self._strangers if each.host not in said)
            self._strangers = (*others, *found)

    def _take_time(self, peer: Peer, asked_ms: int, theirs_ms: int) -> None:
        self.clocks.note(peer.id, asked_ms, theirs_ms, self._now_ms())
        drift = self.clocks.drift_ms or 0
        is_off = abs(drift) > WARN_MS
        if is_off and not self._warned:
            log.warning("our clock is %s of our peers'", in_words(drift), extra={"limit_s": LIMIT_MS / 1000})
        self._warned = is_off
        if self.clocks.is_refused(peer.id):
            words = f"its clock is {in_words(self.clocks.ahead_ms(peer.id) or 0)} of ours and the others'"
            log.warning("a peer is sent away: %s", words, extra={"peer": str(peer.info())})
            facts: dict[str, str | bool] = {"rule": "clock", "reason": words, "inbound": peer.info().inbound}
            self._node.audit.note(Kind.PEER_REFUSED, f"peer:{peer.id[:16].hex()}@{peer.info().remote}", facts)
            peer.disconnect(DisconnectReason.USELESS_PEER, words)

    # --- all peers

    async def run(self) -> None:
        """Say whom we are connected to, until cancelled."""
        while True:
            with self._reader.events.subscribe() as heads:
                async for _ in heads:
                    self._attest()

    def _attest(self) -> None:
        head = self._reader.head.number
        found = self.book.strangers()
        self._report(found)
        self._strangers = found
        self._compare()
        said_at, said = self._said
        connected = frozenset(self._permits.connected())
        if connected == said and head < said_at + ATTEST_BLOCKS:
            return
        ours = sign_peer_set(self._key, self._chain, head, self._now_ms(), sorted(connected))
        self._said = head, connected
        self.book.forget(head)
        spoken = {each.node for each in self.book.newest()}
        self._reports = {host: bucket for host, bucket in self._reports.items() if host in spoken}
        if self.book.take(ours, head):
            self._tell_all(PeerSets((ours,)))

    def _report(self, found: tuple[Stranger, ...]) -> None:
        """Say of each once that it is there."""
        told = {(each.id, each.host) for each in self._strangers}
        for each in found:
            if (each.id, each.host) in told or not self._may_report(each.host):
                continue
            facts: dict[str, str | int] = {
                "stranger": each.id.hex(),
                "connected_to": each.host.hex(),
                "block": each.block,
            }
            log.error("a stranger is connected to a member that does not enforce the rules", extra=facts)
            self._node.audit.note(Kind.PERMISSION_REFUSED, f"peer:{each.host[:16].hex()}", facts)

    def _compare(self) -> None:
        """Hold members' words against each other and the rules; say of each finding once that it is there."""
        told, self._findings = self._findings, self.book.findings()
        for each in self._findings:
            if each in told or not self._may_report(each.says):
                continue
            facts: dict[str, str | int] = {
                "fault": each.fault.value,
                "says": each.says.hex(),
                "of": each.of.hex(),
            }
            log.error("members' peer sets do not fit: one of the two does not enforce, or lies", extra=facts)
            self._node.audit.note(Kind.PERMISSION_REFUSED, f"peer:{each.says[:16].hex()}", facts)

    def _may_report(self, host: bytes) -> bool:
        """Whoever signs new inventions all the time does not fill our log; the metrics count them."""
        now = trio.current_time()
        bucket = self._reports.setdefault(host, TokenBucket(REPORTS_PER_S, REPORTS_BURST, now))
        return bucket.take(1, now) == 0

    def _tell_all(self, message: Message, but: Peer | None = None) -> None:
        encoded = encode(message)
        for peer in list(self._peers.values()):
            if peer is not but:
                peer.send_opaque(PHX.name, *encoded)

    def _tell(self, peer: Peer, message: Message) -> None:
        peer.send_opaque(PHX.name, *encode(message))

    def _now_ms(self) -> int:
        return round(self._unix_time() * 1000)


class TimelySigner:
    """A signer that signs as long as our clock is not known to be wrong."""

    def __init__(self, signer: Signer, clocks: ClockBook) -> None:
        self._signer = signer
        self._clocks = clocks

    @property
    def address(self) -> Address:
        """Of the key."""
        return self._signer.address

    async def sign(self, request: SigningRequest) -> bytes:
        """The signature; SigningError while the peers agree that our clock is wrong."""
        problem = self._clocks.problem
        if problem is not None:
            raise SigningError(problem)
        return await self._signer.sign(request)
