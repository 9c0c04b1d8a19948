"""keccak256 and secp256k1 (libsecp256k1 through coincurve), in the shapes Ethereum uses.

Signatures are 65 bytes: r(32) ‖ s(32) ‖ y_parity(1), with y_parity 0 or 1.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import coincurve
from sha3 import keccak_256

from node.native import kernels
from node.primitives.errors import ChainError
from node.primitives.ids import Address, Hash32

SECP256K1_N: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
SECP256K1_HALF_N: Final = SECP256K1_N // 2
SIGNATURE_BYTES: Final = 65


class InvalidSignature(ChainError):
    """No public key could have made this signature over this digest."""


if TYPE_CHECKING or kernels is None:

    def keccak256(data: bytes | bytearray) -> Hash32:
        """Keccak-256 as Ethereum uses it (original padding, not SHA3-256). Yellow Paper, section 4.1."""
        return Hash32(keccak_256(data).digest())

else:
    keccak256 = kernels.keccak256


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


def recover_addresses(digests: Sequence[Hash32], signatures: Sequence[bytes]) -> list[Address | None]:
    """Signers of many digests, None where there is none; in C the interpreter lock is free meanwhile."""
    if any(len(signature) != SIGNATURE_BYTES for signature in signatures):
        raise ValueError("a signature has 65 bytes")
    if kernels is not None and _BOUND:
        found = kernels.recover_addresses(b"".join(digests), b"".join(signatures))
        return [None if address is None else Address(address) for address in found]
    return [
        _address_or_none(digest, signature) for digest, signature in zip(digests, signatures, strict=True)
    ]


def _address_or_none(digest: Hash32, signature: bytes) -> Address | None:
    try:
        return recover_address(digest, signature)
    except InvalidSignature:
        return None


def recovers_in_c() -> bool:
    """Whether the kernels have libsecp256k1."""
    return _BOUND


def _bind() -> bool:
    """Lend the kernels coincurve's libsecp256k1; False when its private parts are not where they were."""
    if kernels is None:
        return False
    try:
        from coincurve._libsecp256k1 import ffi, lib
        from coincurve.context import GLOBAL_CONTEXT

        functions = (
            ffi.addressof(lib, name)
            for name in (
                "secp256k1_ecdsa_recoverable_signature_parse_compact",
                "secp256k1_ecdsa_recover",
                "secp256k1_ec_pubkey_serialize",
            )
        )
        places = [int(ffi.cast("uintptr_t", each)) for each in (GLOBAL_CONTEXT.ctx, *functions)]
    except (ImportError, AttributeError, TypeError):
        return False
    kernels.bind_secp256k1(*places)
    return True


_BOUND: Final = _bind()
"""Whether batches of signatures are recovered in C."""
