"""auth and ack against the packets published with EIP-8, and our two sides against each other."""

import random
from typing import Any

import pytest

from node.primitives import rlp
from node.primitives.crypto import PrivateKey, recover_public_key
from node.primitives.ids import Hash32
from p2p.errors import HandshakeFailed
from p2p.rlpx import ecies, handshake
from tests.vectors import load_json, require


@pytest.fixture(scope="module")
def vectors() -> Any:
    return load_json(require("devp2p/eip8_rlpx_handshake.json"))


def seeded(seed: int) -> handshake.Entropy:
    return random.Random(seed).randbytes


def scripted(*first: bytes) -> handshake.Entropy:
    """Gives these draws first, then seeded noise."""
    script, rest = list(first), seeded(0)
    return lambda count: script.pop(0) if script else rest(count)


def key(seed: int) -> PrivateKey:
    return handshake.new_private_key(seeded(seed))


def initiation_of(vectors: Any) -> handshake.Initiation:
    """The initiator of the published packets, in the state it was in when the acks were made."""
    keys = {name: bytes.fromhex(value) for name, value in vectors["keys"].items()}
    return handshake.Initiation(
        auth_packet=bytes.fromhex(vectors["auth"][0]["input"]),
        key=PrivateKey(keys["static_initiator_A"]),
        ephemeral=PrivateKey(keys["ephemeral_A"]),
        nonce=keys["nonce_A"],
        remote_public_key=PrivateKey(keys["static_recipient_B"]).public_key,
    )


@pytest.mark.parametrize("index", [0, 1])
def test_published_auth_packets_are_answered(vectors: Any, index: int) -> None:
    keys = {name: bytes.fromhex(value) for name, value in vectors["keys"].items()}
    packet = bytes.fromhex(vectors["auth"][index]["input"])
    _, secrets = handshake.respond(PrivateKey(keys["static_recipient_B"]), packet, seeded(1))
    assert secrets.remote_public_key == PrivateKey(keys["static_initiator_A"]).public_key


def test_published_plain_auth_packet_is_answered(vectors: Any) -> None:
    keys = {name: bytes.fromhex(value) for name, value in vectors["keys"].items()}
    packet = bytes.fromhex(vectors["plain_pre_eip8_packets"][0]["input"])
    recipient = PrivateKey(keys["static_recipient_B"])
    assert handshake.is_plain_auth(recipient, packet)
    ack, secrets = handshake.respond(recipient, packet, scripted(keys["ephemeral_B"], keys["nonce_B"]))
    assert secrets.remote_public_key == PrivateKey(keys["static_initiator_A"]).public_key
    opened = ecies.decrypt(PrivateKey(keys["static_initiator_A"]), ack, b"")
    assert opened == PrivateKey(keys["ephemeral_B"]).public_key + keys["nonce_B"] + b"\x00"


@pytest.mark.parametrize("index", [0, 1])
def test_published_ack_packets_conclude(vectors: Any, index: int) -> None:
    packet = bytes.fromhex(vectors["ack"][index]["input"])
    secrets = handshake.conclude(initiation_of(vectors), packet)
    ephemeral_b = PrivateKey(bytes.fromhex(vectors["keys"]["ephemeral_B"]))
    expected = handshake.derive_secrets(
        remote_public_key=secrets.remote_public_key,
        shared_ephemeral=ephemeral_b.ecdh_x(initiation_of(vectors).ephemeral.public_key),
        initiator=(initiation_of(vectors).nonce, initiation_of(vectors).auth_packet),
        responder=(bytes.fromhex(vectors["keys"]["nonce_B"]), packet),
        is_initiator=True,
    )
    assert (secrets.aes_secret, secrets.mac_secret) == (expected.aes_secret, expected.mac_secret)
    assert secrets.egress_mac.digest() == expected.egress_mac.digest()


def test_published_secrets_are_derived(vectors: Any) -> None:
    keys = {name: bytes.fromhex(value) for name, value in vectors["keys"].items()}
    auth_packet = bytes.fromhex(vectors["auth"][0]["input"])
    secrets = handshake.derive_secrets(
        remote_public_key=PrivateKey(keys["static_initiator_A"]).public_key,
        shared_ephemeral=PrivateKey(keys["ephemeral_B"]).ecdh_x(PrivateKey(keys["ephemeral_A"]).public_key),
        initiator=(keys["nonce_A"], auth_packet),
        responder=(keys["nonce_B"], bytes.fromhex(vectors["ack"][0]["input"])),
        is_initiator=False,
    )
    expected = vectors["derived_for_recipient_with_auth0_ack0"]
    assert secrets.aes_secret.hex() == expected["aes_secret"]
    assert secrets.mac_secret.hex() == expected["mac_secret"]
    secrets.ingress_mac.update(b"foo")
    assert secrets.ingress_mac.digest().hex() == expected["ingress_mac_after_updating_with_foo"]


