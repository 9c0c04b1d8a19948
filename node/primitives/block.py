"""Headers, bodies and blocks (Yellow Paper 4.3; base fee: EIP-1559)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from node.primitives import rlp
from node.primitives.crypto import keccak256
from node.primitives.ids import Address, BlockNumber, Hash32
from node.primitives.receipt import BLOOM_BYTES
from node.primitives.transaction import Transaction, decode_transactions, encode_transactions

EMPTY_OMMERS_HASH: Final = keccak256(rlp.encode([]))
EXTRA_DATA_BYTES_MAX: Final = 1 << 16
"""A ceiling for decoding only; the engine decides what its extra data must look like."""
TRANSACTION_BYTES_MIN: Final = 10
"""The shortest item of a body: a list prefix and nine fields of a byte each."""


class BlockRef(NamedTuple):
    """A block by number and hash."""

    number: BlockNumber
    hash: Hash32

    def __str__(self) -> str:
        return f"#{self.number} 0x{self.hash[:4].hex()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A block header in Yellow Paper order; fields a fork adds are None before it."""

    parent_hash: Hash32
    ommers_hash: Hash32
    beneficiary: Address
    """Clique: the target of a vote. Elsewhere: who receives the fees."""
    state_root: Hash32
    transactions_root: Hash32
    receipts_root: Hash32
    logs_bloom: bytes
    difficulty: int
    number: BlockNumber
    gas_limit: int
    gas_used: int
    timestamp: int
    """Seconds since the Unix epoch."""
    extra_data: bytes
    mix_hash: Hash32
    nonce: bytes
    """8 bytes. Clique: the direction of a vote."""
    base_fee_per_gas: int | None = None
    """wei; from London on."""
    _hash: Hash32 | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def hash(self) -> Hash32:
        """keccak256 of the encoding, made once."""
        if self._hash is None:
            object.__setattr__(self, "_hash", keccak256(encode_header(self)))
        assert self._hash is not None
        return self._hash

    @property
    def ref(self) -> BlockRef:
        """Number and hash."""
        return BlockRef(self.number, self.hash)


@dataclass(frozen=True, slots=True)
class Body:
    """What a header commits to beside state and receipts."""

    transactions: tuple[Transaction, ...] = ()
    ommers: tuple[Header, ...] = ()
    """Always empty under Clique and QBFT; kept so that foreign blocks can be read and refused."""


@dataclass(frozen=True, slots=True)
class Block:
    """A header with its body."""

    header: Header
    body: Body

    @property
    def hash(self) -> Hash32:
        """The header's hash."""
        return self.header.hash

    @property
    def number(self) -> BlockNumber:
        """The header's number."""
        return self.header.number

    @property
    def ref(self) -> BlockRef:
        """Number and hash."""
        return self.header.ref

    @property
    def transactions(self) -> tuple[Transaction, ...]:
        """The body's transactions."""
        return self.body.transactions


def header_fields(header: Header, extra_data: bytes | None = None) -> list[rlp.Encodable]:
    """The header's RLP fields in order; `extra_data` replaces the header's own (seal hashes need that)."""
    fields: list[rlp.Encodable] = [
        header.parent_hash,
        header.ommers_hash,
        header.beneficiary,
        header.state_root,
        header.transactions_root,
        header.receipts_root,
        header.logs_bloom,
        header.difficulty,
        header.number,
        header.gas_limit,
        header.gas_used,
        header.timestamp,
        header.extra_data if extra_data is None else extra_data,
        header.mix_hash,
        header.nonce,
    ]
    if header.base_fee_per_gas is not None:
        fields.append(header.base_fee_per_gas)
    return fields


def encode_header(header: Header) -> bytes:
    """RLP of the header."""
    return rlp.encode(header_fields(header))


def decode_header(encoded: bytes) -> Header:
    """Inverse of encode_header; the hash comes from the bytes given. RlpError for anything else."""
    header = header_from_item(rlp.decode(encoded))
    object.__setattr__(header, "_hash", keccak256(encoded))
    return header


def header_from_item(item: rlp.Item) -> Header:
    """A header from its decoded RLP item; 15 fields before London, 16 from it on."""
    fields = rlp.as_list(item)
    if len(fields) not in (15, 16):
        raise rlp.RlpError(f"a header of {len(fields)} fields; 15 before London, 16 from it on")
    extra_data = rlp.as_bytes(fields[12])
    if len(extra_data) > EXTRA_DATA_BYTES_MAX:
        raise rlp.RlpError(f"extra data of {len(extra_data)} bytes; at most {EXTRA_DATA_BYTES_MAX}")
    return Header(
        parent_hash=Hash32(rlp.as_bytes(fields[0], 32)),
        ommers_hash=Hash32(rlp.as_bytes(fields[1], 32)),
        beneficiary=Address(rlp.as_bytes(fields[2], 20)),
        state_root=Hash32(rlp.as_bytes(fields[3], 32)),
        transactions_root=Hash32(rlp.as_bytes(fields[4], 32)),
        receipts_root=Hash32(rlp.as_bytes(fields[5], 32)),
        logs_bloom=rlp.as_bytes(fields[6], BLOOM_BYTES),
        difficulty=rlp.as_uint(fields[7]),
        number=rlp.as_uint(fields[8], 64),
        gas_limit=rlp.as_uint(fields[9], 64),
        gas_used=rlp.as_uint(fields[10], 64),
        timestamp=rlp.as_uint(fields[11], 64),
        extra_data=extra_data,
        mix_hash=Hash32(rlp.as_bytes(fields[13], 32)),
        nonce=rlp.as_bytes(fields[14], 8),
        base_fee_per_gas=rlp.as_uint(fields[15]) if len(fields) == 16 else None,
    )


def encode_body(body: Body) -> bytes:
    """RLP of [transactions, ommers], as eth/68 BlockBodies carries it."""
    return rlp.encode_list([encode_transactions(body.transactions), encode_ommers(body.ommers)])


def encode_ommers(ommers: Sequence[Header]) -> bytes:
    """RLP of the list of ommer headers; its hash is the header's ommers_hash."""
    return rlp.encode_list(map(encode_header, ommers))


def decode_body(encoded: bytes) -> Body:
    """Inverse of encode_body."""
    parts = rlp.split_list(encoded)
    if len(parts) != 2:
        raise rlp.RlpError(f"a body of {len(parts)} parts where transactions and ommers are expected")
    return _body_from_parts(parts[0], parts[1])


def encode_block(block: Block) -> bytes:
    """RLP of [header, transactions, ommers], as NewBlock and block files carry it."""
    body = block.body
    transactions, ommers = encode_transactions(body.transactions), encode_ommers(body.ommers)
    return rlp.encode_list([encode_header(block.header), transactions, ommers])


def decode_block(encoded: bytes) -> Block:
    """Inverse of encode_block."""
    parts = rlp.split_list(encoded)
    if len(parts) != 3:
        raise rlp.RlpError(
            f"a block of {len(parts)} parts where header, transactions and ommers are expected"
        )
    return Block(decode_header(parts[0]), _body_from_parts(parts[1], parts[2]))


def _body_from_parts(transactions: bytes, ommers: bytes) -> Body:
    # More items than their bytes allow are refused before a list of millions is built.
    return Body(
        decode_transactions(transactions, len(transactions) // TRANSACTION_BYTES_MIN),
        tuple(decode_header(item) for item in rlp.split_list(ommers, len(ommers) // BLOOM_BYTES)),
    )
