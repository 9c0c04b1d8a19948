"""Decoders of bytes from strangers against noise: a value or a ChainError, never anything else."""

import contextlib
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.primitives import rlp
from node.primitives.errors import ChainError
from p2p.devp2p.hello import decode_hello
from p2p.devp2p.messages import decode_disconnect, describe
from p2p.enode import InvalidEnode, parse_enode
from p2p.errors import PeerError
from p2p.eth.messages import ETH68, decode_message, encode_message
from p2p.eth.status import decode_status, encode_status
from p2p.rlpx import ecies, handshake
from p2p.rlpx.session import Session
from tests.fuzz.samples import SAMPLES

fuzz = settings(deadline=None, derandomize=True, database=None)
"""The same noise in every run: what fails once fails again."""

ITEMS: st.SearchStrategy[rlp.Encodable] = st.recursive(
    st.one_of(
        st.binary(max_size=40),
        st.sampled_from([b"", b"\x01", bytes(8), bytes(20), bytes(32), bytes(256)]),
        st.integers(min_value=0, max_value=(1 << 70)),
    ),
    lambda inner: st.lists(inner, max_size=17),
    max_leaves=40,
)
PAYLOADS = st.one_of(st.binary(max_size=600), ITEMS.map(rlp.encode))


def outcome(decode: Callable[[bytes], object], payload: bytes) -> object:
    """What was decoded, or the refusal itself; anything else than a ChainError fails the test."""
    try:
        return decode(payload)
    except ChainError as refused:
        return refused


@pytest.mark.parametrize("code", sorted(ETH68.codecs))
@given(payload=PAYLOADS)
@settings(fuzz, max_examples=60)
def test_eth_messages(code: int, payload: bytes) -> None:
    check_eth_message(code, payload)


@pytest.mark.parametrize("code", sorted(ETH68.codecs))
@given(
    damage=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=3), cut=st.integers(0, 40)
)
@settings(fuzz, max_examples=60)
def test_damaged_eth_messages(code: int, damage: list[tuple[int, int]], cut: int) -> None:
    payload = bytearray(SAMPLES[code])
    assert not isinstance(outcome(lambda p: decode_message(code, p), bytes(payload)), ChainError)
    for position, value in damage:
        payload[position % len(payload)] = value
    if cut < 5:
        del payload[len(payload) - cut :]
    check_eth_message(code, bytes(payload))


def check_eth_message(code: int, payload: bytes) -> None:
    """Strict decoding: refused with words, or accepted and then its one encoding."""
    result = outcome(lambda p: encode_message(decode_message(code, p)), payload)
    assert str(result) if isinstance(result, ChainError) else result == (code, payload)


@given(payload=PAYLOADS)
@settings(fuzz, max_examples=200)
def test_status(payload: bytes) -> None:
    result = outcome(lambda p: encode_status(decode_status(p)), payload)
    assert str(result) if isinstance(result, ChainError) else result == payload


@given(payload=PAYLOADS)
@settings(fuzz, max_examples=200)
def test_hello(payload: bytes) -> None:
    assert str(outcome(decode_hello, payload))


@given(payload=PAYLOADS)
@settings(fuzz, max_examples=200)
def test_disconnect(payload: bytes) -> None:
    assert describe(decode_disconnect(payload))


@given(text=st.text(max_size=80), is_url=st.booleans())
@settings(fuzz, max_examples=200)
def test_enode(text: str, is_url: bool) -> None:
    url = f"enode://{KEY.public_key.hex()}@{text}" if is_url else text
    try:
        node = parse_enode(url)
    except InvalidEnode:
        return
    assert parse_enode(str(node)) == node


KEY = handshake.new_private_key(random.Random(1).randbytes)
OTHER = handshake.new_private_key(random.Random(2).randbytes)


@given(body=PAYLOADS)
@settings(fuzz, max_examples=100)
def test_sealed_handshake_contents(body: bytes) -> None:
    """Anyone can seal a packet for us; what is inside must not matter."""
    prefix = (len(body) + ecies.OVERHEAD_BYTES).to_bytes(2, "big")
    packet = prefix + ecies.encrypt(KEY.public_key, body, prefix, ephemeral=OTHER, iv=bytes(16))
    assert str(outcome(lambda p: handshake.respond(KEY, p, random.Random(3).randbytes), packet))
    initiation = handshake.initiate(KEY, OTHER.public_key, random.Random(4).randbytes)
    assert str(outcome(lambda p: handshake.conclude(initiation, p), packet))


@given(chunks=st.lists(st.binary(max_size=400), max_size=6), is_initiator=st.booleans())
@settings(fuzz, max_examples=200)
def test_session_before_the_handshake(chunks: list[bytes], is_initiator: bool) -> None:
    entropy = random.Random(5).randbytes
    session = (
        Session.initiator(KEY, OTHER.public_key, entropy) if is_initiator else Session.responder(KEY, entropy)
    )
    drain(session, chunks)
    assert not session.is_established


@given(
    body=st.one_of(st.binary(max_size=300), ITEMS.map(rlp.encode)),
    damage=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=2),
    snappy=st.booleans(),
)
@settings(fuzz, max_examples=300)
def test_session_after_the_handshake(body: bytes, damage: list[tuple[int, int]], snappy: bool) -> None:
    sender = Session.initiator(OTHER, KEY.public_key, random.Random(6).randbytes)
    receiver = Session.responder(KEY, random.Random(7).randbytes)
    drain(receiver, [sender.bytes_to_send()])
    drain(sender, [receiver.bytes_to_send()])
    assert sender.is_established
    if snappy:
        receiver.enable_snappy()
    assert sender._frames is not None
    wire = bytearray(sender._frames.encode(body))
    for position, value in damage:
        wire[position % len(wire)] = value
    drain(receiver, [bytes(wire)])


def drain(session: Session, chunks: list[bytes]) -> None:
    """Feed bytes as a connection does: stop at the first PeerError; anything else fails the test."""
    with contextlib.suppress(PeerError):
        for chunk in chunks:
            session.receive_data(chunk)
            while session.next_message() is not None:
                pass
