"""What Clique keeps in a header's extra data: vanity (32) ‖ signers (20 each, checkpoints only) ‖ seal (65).

The seal signs the header without itself; the block hash covers the seal too. Whoever holds a sealed header
can write the same signature in its other form (n - s), which geth accepts too, and so make a second hash for
the same header. What a key has signed is therefore told by `seal_hash`, never by the block hash.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from consensus.clique.errors import MalformedSigners, ShortExtraData, UnrecoverableSeal
from consensus.validators import Validators, validators_of
from node.primitives import rlp
from node.primitives.block import Header, header_fields
from node.primitives.crypto import SIGNATURE_BYTES, InvalidSignature, keccak256, recover_address
from node.primitives.ids import Address, Hash32

VANITY_BYTES: Final = 32
SEAL_BYTES: Final = SIGNATURE_BYTES
ADDRESS_BYTES: Final = 20


def seal_hash(header: Header) -> Hash32:
    """What a seal signs: the header's RLP with the last 65 bytes of extra data left out. EIP-225.

    The base fee is part of it from London on. ShortExtraData when there is no room for a seal.
    """
    if len(header.extra_data) < SEAL_BYTES:
        raise ShortExtraData(len(header.extra_data), VANITY_BYTES + SEAL_BYTES)
    return keccak256(rlp.encode(header_fields(header, extra_data=header.extra_data[:-SEAL_BYTES])))


def recover_author(header: Header) -> Address:
    """Who sealed the header; ShortExtraData or UnrecoverableSeal when nobody did."""
    digest = seal_hash(header)
    try:
        return recover_address(digest, header.extra_data[-SEAL_BYTES:])
    except InvalidSignature as error:
        raise UnrecoverableSeal(f"the seal of block {header.number} is no signature: {error}") from error


def unsealed(vanity: bytes, signers: Iterable[Address] = ()) -> bytes:
    """Extra data with zero bytes where the seal will stand; vanity is cut or filled to 32 bytes."""
    return vanity[:VANITY_BYTES].ljust(VANITY_BYTES, b"\0") + b"".join(signers) + bytes(SEAL_BYTES)


def sealed(header: Header, signature: bytes) -> Header:
    """The header with a 65-byte signature as its seal."""
    assert len(signature) == SEAL_BYTES
    return replace(header, extra_data=header.extra_data[:-SEAL_BYTES] + signature)


def signer_bytes(header: Header) -> bytes:
    """What stands between vanity and seal; ShortExtraData when these do not fit."""
    if len(header.extra_data) < VANITY_BYTES + SEAL_BYTES:
        raise ShortExtraData(len(header.extra_data), VANITY_BYTES + SEAL_BYTES)
    return header.extra_data[VANITY_BYTES:-SEAL_BYTES]


def listed_signers(header: Header) -> Validators:
    """The signers that a genesis or checkpoint header lists.

    Any order is read, as geth takes a genesis in any; of a checkpoint `rules` demands the ascending one.
    MalformedSigners for an empty list, for a part of an address and for an address named twice.
    """
    raw = signer_bytes(header)
    if not raw or len(raw) % ADDRESS_BYTES:
        raise MalformedSigners(len(raw), f"it has {ADDRESS_BYTES} bytes for each of at least one signer")
    addresses = [Address(raw[start : start + ADDRESS_BYTES]) for start in range(0, len(raw), ADDRESS_BYTES)]
    signers = validators_of(addresses)
    if len(signers) != len(addresses):
        raise MalformedSigners(len(raw), "it names a signer twice")
    return signers
