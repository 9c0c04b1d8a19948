"""The session machine: fed whole, byte by byte and with trailing data; what it refuses."""

import random

import cramjam
import pytest

from node.primitives import rlp
from node.primitives.crypto import PrivateKey
from p2p.errors import BrokenFrame, HandshakeFailed, MalformedMessage
from p2p.rlpx.handshake import Entropy, new_private_key
from p2p.rlpx.session import RawMessage, Session
from tests.vectors import load_json, require


def seeded(seed: int) -> Entropy:
    return random.Random(seed).randbytes


KEY_A = new_private_key(seeded(1))
KEY_B = new_private_key(seeded(2))


class Pair:
    """Two sessions with a wire between them that hands over `step` bytes at a time."""

    def __init__(self, step: int | None = None, key_b: PrivateKey = KEY_B) -> None:
        self.a = Session.initiator(KEY_A, KEY_B.public_key, seeded(3))
        self.b = Session.responder(key_b, seeded(4))
        self.step = step

    def feed(self, receiver: Session, data: bytes) -> list[RawMessage]:
        messages = []
        step = self.step or max(len(data), 1)
        for start in range(0, len(data), step):
            receiver.receive_data(data[start : start + step])
            while (message := receiver.next_message()) is not None:
                messages.append(message)
        return messages

    def shake_hands(self) -> "Pair":
        assert self.feed(self.b, self.a.bytes_to_send()) == []
        assert self.feed(self.a, self.b.bytes_to_send()) == []
        assert self.a.is_established
        assert self.b.is_established
        return self


MESSAGES = [RawMessage(0, b""), RawMessage(1, b"\xc0"), RawMessage(0x7F, bytes(100)), RawMessage(0x80, b"x")]


@pytest.mark.parametrize("step", [None, 1, 2, 31, 33], ids=lambda step: f"step={step}")
@pytest.mark.parametrize("snappy", [False, True])
def test_messages_come_through_however_the_bytes_are_cut(step: int | None, snappy: bool) -> None:
    pair = Pair(step).shake_hands()
    assert pair.a.remote_public_key == KEY_B.public_key
    assert pair.b.remote_public_key == KEY_A.public_key
    if snappy:
        pair.a.enable_snappy()
        pair.b.enable_snappy()
    for sender, receiver in ((pair.a, pair.b), (pair.b, pair.a)):
        wire = b"".join(sender.encode(message.code, message.payload) for message in MESSAGES)
        assert pair.feed(receiver, wire) == MESSAGES


def test_messages_may_follow_the_ack_in_the_same_read() -> None:
    pair = Pair()
    pair.feed(pair.b, pair.a.bytes_to_send())
    wire = pair.b.bytes_to_send() + pair.b.encode(5, b"early")
    assert pair.feed(pair.a, wire) == [RawMessage(5, b"early")]


def test_an_unfinished_message_is_no_message() -> None:
    pair = Pair().shake_hands()
    assert not pair.b.has_partial_message
    assert pair.feed(pair.b, pair.a.encode(5, b"late")[:-1]) == []
    assert pair.b.has_partial_message


def test_handshake_bytes_are_handed_out_once() -> None:
    pair = Pair()
    assert pair.a.bytes_to_send()
    assert pair.a.bytes_to_send() == b""


@pytest.mark.parametrize("size", range(1020, 1290, 30))
def test_large_auth_packets_are_told_from_plain_ones(size: int) -> None:
    """Their size prefix starts with 4, as packets from before EIP-8 do."""
    pair = Pair()
    pair.a = Session.initiator(KEY_A, KEY_B.public_key, stretched_to(size))
    auth = pair.a.bytes_to_send()
    assert len(auth) == size
    assert pair.feed(pair.b, auth) == []
    assert pair.b.is_established


def stretched_to(size: int) -> Entropy:
    """Entropy that pads the auth packet to this size: the padding is the draw of more than 99 bytes."""
    rest = seeded(3)
    overhead = 2 + 113 + len(rlp.encode([bytes(65), bytes(64), b"\x01" * 32, 4]))
    return lambda count: rest(size - overhead if count > 99 else count)


@pytest.mark.parametrize("step", [None, 1])
def test_a_plain_auth_packet_is_answered_when_it_is_whole(step: int | None) -> None:
    vectors = load_json(require("devp2p/eip8_rlpx_handshake.json"))
    pair = Pair(step, PrivateKey(bytes.fromhex(vectors["keys"]["static_recipient_B"])))
    packet = bytes.fromhex(vectors["plain_pre_eip8_packets"][0]["input"])
    assert pair.feed(pair.b, packet[:-1]) == []
    assert not pair.b.is_established
    pair.feed(pair.b, packet[-1:])
    assert pair.b.is_established
    assert len(pair.b.bytes_to_send()) == 210


