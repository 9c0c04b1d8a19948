"""A Clique header as it travels to a remote signer: its RLP without the 65 bytes of seal in extra data.

The keccak-256 of these bytes is the seal hash. Web3Signer hashes whatever `data` it is given; clef takes the
header in either form and hashes it without the seal. Both dialects are described in
docs.web3signer.consensys.io and in go-ethereum's accounts/external.
"""

from dataclasses import replace
from typing import Final

from consensus.clique.extra_data import ADDRESS_BYTES, SEAL_BYTES, VANITY_BYTES
from node.primitives import rlp
from node.primitives.block import Header, header_fields, header_from_item
from node.primitives.errors import ChainError

EXTRA_DATA_FIELD: Final = 12


def encode_unsealed(header: Header) -> bytes:
    """The header without its seal; its extra data has room for one."""
    return rlp.encode(header_fields(header, extra_data=header.extra_data[:-SEAL_BYTES]))


def decode_unsealed(data: bytes) -> Header:
    """The header, with zeros where the seal will stand; ChainError when it is none, or carries a seal."""
    fields = rlp.as_list(rlp.decode(data))
    if len(fields) <= EXTRA_DATA_FIELD:
        raise ChainError(f"a header has more than {len(fields)} fields")
    signers_bytes = len(rlp.as_bytes(fields[EXTRA_DATA_FIELD])) - VANITY_BYTES
    if signers_bytes < 0 or signers_bytes % ADDRESS_BYTES:
        raise ChainError("extra data is not 32 bytes and whole addresses: no Clique header without its seal")
    header = header_from_item(fields)
    return replace(header, extra_data=header.extra_data + bytes(SEAL_BYTES))


def decode_with_or_without_seal(data: bytes) -> Header:
    """The same, from a header in either form; what stands in the place of the seal is not looked at."""
    fields = rlp.as_list(rlp.decode(data))
    if len(fields) <= EXTRA_DATA_FIELD:
        raise ChainError(f"a header has more than {len(fields)} fields")
    extra = rlp.as_bytes(fields[EXTRA_DATA_FIELD])
    # 65 is no multiple of 20, so the length tells the two forms apart.
    if (len(extra) - VANITY_BYTES - SEAL_BYTES) % ADDRESS_BYTES == 0 and len(extra) > SEAL_BYTES:
        header = header_from_item(fields)
        return decode_unsealed(encode_unsealed(header))
    return decode_unsealed(data)
