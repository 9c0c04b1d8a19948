"""One connection: answers and deadlines, signs of life, queues that are full, floods, malformed messages."""

import contextlib
import random

import pytest
import trio
from trio.testing import MockClock

from node.primitives import rlp
from node.primitives.ids import Hash32
from node.primitives.transaction import decode_transaction
from p2p.devp2p.hello import Capability, CapabilitySpec, Hello
from p2p.devp2p.messages import DISCONNECT_CODE, PING_CODE, DisconnectReason, decode_disconnect
from p2p.errors import PeerGone, PeerTimeout
from p2p.eth.messages import (
    BlockBodies,
    BlockHeaders,
    GetBlockHeaders,
    GetReceipts,
    NewBlockHashes,
    NewPooledTransactionHashes,
    PooledTransactions,
    Receipts,
    Transactions,
    decode_message,
)
from p2p.eth.status import encode_status
from p2p.options import PeerLimits
from p2p.peer import Peer
from p2p.reports import PeerLeft, PeerPenalised
from p2p.transport import MemoryNetwork
from tests.p2p.network import ETH_OFFSET, STATUS, Node, Stranger, connected, running, stranger, until

ANNOUNCED = NewPooledTransactionHashes(b"\x02", (100,), (Hash32(b"\x09" * 32),))


@pytest.fixture
def network() -> MemoryNetwork:
    return MemoryNetwork()


def transaction(size: int) -> Transactions:
    data = random.Random(size).randbytes(size)
    return Transactions((decode_transaction(rlp.encode([1, 2, 3, bytes(20), 0, data, 27, 1, 1])),))


async def met(network: MemoryNetwork, node: Node, seed: int = 50) -> tuple[Stranger, Peer]:
    """A stranger past every handshake, and the node's view of it."""
    other = await (await stranger(network, node, seed)).meet()
    await until(lambda: other.key.public_key in node.pool.peers)
    return other, node.peer(other)


async def left(node: Node) -> PeerLeft:
    await until(lambda: node.told(PeerLeft), within_s=300)
    return node.told(PeerLeft)[0]


