"""Evidence reaches every member, once, and nobody is flooded."""

import pytest
import trio

from node.chain.evidence import EvidenceBook
from node.primitives.errors import ChainError
from node.storage.memory import MemoryKV
from node.sync.evidence import PAIRS_BURST, EvidenceExchange
from p2p.errors import PeerGone
from p2p.evidence import EVIDENCE_MAX, decode_evidence, encode_evidence
from tests.chain.harness import KEYS, ChainMaker, make_spec


class Wire:
    """One end of a connection between two members."""

    def __init__(self, *, shared: bool = True) -> None:
        self.shared = shared
        self.far: trio.MemorySendChannel[tuple[int, bytes]]
        self.near: trio.MemoryReceiveChannel[tuple[int, bytes]]
        self.sent = 0
        self.penalties: list[str] = []

    def shares(self, capability: str) -> bool:
        return self.shared and capability == "evidence"

    def send_opaque(self, capability: str, code: int, payload: bytes) -> bool:
        self.sent += 1
        self.far.send_nowait((code, payload))
        return True

    async def receive_opaque(self, capability: str) -> tuple[int, bytes]:
        try:
            return await self.near.receive()
        except trio.EndOfChannel:
            raise PeerGone("it has gone") from None

    def penalise(self, points: float, reason: str) -> None:
        self.penalties.append(reason)


def wires() -> tuple[Wire, Wire]:
    one, other = Wire(), Wire()
    one.far, other.near = trio.open_memory_channel[tuple[int, bytes]](1000)
    other.far, one.near = trio.open_memory_channel[tuple[int, bytes]](1000)
    return one, other


MAKER = ChainMaker(make_spec(KEYS[:3]))
TWINS = MAKER.unimported(MAKER.head).header, MAKER.unimported(MAKER.head, vanity=b"x").header


def member() -> tuple[EvidenceBook, EvidenceExchange]:
    book = EvidenceBook(MemoryKV(), MAKER.reader)
    return book, EvidenceExchange(book)


async def test_it_reaches_members_that_have_no_connection_to_who_found_it_and_then_ends(
    autojump_clock: trio.testing.MockClock,
) -> None:
    members = [member() for _ in range(5)]
    ends: list[Wire] = []
    async with trio.open_nursery() as nursery:
        for place in range(4):  # a row: each knows its neighbours only
            left, right = wires()
            ends += [left, right]
            nursery.start_soon(members[place][1].serve_peer, left)
            nursery.start_soon(members[place + 1][1].serve_peer, right)
        await trio.sleep(1)
        book = members[0][0]
        proof = book.take(*TWINS)
        assert proof is not None
        book.tell([proof])
        await trio.sleep(1)
        assert [book.count for book, _ in members] == [1] * 5
        assert sum(end.sent for end in ends) == 4
        # Whoever comes later is told, too.
        late_book, late = member()
        left, right = wires()
        nursery.start_soon(members[4][1].serve_peer, left)
        nursery.start_soon(late.serve_peer, right)
        await trio.sleep(1)
        assert late_book.count == 1
        nursery.cancel_scope.cancel()


async def test_a_peer_of_another_program_hears_nothing(autojump_clock: trio.testing.MockClock) -> None:
    book, exchange = member()
    book.take(*TWINS)
    geth = Wire(shared=False)
    await exchange.serve_peer(geth)
    assert geth.sent == 0


async def test_what_proves_nothing_is_its_senders_fault(autojump_clock: trio.testing.MockClock) -> None:
    for payload in (encode_evidence([(TWINS[0], TWINS[0])]), b"\xff", b"\xc1\xc0"):
        near, far = wires()
        far.send_opaque("evidence", 0, payload)
        with pytest.raises(ChainError):
            await member()[1].serve_peer(near)


async def test_a_flood_is_not_looked_at(autojump_clock: trio.testing.MockClock) -> None:
    near, far = wires()
    for _ in range(int(PAIRS_BURST) // EVIDENCE_MAX + 3):
        far.send_opaque("evidence", 0, encode_evidence([TWINS] * EVIDENCE_MAX))
    far.far.close()
    book, exchange = member()
    with pytest.raises(PeerGone):
        await exchange.serve_peer(near)
    assert len(near.penalties) == 3
    assert book.count == 1


def test_messages_are_read_back_and_bounded() -> None:
    assert decode_evidence(0, encode_evidence([TWINS])) == (TWINS,)
    with pytest.raises(ChainError, match="no message 0x01"):
        decode_evidence(1, encode_evidence([TWINS]))
    with pytest.raises(ChainError, match="at most 262144"):
        decode_evidence(0, bytes(300_000))
