"""Whom we are connected to: who may come in, whom we dial, what score they have.

Identity is the key, never the address: scores, bans, places and duplicates go by node id, and a static peer
is the same peer wherever its host name leads today. Every connection runs in a task of its own that contains
whatever goes wrong in it, except for a failing disk.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

import trio

from node.primitives.crypto import PrivateKey
from p2p.connection import Connection
from p2p.decoder import Decoder
from p2p.devp2p.hello import PROTOCOL_VERSION, CapabilitySpec, Hello, SharedCapability, share
from p2p.devp2p.messages import DisconnectReason
from p2p.endings import ending_of, holds_storage_error, is_ours, penalty_of
from p2p.enode import Enode, InvalidEnode, parse_dialable, parse_enode
from p2p.errors import PENALTY_BAN, PeerGone, PeerRefused, PeerTimeout
from p2p.eth.messages import ETH68, EthVersion
from p2p.eth.status import Status, check_status
from p2p.limits import Gate, ScoreBook, redial_delay_s
from p2p.options import P2POptions, read_peers
from p2p.peer import Peer, Serve
from p2p.places import Place, Places
from p2p.reports import (
    ConnectionFault,
    DialFailed,
    HandshakeEnded,
    PeerConnected,
    PeerInfo,
    PeerLeft,
    PeerPenalised,
    PoolStatistics,
    Report,
    Traffic,
)
from p2p.rlpx.handshake import Entropy
from p2p.rlpx.session import Session
from p2p.tls import FollowedTls
from p2p.transport import Stream, TcpTransport, Transport

ETH_VERSIONS: Final[Mapping[int, EthVersion]] = {version.version: version for version in (ETH68,)}
"""The versions of eth that we offer."""
STABLE_S: Final = 30.0
"""A static peer that stayed this long is redialled soon when it leaves, however often it failed before."""


class _Static:
    """A node that we dial for ever."""

    def __init__(self, enode: Enode) -> None:
        self.enode = enode
        self.scope = trio.CancelScope()


class PeerPool:
    """See the module, and the package for how it is used."""

    def __init__(
        self,
        key: PrivateKey,
        options: P2POptions,
        status: Callable[[], Status],
        accept: Callable[[Status], None],
        serve: Serve,
        permit: Callable[[PeerInfo], str | None],
        *,
        may_dial: Callable[[Enode], str | None] = lambda _: None,
        transport: Transport | None = None,
        entropy: Entropy = os.urandom,
        report: Callable[[Report], None] = lambda _: None,
    ) -> None:
        """ConfigError lists every peer URL, or TLS file, that cannot be used. To be called inside trio.

        `permit` and `may_dial` give the reason against a peer, or None: the one is asked when its identity is
        proved, the other before it is dialled at all.
        """
        self._key = key
        self._options = options
        self._status = status
        self._accept = accept
        self._serve = serve
        self._permit = permit
        self._may_dial = may_dial
        self._transport = transport or TcpTransport(FollowedTls(options.tls) if options.tls else None)
        self._entropy = entropy
        self._report = report
        static, trusted = read_peers(options)
        # One list may serve all nodes of a network: our own entry in it is skipped.
        self._static = {enode.public_key: _Static(enode) for enode in static if enode.public_key != self.id}
        self._trusted = {enode.public_key for enode in trusted}
        eth = [CapabilitySpec("eth", each.version, each.message_count) for each in ETH_VERSIONS.values()]
        self._capabilities = (*eth, *options.capabilities)
        self._scores = ScoreBook(options.ban_s, options.score_forgiven_per_s)
        self._gate = Gate(options.gate, trio.current_time())
        self._places = Places(self.id, options.peers_max, options.idle_timeout_s)
        self._decoder = Decoder()
        self._peers: dict[bytes, Peer] = {}
        self._port = options.port
        self._nursery: trio.Nursery | None = None
        self._rules_changed = trio.Event()
        self._inbound_refused = 0
        self._dials_failed = 0
        self._bans = 0
        self._past_traffic = Traffic()

    # --- what others see and ask

    @property
    def id(self) -> bytes:
        """Our own identity: 64-byte public key."""
        return self._key.public_key

    @property
    def enode_url(self) -> str:
        """Where others can dial us; the port is the bound one once `run` has started."""
        host = self._options.advertise_host or self._options.host
        return str(Enode(self.id, host, self._port, self._port))

    @property
    def peers(self) -> Mapping[bytes, Peer]:
        """Peers past every handshake, by id; a live view."""
        return MappingProxyType(self._peers)

    @property
    def static_peers(self) -> tuple[str, ...]:
        """enode URLs of those that we dial."""
        return tuple(str(static.enode) for static in self._static.values())

    def statistics(self) -> PoolStatistics:
        """Counters for metrics."""
        return PoolStatistics(
            peers=len(self._peers),
            handshakes=len(self._gate),
            inbound_refused=self._inbound_refused,
            dials_failed=self._dials_failed,
            bans=self._bans,
            traffic=sum((peer.traffic() for peer in self._peers.values()), self._past_traffic),
        )

    def add_static(self, enode_url: str) -> bool:
        """Dial this node from now on; False when we did already. InvalidEnode when it cannot be dialled."""
        enode = parse_dialable(enode_url)
        if enode.public_key == self.id:
            raise InvalidEnode("this is our own node id")
        known = self._static.get(enode.public_key)
        if known is not None:
            if known.enode == enode:
                return False
            known.scope.cancel()
        static = self._static[enode.public_key] = _Static(enode)
        if self._nursery is not None:
            self._nursery.start_soon(self._keep_dialling, static)
        return True

    def remove(self, enode_url: str) -> bool:
        """Dial this node no more and disconnect it; False when it was neither static nor connected."""
        identity = parse_enode(enode_url).public_key
        peer, static = self._peers.get(identity), self._static.pop(identity, None)
        if peer is not None:
            peer.disconnect(DisconnectReason.REQUESTED, "the operator removed it")
        if static is not None:
            static.scope.cancel()
        return peer is not None or static is not None

    def recheck_permits(self) -> None:
        """To be called when what `permit` says has changed: drop who may not stay, dial who may come back."""
        self._rules_changed.set()
        self._rules_changed = trio.Event()
        for peer in list(self._peers.values()):
            if (words := self._permit(peer.info())) is not None:
                peer.disconnect(DisconnectReason.USELESS_PEER, words)

    # --- listening and dialling

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen, dial and serve until cancelled, then say goodbye to all; started once the port is bound."""
        listener = await self._transport.listen(self._options.host, self._options.port)
        self._port = listener.port
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for static in list(self._static.values()):
                nursery.start_soon(self._keep_dialling, static)
            task_status.started()
            await listener.serve(self._welcome)

    async def _welcome(self, stream: Stream) -> None:
        if self._gate.enter(stream.remote.host, trio.current_time()) is None:
            await self._run_connection(stream, None)
        else:
            self._inbound_refused += 1
            await stream.aclose()

    async def _keep_dialling(self, static: _Static) -> None:
        """Keep one node connected, whoever's connection it is."""
        identity, failures = static.enode.public_key, 0
        with static.scope:
            while True:
                if (place := self._places.get(identity)) is not None:
                    failures = 0
                    await place.gone.wait()
                elif (banned_s := self._scores.banned_s(identity, trio.current_time())) > 0:
                    await trio.sleep(banned_s)
                else:
                    started = trio.current_time()
                    reason = self._may_dial(static.enode) or await self._dial(static.enode)
                    failures = 0 if trio.current_time() - started >= STABLE_S else failures + 1
                    await self._back_off(static.enode, failures, reason)

    async def _back_off(self, enode: Enode, failures: int, reason: str) -> None:
        """Wait before the next attempt, unless the node has dialled us meanwhile."""
        if enode.public_key in self._places:
            return
        draw = int.from_bytes(self._entropy(4), "big") / 2**32
        retry_s = redial_delay_s(
            max(0, failures - 1), self._options.redial_s_min, self._options.redial_s_max, draw
        )
        self._dials_failed += failures > 0
        self._report(DialFailed(str(enode), reason, retry_s))
        with trio.move_on_after(retry_s):
            await self._rules_changed.wait()

    async def _dial(self, enode: Enode) -> str:
        """One attempt, and the whole life of the connection when it succeeds; how it ended."""
        assert enode.host is not None
        try:
            with trio.fail_after(self._options.dial_timeout_s):
                stream = await self._transport.dial(enode.host, enode.tcp_port)
        except trio.TooSlowError:
            return f"no connection within {self._options.dial_timeout_s:g} s"
        except PeerGone as error:
            return str(error)
        return await self._run_connection(stream, enode)

    # --- one connection

    async def _run_connection(self, stream: Stream, dialled: Enode | None) -> str:
        """From the first byte to the last; how it ended."""
        if dialled is None:
            session = Session.responder(self._key, self._entropy)
        else:
            session = Session.initiator(self._key, dialled.public_key, self._entropy)
        place = Place(Connection(stream, session), dialled_by_us=dialled is not None)
        try:
            try:
                peer = await self._shake_hands(place)
            except Exception as error:
                return await self._turn_away(place, error)
            return await self._host(place, peer)
        finally:
            self._leave_gate(place)
            self._places.vacate(place)
            await stream.aclose()

    async def _shake_hands(self, place: Place) -> Peer:
        """Everything up to and with Status; a ChainError when it does not come to a peer."""
        connection, options = place.connection, self._options
        place.handshake.deadline = trio.current_time() + options.handshake_timeout_s
        with place.handshake:
            identity = await connection.establish()
            hello = await connection.exchange_hello(self._hello())
            info = self._info(place, identity, hello)
            shared = share(self._capabilities, hello.capabilities, "eth")
            self._places.take(
                place,
                info,
                banned_s=self._scores.banned_s(identity, trio.current_time()),
                static=self._static,
                permit=self._permit,
            )
            self._leave_gate(place)
            return await self._agree(connection, info, shared)
        if place.is_replaced:
            raise PeerRefused(DisconnectReason.ALREADY_CONNECTED, "another connection took its place")
        raise PeerTimeout(f"no handshake within {options.handshake_timeout_s:g} s")

    async def _agree(
        self, connection: Connection, info: PeerInfo, shared: tuple[SharedCapability, ...]
    ) -> Peer:
        eth = next(capability for capability in shared if capability.spec.name == "eth")
        ours = replace(self._status(), version=eth.spec.version)
        theirs = await connection.exchange_status(eth, ours)
        check_status(ours, theirs)
        self._accept(theirs)
        return Peer(
            connection,
            replace(info, status=theirs),
            shared,
            ETH_VERSIONS[eth.spec.version],
            self._options,
            penalise=self._penalise,
            decoder=self._decoder,
        )

    async def _turn_away(self, place: Place, error: Exception) -> str:
        """End a connection that did not become a peer; how it ended."""
        if holds_storage_error(error):
            raise error
        connection, ending = place.connection, ending_of(error)
        # Handshake packets can be replayed: a key is proved by a first message, and nobody pays before.
        identity = connection.session.remote_public_key if connection.messages_in else None
        if identity is not None and (points := penalty_of(ending.error)) > 0:
            self._bans += self._scores.add(identity, points, trio.current_time()) >= PENALTY_BAN
        if is_ours(ending.error):
            self._report(ConnectionFault(connection.stream.remote, error))
        # Its place is free while it hears our last words.
        self._places.vacate(place)
        if ending.say is not None:
            await connection.refuse(ending.say)
        if not place.dialled_by_us:
            self._report(HandshakeEnded(connection.stream.remote, identity, ending.words))
        return ending.words

    async def _host(self, place: Place, peer: Peer) -> str:
        """A peer's whole stay; how it ended."""
        place.peer = peer
        if place.predecessor is not None:
            await place.predecessor.gone.wait()
            place.predecessor = None
        if place.is_replaced:
            place.give_way()
        self._peers[peer.id] = peer
        self._report(PeerConnected(peer.info()))
        try:
            ending = await peer.run(self._serve)
        finally:
            del self._peers[peer.id]
            self._past_traffic += peer.traffic()
            self._part(place, peer)
            if peer.ending.by_us:
                await place.connection.linger()
        return ending.words

    def _part(self, place: Place, peer: Peer) -> None:
        """Free the place, book what the peer did, tell how it ended."""
        self._places.vacate(place)
        ending = peer.ending
        if is_ours(ending.error):
            self._report(ConnectionFault(place.connection.stream.remote, ending.error))
        if (points := penalty_of(ending.error)) > 0:
            self._penalise(peer, points, ending.words)
        connected_s = trio.current_time() - peer.connected_at
        self._report(PeerLeft(peer.info(), ending.by_us, ending.words, connected_s, peer.traffic()))

    def _penalise(self, peer: Peer, points: float, reason: str) -> bool:
        score = self._scores.add(peer.id, points, trio.current_time())
        is_banned = score >= PENALTY_BAN
        self._bans += is_banned
        self._report(PeerPenalised(peer.info(), points, score, reason, is_banned))
        return is_banned

    def _leave_gate(self, place: Place) -> None:
        if place.is_knocking:
            place.is_knocking = False
            self._gate.leave(place.connection.stream.remote.host)

    def _hello(self) -> Hello:
        capabilities = tuple(spec.capability for spec in self._capabilities)
        return Hello(PROTOCOL_VERSION, self._options.client_name, capabilities, self._port, self.id)

    def _info(self, place: Place, identity: bytes, hello: Hello) -> PeerInfo:
        return PeerInfo(
            id=identity,
            name=hello.client_name,
            capabilities=hello.capabilities,
            remote=place.connection.stream.remote,
            listen_port=hello.listen_port,
            inbound=not place.dialled_by_us,
            static=identity in self._static,
            trusted=identity in self._trusted,
        )
