"""The audit log's files: `audit-<number of the first record>.jsonl`, mode 0600, the newest one growing.

Appending is one write and, when asked, one fsync. After any failure the end of the newest file is read again
and what is no whole record there is cut off and kept beside it (`torn-*.bin`): a crash in mid-write leaves a
log that opens, and says so. A lock file keeps a second writer out.
"""

import fcntl
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from node.audit.records import (
    LINE_BYTES_MAX,
    NO_RECORD,
    BadRecord,
    Facts,
    Kind,
    Record,
    decode_record,
    encode_record,
)
from node.primitives.errors import StorageError
from node.primitives.ids import Hash32

NAME: Final = re.compile(r"audit-(\d{15})\.jsonl")
LOCK: Final = "lock"
TORN_BYTES_MAX: Final = 1 << 20
"""Of what is cut off, at most this much is kept."""
TORN_FILES_MAX: Final = 16


@dataclass(frozen=True, slots=True)
class Head:
    """The newest record: its number (0 for none) and hash. Whoever knows it can tell a shortened log."""

    number: int
    hash: Hash32


@dataclass(frozen=True, slots=True)
class Torn:
    """What stood behind the last whole record."""

    file: str
    bytes: int
    whole_lines: int
    """Lines with an end among them. A crash leaves none, as a rule; somebody who alters records does."""
    kept_in: str | None


def audit_files(folder: Path) -> list[Path]:
    """All files of a log, oldest first."""
    return sorted(path for path in folder.glob("audit-*.jsonl") if NAME.fullmatch(path.name))


def first_number(path: Path) -> int:
    """Number of the file's first record, by its name."""
    match = NAME.fullmatch(path.name)
    assert match is not None
    return int(match[1])


def lines_of(path: Path) -> Iterator[tuple[bytes, bool]]:
    """(line without its end, whether it has one); a line without end in sight comes in pieces."""
    with path.open("rb") as file:
        while line := file.readline(LINE_BYTES_MAX + 2):
            yield (line[:-1], True) if line.endswith(b"\n") else (line, False)


class AuditFiles:
    """The files of one log, open for appending; one thread at a time."""

    def __init__(self, folder: Path, file_bytes: int) -> None:
        """StorageError when somebody else has it open. `file_bytes`: then the next file is begun."""
        self._folder = folder
        self._file_bytes = file_bytes
        self._file = -1
        self._size = 0
        self.head = Head(0, NO_RECORD)
        self.bytes_total = 0
        """Of all files of the folder."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise StorageError(f"another process writes the audit log in {folder}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def is_open(self) -> bool:
        """Whether records can be appended; `take_up` opens."""
        return self._file >= 0

    def take_up(self) -> Torn | None:
        """Find the head and be ready to append; says what had to be cut off. OSError, StorageError."""
        self._close_file()
        torn = None
        self.head, self._size = Head(0, NO_RECORD), 0
        files = audit_files(self._folder)
        if files:
            path = files[-1]
            self.head, self._size = _last_whole(path)
            torn = self._cut(path)
            self._open(path)
        self.measure()
        return torn

    def append(self, kind: Kind, actor: str, facts: Facts, time_ms: int) -> bytes:
        """The next record's line, for `write`; the head moves on at once."""
        number = self.head.number + 1
        line, own = encode_record(number, time_ms, kind, actor, facts, self.head.hash)
        self.head = Head(number, own)
        return line

    def write(self, first: int, lines: list[bytes], *, durable: bool) -> None:
        """Write lines that `append` made, the first of them number `first`. OSError: then `take_up` anew."""
        if self._file < 0 or self._size >= self._file_bytes:
            self._begin(first)
        data = b"".join(lines)
        while data:
            written = os.write(self._file, data)
            self._size += written
            self.bytes_total += written
            data = data[written:]
        if durable:
            self.sync()

    def sync(self) -> None:
        """All that was written is durable. OSError: then `take_up` anew."""
        if self._file >= 0:
            os.fdatasync(self._file)

    def measure(self) -> None:
        """Look again how much there is: an operator may have moved old files away."""
        self.bytes_total = sum(entry.stat().st_size for entry in os.scandir(self._folder) if entry.is_file())

    def close(self) -> None:
        """Let everything go."""
        self._close_file()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _begin(self, first: int) -> None:
        """A new file, its name durable before anything is in it."""
        if self._file >= 0:
            os.fsync(self._file)
        self._close_file()
        self._open(self._folder / f"audit-{first:015d}.jsonl", os.O_CREAT | os.O_EXCL)
        self._size = 0
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _open(self, path: Path, more: int = 0) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | more, 0o600)

    def _close_file(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _cut(self, path: Path) -> Torn | None:
        """Cut off what is behind the last whole record, and keep it beside."""
        size = path.stat().st_size
        if size == self._size:
            return None
        with path.open("r+b") as file:
            file.seek(self._size)
            rest = file.read(TORN_BYTES_MAX)
            kept = self._keep(rest)
            file.truncate(self._size)
            os.fsync(file.fileno())
        return Torn(path.name, size - self._size, rest.count(b"\n"), kept)

    def _keep(self, rest: bytes) -> str | None:
        places = (f"torn-{self.head.number + 1:015d}-{place}.bin" for place in range(TORN_FILES_MAX))
        name = next((name for name in places if not (self._folder / name).exists()), None)
        if name is not None:
            with open(
                os.open(self._folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb"
            ) as kept:
                kept.write(rest)
                kept.flush()
                os.fsync(kept.fileno())
        return name


def _last_whole(path: Path) -> tuple[Head, int]:
    """The last record of the file's unbroken beginning, and where it ends.

    A file whose first record is missing, as a crash leaves it between two steps, starts where its name says:
    the record before it is then in the file before.
    """
    record: Record | None = None
    size = 0
    for line, is_ended in lines_of(path):
        following = _read_following(line, record, first_number(path)) if is_ended else None
        if following is None:
            break
        record, size = following, size + len(line) + 1
    if record is not None:
        return Head(record.number, record.hash), size
    earlier = [other for other in audit_files(path.parent) if other.name < path.name]
    if not earlier:
        if first_number(path) == 1:
            return Head(0, NO_RECORD), 0
        raise StorageError(
            f"{path} holds no whole record and the file before it is not there: the audit log cannot go on "
            "from nothing; put the file before it back, or move this folder away to begin a new log"
        )
    head = _last_whole(earlier[-1])[0]
    if head.number + 1 != first_number(path):
        raise StorageError(
            f"{path.name} should follow record {head.number}, the last of {earlier[-1].name}: records are "
            "missing; `phoenix audit verify` names them, and this folder moved away begins a new log"
        )
    return head, 0


def _read_following(line: bytes, before: Record | None, first: int) -> Record | None:
    """The record of a line, when it is one and follows; None otherwise."""
    try:
        record = decode_record(line)
    except BadRecord:
        return None
    if before is None:
        return record if record.number == first else None
    follows = record.number == before.number + 1 and record.previous == before.hash
    return record if follows else None
