"""Packets of eth/68, their bytes and their bounds.

Counts are checked before items are taken apart, so that a message costs no more than its bytes. Bounds are
what honest clients send at most, with room; who serves a request clamps its own answer.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeAlias, TypeVar

from node.primitives import rlp
from node.primitives.block import (
    EXTRA_DATA_BYTES_MAX,
    Block,
    BlockRef,
    Body,
    Header,
    decode_block,
    decode_body,
    decode_header,
    encode_block,
    encode_body,
    encode_header,
)
from node.primitives.ids import BlockNumber, Hash32
from node.primitives.receipt import BLOOM_BYTES, Receipt, decode_receipt_item, encode_receipt_list
from node.primitives.transaction import Transaction, decode_transactions, encode_transactions
from p2p.errors import MalformedMessage

MESSAGE_BYTES_MAX: Final = 10 << 20
"""Bytes of one message before compression; a block must fit into it."""
HEADERS_MAX: Final = 1024
HEADER_BYTES_MAX: Final = EXTRA_DATA_BYTES_MAX + 1024
"""Of one encoded header; looked at before it is taken apart."""
BODIES_MAX: Final = 1024
RECEIPT_LISTS_MAX: Final = 1024
HASHES_REQUESTED_MAX: Final = 1024
BLOCK_HASHES_ANNOUNCED_MAX: Final = 1024
TRANSACTIONS_MAX: Final = 4096
TRANSACTION_HASHES_ANNOUNCED_MAX: Final = 4096

REQUEST_ID_BITS: Final = 64


@dataclass(frozen=True, slots=True)
class NewBlockHashes:
    """Blocks the sender has lately imported."""

    entries: tuple[BlockRef, ...]


@dataclass(frozen=True, slots=True)
class Transactions:
    """Transactions in full, unasked."""

    transactions: tuple[Transaction, ...]


@dataclass(frozen=True, slots=True)
class GetBlockHeaders:
    """Ask for headers: `amount` of them from `origin`, leaving out `skip` between two."""

    request_id: int
    origin: Hash32 | BlockNumber
    amount: int
    skip: int = 0
    reverse: bool = False
    """Towards genesis."""


@dataclass(frozen=True, slots=True)
class BlockHeaders:
    """Answer to GetBlockHeaders: those the sender has, in the order asked."""

    request_id: int
    headers: tuple[Header, ...]


@dataclass(frozen=True, slots=True)
class GetBlockBodies:
    """Ask for bodies by block hash."""

    request_id: int
    hashes: tuple[Hash32, ...]


@dataclass(frozen=True, slots=True)
class BlockBodies:
    """Answer to GetBlockBodies: those the sender has, in the order asked, gaps left out."""

    request_id: int
    bodies: tuple[Body, ...]


@dataclass(frozen=True, slots=True)
class NewBlock:
    """A whole new block, with the total difficulty up to and with it."""

    block: Block
    total_difficulty: int
    encoded: bytes | None = field(default=None, repr=False, compare=False)
    """The payload that it came in, as it goes on to others."""


@dataclass(frozen=True, slots=True)
class NewPooledTransactionHashes:
    """Transactions in the sender's pool that the receiver may ask for; three columns of equal length."""

    types: bytes
    """One EIP-2718 type byte each, 0 for legacy."""
    sizes: tuple[int, ...]
    """Bytes of each encoded envelope."""
    hashes: tuple[Hash32, ...]


@dataclass(frozen=True, slots=True)
class GetPooledTransactions:
    """Ask for transactions by hash."""

    request_id: int
    hashes: tuple[Hash32, ...]


@dataclass(frozen=True, slots=True)
class PooledTransactions:
    """Answer to GetPooledTransactions: those the sender has, in the order asked, gaps left out."""

    request_id: int
    transactions: tuple[Transaction, ...]


@dataclass(frozen=True, slots=True)
class GetReceipts:
    """Ask for the receipts of whole blocks by block hash."""

    request_id: int
    hashes: tuple[Hash32, ...]


@dataclass(frozen=True, slots=True)
class Receipts:
    """Answer to GetReceipts: one list a block, in the order asked, gaps left out."""

    request_id: int
    receipts: tuple[tuple[Receipt, ...], ...]


Request: TypeAlias = GetBlockHeaders | GetBlockBodies | GetPooledTransactions | GetReceipts
Response: TypeAlias = BlockHeaders | BlockBodies | PooledTransactions | Receipts
Announcement: TypeAlias = NewBlockHashes | Transactions | NewBlock | NewPooledTransactionHashes
Message: TypeAlias = Request | Response | Announcement

_M = TypeVar("_M")


@dataclass(frozen=True, slots=True)
class Codec(Generic[_M]):
    """One row of a version: a message type and its bytes both ways."""

    type: type[_M]
    encode: Callable[[_M], bytes]
    decode: Callable[[bytes], _M]


