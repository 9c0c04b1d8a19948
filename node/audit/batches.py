"""What is anchored on the chain: batches of records, each a leaf of one tree that only grows.

A batch is the records since the one before; its manifest says which, their Merkle root, and the hash of the
last one. The manifest's hash is the entry that the chain's AuditLog contract sees. So an auditor proves one
record with two short paths: record -> root of its batch, manifest -> anchored root. Manifests stand in
`batches.jsonl`, durable before the chain hears of them.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from node.audit.files import audit_files, first_number, lines_of
from node.audit.merkle import MerkleTree
from node.audit.records import BadRecord, Record, decode_record
from node.primitives.crypto import keccak256
from node.primitives.errors import StorageError
from node.primitives.ids import Hash32

FILE: Final = "batches.jsonl"
RECORDS_MAX: Final = 100_000
"""Of one batch: making its tree is a second's work in a thread, and some ten megabytes."""


class Batch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One manifest."""

    first: int
    last: int
    head: str
    """Hash of record `last`, 64 hex digits."""
    root: str
    """Merkle root over the hashes of records `first` up to `last`."""

    @property
    def entry(self) -> Hash32:
        """What the chain is told: the hash of the manifest's bytes."""
        return keccak256(_encode(self))


_encode = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.Decoder(Batch).decode


def read_batches(folder: Path) -> list[Batch]:
    """All manifests, in order; a line that a crash tore is no manifest yet. StorageError for others."""
    path = folder / FILE
    batches: list[Batch] = []
    if not path.exists():
        return batches
    for line, is_ended in lines_of(path):
        if not is_ended:
            break
        try:
            batch = _decode(line)
        except msgspec.DecodeError as error:
            raise StorageError(f"{path}: line {len(batches) + 1} is no manifest: {error}") from None
        if _encode(batch) != line or batch.first != (batches[-1].last + 1 if batches else batch.first):
            raise StorageError(f"{path}: line {len(batches) + 1} is altered or moved")
        batches.append(batch)
    return batches


def write_batch(folder: Path, batch: Batch) -> None:
    """Add a manifest, durably; what a crash tore before it is overwritten."""
    path = folder / FILE
    with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
        content = file.read()
        file.seek(content.rfind(b"\n") + 1)
        file.truncate()
        file.write(_encode(batch) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def next_batch(folder: Path, after: int) -> Batch | None:
    """The batch of the records behind `after`, bounded; None when there are none.

    StorageError when some are not there any more.
    """
    hashes: list[bytes] = []
    for record in records_from(folder, after + 1, after + 1 + RECORDS_MAX):
        if record.number != after + 1 + len(hashes):
            raise StorageError(
                f"{folder}: record {record.number} is there and {after + 1 + len(hashes)} is not; "
                "files may only be moved away once their records are anchored"
            )
        hashes.append(record.hash)
    if not hashes:
        return None
    return Batch(after + 1, after + len(hashes), hashes[-1].hex(), MerkleTree(hashes).root().hex())


def tree_of(batches: Iterable[Batch]) -> MerkleTree:
    """The tree that is anchored."""
    return MerkleTree(batch.entry for batch in batches)


def records_from(folder: Path, start: int, stop: int) -> Iterator[Record]:
    """Records `start` up to, not including, `stop`, as far as they are there and whole."""
    files = audit_files(folder)
    for place, path in enumerate(files):
        if place + 1 < len(files) and first_number(files[place + 1]) <= start:
            continue
        for line, is_ended in lines_of(path):
            try:
                record = decode_record(line) if is_ended else None
            except BadRecord as error:
                raise StorageError(f"{path}: {error}") from None
            if record is None or record.number >= stop:
                return
            if record.number >= start:
                yield record
