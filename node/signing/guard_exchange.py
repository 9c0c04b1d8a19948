"""Guard data as JSON: to move a validator to another machine, and to restore one from a backup.

    {"format": "phoenix-signing-guard", "version": 1, "records": [{"address", "chainId", "kind", "height",
     "round", "weight", "digest", "signature", "attachment", "passedHeight", "passedWeight"}, ...]}

Bytes are hex with 0x; weights and what was passed may be null. An import merges: per key, chain and kind the
higher of the two records stays, and the highest marks of both. What was signed after a backup was made is not
in it, so every key that is imported is locked (`guard_rows.RestoreLock`) until the chain has gone on by a
margin: choose one greater than the number of blocks that the key may have signed since.
"""

import logging
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from node.primitives.crypto import InvalidSignature, recover_address
from node.primitives.errors import ConfigError
from node.primitives.ids import Address, Hash32, hex_of
from node.signing.guard_rows import RestoreLock, SignRecord, decode_record, encode_lock, encode_record
from node.storage.kv import Batch, KeyValue, Reader
from node.storage.schema import SIGN_LOCKS_PREFIX, SIGN_RECORDS_PREFIX, sign_lock_key, sign_record_key

FORMAT: Final = "phoenix-signing-guard"
VERSION: Final = 1
HEIGHT_MAX: Final = (1 << 63) - 1
KIND_CHARACTERS_MAX: Final = 64
MARGIN_BLOCKS: Final = 256
"""Unless the operator says otherwise."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Slot:
    """Whose records, on which chain, of what."""

    address: Address
    chain_id: int
    kind: str


class _Record(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """One record as it stands in the document."""

    address: str
    chain_id: int
    kind: str
    height: int
    round: int
    weight: int | None
    digest: str
    signature: str
    attachment: str = "0x"
    passed_height: int | None = None
    passed_weight: int | None = None


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    """The whole document."""

    format: str
    version: int
    records: list[_Record]


def export_guard(kv: Reader) -> bytes:
    """Everything that the keys of a guard have signed, as JSON; StorageError for a row that is damaged."""
    records = [_shown(slot, record) for slot, record in read_records(kv).items()]
    return msgspec.json.format(msgspec.json.encode(_Document(FORMAT, VERSION, records)), indent=2)


def import_guard(kv: KeyValue, document: bytes, margin: int = MARGIN_BLOCKS) -> tuple[Slot, ...]:
    """Merge a document into a guard and lock its keys; ConfigError for all that is wrong, nothing done."""
    imported = _parse(document)
    present = read_records(kv)
    batch = Batch()
    marks: dict[tuple[Address, int], int] = {}
    for slot, record in imported.items():
        merged = merge(present[slot], record) if slot in present else record
        batch.put(sign_record_key(slot.address, slot.chain_id, slot.kind), encode_record(merged))
        owner = (slot.address, slot.chain_id)
        marks[owner] = max(marks.get(owner, 0), merged.height, merged.passed_height or 0)
    for (address, chain_id), mark in marks.items():
        batch.put(sign_lock_key(address, chain_id), encode_lock(RestoreLock(mark, margin)))
    kv.write(batch, sync=True)
    return tuple(imported)


def unlock_guard(kv: KeyValue) -> tuple[tuple[Address, int], ...]:
    """Remove every lock; gives whose (address, chain id) there were. Only for who knows that the backup is
    the last word of the key: each removal is logged."""
    batch = Batch()
    owners = []
    for key, _ in kv.iterate(SIGN_LOCKS_PREFIX, bytes([SIGN_LOCKS_PREFIX[0] + 1])):
        batch.delete(key)
        owners.append((Address(key[1:21]), int.from_bytes(key[21:29], "big")))
    kv.write(batch, sync=True)
    for address, chain_id in owners:
        log.warning(
            "the operator unlocked a restored guard", extra={"signer": hex_of(address), "chain_id": chain_id}
        )
    return tuple(owners)


def merge(one: SignRecord, other: SignRecord) -> SignRecord:
    """The higher of two records, with the highest marks of both; the first where they stand at one height."""
    last = other if (other.height, other.round_number) > (one.height, one.round_number) else one
    heights = [one.height, other.height, one.passed_height, other.passed_height]
    weights = [one.weight, other.weight, one.passed_weight, other.passed_weight]
    return replace(
        last, passed_height=_above(last.height, heights), passed_weight=_above(last.weight or 0, weights)
    )


def read_records(kv: Reader) -> dict[Slot, SignRecord]:
    """Every record of a guard."""
    stop = bytes([SIGN_RECORDS_PREFIX[0] + 1])
    found = {}
    for key, row in kv.iterate(SIGN_RECORDS_PREFIX, stop):
        address, chain_id, kind = key[1:21], key[21:29], key[29:]
        slot = Slot(Address(address), int.from_bytes(chain_id, "big"), kind.decode())
        found[slot] = decode_record(row)
    return found


def _above(mark: int, marks: list[int | None]) -> int | None:
    greatest = max(each or 0 for each in marks)
    return greatest if greatest > mark else None


def _shown(slot: Slot, record: SignRecord) -> _Record:
    return _Record(
        address=hex_of(slot.address),
        chain_id=slot.chain_id,
        kind=slot.kind,
        height=record.height,
        round=record.round_number,
        weight=record.weight,
        digest=hex_of(record.digest),
        signature=hex_of(record.signature),
        attachment=hex_of(record.attachment),
        passed_height=record.passed_height,
        passed_weight=record.passed_weight,
    )


def _parse(document: bytes) -> dict[Slot, SignRecord]:
    try:
        parsed = msgspec.json.decode(document, type=_Document)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ConfigError([f"not guard data: {error}"]) from error
    if parsed.format != FORMAT or parsed.version != VERSION:
        found = f"format {parsed.format!r}, version {parsed.version}"
        raise ConfigError([f"guard data of {found}; {FORMAT!r}, version {VERSION} is known"])
    records: dict[Slot, SignRecord] = {}
    problems = []
    for number, item in enumerate(parsed.records):
        try:
            slot, record = _read(item)
        except (ValueError, InvalidSignature) as error:
            problems.append(f"records[{number}]: {error}")
            continue
        records[slot] = merge(records[slot], record) if slot in records else record
    if problems:
        raise ConfigError(problems)
    return records


def _read(item: _Record) -> tuple[Slot, SignRecord]:
    """ValueError or InvalidSignature for what no guard can have written."""
    address, digest = Address(_hex(item.address, 20)), Hash32(_hex(item.digest, 32))
    signature = _hex(item.signature, 65)
    numbers = (item.chain_id, item.height, item.round, item.passed_height or 0)
    if not all(0 <= number <= HEIGHT_MAX for number in numbers):
        raise ValueError("a chain id, height or round that is negative or too great")
    if (item.weight or 0) < 0 or (item.passed_weight or 0) < 0:
        raise ValueError("a weight that is negative")
    if not item.kind.isascii() or not 0 < len(item.kind) <= KIND_CHARACTERS_MAX:
        raise ValueError("a kind that is empty, too long or not ASCII")
    if recover_address(digest, signature) != address:
        raise ValueError(f"the signature is not one of {item.address} over the digest beside it")
    record = SignRecord(
        item.height,
        item.round,
        digest,
        signature,
        _hex(item.attachment),
        item.weight,
        item.passed_height,
        item.passed_weight,
    )
    return Slot(address, item.chain_id, item.kind), record


def _hex(text: str, size: int | None = None) -> bytes:
    if not text.startswith("0x"):
        raise ValueError(f"{text[:20]!r} is not hex with 0x")
    content = bytes.fromhex(text[2:])
    if size is not None and len(content) != size:
        raise ValueError(f"{len(content)} bytes where {size} are needed")
    return content