@pytest.mark.parametrize("noise", [b"GET / HTTP/1.1\r\n\r\n" * 200, b"\x16\x03\x01\x02\x00" * 500, bytes(64)])
def test_other_protocols_are_refused_early(noise: bytes) -> None:
    pair = Pair()
    with pytest.raises(HandshakeFailed):
        pair.feed(pair.b, noise)


def test_a_session_that_failed_refuses_everything_after() -> None:
    pair = Pair().shake_hands()
    frame = bytearray(pair.a.encode(5, b"broken"))
    frame[-1] ^= 1
    with pytest.raises(BrokenFrame):
        pair.feed(pair.b, bytes(frame))
    with pytest.raises(BrokenFrame):
        pair.feed(pair.b, pair.a.encode(5, b"whole"))


@pytest.mark.parametrize("snappy", [False, True])
def test_a_message_over_the_limit_is_refused_at_its_head(snappy: bool) -> None:
    pair = Pair().shake_hands()
    pair.b.frame_bytes_max = 1000
    payload = random.Random(5).randbytes(1000)
    if snappy:
        pair.a.enable_snappy()
        pair.b.enable_snappy()
    with pytest.raises(MalformedMessage, match="1000 are allowed"):
        pair.feed(pair.b, pair.a.encode(5, payload)[:32])


def test_an_empty_frame_is_refused() -> None:
    pair = Pair().shake_hands()
    assert pair.a._frames is not None
    with pytest.raises(MalformedMessage, match="0 bytes"):
        pair.feed(pair.b, pair.a._frames.encode(b""))


@pytest.mark.parametrize("body", [b"\xc0", b"\xc1\x01", b"\x81", b"\x81\x05", b"\x83\x01\x02\x03", b"\xb8"])
def test_a_frame_without_a_message_id_is_refused(body: bytes) -> None:
    pair = Pair().shake_hands()
    assert pair.a._frames is not None
    with pytest.raises(MalformedMessage):
        pair.feed(pair.b, pair.a._frames.encode(body))


class TestSnappy:
    @pytest.fixture
    def pair(self) -> Pair:
        """Only the receiver expects compression, so that the sender can send any bytes."""
        pair = Pair().shake_hands()
        pair.b.enable_snappy()
        return pair

    def test_a_declared_length_over_the_limit_is_refused_before_decompressing(self, pair: Pair) -> None:
        pair.b.frame_bytes_max = 100_000
        bomb = bytes(cramjam.snappy.compress_raw(bytes(100_001)))
        assert len(bomb) < 10_000
        with pytest.raises(MalformedMessage, match="declare 100001"):
            pair.feed(pair.b, pair.a.encode(5, bomb))

    def test_a_declared_length_that_no_stream_can_reach_is_refused(self, pair: Pair) -> None:
        with pytest.raises(MalformedMessage, match="6 compressed bytes that declare 16777215"):
            pair.feed(pair.b, pair.a.encode(5, b"\xff\xff\xff\x07\x00\x00"))

    def test_the_most_compressible_message_is_not_taken_for_a_bomb(self, pair: Pair) -> None:
        for size in (1, 60, 1000, 1 << 16, (1 << 24) - 1):
            compressed = bytes(cramjam.snappy.compress_raw(bytes(size)))
            assert pair.feed(pair.b, pair.a.encode(5, compressed)) == [RawMessage(5, bytes(size))]

    @pytest.mark.parametrize("payload", [b"\xc0", b"\x05abc", b"\xff" * 12, b"\x80"])
    def test_bytes_that_are_not_compressed_are_refused(self, pair: Pair, payload: bytes) -> None:
        with pytest.raises(MalformedMessage):
            pair.feed(pair.b, pair.a.encode(5, payload))

    @pytest.mark.parametrize("payload", [b"\xc1\x04", b"\x04", b""])
    def test_disconnect_is_read_compressed_or_not(self, pair: Pair, payload: bytes) -> None:
        assert pair.feed(pair.b, pair.a.encode(1, payload)) == [RawMessage(1, payload)]
        compressed = bytes(cramjam.snappy.compress_raw(payload))
        assert pair.feed(pair.b, pair.a.encode(1, compressed)) == [RawMessage(1, payload)]


def test_nothing_secret_is_shown() -> None:
    pair = Pair().shake_hands()
    assert repr(pair.a) == "<Session initiator established=True>"
    assert repr(pair.b) == "<Session responder established=True>"