@dataclass(frozen=True, slots=True)
class EthVersion:
    """One version of the protocol."""

    version: int
    message_count: int
    """How many message ids it takes, Status (0) included."""
    codecs: Mapping[int, Codec[Any]]
    """Message id within the protocol -> codec; Status has its own (p2p.eth.status)."""
    same_from_all: frozenset[int] = frozenset()
    """Ids of messages that come from many peers in the same bytes: new blocks."""

    def code_of(self, message: Message) -> int:
        """The id under which this version sends a message."""
        return next(code for code, codec in self.codecs.items() if codec.type is type(message))


def encode_message(message: Message, protocol: "EthVersion | None" = None) -> tuple[int, bytes]:
    """(message id within the protocol, payload)."""
    protocol = protocol or ETH68
    code = protocol.code_of(message)
    return code, protocol.codecs[code].encode(message)


def decode_message(code: int, payload: bytes, protocol: "EthVersion | None" = None) -> Message:
    """Inverse of encode_message; ChainError (MalformedMessage, RlpError, ...) for anything else."""
    codec = (protocol or ETH68).codecs.get(code)
    if codec is None:
        raise MalformedMessage(f"eth has no message {code:#04x} here")
    if len(payload) > MESSAGE_BYTES_MAX:
        raise MalformedMessage(
            f"a {codec.type.__name__} of {len(payload)} bytes; at most {MESSAGE_BYTES_MAX}"
        )
    message: Message = codec.decode(payload)
    return message


# --- pieces


def _with_id(request_id: int, encoded: bytes) -> bytes:
    return rlp.encode_list((rlp.encode_uint(request_id), encoded))


def _without_id(payload: bytes) -> tuple[int, bytes]:
    parts = rlp.split_list(payload, 2)
    if len(parts) != 2:
        raise MalformedMessage("a message of one part where request id and contents are expected")
    return rlp.as_uint(rlp.decode(parts[0]), REQUEST_ID_BITS), parts[1]


def _hashes(encoded: bytes, count_max: int) -> tuple[Hash32, ...]:
    return tuple(map(Hash32, rlp.split_words(encoded, count_max)))


def _encode_hash_list(hashes: Sequence[Hash32]) -> bytes:
    return rlp.encode_list(map(rlp.encode_bytes, hashes))


# --- announcements


def _encode_new_block_hashes(message: NewBlockHashes) -> bytes:
    return rlp.encode([(entry.hash, entry.number) for entry in message.entries])


def _decode_new_block_hashes(payload: bytes) -> NewBlockHashes:
    entries = []
    for item in rlp.split_list(payload, BLOCK_HASHES_ANNOUNCED_MAX):
        block_hash, number = rlp.as_list(rlp.decode(item), 2)
        entries.append(BlockRef(rlp.as_uint(number, 64), Hash32(rlp.as_bytes(block_hash, 32))))
    return NewBlockHashes(tuple(entries))


def _decode_transaction_list(encoded: bytes) -> tuple[Transaction, ...]:
    return decode_transactions(encoded, TRANSACTIONS_MAX)


def _encode_new_block(message: NewBlock) -> bytes:
    if message.encoded is not None:
        return message.encoded
    return rlp.encode_list((encode_block(message.block), rlp.encode_uint(message.total_difficulty)))


def _decode_new_block(payload: bytes) -> NewBlock:
    parts = rlp.split_list(payload, 2)
    if len(parts) != 2:
        raise MalformedMessage("a NewBlock of one part where block and total difficulty are expected")
    return NewBlock(decode_block(parts[0]), rlp.as_uint(rlp.decode(parts[1])), payload)


def _encode_pooled_hashes(message: NewPooledTransactionHashes) -> bytes:
    return rlp.encode([message.types, message.sizes, message.hashes])


def _decode_pooled_hashes(payload: bytes) -> NewPooledTransactionHashes:
    parts = rlp.split_list(payload, 3)
    if len(parts) != 3:
        raise MalformedMessage(f"{len(parts)} columns where types, sizes and hashes are expected")
    types = rlp.as_bytes(rlp.decode(parts[0]))
    sizes = rlp.split_list(parts[1], TRANSACTION_HASHES_ANNOUNCED_MAX)
    hashes = _hashes(parts[2], TRANSACTION_HASHES_ANNOUNCED_MAX)
    if not len(types) == len(sizes) == len(hashes):
        raise MalformedMessage(
            f"{len(types)} types, {len(sizes)} sizes and {len(hashes)} hashes do not match"
        )
    return NewPooledTransactionHashes(
        types, tuple(rlp.as_uint(rlp.decode(size), 32) for size in sizes), hashes
    )


# --- requests


def _encode_get_headers(message: GetBlockHeaders) -> bytes:
    query = rlp.encode([message.origin, message.amount, message.skip, int(message.reverse)])
    return _with_id(message.request_id, query)


