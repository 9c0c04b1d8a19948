"""The store on disk: LevelDB. The only importer of plyvel.

LevelDB promises that a batch is atomic and that a synced one survives power loss. What this module adds:
- every block read is checked against its checksum, and damage is a StorageError that names the place;
- a directory that lost its CURRENT file is refused (LevelDB would start an empty database over the remains);
- a log whose last record was torn by a power failure is cut there, and that is told (`notices`);
- synced writes are counted beside the database, and one that lost its end is refused (`witness`);
- after a write that failed, no other is tried: LevelDB's log may end in half a record, and what would be
  written behind it could be lost;
- a thread that is still reading holds `close` up, because LevelDB frees its memory under it otherwise.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any, Final, TypeVar

import plyvel

from node.config.settings import MIB, StorageSettings
from node.primitives.errors import StorageError
from node.storage.kv import Batch, shown
from node.storage.log_tail import torn_at
from node.storage.schema import SYNCED_KEY
from node.storage.witness import Witness

BLOOM_BITS: Final = 10
"""Bits per key of the filter that spares a disk read for absent keys: one in a hundred passes wrongly."""
TABLE_BYTES: Final = 8 * MIB
"""Size of LevelDB's files: an archive of 100 GB is 12,800 of them."""
TABLE_BLOCK_BYTES: Final = 1_024
"""What is read and checked for one row. Tables that are not compressed are mapped, and none of their blocks
is kept as checked: of LevelDB's usual 4 KiB the checksum costs as much as all else that a read does."""
OPEN_FILES_MAX: Final = 512
"""File descriptors LevelDB may hold; the usual process limit is 1024, and peers need some."""
CHUNK_ROWS_MAX: Final = 256
"""Rows an iterator fetches at once."""
CLOSE_WAIT_S: Final = 30.0
"""How long close waits for threads that still read."""

Result = TypeVar("Result")