class TestRequests:
    async def test_answers_are_told_apart_whatever_their_order(
        self, network: MemoryNetwork, autojump_clock: MockClock
    ) -> None:
        a = Node(network, 1)
        async with running(a):
            other, peer = await met(network, a)
            answers = {}

            async def ask(amount: int) -> None:
                answers[amount] = await peer.request(GetBlockHeaders(0, 0, amount))

            async with trio.open_nursery() as nursery:
                for amount in (1, 2):
                    nursery.start_soon(ask, amount)
                asked = []
                for _ in range(2):
                    message = await other.hear()
                    asked.append(decode_message(message.code - ETH_OFFSET, message.payload))
                for request in reversed(asked):
                    assert isinstance(request, GetBlockHeaders)
                    await other.say(BlockHeaders(request.request_id, ()))
            assert {amount: answer.request_id for amount, answer in answers.items()} == {
                request.amount: request.request_id for request in asked
            }

    async def test_a_request_without_answer_ends_in_time_and_costs_score(
        self, network: MemoryNetwork, autojump_clock: MockClock
    ) -> None:
        a = Node(network, 1, request_timeout_s=10.0, idle_timeout_s=1e6)
        async with running(a):
            other, peer = await met(network, a)
            started = trio.current_time()
            with pytest.raises(PeerTimeout, match="no answer to GetReceipts within 10 s"):
                await peer.request(GetReceipts(0, (Hash32(bytes(32)),)))
            assert trio.current_time() - started == pytest.approx(10)
            assert a.told(PeerPenalised)[0].points == 10
            await other.say(Receipts(1, ()))
            await trio.sleep(1)
            assert a.pool.peers, "a late answer is no offence"

    async def test_whoever_never_answers_is_shut_out(
        self, network: MemoryNetwork, autojump_clock: MockClock
    ) -> None:
        a = Node(network, 1, request_timeout_s=10.0, idle_timeout_s=1e6, score_forgiven_per_s=0.2)
        async with running(a):
            other, peer = await met(network, a)

            async def ask() -> None:
                with pytest.raises((PeerTimeout, PeerGone)):
                    await peer.request(GetBlockHeaders(0, 0, 1))

            async with trio.open_nursery() as nursery:
                for _ in range(10):
                    nursery.start_soon(ask)
            assert await other.goodbye() == DisconnectReason.USELESS_PEER
            assert a.told(PeerPenalised)[-1].banned

    async def test_who_waits_when_the_peer_leaves_is_told(
        self, network: MemoryNetwork, autojump_clock: MockClock
    ) -> None:
        a = Node(network, 1)
        async with running(a):
            other, peer = await met(network, a)
            async with trio.open_nursery() as nursery:

                @nursery.start_soon
                async def leave() -> None:
                    await other.hear()
                    await other.connection.stream.aclose()

                with pytest.raises(PeerGone, match="closed the connection"):
                    await peer.request(GetBlockHeaders(0, 0, 1))
            assert not peer.send(ANNOUNCED)
            with pytest.raises(PeerGone):
                await peer.request(GetBlockHeaders(0, 0, 1))
            with pytest.raises(PeerGone):
                await peer.receive()

    @pytest.mark.parametrize(
        "answer",
        [Receipts(77, ()), Receipts(1, ()), PooledTransactions(1, ()), BlockBodies(1, ())],
        ids=["never asked", "other kind", "other kind", "other kind"],
    )
    async def test_answers_to_nothing_are_a_breach(
        self,
        network: MemoryNetwork,
        autojump_clock: MockClock,
        answer: Receipts | PooledTransactions | BlockBodies,
    ) -> None:
        a = Node(network, 1)
        async with running(a):
            other, peer = await met(network, a)
            async with trio.open_nursery() as nursery:

                @nursery.start_soon
                async def ask() -> None:
                    with pytest.raises(PeerGone):
                        await peer.request(GetBlockHeaders(0, 0, 1))

                await other.hear()
                await other.say(answer)
                assert await other.goodbye() == DisconnectReason.BREACH_OF_PROTOCOL

    async def test_no_more_requests_are_under_way_than_allowed(
        self, network: MemoryNetwork, autojump_clock: MockClock
    ) -> None:
        a = Node(network, 1, peer=PeerLimits(requests_max=3))
        async with running(a):
            other, peer = await met(network, a)
            async with trio.open_nursery() as nursery:
                for _ in range(5):
                    nursery.start_soon(peer.request, GetBlockHeaders(0, 0, 1))
                await trio.sleep(1)
                for _ in range(5):
                    message = await other.hear()
                    assert len(peer._requests) <= 3
                    request = decode_message(message.code - ETH_OFFSET, message.payload)
                    assert isinstance(request, GetBlockHeaders)
                    await other.say(BlockHeaders(request.request_id, ()))


class TestSignsOfLife:
    async def test_idle_nodes_stay_connected(self, network: MemoryNetwork, autojump_clock: MockClock) -> None:
        b = Node(network, 2)
        a = Node(network, 1, static_peers=(b.enode,))
        async with running(b, a):
            await connected(a, b)
            await trio.sleep(3600)
            assert a.peer(b).connected_at < 10
            assert a.peer(b).silent_s <= 15

    async def test_a_silent_peer_is_asked_and_then_dropped(
        self, network: MemoryNetwork, autojump_clock: MockClock
    ) -> None:
        a = Node(network, 1, idle_timeout_s=30.0)
        async with running(a):
            other, _ = await met(network, a)
            assert (await other.connection.read()).code == PING_CODE
            gone = await left(a)
            assert (gone.by_us, gone.reason) == (True, "no sign of life for 30 s")
            assert gone.connected_s == pytest.approx(30, abs=5)
            assert not a.told(PeerPenalised)

    async def test_an_endless_message_is_no_sign_of_life(
        self, network: MemoryNetwork, autojump_clock: MockClock
    ) -> None:
        a = Node(network, 1, idle_timeout_s=30.0)
        async with running(a):
            other, _ = await met(network, a)
            endless = other.connection.encode(ETH_OFFSET + 2, random.Random(1).randbytes(9_000_000))
            async with trio.open_nursery() as nursery:

                @nursery.start_soon
                async def trickle() -> None:
                    for byte in endless[:200]:
                        await other.connection.stream.send_all(bytes((byte,)))
                        await trio.sleep(0.7)

                assert (await left(a)).connected_s == pytest.approx(120, abs=6)
                nursery.cancel_scope.cancel()

    async def test_a_peer_that_does_not_read_is_dropped(
        self, network: MemoryNetwork, autojump_clock: MockClock
    ) -> None:
        """It keeps talking, so that it looks alive, and never takes what we send."""
        a = Node(network, 1, idle_timeout_s=30.0)
        async with running(a):
            other, peer = await met(network, a)
            assert peer.send(transaction(1_000_000))
            async with trio.open_nursery() as nursery:

                @nursery.start_soon
                async def talk() -> None:
                    while True:
                        await other.say(ANNOUNCED)
                        await trio.sleep(5)

                assert (await left(a)).reason == "the peer has read nothing for 30 s"
                nursery.cancel_scope.cancel()


