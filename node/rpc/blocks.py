"""How a client names a block, and which block that is.

Tags under Clique, which has no finality of its own (N signers; any N//2+1 successive blocks have that many
different signers, because a signer must sit out N//2 blocks after one of its own):

- `latest`     the head.
- `earliest`   genesis.
- `pending`    the node keeps no pending block: block queries and state reads answer with `latest`;
               eth_getTransactionCount counts what waits in the pool; eth_call and its relatives run on the
               state of `latest` but see number, time and base fee of the block to come.
- `safe`       N//2 below the head: more than half of the signers have sealed it or built on it.
- `finalized`  N below the head: a whole round has built on it. Final only as far as a majority of signers is
               honest and connected; an engine with finality (QBFT) answers both with its head.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, TypeAlias

from node.primitives.block import Header
from node.primitives.ids import BlockNumber, Hash32, hex_of
from node.rpc.backend import ChainBackend
from node.rpc.jsonrpc import RpcError
from node.rpc.params import BadValue, read_bool, read_hash, read_member, read_uint64
from node.rpc.remembered import Holds


class Tag(Enum):
    """A block by role instead of by number."""

    LATEST = "latest"
    EARLIEST = "earliest"
    PENDING = "pending"
    SAFE = "safe"
    FINALIZED = "finalized"


@dataclass(frozen=True, slots=True)
class ByHash:
    """A block by hash (EIP-1898)."""

    hash: Hash32
    require_canonical: bool = False
    """Refuse a block that is known but lies on a side branch."""


NumberOrTag: TypeAlias = BlockNumber | Tag
BlockId: TypeAlias = NumberOrTag | ByHash

_TAGS = {tag.value: tag for tag in Tag}


class HeaderNotFound(RpcError):
    """The block is not there, in geth's words."""

    def __init__(self, text: str = "header not found") -> None:
        super().__init__(text)


def read_number_or_tag(value: Any) -> NumberOrTag:
    """ "latest" or "0x1b4"."""
    if isinstance(value, str) and (tag := _TAGS.get(value)) is not None:
        return tag
    try:
        return read_uint64(value)
    except BadValue as error:
        raise BadValue(f"{error}; a block is a hex number or one of {', '.join(_TAGS)}") from None


def read_block_id(value: Any) -> BlockId:
    """Number, tag, 32-byte hash, or an object with blockNumber or blockHash (EIP-1898)."""
    if isinstance(value, dict):
        return _read_block_object(value)
    if isinstance(value, str) and len(value) == 66:
        return ByHash(read_hash(value))
    return read_number_or_tag(value)


LIGHT_GAS: Final = 500_000
"""A block that used no more holds a few dozen transactions at most: decoded in about a millisecond."""


def is_light(chain: ChainBackend, block: BlockId) -> bool:
    """Whether reading this block is so little work that the event loop can do it."""
    header = find_header(chain, block)
    return header is None or header.gas_used <= LIGHT_GAS


def holds_of(chain: ChainBackend, block: BlockId) -> Holds | None:
    """How long it holds what was said of this block; None for one that is not there."""
    match block:
        case int():
            return Holds.PAST if block <= chain.head.number else None
        case Tag.EARLIEST | ByHash():
            return Holds.PAST
        case Tag.PENDING:
            return None
        case _:
            return Holds.AT_HEAD


def find_header(chain: ChainBackend, block: BlockId) -> Header | None:
    """The header meant; None where there is none. HeaderNotFound for a side branch that may not be used."""
    match block:
        case int():
            return chain.header_by_number(block)
        case Tag.LATEST | Tag.PENDING:
            return chain.head
        case Tag.EARLIEST:
            return chain.genesis
        case Tag.SAFE:
            return chain.safe_header()
        case Tag.FINALIZED:
            return chain.finalized_header()
        case ByHash(block_hash, require_canonical):
            header = chain.header(block_hash)
            if header and require_canonical and chain.canonical_hash(header.number) != block_hash:
                raise HeaderNotFound(f"hash {hex_of(block_hash)} is not currently canonical")
            return header


def wanted_header(chain: ChainBackend, block: BlockId) -> Header:
    """The header meant; HeaderNotFound where there is none."""
    header = find_header(chain, block)
    if header is None:
        raise HeaderNotFound("header for hash not found" if isinstance(block, ByHash) else "header not found")
    return header


def _read_block_object(value: dict[str, Any]) -> BlockId:
    number = read_member(value, "blockNumber", read_number_or_tag)
    block_hash = read_member(value, "blockHash", read_hash)
    if number is not None and block_hash is not None:
        raise BadValue("cannot specify both BlockHash and BlockNumber, choose one or the other")
    if number is not None:
        return number
    if block_hash is None:
        raise BadValue('an object that names a block has "blockHash" or "blockNumber"')
    return ByHash(block_hash, read_member(value, "requireCanonical", read_bool) or False)
