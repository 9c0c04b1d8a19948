"""Receipts, logs and the log bloom (Yellow Paper 4.3.1; typed receipts: EIP-2718; status: EIP-658)."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Final, NamedTuple

from node.native import kernel_or, kernels, maker
from node.primitives import rlp
from node.primitives.crypto import keccak256
from node.primitives.ids import Address, Hash32
from node.primitives.transaction import TransactionType

BLOOM_BYTES: Final = 256
BLOOM_VALUES_CACHED: Final = 4096
"""Contracts and topics come again and again; a value takes some 400 bytes."""
EMPTY_BLOOM: Final = bytes(BLOOM_BYTES)


class Log(NamedTuple):
    """One event of a contract."""

    address: Address
    topics: tuple[Hash32, ...]
    """At most four."""
    data: bytes


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a transaction left behind, as consensus sees it."""

    type: TransactionType
    outcome: int | Hash32
    """1 success, 0 failure (Byzantium on); before Byzantium the state root after the transaction."""
    cumulative_gas_used: int
    """Gas of this transaction and all before it in the block."""
    bloom: bytes
    logs: tuple[Log, ...]
    _encoded: bytes | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def succeeded(self) -> bool:
        """Whether the transaction kept its effects; true for receipts that carry a state root."""
        return self.outcome != 0


if kernels is not None:
    kernels.bind_receipt(Receipt, tuple(field.name for field in fields(Receipt)))


made_receipt = maker(Receipt, collected=False)
"""Receipt(...), quicker: every transaction of a block has one."""


def encode_receipt(receipt: Receipt) -> bytes:
    """The EIP-2718 envelope, or the RLP list of a legacy receipt: a leaf of the receipts trie."""
    encoded = receipt._encoded
    if encoded is None:
        # Once for the root that a header commits to, and again for the row of the block's receipts.
        encoded = rlp.encode([receipt.outcome, receipt.cumulative_gas_used, receipt.bloom, receipt.logs])
        if receipt.type is not TransactionType.LEGACY:
            encoded = bytes((receipt.type,)) + encoded
        object.__setattr__(receipt, "_encoded", encoded)
    return encoded


def encode_receipts_in_python(receipts: Iterable[Receipt]) -> list[bytes]:
    """See `encode_receipts`."""
    return [encode_receipt(receipt) for receipt in receipts]


encode_receipts: Callable[[Iterable[Receipt]], list[bytes]] = kernel_or(
    encode_receipts_in_python, "encode_receipts"
)
"""What encode_receipt gives for each."""


def encode_receipt_list(receipts: Iterable[Receipt]) -> bytes:
    """The receipts of a block as one RLP list: legacy ones are lists in it, typed ones strings."""
    return rlp.encode_envelopes(encode_receipts(receipts))


def decode_receipt(encoded: bytes) -> Receipt:
    """Inverse of encode_receipt; RlpError for anything else."""
    if not encoded:
        raise rlp.RlpError("an empty receipt")
    kind = TransactionType.LEGACY
    if encoded[0] < 0xC0:
        if encoded[0] not in (TransactionType.ACCESS_LIST, TransactionType.FEE_MARKET):
            raise rlp.RlpError(f"receipt type {encoded[0]:#x} is not supported here")
        kind, encoded = TransactionType(encoded[0]), encoded[1:]
    outcome_item, gas, bloom, logs = rlp.as_list(rlp.decode(encoded), 4)
    raw = rlp.as_bytes(outcome_item)
    outcome = Hash32(raw) if len(raw) == 32 else rlp.as_uint(outcome_item, 8)
    if not isinstance(outcome, bytes) and outcome > 1:
        raise rlp.RlpError(f"a receipt status of {outcome}; it is 0 or 1")
    return Receipt(
        kind,
        outcome,
        rlp.as_uint(gas, 64),
        rlp.as_bytes(bloom, BLOOM_BYTES),
        tuple(_decode_log(log) for log in rlp.as_list(logs)),
    )


def decode_receipt_item(item: bytes) -> Receipt:
    """A receipt as it stands in a list: a legacy one as it is, a typed one as a string."""
    return decode_receipt(item if item and item[0] >= 0xC0 else rlp.as_bytes(rlp.decode(item)))


def logs_bloom_in_python(logs: Sequence[Log]) -> bytes:
    """See `logs_bloom`."""
    bits = 0
    for log in logs:
        bits |= _bits_of(log.address)
        for topic in log.topics:
            bits |= _bits_of(topic)
    return bits.to_bytes(BLOOM_BYTES, "big")


logs_bloom = kernel_or(logs_bloom_in_python, "logs_bloom")
"""256-byte bloom over each log's address and topics (three bits each)."""


def merge_blooms_in_python(blooms: Iterable[bytes]) -> bytes:
    """See `merge_blooms`."""
    bits = 0
    for bloom in blooms:
        bits |= int.from_bytes(bloom, "big")
    return bits.to_bytes(BLOOM_BYTES, "big")


merge_blooms: Callable[[Iterable[bytes]], bytes] = kernel_or(merge_blooms_in_python, "merge_blooms")
"""Union of blooms: a block's bloom from its receipts'."""


def may_contain(bloom: bytes, values: Sequence[bytes]) -> bool:
    """False only when none of the values (addresses or topics) is in the bloom."""
    bits = int.from_bytes(bloom, "big")
    return any(bits & mask == mask for mask in map(_bits_of, values))


@lru_cache(BLOOM_VALUES_CACHED)
def _bits_of(value: bytes) -> int:
    digest = keccak256(value)
    mask = 0
    for i in (0, 2, 4):
        mask |= 1 << (int.from_bytes(digest[i : i + 2], "big") & 2047)
    return mask


def _decode_log(item: rlp.Item) -> Log:
    address, topics, data = rlp.as_list(item, 3)
    return Log(
        Address(rlp.as_bytes(address, 20)),
        tuple(Hash32(rlp.as_bytes(topic, 32)) for topic in rlp.as_list(topics)),
        rlp.as_bytes(data),
    )