class TestQueues:
    @pytest.mark.parametrize(
        "limits", [PeerLimits(outbox_messages_max=10), PeerLimits(outbox_bytes_max=500_000)]
    )
    async def test_a_peer_whose_queue_is_full_is_dropped(
        self, network: MemoryNetwork, autojump_clock: MockClock, limits: PeerLimits
    ) -> None:
        a = Node(network, 1, peer=limits)
        async with running(a):
            _, peer = await met(network, a)
            sent = 0
            while peer.send(transaction(100_000)):
                sent += 1
                await trio.sleep(0.1)
            assert sent <= 13
            assert (await left(a)).reason == "its queue is full: it reads too slowly"

    async def test_a_message_larger_than_the_queue_still_goes_out(
        self, network: MemoryNetwork, autojump_clock: MockClock
    ) -> None:
        a = Node(network, 1, peer=PeerLimits(outbox_bytes_max=1000))
        async with running(a):
            other, peer = await met(network, a)
            assert peer.send(transaction(30_000))
            assert (await other.hear()).code == ETH_OFFSET + 2

    async def test_answers_wait_for_a_peer_that_reads_slowly(
        self, network: MemoryNetwork, autojump_clock: MockClock
    ) -> None:
        a = Node(network, 1, peer=PeerLimits(outbox_bytes_max=1_000_000))
        async with running(a):
            other, peer = await met(network, a)
            answered = 0

            async def answer() -> None:
                nonlocal answered
                for _ in range(40):
                    await peer.wait_writable()
                    assert peer.send(transaction(100_000))
                    answered += 1

            async with trio.open_nursery() as nursery:
                nursery.start_soon(answer)
                await trio.sleep(5)
                assert 1 <= answered <= 4
                for _ in range(40):
                    assert (await other.hear()).code == ETH_OFFSET + 2
                    await trio.sleep(1)
            assert a.pool.peers

    async def test_waiting_for_a_peer_that_leaves_ends(
        self, network: MemoryNetwork, autojump_clock: MockClock
    ) -> None:
        a = Node(network, 1)
        async with running(a):
            other, peer = await met(network, a)
            while peer._outbox.fullness < 0.2:
                assert peer.send(transaction(1_000_000))
            await other.connection.stream.aclose()
            await peer.wait_writable()
            assert not peer.send(ANNOUNCED)

    async def test_whoever_serves_too_slowly_loses_gossip_first(
        self, network: MemoryNetwork, autojump_clock: MockClock
    ) -> None:
        a = Node(network, 1, peer=PeerLimits(inbox_messages_max=10))

        async def busy(peer: Peer) -> None:
            await trio.sleep(10)
            await a.answer(peer)

        a.serve = busy
        async with running(a):
            other, peer = await met(network, a)
            for _ in range(20):
                await other.say(ANNOUNCED)
            for _ in range(20):
                await other.say(NewBlockHashes(()))
            await trio.sleep(11)
            kinds = [type(message).__name__ for _, message in a.received]
            assert kinds == ["NewPooledTransactionHashes"] * 6 + ["NewBlockHashes"] * 4
            assert peer.traffic().messages_lost == 30
            await other.say(ANNOUNCED)
            await until(lambda: len(a.received) == 11)

    async def test_messages_leave_in_the_order_they_were_sent(
        self, network: MemoryNetwork, autojump_clock: MockClock
    ) -> None:
        a = Node(network, 1)
        async with running(a):
            other, peer = await met(network, a)
            sizes = [random.Random(n).randrange(20_000) for n in range(50)]
            for size in sizes:
                assert peer.send(transaction(size))
            peer.disconnect()
            heard = []
            while (message := await other.hear()).code != DISCONNECT_CODE:
                heard.append(len(message.payload))
            assert heard == sorted(heard, key=heard.index)
            assert decode_disconnect(message.payload) is DisconnectReason.REQUESTED


