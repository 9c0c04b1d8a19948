"""Transactions: legacy (EIP-155), access-list (EIP-2930) and fee-market (EIP-1559).

One dataclass serves all three: a legacy or access-list gas price stands in both fee fields, so that whoever
executes or prices a transaction needs no case distinction. `encoded` and `hash` are made once, at decoding.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from enum import IntEnum
from typing import Final, cast

from node.native import kernels
from node.primitives import rlp
from node.primitives.crypto import (
    SECP256K1_HALF_N,
    SECP256K1_N,
    keccak256,
    recover_address,
    recover_addresses,
    recovers_in_c,
)
from node.primitives.errors import ChainError
from node.primitives.ids import Address, Hash32

AccessList = tuple[tuple[Address, tuple[Hash32, ...]], ...]
"""Addresses with the storage keys (32 bytes each) that the sender declares beforehand."""

NONCE_BITS: Final = 64
GAS_BITS: Final = 64


class MalformedTransaction(ChainError):
    """Bytes that no fork accepts as a transaction."""


class TransactionType(IntEnum):
    """The EIP-2718 type byte; legacy transactions have none on the wire."""

    LEGACY = 0
    ACCESS_LIST = 1
    FEE_MARKET = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """A signed transaction whose encoding has been checked; its sender and nonce have not."""

    type: TransactionType
    chain_id: int | None
    """None for a legacy transaction signed without replay protection (before EIP-155)."""
    nonce: int
    max_priority_fee_per_gas: int
    """wei per gas; the gas price for the two older types."""
    max_fee_per_gas: int
    """wei per gas; the gas price for the two older types."""
    gas_limit: int
    to: Address | None
    """None creates a contract."""
    value: int
    """wei."""
    data: bytes
    access_list: AccessList = ()
    y_parity: int
    r: int
    s: int
    encoded: bytes = field(repr=False, compare=False)
    """The EIP-2718 envelope, or the RLP list of a legacy transaction: what is hashed and gossiped."""
    hash: Hash32
    _sender: Address | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def sender(self) -> Address:
        """The signer's address, recovered at the first call; InvalidSignature when there is none."""
        if self._sender is None:
            object.__setattr__(self, "_sender", recover_address(signing_hash(self), self._signature))
        assert self._sender is not None
        return self._sender

    @property
    def has_sender(self) -> bool:
        """Whether the sender has been recovered or remembered."""
        return self._sender is not None

    @property
    def _signature(self) -> bytes:
        return self.r.to_bytes(32, "big") + self.s.to_bytes(32, "big") + bytes((self.y_parity,))

    def remember_sender(self, sender: Address) -> None:
        """Take a sender recovered elsewhere for the same hash, so that it is never recovered twice."""
        object.__setattr__(self, "_sender", sender)

    @property
    def gas_price(self) -> int:
        """wei per gas of a legacy or access-list transaction; the cap of a fee-market one."""
        return self.max_fee_per_gas

    @property
    def v(self) -> int:
        """The signature's v as it stands on the wire (EIP-155; the y parity for typed transactions)."""
        if self.type is not TransactionType.LEGACY:
            return self.y_parity
        return self.y_parity + (27 if self.chain_id is None else 35 + 2 * self.chain_id)

    def effective_priority_fee(self, base_fee_per_gas: int) -> int:
        """wei per gas that reach the block's author (EIP-1559); negative when below the base fee."""
        return min(self.max_priority_fee_per_gas, self.max_fee_per_gas - base_fee_per_gas)


if kernels is not None:
    kernels.bind_transaction(
        Transaction, tuple(field.name for field in fields(Transaction)), tuple(TransactionType)
    )


def decode_transaction(encoded: bytes) -> Transaction:
    """Decode an EIP-2718 envelope or a legacy list, as eth_sendRawTransaction takes it."""
    if kernels is not None:
        try:
            decoded: Transaction = kernels.transaction(encoded)
            return decoded
        except ValueError:
            pass  # the Python form finds the words
    return decode_transaction_in_python(encoded)


def decode_transaction_in_python(encoded: bytes) -> Transaction:
    """See `decode_transaction`."""
    if not encoded:
        raise MalformedTransaction("an empty transaction")
    if encoded[0] >= 0xC0:
        return _decode_legacy(encoded)
    if encoded[0] == TransactionType.ACCESS_LIST:
        return _decode_typed(encoded, TransactionType.ACCESS_LIST, fields=11)
    if encoded[0] == TransactionType.FEE_MARKET:
        return _decode_typed(encoded, TransactionType.FEE_MARKET, fields=12)
    raise MalformedTransaction(f"transaction type {encoded[0]:#x} is not supported here")


def decode_transactions(encoded: bytes, count_max: int) -> tuple[Transaction, ...]:
    """Decode a list as bodies and gossip have it: legacy transactions are lists in it, envelopes strings."""
    if kernels is not None:
        try:
            decoded: tuple[Transaction, ...] = kernels.transactions(encoded, count_max)
            return decoded
        except ValueError:
            pass  # the Python form finds the words, or decodes what C leaves to it
    return decode_transactions_in_python(encoded, count_max)


def decode_transactions_in_python(encoded: bytes, count_max: int) -> tuple[Transaction, ...]:
    """See `decode_transactions`."""
    return tuple(_decode_item(item) for item in rlp.split_list(encoded, count_max))


def encode_transactions(transactions: Iterable[Transaction]) -> bytes:
    """Inverse of decode_transactions."""
    return rlp.encode_envelopes([tx.encoded for tx in transactions])


