"""keccak256 and secp256k1 (libsecp256k1 through coincurve), in the shapes Ethereum uses.

Signatures are 65 bytes: r(32) ‖ s(32) ‖ y_parity(1), with y_parity 0 or 1.
"""

from typing import Final

import coincurve
from sha3 import keccak_256

from node.primitives.errors import ChainError
from node.primitives.ids import Address, Hash32

SECP256K1_N: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
SECP256K1_HALF_N: Final = SECP256K1_N // 2
SIGNATURE_BYTES: Final = 65


class InvalidSignature(ChainError):
    """No public key could have made this signature over this digest."""


def keccak256(data: bytes) -> Hash32:
    """Keccak-256 as Ethereum uses it (original padding, not SHA3-256). Yellow Paper, section 4.1."""
    return Hash32(keccak_256(data).digest())


EMPTY_HASH: Final = keccak256(b"")
"""Hash of no bytes: the code hash of an account without code."""


class PrivateKey:
    """A secp256k1 secret. Never printed, compared or pickled; only signs."""

    __slots__ = ("_key", "address", "public_key")

    def __init__(self, secret: bytes) -> None:
        """Take a 32-byte big-endian secret; ValueError when it is not in [1, n)."""
        if len(secret) != 32 or not 0 < int.from_bytes(secret, "big") < SECP256K1_N:
            raise ValueError("a secp256k1 secret is 32 bytes, not zero and below the group order")
        self._key = coincurve.PrivateKey(secret)
        self.public_key: bytes = self._key.public_key.format(compressed=False)[1:]
        self.address: Address = address_of(self.public_key)

    def __repr__(self) -> str:
        return f"PrivateKey(address=0x{self.address.hex()})"

    def __reduce__(self) -> str:
        raise TypeError("a private key is not pickled")

    def sign(self, digest: Hash32) -> bytes:
        """65-byte recoverable low-s signature over a 32-byte digest (RFC 6979, deterministic)."""
        assert len(digest) == 32
        return self._key.sign_recoverable(digest, hasher=None)

    def ecdh_x(self, public_key: bytes) -> bytes:
        """x coordinate (32 bytes) of secret * point. InvalidSignature when the 64 bytes are no point."""
        try:
            point = coincurve.PublicKey(b"\x04" + public_key)
        except ValueError as error:
            raise InvalidSignature("64 bytes that are not a point of secp256k1") from error
        return point.multiply(self._key.secret).format(compressed=True)[1:]

    def secret_bytes(self) -> bytes:
        """The 32-byte secret itself, for the key store that encrypts it."""
        return self._key.secret


def address_of(public_key: bytes) -> Address:
    """Address of a 64-byte uncompressed public key (no 0x04 prefix)."""
    return Address(keccak_256(public_key).digest()[12:])


def recover_public_key(digest: Hash32, signature: bytes) -> bytes:
    """64-byte public key that made a 65-byte signature; InvalidSignature when there is none."""
    if len(signature) != SIGNATURE_BYTES or signature[64] > 1:
        raise InvalidSignature(f"{len(signature)} bytes are not a signature with y parity 0 or 1")
    try:
        key = coincurve.PublicKey.from_signature_and_message(signature, digest, hasher=None)
    except Exception as error:  # coincurve raises bare Exception and ValueError alike
        raise InvalidSignature("the signature recovers to no public key") from error
    return key.format(compressed=False)[1:]


def recover_address(digest: Hash32, signature: bytes) -> Address:
    """Address that signed the digest; InvalidSignature when there is none."""
    return address_of(recover_public_key(digest, signature))
