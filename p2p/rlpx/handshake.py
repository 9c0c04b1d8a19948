"""auth and ack: two packets from which both sides draw the same secrets (rlpx.md, EIP-8).

The initiator knows whom it dials, and proves who it is by signing with a fresh key over the static shared
secret; the responder answers with its own fresh key. Forward compatibility: any version, further list items
and trailing bytes are accepted. The size-free packets from before EIP-8 are read and answered too.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

from sha3 import keccak_256

from node.primitives import rlp
from node.primitives.crypto import (
    SIGNATURE_BYTES,
    InvalidSignature,
    PrivateKey,
    keccak256,
    recover_public_key,
)
from node.primitives.ids import Hash32
from p2p.errors import HandshakeFailed
from p2p.rlpx import ecies

Entropy: TypeAlias = Callable[[int], bytes]
"""Draws that many unpredictable bytes."""

VERSION: Final = 4
NONCE_BYTES: Final = 32
PUBLIC_KEY_BYTES: Final = 64
SIZE_PREFIX_BYTES: Final = 2
PACKET_BYTES_MAX: Final = 2048
"""Of a whole packet with its size prefix; honest ones have about 500."""
PADDING_BYTES_MIN: Final = 100
"""EIP-8 pads so that the new packets cannot be taken for the old ones."""
PADDING_BYTES_SPREAD: Final = 100
PLAIN_AUTH_BYTES: Final = ecies.OVERHEAD_BYTES + SIGNATURE_BYTES + 32 + PUBLIC_KEY_BYTES + NONCE_BYTES + 1
"""307: an auth packet from before EIP-8."""


class RunningMac(Protocol):
    """A keccak state that can be read without ending it."""

    def update(self, data: bytes, /) -> None:
        """Absorb bytes."""
        ...

    def digest(self) -> bytes:
        """The 32-byte digest of all absorbed so far."""
        ...


@dataclass(frozen=True, slots=True)
class Secrets:
    """What a finished handshake leaves; never shown."""

    remote_public_key: bytes
    """64 bytes: the peer's identity. Only the peer can make frames with these secrets."""
    aes_secret: bytes = field(repr=False)
    mac_secret: bytes = field(repr=False)
    egress_mac: RunningMac = field(repr=False)
    ingress_mac: RunningMac = field(repr=False)


@dataclass(frozen=True, slots=True)
class Initiation:
    """The dialling side between auth and ack."""

    auth_packet: bytes
    key: PrivateKey
    ephemeral: PrivateKey
    nonce: bytes = field(repr=False)
    remote_public_key: bytes


def initiate(key: PrivateKey, remote_public_key: bytes, entropy: Entropy) -> Initiation:
    """Make the auth packet for the node with this 64-byte key; HandshakeFailed when that is no key."""
    ephemeral, nonce = new_private_key(entropy), entropy(NONCE_BYTES)
    try:
        token = _xor(key.ecdh_x(remote_public_key), nonce)
    except InvalidSignature as error:
        raise HandshakeFailed("the node id dialled is no point of the curve") from error
    body = rlp.encode([ephemeral.sign(Hash32(token)), key.public_key, nonce, VERSION])
    return Initiation(_seal(remote_public_key, body, entropy), key, ephemeral, nonce, remote_public_key)


def conclude(initiation: Initiation, ack_packet: bytes) -> Secrets:
    """The initiator's secrets from the answer; HandshakeFailed for any other bytes."""
    plaintext = _open(initiation.key, ack_packet)
    remote_ephemeral, remote_nonce = _leading_bytes(plaintext, (PUBLIC_KEY_BYTES, NONCE_BYTES))
    return derive_secrets(
        remote_public_key=initiation.remote_public_key,
        shared_ephemeral=_shared(initiation.ephemeral, remote_ephemeral),
        initiator=(initiation.nonce, initiation.auth_packet),
        responder=(remote_nonce, ack_packet),
        is_initiator=True,
    )


def respond(key: PrivateKey, auth_packet: bytes, entropy: Entropy) -> tuple[bytes, Secrets]:
    """(ack packet to send, secrets) of the listening side; HandshakeFailed for a bad auth packet."""
    is_plain = len(auth_packet) == PLAIN_AUTH_BYTES and auth_packet[0] == 4
    auth = _read_plain_auth(key, auth_packet) if is_plain else _read_auth(key, auth_packet)
    remote_ephemeral = _recover_ephemeral(key, auth)
    if auth.ephemeral_hash not in (None, keccak256(remote_ephemeral)):
        raise HandshakeFailed("auth names another ephemeral key than the one that signed it")
    ephemeral, nonce = new_private_key(entropy), entropy(NONCE_BYTES)
    if is_plain:
        ack_packet = _encrypt(auth.public_key, ephemeral.public_key + nonce + b"\x00", b"", entropy)
    else:
        body = rlp.encode([ephemeral.public_key, nonce, VERSION])
        ack_packet = _seal(auth.public_key, body, entropy)
    secrets = derive_secrets(
        remote_public_key=auth.public_key,
        shared_ephemeral=_shared(ephemeral, remote_ephemeral),
        initiator=(auth.nonce, auth_packet),
        responder=(nonce, ack_packet),
        is_initiator=False,
    )
    return ack_packet, secrets


