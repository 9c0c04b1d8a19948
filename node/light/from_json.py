"""JSON of other clients back into what is hashed. Pure; InvalidClaim for anything that does not fit."""

from typing import Any

from node.light.errors import InvalidClaim
from node.primitives.block import EXTRA_DATA_BYTES_MAX, Header
from node.primitives.ids import Address, Hash32
from node.primitives.receipt import BLOOM_BYTES, Log, Receipt
from node.primitives.transaction import TransactionType


def as_bytes(value: Any, size: int | None = None) -> bytes:
    """0x data, of `size` bytes if given."""
    if not isinstance(value, str) or not value.startswith("0x"):
        raise InvalidClaim(f"{str(value)[:60]!r} where 0x data is expected")
    try:
        found = bytes.fromhex(value[2:])
    except ValueError:
        raise InvalidClaim(f"{value[:60]!r} is no hex data") from None
    if size is not None and len(found) != size:
        raise InvalidClaim(f"{len(found)} bytes where {size} are expected")
    return found


def as_number(value: Any, bits: int = 64) -> int:
    """A 0x quantity."""
    try:
        found = int(value, 16)
    except (TypeError, ValueError):
        raise InvalidClaim(f"{str(value)[:60]!r} where a quantity is expected") from None
    if not 0 <= found < 1 << bits:
        raise InvalidClaim(f"a number of more than {bits} bits")
    return found


def as_list(value: Any) -> list[Any]:
    """A JSON array."""
    if not isinstance(value, list):
        raise InvalidClaim(f"{str(value)[:60]!r} where a list is expected")
    return value


def header_of_json(fields: Any) -> Header:
    """The header of eth_getBlockBy*; that it hashes to `hash` is for the caller to see."""
    if not isinstance(fields, dict):
        raise InvalidClaim("a block that is no object")
    base_fee = fields.get("baseFeePerGas")
    extra_data = as_bytes(fields.get("extraData"))
    if len(extra_data) > EXTRA_DATA_BYTES_MAX:
        raise InvalidClaim(f"extra data of {len(extra_data)} bytes")
    header = Header(
        parent_hash=Hash32(as_bytes(fields.get("parentHash"), 32)),
        ommers_hash=Hash32(as_bytes(fields.get("sha3Uncles"), 32)),
        beneficiary=Address(as_bytes(fields.get("miner"), 20)),
        state_root=Hash32(as_bytes(fields.get("stateRoot"), 32)),
        transactions_root=Hash32(as_bytes(fields.get("transactionsRoot"), 32)),
        receipts_root=Hash32(as_bytes(fields.get("receiptsRoot"), 32)),
        logs_bloom=as_bytes(fields.get("logsBloom"), BLOOM_BYTES),
        difficulty=as_number(fields.get("difficulty"), 256),
        number=as_number(fields.get("number")),
        gas_limit=as_number(fields.get("gasLimit")),
        gas_used=as_number(fields.get("gasUsed")),
        timestamp=as_number(fields.get("timestamp")),
        extra_data=extra_data,
        mix_hash=Hash32(as_bytes(fields.get("mixHash"), 32)),
        nonce=as_bytes(fields.get("nonce"), 8),
        base_fee_per_gas=None if base_fee is None else as_number(base_fee, 256),
    )
    if header.hash != as_bytes(fields.get("hash"), 32):
        raise InvalidClaim(f"block {header.number} does not hash to what it is called")
    return header


def receipt_of_json(fields: Any) -> Receipt:
    """One receipt of eth_getBlockReceipts."""
    if not isinstance(fields, dict):
        raise InvalidClaim("a receipt that is no object")
    kind = as_number(fields.get("type", "0x0"), 8)
    if kind not in tuple(TransactionType):
        raise InvalidClaim(f"a receipt of type {kind}")
    outcome: int | Hash32
    if fields.get("status") is not None:
        outcome = as_number(fields["status"], 8)
    else:
        outcome = Hash32(as_bytes(fields.get("root"), 32))
    return Receipt(
        TransactionType(kind),
        outcome,
        as_number(fields.get("cumulativeGasUsed")),
        as_bytes(fields.get("logsBloom"), BLOOM_BYTES),
        tuple(_log(each) for each in as_list(fields.get("logs"))),
    )


def _log(fields: Any) -> Log:
    if not isinstance(fields, dict):
        raise InvalidClaim("a log that is no object")
    topics = tuple(Hash32(as_bytes(topic, 32)) for topic in as_list(fields.get("topics")))
    return Log(Address(as_bytes(fields.get("address"), 20)), topics, as_bytes(fields.get("data")))