class LevelDB:
    """KeyValue over one LevelDB directory."""

    def __init__(self, path: Path, database: Any, witness: Witness, notices: tuple[str, ...]) -> None:
        """Use `open`."""
        self.notices = notices
        """What opening had to put right, in words for the log."""
        self._path = path
        self._database = database
        self._witness = witness
        self._reading: set[object] = set()
        self._closed = False
        self._turn = Lock()
        self._failure: str | None = None

    @classmethod
    def open(cls, path: Path, settings: StorageSettings) -> "LevelDB":
        """Open the database in `path`, or create it where there is nothing at all.

        StorageError when another process has it open, when files are missing, or when they are damaged.
        """
        _check_whole(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            try:
                return cls(path, *_opened(path, settings), ())
            except plyvel.CorruptionError:
                torn = _torn_log(path)
                if torn is None:
                    raise
            with torn:
                return cls(path, *_opened(path, settings), (torn.notice,))
        except (plyvel.Error, OSError) as error:
            raise StorageError(_opening_problem(path, error)) from error

    def get(self, key: bytes) -> bytes | None:
        """See Reader."""
        return self._row(self._database, key)

    def iterate(
        self, start: bytes, stop: bytes | None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """See Reader."""
        return self._rows(self._database, start, stop, reverse)

    def write(self, batch: Batch, *, sync: bool) -> None:
        """See KeyValue. Threads may write at the same time; they take turns."""
        with self._turn:
            if self._failure is not None:
                raise StorageError(f"{self._path}: takes no more writes after: {self._failure}")
            try:
                self._guarded("a write", lambda: self._write(batch, sync))
            except StorageError as error:
                self._failure = str(error)
                raise

    def snapshot(self) -> "LevelSnapshot":
        """See KeyValue."""
        return LevelSnapshot(self, self._guarded("a snapshot", self._database.snapshot))

    def close(self) -> None:
        """Wait for reading threads, then release the directory. StorageError when a thread does not end."""
        if self._closed:
            return
        self._closed = True
        deadline = time.monotonic() + CLOSE_WAIT_S
        while self._reading:
            if time.monotonic() > deadline:
                raise StorageError(f"{self._path}: a thread is still reading after {CLOSE_WAIT_S:g} s")
            time.sleep(0.001)
        self._database.close()
        self._witness.close()

    def _write(self, batch: Batch, sync: bool) -> None:
        with self._database.write_batch(sync=sync) as rows:
            put, delete = rows.put, rows.delete
            for key, value in batch.rows.items():
                if value is None:
                    delete(key)
                else:
                    put(key, value)
            if sync:
                put(SYNCED_KEY, (self._witness.count + 1).to_bytes(8, "big"))
        if sync:
            self._witness.advance()

    def _row(self, source: Any, key: bytes) -> bytes | None:
        # _guarded, written out: this is the hottest call of the node.
        token = object()
        self._reading.add(token)
        try:
            if self._closed:
                raise StorageError(f"{self._path}: the database is closed")
            value: bytes | None = source.get(key, verify_checksums=True)
        except (plyvel.Error, OSError) as error:
            raise StorageError(f"{self._path}: row {shown(key)}: {_reason(error)}") from error
        finally:
            self._reading.discard(token)
        return value

    def _rows(
        self, source: Any, start: bytes, stop: bytes | None, reverse: bool
    ) -> Iterator[tuple[bytes, bytes]]:
        place = f"rows from {shown(start)} to {'the end' if stop is None else shown(stop)}"
        options = {"start": start, "stop": stop, "reverse": reverse, "verify_checksums": True}
        return self._chunks(place, self._guarded(place, lambda: source.iterator(**options)))

    def _chunks(self, place: str, rows: Iterator[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
        # Many callers want the first row only, others want all: fetch more each time.
        size = 1
        while chunk := self._guarded(place, partial(_take, rows, size)):
            yield from chunk
            size = min(2 * size, CHUNK_ROWS_MAX)

    def _guarded(self, place: str, deed: Callable[[], Result]) -> Result:
        """Do one call into LevelDB: registered while it runs, its errors turned into ours."""
        token = object()
        # Registered before looking at `_closed`: close sets that first and looks at the register after.
        self._reading.add(token)
        try:
            if self._closed:
                raise StorageError(f"{self._path}: the database is closed")
            return deed()
        except (plyvel.Error, OSError) as error:
            raise StorageError(f"{self._path}: {place}: {_reason(error)}") from error
        finally:
            self._reading.discard(token)


class LevelSnapshot:
    """Snapshot of a LevelDB.

    An iterator that is done is kept for the next: making one costs more than a whole read of an old state,
    which is one seek and a few rows.
    """

    def __init__(self, store: LevelDB, source: Any) -> None:
        """Use LevelDB.snapshot."""
        self._store = store
        self._source = source
        self._idle: list[Any] = []

    def get(self, key: bytes) -> bytes | None:
        """See Reader."""
        return self._store._row(self._source, key)

    def iterate(
        self, start: bytes, stop: bytes | None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """See Reader."""
        return self._store._rows(self._source, start, stop, reverse)

    def visit(self, start: bytes, stop: bytes, has_enough: Callable[[bytes, bytes], bool]) -> bool:
        """See Snapshot."""
        store, enough = self._store, False
        # _guarded, written out, as in _row.
        token = object()
        store._reading.add(token)
        try:
            if store._closed:
                raise StorageError(f"{store._path}: the database is closed")
            # Taking and giving back are atomic: threads share the idle ones without a lock.
            rows = self._idle.pop() if self._idle else self._source.iterator(verify_checksums=True)
            rows.seek(start)
            for key, value in rows:
                if key >= stop:
                    break
                if has_enough(key, value):
                    enough = True
                    break
            # Not after an error: an iterator that met damage is not used again.
            self._idle.append(rows)
        except (plyvel.Error, OSError) as error:
            raise StorageError(f"{store._path}: rows from {shown(start)}: {_reason(error)}") from error
        finally:
            store._reading.discard(token)
        return enough

    def close(self) -> None:
        """See Snapshot."""
        while self._idle:
            self._idle.pop().close()
        self._source.close()


class _TornLog:
    """A log that is tried without its torn end; put back as it was if that does not help."""

    def __init__(self, file: Path, end: int) -> None:
        self.notice = (
            f"{file}: the last write was torn {end} bytes into the log and has been cut off; it was never "
            f"confirmed to anyone. The file as it was is {file.name}.torn"
        )
        self._file, self._end = file, end
        self._original = file.with_name(file.name + ".torn")

    def __enter__(self) -> None:
        shutil.copy2(self._file, self._original)
        os.truncate(self._file, self._end)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            shutil.copy2(self._original, self._file)


def _torn_log(path: Path) -> _TornLog | None:
    """The newest log or manifest, when its end was torn: only there can power failures leave half a write."""
    for pattern in ("*.log", "MANIFEST-*"):
        newest = max(
            path.glob(pattern), key=lambda file: int("".join(filter(str.isdigit, file.name))), default=None
        )
        end = None if newest is None else torn_at(newest.read_bytes())
        if newest is not None and end is not None:
            return _TornLog(newest, end)
    return None


def _opened(path: Path, settings: StorageSettings) -> tuple[Any, Witness]:
    database = plyvel.DB(
        str(path),
        create_if_missing=not (path / "CURRENT").exists(),
        paranoid_checks=True,
        compression=None,
        bloom_filter_bits=BLOOM_BITS,
        lru_cache_size=settings.block_cache_bytes,
        write_buffer_size=settings.write_buffer_bytes,
        block_size=TABLE_BLOCK_BYTES,
        max_file_size=TABLE_BYTES,
        max_open_files=OPEN_FILES_MAX,
    )
    try:
        witness = Witness(path)
        witness.check(path, int.from_bytes(database.get(SYNCED_KEY, b"", verify_checksums=True), "big"))
    except BaseException:
        database.close()
        raise
    return database, witness


def _take(rows: Iterator[tuple[bytes, bytes]], count: int) -> list[tuple[bytes, bytes]]:
    return list(islice(rows, count))


def _check_whole(path: Path) -> None:
    if not path.is_dir() or (path / "CURRENT").is_file():
        return
    remains = sorted(entry.name for entry in path.iterdir() if entry.suffix in {".ldb", ".log", ".sst"})
    remains += sorted(entry.name for entry in path.glob("MANIFEST-*"))
    if remains:
        raise StorageError(
            f"{path}: the file CURRENT is missing beside {len(remains)} files of a database "
            f"({remains[0]}, ...); restore it from a backup, nothing was changed"
        )


def _opening_problem(path: Path, error: Exception) -> str:
    reason = _reason(error)
    if "already held by process" in reason or "lock " in reason:
        return f"{path}: another process has it open"
    return f"{path}: cannot be opened: {reason}"


def _reason(error: Exception) -> str:
    """LevelDB's words; plyvel hands them over as bytes."""
    words = error.args[0] if error.args else error
    return words.decode(errors="replace") if isinstance(words, bytes) else str(error)