def is_plain_auth(key: PrivateKey, packet: bytes) -> bool:
    """Whether these PLAIN_AUTH_BYTES were sealed for our key in the format from before EIP-8."""
    try:
        ecies.decrypt(key, packet, b"")
    except HandshakeFailed:
        return False
    return True


def packet_size(prefix: bytes) -> int:
    """Bytes of the whole packet that starts with these two; HandshakeFailed when out of bounds."""
    size = SIZE_PREFIX_BYTES + int.from_bytes(prefix, "big")
    if not ecies.OVERHEAD_BYTES < size <= PACKET_BYTES_MAX:
        raise HandshakeFailed(f"a handshake packet of {size} bytes; at most {PACKET_BYTES_MAX}")
    return size


def derive_secrets(
    *,
    remote_public_key: bytes,
    shared_ephemeral: bytes,
    initiator: tuple[bytes, bytes],
    responder: tuple[bytes, bytes],
    is_initiator: bool,
) -> Secrets:
    """Secrets from the shared point and each side's (nonce, packet as it went over the wire)."""
    initiator_nonce, auth_packet = initiator
    responder_nonce, ack_packet = responder
    shared_secret = keccak256(shared_ephemeral + keccak256(responder_nonce + initiator_nonce))
    aes_secret = keccak256(shared_ephemeral + shared_secret)
    mac_secret = keccak256(shared_ephemeral + aes_secret)
    towards_responder: RunningMac = keccak_256(_xor(mac_secret, responder_nonce) + auth_packet)
    towards_initiator: RunningMac = keccak_256(_xor(mac_secret, initiator_nonce) + ack_packet)
    egress, ingress = towards_responder, towards_initiator
    if not is_initiator:
        egress, ingress = ingress, egress
    return Secrets(remote_public_key, aes_secret, mac_secret, egress, ingress)


def new_private_key(entropy: Entropy) -> PrivateKey:
    """A fresh key; draws again in the one case of 2**128 where the bytes are no valid secret."""
    while True:
        try:
            return PrivateKey(entropy(32))
        except ValueError:
            continue


# --- reading


@dataclass(frozen=True, slots=True)
class _Auth:
    signature: bytes
    public_key: bytes
    nonce: bytes
    ephemeral_hash: bytes | None


def _read_auth(key: PrivateKey, packet: bytes) -> _Auth:
    sizes = (SIGNATURE_BYTES, PUBLIC_KEY_BYTES, NONCE_BYTES)
    signature, public_key, nonce = _leading_bytes(_open(key, packet), sizes)
    return _Auth(signature, public_key, nonce, None)


def _read_plain_auth(key: PrivateKey, packet: bytes) -> _Auth:
    plaintext = ecies.decrypt(key, packet, b"")
    signature, rest = plaintext[:SIGNATURE_BYTES], plaintext[SIGNATURE_BYTES:]
    return _Auth(signature, rest[32:96], rest[96:128], rest[:32])


def _open(key: PrivateKey, packet: bytes) -> bytes:
    return ecies.decrypt(key, packet[SIZE_PREFIX_BYTES:], packet[:SIZE_PREFIX_BYTES])


def _leading_bytes(plaintext: bytes, sizes: tuple[int, ...]) -> list[bytes]:
    """The first strings of the list that stands at the front; later items and padding are ignored (EIP-8)."""
    try:
        _, end, is_list = rlp.item_bounds(plaintext, 0, len(plaintext))
        items = rlp.split_list(plaintext[:end]) if is_list else []
        if len(items) < len(sizes):
            raise HandshakeFailed(f"a handshake packet of {len(items)} items; {len(sizes)} are needed")
        return [rlp.as_bytes(rlp.decode(item), size) for item, size in zip(items, sizes, strict=False)]
    except rlp.RlpError as error:
        raise HandshakeFailed(f"a handshake packet that cannot be read: {error}") from error


def _recover_ephemeral(key: PrivateKey, auth: _Auth) -> bytes:
    try:
        token = _xor(key.ecdh_x(auth.public_key), auth.nonce)
        return recover_public_key(Hash32(token), auth.signature)
    except InvalidSignature as error:
        raise HandshakeFailed(f"auth does not prove its sender: {error}") from error


def _shared(ephemeral: PrivateKey, remote_ephemeral: bytes) -> bytes:
    try:
        return ephemeral.ecdh_x(remote_ephemeral)
    except InvalidSignature as error:
        raise HandshakeFailed("the peer's ephemeral key is no point of the curve") from error


# --- writing


def _seal(public_key: bytes, body: bytes, entropy: Entropy) -> bytes:
    padding = entropy(PADDING_BYTES_MIN + entropy(1)[0] % PADDING_BYTES_SPREAD)
    size = len(body) + len(padding) + ecies.OVERHEAD_BYTES
    prefix = size.to_bytes(SIZE_PREFIX_BYTES, "big")
    return prefix + _encrypt(public_key, body + padding, prefix, entropy)


def _encrypt(public_key: bytes, plaintext: bytes, associated: bytes, entropy: Entropy) -> bytes:
    ephemeral, iv = new_private_key(entropy), entropy(ecies.IV_BYTES)
    return ecies.encrypt(public_key, plaintext, associated, ephemeral=ephemeral, iv=iv)


def _xor(a: bytes, b: bytes) -> bytes:
    return (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).to_bytes(len(a), "big")
