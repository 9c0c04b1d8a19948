"""Is this log the one that was written? Every kind of tampering is found and named, with its place.

Within the log: a record altered, removed, put in, moved, respelled, a file missing, cut or renamed. What the
log alone cannot show is that its end was cut off or written anew by somebody who can compute hashes: for that
there is a head known from elsewhere, a note of (number, hash) or the anchors on the chain.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from node.audit.batches import Batch, read_batches
from node.audit.files import Head, audit_files, first_number, lines_of
from node.audit.merkle import MerkleTree
from node.audit.records import LINE_BYTES_MAX, NO_RECORD, BadRecord, Record, decode_record
from node.primitives.errors import StorageError
from node.primitives.ids import Hash32

FINDINGS_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that should not be."""

    file: str
    line: int
    """From 1; 0 for the file as a whole."""
    text: str


@dataclass(slots=True)
class Report:
    """What was read and what is wrong with it."""

    records: int = 0
    first: int = 0
    head: Head = field(default_factory=lambda: Head(0, NO_RECORD))
    files: int = 0
    batches: int = 0
    torn_bytes: int = 0
    """Behind the last record: what a crash leaves, cut off when the node starts. No finding."""
    findings: list[Finding] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def add(self, file: str, line: int, text: str) -> None:
        """One more finding; after FINDINGS_MAX, no more are kept."""
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(Finding(file, line, text))


def verify_folder(folder: Path, known: Head | None = None) -> Report:
    """Read a whole log. `known`: a head that it must contain."""
    report = Report()
    known_hash: Hash32 | None = None
    batches = _Batches(folder, report)
    for record in _records(folder, report):
        if known is not None and record.number == known.number:
            known_hash = record.hash
        batches.see(record)
    batches.finish()
    if known is not None and known_hash != known.hash:
        _blame_end(report, known, known_hash)
    return report


def _blame_end(report: Report, known: Head, found: Hash32 | None) -> None:
    if found is not None:
        text = f"record {known.number} has hash {found.hex()}, but was known as {known.hash.hex()}: rewritten"
    elif known.number > report.head.number:
        text = f"the log ends with record {report.head.number}, but had {known.number}: its end was cut off"
    else:
        text = f"record {known.number} is not here; the log begins with record {report.first}"
    report.add("the known head", 0, text)


def _records(folder: Path, report: Report) -> Iterator[Record]:
    """Every record that is one, in order; what is wrong goes into the report."""
    files = audit_files(folder)
    report.files = len(files)
    before: Record | None = None
    for path in files:
        is_newest = path == files[-1]
        is_first_line = True
        for number, (line, is_ended) in enumerate(lines_of(path), start=1):
            if not is_ended and is_newest and len(line) <= LINE_BYTES_MAX:
                report.torn_bytes += len(line)
                continue
            record = _read(path.name, number, line if is_ended else line + b"?", report)
            if record is None:
                is_first_line = False
                continue
            _check_place(path, number, record, before, report, is_first_line=is_first_line)
            is_first_line = False
            if before is None:
                report.first = record.number
            before = record
            report.records += 1
            report.head = Head(record.number, record.hash)
            yield record


def _read(file: str, number: int, line: bytes, report: Report) -> Record | None:
    try:
        return decode_record(line)
    except BadRecord as error:
        report.add(file, number, str(error))
        return None


def _check_place(
    path: Path, number: int, record: Record, before: Record | None, report: Report, *, is_first_line: bool
) -> None:
    """Whether a record stands where it says and names the one before it."""
    if is_first_line and record.number != first_number(path):
        report.add(path.name, number, f"begins with record {record.number}, which its name denies")
    if before is None:
        if record.number == 1 and record.previous != NO_RECORD:
            report.add(path.name, number, "record 1 names a record before it: the log's beginning is missing")
        return
    if record.number <= before.number:
        report.add(path.name, number, f"record {record.number} after {before.number}: moved or repeated")
    elif record.number != before.number + 1:
        missing = f"{before.number + 1} to {record.number - 1}"
        report.add(path.name, number, f"record {record.number} after {before.number}: {missing} are missing")
    elif record.previous != before.hash:
        text = f"record {record.number} names another record before it: that one was replaced, or this put in"
        report.add(path.name, number, text)


class _Batches:
    """Holds records against the manifests that the chain was told of."""

    def __init__(self, folder: Path, report: Report) -> None:
        self._report = report
        self._hashes: list[bytes] = []
        self._waiting: list[Batch] = []
        try:
            self._waiting = read_batches(folder)[::-1]
        except StorageError as error:
            report.add("batches.jsonl", 0, str(error))
        report.batches = len(self._waiting)

    def see(self, record: Record) -> None:
        """The next record of the log."""
        # Batches whose files have been moved away cannot be checked here.
        while self._waiting and self._waiting[-1].last < record.number:
            if self._hashes:
                self._blame(self._waiting[-1], "some of its records are missing")
            self._waiting.pop()
            self._hashes = []
        if not self._waiting or record.number < self._waiting[-1].first:
            return
        self._hashes.append(record.hash)
        batch = self._waiting[-1]
        if record.number == batch.last:
            if len(self._hashes) == batch.last - batch.first + 1:
                if MerkleTree(self._hashes).root().hex() != batch.root or record.hash.hex() != batch.head:
                    self._blame(batch, "its records are not those that were anchored")
            elif self._report.first < batch.first:
                self._blame(batch, "some of its records are missing")
            self._waiting.pop()
            self._hashes = []

    def finish(self) -> None:
        """The log has ended."""
        for batch in self._waiting:
            self._blame(batch, "the log ends before it")

    def _blame(self, batch: Batch, text: str) -> None:
        self._report.add("batches.jsonl", 0, f"the batch of records {batch.first} to {batch.last}: {text}")