def _decode_item(item: bytes) -> Transaction:
    if item and item[0] >= 0xC0:
        return decode_transaction(item)
    envelope = rlp.as_bytes(rlp.decode(item))
    if envelope and envelope[0] >= 0xC0:
        raise MalformedTransaction("a legacy transaction inside a string")
    return decode_transaction(envelope)


def signing_hash(tx: Transaction) -> Hash32:
    """The digest that the sender signed (EIP-155, EIP-2930, EIP-1559)."""
    to = tx.to or b""
    if tx.type is TransactionType.LEGACY:
        fields: list[rlp.Encodable] = [tx.nonce, tx.gas_price, tx.gas_limit, to, tx.value, tx.data]
        if tx.chain_id is not None:
            fields += [tx.chain_id, 0, 0]
        return keccak256(rlp.encode(fields))
    fees = (
        [tx.gas_price]
        if tx.type is TransactionType.ACCESS_LIST
        else [tx.max_priority_fee_per_gas, tx.max_fee_per_gas]
    )
    payload: list[rlp.Encodable] = [tx.chain_id or 0, tx.nonce]
    payload += fees
    payload += [tx.gas_limit, to, tx.value, tx.data, tx.access_list]
    return keccak256(bytes((tx.type,)) + rlp.encode(payload))


def recover_senders(transactions: Iterable[Transaction]) -> None:
    """Recover all senders that are not known yet, in one go; a signature that nobody made is passed by."""
    unknown = [tx for tx in transactions if not tx.has_sender]
    for tx, sender in zip(unknown, _senders(unknown), strict=True):
        if sender is not None:
            tx.remember_sender(sender)


def _senders(transactions: Sequence[Transaction]) -> Sequence[Address | None]:
    if kernels is not None and recovers_in_c():
        try:
            return cast("list[Address | None]", kernels.recover_senders([tx.encoded for tx in transactions]))
        except ValueError:
            pass  # one that is not decoded in C is among them
    return recover_addresses(
        [signing_hash(tx) for tx in transactions], [tx._signature for tx in transactions]
    )


def _decode_legacy(encoded: bytes) -> Transaction:
    nonce, gas_price, gas_limit, to, value, data, v_item, r_item, s_item = rlp.as_list(rlp.decode(encoded), 9)
    # A chain id of 64 bits doubles into v, so v alone may pass 64 bits.
    v = rlp.as_uint(v_item)
    if v in (27, 28):
        y_parity, chain_id = v - 27, None
    elif v >= 35:
        y_parity, chain_id = (v - 35) % 2, (v - 35) // 2
    else:
        raise MalformedTransaction(f"v is {v}; it is 27, 28, or 35 and above (EIP-155)")
    price = rlp.as_uint(gas_price)
    r, s = _signature(r_item, s_item)
    return Transaction(
        type=TransactionType.LEGACY,
        chain_id=chain_id,
        nonce=rlp.as_uint(nonce, NONCE_BITS),
        max_priority_fee_per_gas=price,
        max_fee_per_gas=price,
        gas_limit=rlp.as_uint(gas_limit, GAS_BITS),
        to=_recipient(to),
        value=rlp.as_uint(value),
        data=rlp.as_bytes(data),
        y_parity=y_parity,
        r=r,
        s=s,
        encoded=encoded,
        hash=keccak256(encoded),
    )


def _decode_typed(encoded: bytes, kind: TransactionType, fields: int) -> Transaction:
    items = rlp.as_list(rlp.decode(encoded[1:]), fields)
    chain_id, nonce, *fees = items[: fields - 8]
    gas_limit, to, value, data, access_list, parity_item, r_item, s_item = items[fields - 8 :]
    y_parity = rlp.as_uint(parity_item, 8)
    if y_parity > 1:
        raise MalformedTransaction(f"y parity is {y_parity}; it is 0 or 1")
    r, s = _signature(r_item, s_item)
    return Transaction(
        type=kind,
        chain_id=rlp.as_uint(chain_id),
        nonce=rlp.as_uint(nonce, NONCE_BITS),
        max_priority_fee_per_gas=rlp.as_uint(fees[0]),
        max_fee_per_gas=rlp.as_uint(fees[-1]),
        gas_limit=rlp.as_uint(gas_limit, GAS_BITS),
        to=_recipient(to),
        value=rlp.as_uint(value),
        data=rlp.as_bytes(data),
        access_list=tuple(_access_entry(entry) for entry in rlp.as_list(access_list)),
        y_parity=y_parity,
        r=r,
        s=s,
        encoded=encoded,
        hash=keccak256(encoded),
    )


def _recipient(item: rlp.Item) -> Address | None:
    to = rlp.as_bytes(item)
    if len(to) not in (0, 20):
        raise MalformedTransaction(f"a recipient of {len(to)} bytes; it has 20, or none to create a contract")
    return Address(to) if to else None


def _access_entry(item: rlp.Item) -> tuple[Address, tuple[Hash32, ...]]:
    address, keys = rlp.as_list(item, 2)
    return Address(rlp.as_bytes(address, 20)), tuple(Hash32(rlp.as_bytes(k, 32)) for k in rlp.as_list(keys))


def _signature(r_item: rlp.Item, s_item: rlp.Item) -> tuple[int, int]:
    r, s = rlp.as_uint(r_item), rlp.as_uint(s_item)
    if not 0 < r < SECP256K1_N:
        raise MalformedTransaction("r of the signature is out of range")
    # EIP-2: the high half of s would give every transaction a second valid form.
    if not 0 < s <= SECP256K1_HALF_N:
        raise MalformedTransaction("s of the signature is out of the lower half (EIP-2)")
    return r, s