class TestFloods:
    async def test_a_flood_is_read_slowly_and_then_shut_out(
        self, network: MemoryNetwork, autojump_clock: MockClock
    ) -> None:
        a = Node(network, 1, peer=PeerLimits(messages_per_s=100, messages_burst=200))
        async with running(a):
            other, _ = await met(network, a)
            async with trio.open_nursery() as nursery:

                @nursery.start_soon
                async def flood() -> None:
                    with contextlib.suppress(PeerGone):
                        while True:
                            await other.connection.write(PING_CODE, b"\xc0")

                @nursery.start_soon
                async def drain() -> None:
                    while (await other.connection.read()).code != DISCONNECT_CODE:
                        pass
                    await other.connection.stream.aclose()

                gone = await left(a)
            assert gone.reason == "more than 100 messages a second"
            assert gone.connected_s == pytest.approx(10, abs=2)
            assert gone.traffic.messages_in < 1400
            assert a.told(PeerPenalised)[-1].banned

    async def test_a_burst_costs_little(self, network: MemoryNetwork, autojump_clock: MockClock) -> None:
        a = Node(network, 1, peer=PeerLimits(messages_per_s=100, messages_burst=200))
        async with running(a):
            other, _ = await met(network, a)
            for _ in range(250):
                await other.say(NewBlockHashes(()))
            await until(lambda: len(a.received) == 250)
            assert sum(report.points for report in a.told(PeerPenalised)) <= 10

    async def test_a_flood_of_bytes_is_read_no_faster_than_allowed(
        self, network: MemoryNetwork, autojump_clock: MockClock
    ) -> None:
        a = Node(network, 1, peer=PeerLimits(bytes_per_s=10_000, bytes_burst=50_000))
        async with running(a):
            other, _ = await met(network, a)
            started = trio.current_time()
            for _ in range(10):
                await other.say(transaction(30_000))
            await until(lambda: len(a.received) == 10)
            assert trio.current_time() - started == pytest.approx(25, abs=4)
            assert not a.told(PeerPenalised)


class TestMalformed:
    @pytest.mark.parametrize(
        ("code", "payload"),
        [
            (0x00, b"\xc0"),
            (0x0F, b"\xc0"),
            (ETH_OFFSET, encode_status(STATUS)),
            (ETH_OFFSET + 0x0D, b"\xc0"),
            (ETH_OFFSET + 0x02, b"\xc1\x05"),
            (ETH_OFFSET + 17, b"\xc0"),
            (0xFFFF, b"\xc0"),
        ],
        ids=["hello", "base", "status", "node data", "bad contents", "past eth", "far"],
    )
    async def test_what_no_protocol_allows_ends_the_connection(
        self, network: MemoryNetwork, autojump_clock: MockClock, code: int, payload: bytes
    ) -> None:
        a = Node(network, 1)
        async with running(a):
            other, _ = await met(network, a)
            await other.connection.write(code, payload)
            assert await other.goodbye() == DisconnectReason.BREACH_OF_PROTOCOL
            assert a.told(PeerPenalised)

    async def test_a_broken_frame_ends_the_connection(
        self, network: MemoryNetwork, autojump_clock: MockClock
    ) -> None:
        a = Node(network, 1)
        async with running(a):
            other, _ = await met(network, a)
            await other.connection.stream.send_all(bytes(64))
            assert await other.goodbye() == DisconnectReason.BREACH_OF_PROTOCOL
            assert (await left(a)).reason == "a frame header with a wrong MAC"
            assert not a.told(PeerPenalised), "anybody on the way could have done it"

    async def test_a_large_first_message_is_refused_until_the_peer_is_known(
        self, network: MemoryNetwork, autojump_clock: MockClock
    ) -> None:
        a = Node(network, 1)
        async with running(a):
            other = await stranger(network, a, 50)
            await other.connection.establish()
            await other.connection.write(0x00, bytes(3000))
            await other.connection.read()  # its Hello
            assert decode_disconnect((await other.connection.read()).payload) == (
                DisconnectReason.BREACH_OF_PROTOCOL
            )


