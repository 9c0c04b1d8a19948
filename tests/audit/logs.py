"""Logs to try things on."""

from pathlib import Path

from node.audit.files import Head, audit_files
from node.audit.log import AuditLog
from node.audit.records import Kind, Record, decode_record
from node.audit.verify import Report, verify_folder

LARGE = 1 << 30


def write_log(folder: Path, records: int, file_bytes: int = LARGE) -> Head:
    """A log of so many records beside the one that opens it, closed again."""
    with AuditLog(folder, LARGE, file_bytes) as log:
        for number in range(records):
            log.record_blocking(Kind.ADMIN_ACTION, "local", {"method": "admin_addPeer", "number": number})
    return log.head


def lines(folder: Path) -> list[bytes]:
    """All lines of a log, with their ends."""
    return [line for path in audit_files(folder) for line in path.read_bytes().splitlines(keepends=True)]


def findings(folder: Path, known: Head | None = None) -> str:
    """All that is found, as one text."""
    report: Report = verify_folder(folder, known)
    return "; ".join(each.text for each in report.findings)


def records(folder: Path) -> list[Record]:
    """All whole records; whoever writes the log may be at it."""
    return [decode_record(line[:-1]) for line in lines(folder) if line.endswith(b"\n")]


def kinds(folder: Path) -> list[str]:
    """What each record is of."""
    return [each.kind for each in records(folder)]