def test_the_published_signature_names_the_ephemeral_key(vectors: Any) -> None:
    keys = {name: bytes.fromhex(value) for name, value in vectors["keys"].items()}
    recipient = PrivateKey(keys["static_recipient_B"])
    shared = recipient.ecdh_x(PrivateKey(keys["static_initiator_A"]).public_key)
    token = bytes(a ^ b for a, b in zip(shared, keys["nonce_A"], strict=True))
    recovered = recover_public_key(Hash32(token), keys["auth_signature"])
    assert recovered == PrivateKey(keys["ephemeral_A"]).public_key
    packet = bytes.fromhex(vectors["auth"][0]["input"])
    assert keys["auth_signature"] in ecies.decrypt(recipient, packet[2:], packet[:2])


def test_both_sides_draw_the_same_secrets() -> None:
    initiation = handshake.initiate(key(1), key(2).public_key, seeded(3))
    ack, responder = handshake.respond(key(2), initiation.auth_packet, seeded(4))
    initiator = handshake.conclude(initiation, ack)
    assert (initiator.aes_secret, initiator.mac_secret) == (responder.aes_secret, responder.mac_secret)
    assert initiator.egress_mac.digest() == responder.ingress_mac.digest()
    assert initiator.ingress_mac.digest() == responder.egress_mac.digest()
    assert initiator.remote_public_key == key(2).public_key
    assert responder.remote_public_key == key(1).public_key


@pytest.mark.parametrize("seed", range(20))
def test_packets_stay_within_the_limit_that_we_accept(seed: int) -> None:
    packet = handshake.initiate(key(1), key(2).public_key, seeded(seed)).auth_packet
    assert handshake.packet_size(packet[:2]) == len(packet) <= handshake.PACKET_BYTES_MAX


@pytest.mark.parametrize("prefix", [b"\x00\x00", b"\x00\x6f", b"\x08\x00", b"\xff\xff"])
def test_packets_of_impossible_size_are_refused(prefix: bytes) -> None:
    with pytest.raises(HandshakeFailed, match="bytes"):
        handshake.packet_size(prefix)


def test_a_packet_for_another_key_is_refused() -> None:
    packet = handshake.initiate(key(1), key(2).public_key, seeded(3)).auth_packet
    with pytest.raises(HandshakeFailed, match="our node key"):
        handshake.respond(key(9), packet, seeded(4))


@pytest.mark.parametrize("position", [0, 1, 2, 3, 40, 70, 90, 200, -1])
def test_a_changed_packet_is_refused(position: int) -> None:
    packet = bytearray(handshake.initiate(key(1), key(2).public_key, seeded(3)).auth_packet)
    packet[position] ^= 1
    with pytest.raises(HandshakeFailed):
        handshake.respond(key(2), bytes(packet), seeded(4))


def test_an_ack_that_answers_another_auth_gives_other_secrets() -> None:
    first = handshake.initiate(key(1), key(2).public_key, seeded(3))
    second = handshake.initiate(key(1), key(2).public_key, seeded(5))
    ack, responder = handshake.respond(key(2), first.auth_packet, seeded(4))
    assert handshake.conclude(second, ack).aes_secret != responder.aes_secret


def test_a_node_id_that_is_no_point_cannot_be_dialled() -> None:
    with pytest.raises(HandshakeFailed, match="no point"):
        handshake.initiate(key(1), b"\x01" * 64, seeded(3))


def sealed_auth(body: bytes) -> bytes:
    """An auth packet for key 2 with any contents."""
    prefix = (len(body) + ecies.OVERHEAD_BYTES).to_bytes(2, "big")
    return prefix + ecies.encrypt(key(2).public_key, body, prefix, ephemeral=key(7), iv=bytes(16))


@pytest.mark.parametrize(
    "body",
    [b"", b"\x80", b"\xc0", b"\xc3\x01\x02\x03", b"\xf8", bytes(50)],
    ids=["nothing", "a string", "no items", "short items", "cut length", "zeros"],
)
def test_sealed_nonsense_is_refused(body: bytes) -> None:
    with pytest.raises(HandshakeFailed):
        handshake.respond(key(2), sealed_auth(body), seeded(4))


def test_a_signature_that_recovers_nothing_is_refused() -> None:
    body = rlp.encode([bytes(65), key(1).public_key, bytes(32), 4])
    with pytest.raises(HandshakeFailed, match="does not prove"):
        handshake.respond(key(2), sealed_auth(body), seeded(4))


def test_an_impossible_secret_is_drawn_again() -> None:
    assert handshake.new_private_key(scripted(bytes(32), b"\x01" * 32)).secret_bytes() == b"\x01" * 32


def test_secrets_are_never_shown() -> None:
    initiation = handshake.initiate(key(1), key(2).public_key, seeded(3))
    _, secrets = handshake.respond(key(2), initiation.auth_packet, seeded(4))
    shown = repr(secrets) + repr(initiation)
    for secret in (secrets.aes_secret, secrets.mac_secret, initiation.nonce):
        assert repr(secret) not in shown
        assert secret.hex() not in shown
    assert "PrivateKey(address=" in shown