def _decode_get_headers(payload: bytes) -> GetBlockHeaders:
    request_id, query = _without_id(payload)
    items = [rlp.decode(item) for item in rlp.split_list(query, 4)]
    if len(items) != 4:
        raise MalformedMessage(f"a header query of {len(items)} parts where four are expected")
    origin_item, amount, skip, reverse = items
    raw = rlp.as_bytes(origin_item)
    return GetBlockHeaders(
        request_id,
        Hash32(raw) if len(raw) == 32 else rlp.as_uint(origin_item, 64),
        rlp.as_uint(amount, 64),
        rlp.as_uint(skip, 64),
        _as_bool(reverse),
    )


def _as_bool(item: rlp.Item) -> bool:
    value = rlp.as_uint(item, 8)
    if value > 1:
        raise MalformedMessage(f"{value} where 0 or 1 is expected")
    return value == 1


_H = TypeVar("_H", GetBlockBodies, GetPooledTransactions, GetReceipts)


def _hash_request(kind: type[_H]) -> Codec[_H]:
    """The codec of a request that is nothing but a list of hashes."""

    def encode(message: _H) -> bytes:
        return _with_id(message.request_id, _encode_hash_list(message.hashes))

    def decode(payload: bytes) -> _H:
        request_id, encoded = _without_id(payload)
        return kind(request_id, _hashes(encoded, HASHES_REQUESTED_MAX))

    return Codec(kind, encode, decode)


# --- responses


def _encode_headers(message: BlockHeaders) -> bytes:
    return _with_id(message.request_id, rlp.encode_list(map(encode_header, message.headers)))


def _decode_headers(payload: bytes) -> BlockHeaders:
    request_id, encoded = _without_id(payload)
    items = rlp.split_list(encoded, HEADERS_MAX)
    if any(len(item) > HEADER_BYTES_MAX for item in items):
        raise MalformedMessage(f"a header of more than {HEADER_BYTES_MAX} bytes")
    return BlockHeaders(request_id, tuple(map(decode_header, items)))


def _encode_bodies(message: BlockBodies) -> bytes:
    return _with_id(message.request_id, rlp.encode_list(map(encode_body, message.bodies)))


def _decode_bodies(payload: bytes) -> BlockBodies:
    request_id, encoded = _without_id(payload)
    return BlockBodies(request_id, tuple(map(decode_body, rlp.split_list(encoded, BODIES_MAX))))


def _encode_pooled(message: PooledTransactions) -> bytes:
    return _with_id(message.request_id, encode_transactions(message.transactions))


def _decode_pooled(payload: bytes) -> PooledTransactions:
    request_id, encoded = _without_id(payload)
    return PooledTransactions(request_id, _decode_transaction_list(encoded))


def _encode_receipts(message: Receipts) -> bytes:
    return _with_id(message.request_id, rlp.encode_list(map(encode_receipt_list, message.receipts)))


def _decode_receipts(payload: bytes) -> Receipts:
    request_id, encoded = _without_id(payload)
    blocks = rlp.split_list(encoded, RECEIPT_LISTS_MAX)
    return Receipts(request_id, tuple(map(_decode_receipt_list, blocks)))


def _decode_receipt_list(encoded: bytes) -> tuple[Receipt, ...]:
    # Each receipt holds a bloom, so more than this is nonsense: refused before it is taken apart.
    return tuple(map(decode_receipt_item, rlp.split_list(encoded, len(encoded) // BLOOM_BYTES)))


ETH68: Final = EthVersion(
    version=68,
    message_count=17,
    codecs={
        0x01: Codec(NewBlockHashes, _encode_new_block_hashes, _decode_new_block_hashes),
        0x02: Codec(
            Transactions,
            lambda message: encode_transactions(message.transactions),
            lambda payload: Transactions(_decode_transaction_list(payload)),
        ),
        0x03: Codec(GetBlockHeaders, _encode_get_headers, _decode_get_headers),
        0x04: Codec(BlockHeaders, _encode_headers, _decode_headers),
        0x05: _hash_request(GetBlockBodies),
        0x06: Codec(BlockBodies, _encode_bodies, _decode_bodies),
        0x07: Codec(NewBlock, _encode_new_block, _decode_new_block),
        0x08: Codec(NewPooledTransactionHashes, _encode_pooled_hashes, _decode_pooled_hashes),
        0x09: _hash_request(GetPooledTransactions),
        0x0A: Codec(PooledTransactions, _encode_pooled, _decode_pooled),
        0x0F: _hash_request(GetReceipts),
        0x10: Codec(Receipts, _encode_receipts, _decode_receipts),
    },
    same_from_all=frozenset({0x07}),
)
"""Of the versions in use, the last that announces total difficulty; Besu and geth before 1.16 speak it."""
