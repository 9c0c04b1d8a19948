"""Whom a node is connected to: dialling, admission, duplicates, bans, floods, and that nothing stops it."""

import contextlib
import dataclasses
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from node.primitives.errors import ChainError, ConfigError, StorageError
from node.primitives.ids import Hash32
from p2p.devp2p.messages import DisconnectReason
from p2p.enode import InvalidEnode
from p2p.errors import PeerGone
from p2p.eth.messages import GetBlockHeaders, NewPooledTransactionHashes
from p2p.limits import GateLimits
from p2p.peer import Peer
from p2p.reports import (
    ConnectionFault,
    DialFailed,
    HandshakeEnded,
    PeerConnected,
    PeerLeft,
    PeerPenalised,
)
from p2p.rlpx.session import Session
from p2p.transport import Endpoint, MemoryNetwork, MemoryStream
from tests.p2p.network import PORT, STATUS, Node, connected, key, running, seeded, stranger, until

ANNOUNCED = NewPooledTransactionHashes(b"\x02", (100,), (Hash32(b"\x09" * 32),))


@pytest.fixture
def network() -> MemoryNetwork:
    return MemoryNetwork()


async def test_a_static_peer_is_dialled_and_both_sides_know_each_other(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    b = Node(network, 2)
    a = Node(network, 1, static_peers=(b.enode,))
    async with running(b, a):
        await connected(a, b)
        to_b, to_a = a.peer(b).info(), b.peer(a).info()
        assert (to_b.id, to_b.name, to_b.inbound, to_b.static) == (b.id, "node-2", False, True)
        assert (to_a.id, to_a.name, to_a.inbound, to_a.static) == (a.id, "node-1", True, False)
        assert a.peer(b).remote == f"host-2:{PORT}"
        assert a.peer(b).status == STATUS
        assert a.told(PeerConnected) == [PeerConnected(to_b)]
        assert a.pool.enode_url == a.enode
        assert a.pool.static_peers == (b.enode,)


async def test_messages_and_answers_go_both_ways(network: MemoryNetwork, autojump_clock: MockClock) -> None:
    b = Node(network, 2)
    a = Node(network, 1, static_peers=(b.enode,))
    async with running(b, a):
        await connected(a, b)
        for here, there in ((a, b), (b, a)):
            assert here.peer(there).send(ANNOUNCED)
            answer = await here.peer(there).request(GetBlockHeaders(0, 0, 5))
            assert answer.headers == ()
        assert [message for _, message in a.received] == [ANNOUNCED, GetBlockHeaders(1, 0, 5)]
        assert [message for _, message in b.received] == [ANNOUNCED, GetBlockHeaders(1, 0, 5)]
        traffic = a.pool.statistics().traffic
        assert traffic.messages_in >= 5
        assert traffic.bytes_out > 500


async def test_a_peer_that_went_away_is_dialled_until_it_is_back(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    b = Node(network, 2)
    a = Node(network, 1, static_peers=(b.enode,), redial_s_min=1.0, redial_s_max=8.0)
    async with running(a) as nursery:
        await trio.sleep(100)
        delays = [report.retry_s for report in a.told(DialFailed)]
        for delay, full in zip(delays, [1, 2, 4, 8, 8, 8, 8], strict=False):
            assert full / 2 <= delay <= full
        assert len(set(delays)) == len(delays), "every delay is spread by its own draw"
        assert a.told(DialFailed)[0].reason == f"cannot reach host-2:{PORT}: nobody listens"
        for _ in range(2):
            await nursery.start(b.run)
            await connected(a, b)
            b.scope.cancel()
            await until(lambda: not a.pool.peers)
        assert a.pool.statistics().dials_failed >= 13


async def test_a_host_name_is_resolved_at_every_attempt(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    class Resolving:
        """Host names that lead elsewhere as time passes."""

        where = "nowhere"

        async def dial(self, host: str, port: int) -> MemoryStream:
            assert host == "validator-2.example"
            return await network.host("a").dial(self.where, port)

        async def listen(self, host: str, port: int) -> Any:
            return await network.host("a").listen(host, port)

    b, names = Node(network, 2), Resolving()
    url = f"enode://{b.id.hex()}@validator-2.example:{PORT}"
    a = Node(network, 1, transport=names, static_peers=(url,))
    async with running(b, a):
        await trio.sleep(60)
        assert not a.pool.peers
        names.where = b.host
        await connected(a, b)


@pytest.mark.parametrize("seeds", [(1, 2), (2, 1), (3, 4), (5, 6), (7, 8)])
async def test_two_nodes_that_dial_each_other_at_once_keep_one_connection(
    network: MemoryNetwork, autojump_clock: MockClock, seeds: tuple[int, int]
) -> None:
    a, b = (Node(network, seed) for seed in seeds)
    a.options = dataclasses.replace(a.options, static_peers=(b.enode,))
    b.options = dataclasses.replace(b.options, static_peers=(a.enode,))
    async with running(a, b):
        a.pool.add_static(b.enode)
        await connected(a, b)
        await trio.sleep(300)
        assert a.peer(b).inbound is not b.peer(a).inbound
        greater = a if a.id > b.id else b
        assert not greater.peer(b if greater is a else a).inbound or len(a.told(PeerConnected)) == 1
        assert a.peer(b).connected_at < 10
        assert (await a.peer(b).request(GetBlockHeaders(0, 0, 1))).headers == ()


async def test_of_two_crossing_connections_both_sides_keep_the_greater_ones_dial(
    network: MemoryNetwork,
    autojump_clock: MockClock,
) -> None:
    """Both dials are under way before either side has heard Hello."""
    lesser, greater = sorted((Node(network, 1), Node(network, 2)), key=lambda node: node.id)
    for first, second in ((lesser, greater), (greater, lesser)):
        async with running(lesser, greater):
            first.pool.add_static(second.enode)
            second.pool.add_static(first.enode)
            await connected(lesser, greater)
            await trio.sleep(100)
            assert not greater.peer(lesser).inbound
            assert lesser.peer(greater).inbound


async def test_a_node_does_not_dial_itself_and_refuses_its_own_key(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    a = Node(network, 1)
    a.options = dataclasses.replace(a.options, static_peers=(a.enode,))
    async with running(a):
        assert a.pool.static_peers == ()
        with pytest.raises(InvalidEnode, match="our own"):
            a.pool.add_static(a.enode)
        mirror = await stranger(network, a, 1, private_key=a.key)
        await mirror.hello()
        assert await mirror.goodbye() == DisconnectReason.SELF


async def test_somebody_else_at_the_address_is_not_the_peer(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    b = Node(network, 2)
    a = Node(network, 1, static_peers=(f"enode://{key(9).public_key.hex()}@{b.host}:{PORT}",))
    async with running(b, a):
        await until(lambda: a.told(DialFailed))
        assert not a.pool.peers
        assert not b.pool.peers
        assert b.told(HandshakeEnded)[0].id is None


async def test_peers_of_another_network_are_told_so(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    b = Node(network, 2)
    a = Node(network, 1, static_peers=(b.enode,))
    b.status = dataclasses.replace(STATUS, genesis_hash=Hash32(bytes(32)))
    async with running(b, a):
        await until(lambda: a.told(DialFailed))
        assert (
            "genesis 0x0000" in a.told(DialFailed)[0].reason or "disconnected" in a.told(DialFailed)[0].reason
        )
        assert not a.told(PeerPenalised), "an operator's mistake is no misdeed"
        b.status = STATUS
        await connected(a, b)


async def test_what_accept_says_is_final(network: MemoryNetwork, autojump_clock: MockClock) -> None:
    a = Node(network, 1)

    def refuse(status: Any) -> None:
        raise ChainError("a fork that we do not know")

    a.accept = refuse
    async with running(a):
        other = await stranger(network, a, 50)
        await other.meet()
        assert await other.goodbye() == DisconnectReason.BREACH_OF_PROTOCOL
        await until(lambda: a.told(HandshakeEnded))
        assert a.told(HandshakeEnded)[0].reason == "a fork that we do not know"
        assert not a.pool.peers


async def test_strangers_cannot_take_the_places_of_configured_peers(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    friend, trusted = Node(network, 2), Node(network, 3)
    a = Node(network, 1, peers_max=3, static_peers=(friend.enode,), trusted_peers=(trusted.enode,))
    async with running(a) as nursery:
        for seed in (50, 51):
            await (await stranger(network, a, seed)).meet()
        third = await stranger(network, a, 52)
        await third.hello()
        assert await third.goodbye() == DisconnectReason.TOO_MANY_PEERS
        await nursery.start(friend.run)
        await until(lambda: friend.id in a.pool.peers)
        trusted.options = dataclasses.replace(trusted.options, static_peers=(a.enode,))
        await nursery.start(trusted.run)
        await until(lambda: trusted.id in a.pool.peers)
        assert len(a.pool.peers) == 4
        assert a.peer(trusted).info().trusted


async def test_who_may_not_connect_is_told_and_who_may_not_stay_is_dropped(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    a = Node(network, 1)
    a.permit = lambda info: (
        None if info.name == "stranger" and info.id == key(50).public_key else "not a member"
    )
    async with running(a):
        member = await (await stranger(network, a, 50)).meet()
        other = await stranger(network, a, 51)
        await other.hello()
        assert await other.goodbye() == DisconnectReason.USELESS_PEER
        await until(lambda: a.told(HandshakeEnded))
        assert a.told(HandshakeEnded)[0].reason == "not a member"
        a.permit = lambda info: "membership withdrawn"
        a.pool.recheck_permits()
        assert await member.goodbye() == DisconnectReason.USELESS_PEER
        await until(lambda: a.told(PeerLeft))
        assert (a.told(PeerLeft)[0].by_us, a.told(PeerLeft)[0].reason) == (True, "membership withdrawn")


async def test_who_may_come_back_is_dialled_at_once(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    b = Node(network, 2)
    a = Node(network, 1, static_peers=(b.enode,), redial_s_min=1000.0, redial_s_max=1000.0)
    a.permit = lambda info: "cut off"
    async with running(b, a):
        await until(lambda: a.told(DialFailed))
        assert a.told(DialFailed)[0].reason == "cut off"
        a.permit = lambda info: None
        a.pool.recheck_permits()
        await connected(a, b)


async def test_a_second_connection_of_a_live_identity_is_refused(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    a = Node(network, 1)
    async with running(a):
        first = await (await stranger(network, a, 50)).meet()
        second = await stranger(network, a, 50)
        await second.hello()
        assert await second.goodbye() == DisconnectReason.ALREADY_CONNECTED
        await first.say(ANNOUNCED)
        await until(lambda: a.received)


async def test_a_peer_that_lost_power_comes_back_before_its_old_connection_times_out(
    network: MemoryNetwork,
    autojump_clock: MockClock,
) -> None:
    a = Node(network, 1, idle_timeout_s=30.0)
    async with running(a):
        await (await stranger(network, a, 50)).meet()
        await trio.sleep(20)
        back = await (await stranger(network, a, 50)).meet()
        await back.say(ANNOUNCED)
        await until(lambda: a.received)
        assert len(a.told(PeerConnected)) == 2
        assert a.told(PeerLeft)[0].reason == "another connection took its place"


async def test_a_connection_stuck_in_its_handshake_gives_way_too(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    a = Node(network, 1, idle_timeout_s=4.0, handshake_timeout_s=5.0)
    async with running(a):
        stuck = await stranger(network, a, 50)
        await stuck.hello()
        await trio.sleep(2.5)
        await (await stranger(network, a, 50)).meet()
        assert await stuck.goodbye() == DisconnectReason.ALREADY_CONNECTED
        await until(lambda: a.pool.peers)


async def test_a_misbehaving_peer_is_shut_out_for_a_while(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    a = Node(network, 1, ban_s=300.0)
    async with running(a):
        bad = await (await stranger(network, a, 50)).meet()
        await bad.connection.write(16 + 0x0B, b"\xc0")
        assert await bad.goodbye() == DisconnectReason.BREACH_OF_PROTOCOL
        await until(lambda: a.told(PeerPenalised))
        assert a.told(PeerPenalised)[0].banned
        assert a.pool.statistics().bans == 1
        again = await stranger(network, a, 50)
        await again.hello()
        assert await again.goodbye() == DisconnectReason.USELESS_PEER
        await until(lambda: a.told(HandshakeEnded))
        assert a.told(HandshakeEnded)[0].reason == "shut out for another 300 s"
        await trio.sleep(300)
        await (await stranger(network, a, 50)).meet()
        await until(lambda: a.pool.peers)


async def test_a_replayed_handshake_costs_the_real_peer_nothing(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    """An auth packet that somebody recorded names its maker; only the maker can go on from there."""
    a = Node(network, 1)
    real = Session.initiator(key(50), a.id, seeded(3)).bytes_to_send()
    async with running(a):
        stream = network.connect("attacker", Endpoint(a.host, PORT))
        await stream.send_all(real)
        await stream.receive_some(2048)
        await stream.send_all(bytes(100))
        await until(lambda: a.told(HandshakeEnded))
        assert a.told(HandshakeEnded)[0].id is None
        assert a.pool.statistics().bans == 0
        await (await stranger(network, a, 50)).meet()
        await until(lambda: a.pool.peers)


async def test_a_banned_static_peer_is_dialled_again_after_the_ban(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    b = Node(network, 2)
    a = Node(network, 1, static_peers=(b.enode,), ban_s=100.0)
    async with running(b, a):
        await connected(a, b)
        a.peer(b).penalise(60, "half bad")
        assert b.id in a.pool.peers
        a.peer(b).penalise(60, "all bad")
        await until(lambda: not a.pool.peers)
        await trio.sleep(90)
        assert not a.pool.peers
        await connected(a, b)


async def test_small_faults_are_forgiven_in_time(network: MemoryNetwork, autojump_clock: MockClock) -> None:
    a = Node(network, 1, score_forgiven_per_s=0.2, idle_timeout_s=1e6)
    async with running(a):
        await (await stranger(network, a, 50)).meet()
        await until(lambda: a.pool.peers)
        peer = next(iter(a.pool.peers.values()))
        for _ in range(10):
            peer.penalise(60, "small fault")
            await trio.sleep(300)
        assert a.pool.peers
        assert {report.score for report in a.told(PeerPenalised)} == {60}


class TestFloods:
    async def test_silent_connections_leave_room_for_other_hosts(
        self, network: MemoryNetwork, autojump_clock: MockClock
    ) -> None:
        limits = GateLimits(handshakes_max=8, handshakes_per_host_max=4)
        a = Node(network, 1, gate=limits, handshake_timeout_s=5.0)
        async with running(a):
            silent = [network.connect("attacker", Endpoint(a.host, PORT)) for _ in range(50)]
            await trio.sleep(0.1)
            assert a.pool.statistics().handshakes == 4
            assert a.pool.statistics().inbound_refused == 46
            await (await stranger(network, a, 50)).meet()
            assert await silent[49].receive_some(1) == b""
            await trio.sleep(5)
            assert a.pool.statistics().handshakes == 0
            assert [report.reason for report in a.told(HandshakeEnded)] == ["no handshake within 5 s"] * 4
            await until(lambda: a.pool.peers)

    async def test_whoever_connects_too_often_waits(
        self, network: MemoryNetwork, autojump_clock: MockClock
    ) -> None:
        a = Node(network, 1, gate=GateLimits(host_burst=10, host_per_s=0.1))
        async with running(a):
            for _ in range(30):
                stream = network.connect("attacker", Endpoint(a.host, PORT))
                await stream.aclose()
                await trio.sleep(0.1)
            assert a.pool.statistics().inbound_refused == 20

    async def test_a_trickle_of_bytes_does_not_hold_a_handshake_open(
        self, network: MemoryNetwork, autojump_clock: MockClock
    ) -> None:
        a = Node(network, 1, handshake_timeout_s=5.0)
        async with running(a):
            stream = network.connect("attacker", Endpoint(a.host, PORT))
            await trickle(stream)
            assert trio.current_time() == pytest.approx(5.5, abs=0.6)

    @pytest.mark.parametrize("noise", [b"", b"\x00", b"\xff" * 500, b"GET / HTTP/1.1\r\n\r\n", bytes(70_000)])
    async def test_noise_is_cut_off_and_costs_nothing(
        self, network: MemoryNetwork, autojump_clock: MockClock, noise: bytes
    ) -> None:
        a = Node(network, 1)
        async with running(a):
            stream = network.connect("attacker", Endpoint(a.host, PORT))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(send_ignoring_the_end, stream, noise)
                assert await stream.receive_some(1) == b""
                nursery.cancel_scope.cancel()
            assert not a.told(ConnectionFault)
            await (await stranger(network, a, 50)).meet()
            await until(lambda: a.pool.peers)


async def trickle(stream: MemoryStream) -> None:
    with contextlib.suppress(PeerGone):
        while True:
            await stream.send_all(b"\x01")
            await trio.sleep(0.5)


async def send_ignoring_the_end(stream: MemoryStream, data: bytes) -> None:
    with contextlib.suppress(PeerGone):
        await stream.send_all(data)


class TestContainment:
    async def test_a_chain_error_of_the_server_drops_and_scores_the_peer(
        self, network: MemoryNetwork, autojump_clock: MockClock
    ) -> None:
        a = Node(network, 1)

        async def serve(peer: Peer) -> None:
            async with trio.open_nursery() as nursery:  # as a real one does: errors come out in a group
                nursery.start_soon(trio.sleep_forever)
                await peer.receive()
                raise ChainError("an invalid block")

        a.serve = serve
        async with running(a):
            bad = await (await stranger(network, a, 50)).meet()
            await bad.say(ANNOUNCED)
            assert await bad.goodbye() == DisconnectReason.BREACH_OF_PROTOCOL
            await until(lambda: a.told(PeerLeft))
            (penalty,) = a.told(PeerPenalised)
            assert (penalty.points, penalty.reason) == (50, "an invalid block")

    async def test_a_fault_of_ours_ends_one_connection_and_is_reported(
        self, network: MemoryNetwork, autojump_clock: MockClock
    ) -> None:
        a = Node(network, 1)

        async def serve(peer: Peer) -> None:
            if peer.id == key(50).public_key:
                raise RuntimeError("a bug")
            await trio.sleep_forever()

        a.serve = serve
        async with running(a):
            other = await (await stranger(network, a, 51)).meet()
            victim = await (await stranger(network, a, 50)).meet()
            assert await victim.goodbye() == DisconnectReason.REQUESTED
            await until(lambda: a.told(PeerLeft))
            (fault,) = a.told(ConnectionFault)
            assert str(fault.error) == "a bug"
            assert not a.told(PeerPenalised)
            assert set(a.pool.peers) == {other.key.public_key}

    async def test_a_fault_in_a_callback_of_the_handshake_is_contained(
        self, network: MemoryNetwork, autojump_clock: MockClock
    ) -> None:
        a = Node(network, 1)
        a.permit = lambda info: {}["missing"]
        async with running(a):
            victim = await stranger(network, a, 50)
            await victim.hello()
            assert await victim.goodbye() == DisconnectReason.REQUESTED
            await until(lambda: a.told(ConnectionFault))

    @pytest.mark.parametrize("where", ["serve", "permit", "accept"])
    async def test_a_failing_disk_stops_the_node(
        self, network: MemoryNetwork, autojump_clock: MockClock, where: str
    ) -> None:
        a = Node(network, 1)

        def fail(*_: object) -> Any:
            raise StorageError("the disk is gone")

        setattr(a, where, fail)
        with pytest.RaisesGroup(StorageError, flatten_subgroups=True):
            async with running(a):
                other = await stranger(network, a, 50)
                with contextlib.suppress(PeerGone):
                    await other.meet()
                    await other.hear()
                await trio.sleep_forever()


async def test_a_stopping_node_says_goodbye_to_everyone(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    a = Node(network, 1)
    async with running(a):
        others = [await (await stranger(network, a, seed)).meet() for seed in (50, 51, 52)]
        await until(lambda: len(a.pool.peers) == 3)
        a.scope.cancel()
        for other in others:
            assert await other.goodbye() == DisconnectReason.CLIENT_QUITTING
        await until(lambda: len(a.told(PeerLeft)) == 3)
        assert {report.reason for report in a.told(PeerLeft)} == {"we are shutting down"}


async def test_a_node_stops_in_time_although_peers_do_not_listen(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    a = Node(network, 1)
    async with running(a):
        await (await stranger(network, a, 50)).meet()
        await until(lambda: a.pool.peers)
        started = trio.current_time()
        a.scope.cancel()
        await until(lambda: a.told(PeerLeft))
    assert trio.current_time() - started < 4


async def test_the_goodbye_of_a_peer_is_reported_with_its_reason(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    b = Node(network, 2)
    a = Node(network, 1, static_peers=(b.enode,))
    async with running(b, a):
        await connected(a, b)
        b.peer(a).disconnect(DisconnectReason.TOO_MANY_PEERS)
        await until(lambda: a.told(PeerLeft))
        left = a.told(PeerLeft)[0]
        assert (left.by_us, left.reason) == (False, "the peer disconnected: too many peers")
        assert b.told(PeerLeft)[0].by_us


async def test_static_peers_come_and_go_at_run_time(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    a, b, c = (Node(network, seed) for seed in (1, 2, 3))
    async with running(a, b, c):
        assert a.pool.add_static(b.enode)
        assert not a.pool.add_static(b.enode)
        await connected(a, b)
        assert a.pool.remove(b.enode)
        await until(lambda: not a.pool.peers and not b.pool.peers)
        assert a.told(PeerLeft)[0].reason == "the operator removed it"
        await trio.sleep(100)
        assert not a.pool.peers
        assert not a.pool.remove(b.enode)
        assert a.pool.add_static(f"enode://{c.id.hex()}@elsewhere:{PORT}")
        await until(lambda: a.told(DialFailed))
        assert a.pool.add_static(c.enode), "the same node at another address replaces the entry"
        await connected(a, c)
        assert a.pool.static_peers == (c.enode,)


async def test_bad_peer_urls_are_all_named_at_once(network: MemoryNetwork, autojump_clock: MockClock) -> None:
    good = Node(network, 2).enode
    a = Node(
        network, 1, static_peers=("enode://01@h:1", good, good.split("@")[0]), trusted_peers=("http://x",)
    )
    with pytest.RaisesGroup(ConfigError, flatten_subgroups=True) as caught:
        async with running(a):
            pass
    (error,) = caught.value.exceptions
    assert isinstance(error, ConfigError)
    assert [problem.split(": ")[-1] for problem in error.problems] == [
        "a node id of 1 bytes; it has 64 (128 hexadecimal digits)",
        "without host and port it cannot be dialled",
        "it does not start with enode://",
    ]


async def test_a_taken_port_is_the_operators_problem(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    await network.host("host-1").listen("host-1", PORT)
    with pytest.RaisesGroup(pytest.RaisesExc(ConfigError, match="it is taken"), flatten_subgroups=True):
        async with running(Node(network, 1)):
            pass


async def test_a_restarted_network_finds_itself_again(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    nodes = [Node(network, seed) for seed in range(1, 6)]
    urls = tuple(node.enode for node in nodes)
    for node in nodes:
        node.options = dataclasses.replace(node.options, static_peers=urls)
    async with running(*nodes) as nursery:
        await connected(*nodes)
        for _ in range(3):
            for node in nodes:
                node.scope.cancel()
                await trio.sleep(0.5)
                await nursery.start(node.run)
            await connected(*nodes)
        assert not any(node.told(ConnectionFault) or node.told(PeerPenalised) for node in nodes)