class TestOtherProtocols:
    ISTANBUL = CapabilitySpec("istanbul", 100, 18)

    async def test_messages_of_another_protocol_pass_unread(
        self, network: MemoryNetwork, autojump_clock: MockClock
    ) -> None:
        b = Node(network, 2, capabilities=(self.ISTANBUL,))
        a = Node(network, 1, capabilities=(self.ISTANBUL,), static_peers=(b.enode,))
        async with running(b, a):
            await connected(a, b)
            assert a.peer(b).send_opaque("istanbul", 0x11, b"proposal")
            assert await b.peer(a).receive_opaque("istanbul") == (0x11, b"proposal")
            assert b.peer(a).send_opaque("istanbul", 0x00, b"")
            assert await a.peer(b).receive_opaque("istanbul") == (0x00, b"")
            assert (await a.peer(b).request(GetBlockHeaders(0, 0, 1))).headers == ()

    async def test_a_peer_without_it_is_still_a_peer(
        self, network: MemoryNetwork, autojump_clock: MockClock
    ) -> None:
        a = Node(network, 1, capabilities=(self.ISTANBUL,))
        async with running(a):
            _, peer = await met(network, a)
            with pytest.raises(KeyError):
                peer.send_opaque("istanbul", 0, b"")

    async def test_its_messages_may_come_before_status(
        self, network: MemoryNetwork, autojump_clock: MockClock
    ) -> None:
        a = Node(network, 1, capabilities=(self.ISTANBUL,))
        async with running(a):
            other = await stranger(network, a, 50)
            await other.hello(Capability("istanbul", 100))
            await other.connection.write(ETH_OFFSET + 17 + 5, b"early")
            await other.connection.exchange_status(other.eth, STATUS)
            await until(lambda: a.pool.peers)
            assert await a.peer(other).receive_opaque("istanbul") == (5, b"early")

    async def test_but_not_any_number_of_them(
        self, network: MemoryNetwork, autojump_clock: MockClock
    ) -> None:
        a = Node(network, 1, capabilities=(self.ISTANBUL,))
        async with running(a):
            other = await stranger(network, a, 50)
            await other.hello(Capability("istanbul", 100))
            for _ in range(17):
                await other.connection.write(ETH_OFFSET + 17 + 5, b"early")
            assert await other.goodbye() == DisconnectReason.BREACH_OF_PROTOCOL


async def test_pings_are_answered_also_before_status(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    a = Node(network, 1)
    async with running(a):
        other = await stranger(network, a, 50)
        await other.hello()
        await other.connection.write(PING_CODE, b"\xc0")
        await other.connection.exchange_status(other.eth, STATUS)
        await other.connection.write(PING_CODE, b"\xc0")
        assert (await other.connection.read()).code == 0x03


async def test_a_peer_of_an_older_devp2p_version_talks_uncompressed(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    a = Node(network, 1)
    async with running(a):
        other = await stranger(network, a, 50)
        await other.connection.establish()
        hello = Hello(4, "old", (Capability("eth", 68),), 0, other.key.public_key)
        await other.connection.exchange_hello(hello)
        other.session._snappy = False
        await other.connection.exchange_status(other.eth, STATUS)
        await other.say(ANNOUNCED)
        await until(lambda: a.received)


async def test_large_messages_are_decoded_aside_and_stay_in_order(network: MemoryNetwork) -> None:
    """In real time: worker threads are invisible to a virtual clock."""
    b = Node(network, 2)
    a = Node(network, 1, static_peers=(b.enode,))
    async with running(b, a):
        await connected(a, b)
        sizes = [100, 200_000, 50, 40_000, 60]
        for size in sizes:
            assert a.peer(b).send(transaction(size))
        await until(lambda: len(b.received) == 5)
        assert [message for _, message in b.received] == [transaction(size) for size in sizes]
