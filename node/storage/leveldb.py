"""The store on disk: LevelDB. The only importer of plyvel.

LevelDB promises that a batch is atomic and that a synced one survives power loss. What this module adds:
- every block read is checked against its checksum, and damage is a StorageError that names the place;
- a directory that lost its CURRENT file is refused (LevelDB would start an empty database over the remains);
- after a write that failed, no other is tried: LevelDB's log may end in half a record, and what would be
  written behind it could be lost;
- a thread that is still reading holds `close` up, because LevelDB frees its memory under it otherwise.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar

import plyvel

from node.config.settings import MIB, StorageSettings
from node.primitives.errors import StorageError
from node.storage.kv import Batch

BLOOM_BITS: Final = 10
"""Bits per key of the filter that spares a disk read for absent keys: one in a hundred passes wrongly."""
TABLE_BYTES: Final = 8 * MIB
"""Size of LevelDB's files: an archive of 100 GB is 12,800 of them."""
OPEN_FILES_MAX: Final = 512
"""File descriptors LevelDB may hold; the usual process limit is 1024, and peers need some."""
CHUNK_ROWS_MAX: Final = 256
"""Rows an iterator fetches at once."""
CLOSE_WAIT_S: Final = 30.0
"""How long close waits for threads that still read."""

Result = TypeVar("Result")


class LevelDB:
    """KeyValue over one LevelDB directory."""

    def __init__(self, path: Path, database: Any) -> None:
        """Use `open`."""
        self._path = path
        self._database = database
        self._reading: set[object] = set()
        self._closed = False
        self._failure: str | None = None

    @classmethod
    def open(cls, path: Path, settings: StorageSettings) -> "LevelDB":
        """Open the database in `path`, or create it where there is nothing at all.

        StorageError when another process has it open, when files are missing, or when they are damaged.
        """
        _check_whole(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            database = plyvel.DB(
                str(path),
                create_if_missing=not (path / "CURRENT").exists(),
                paranoid_checks=True,
                compression=None,
                bloom_filter_bits=BLOOM_BITS,
                lru_cache_size=settings.block_cache_bytes,
                write_buffer_size=settings.write_buffer_bytes,
                max_file_size=TABLE_BYTES,
                max_open_files=OPEN_FILES_MAX,
            )
        except (plyvel.Error, OSError) as error:
            raise StorageError(_opening_problem(path, error)) from error
        return cls(path, database)

    def get(self, key: bytes) -> bytes | None:
        """See Reader."""
        return self._row(self._database, key)

    def iterate(
        self, start: bytes, stop: bytes | None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """See Reader."""
        return self._rows(self._database, start, stop, reverse)

    def write(self, batch: Batch, *, sync: bool) -> None:
        """See KeyValue."""
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
        self._closed = True
        deadline = time.monotonic() + CLOSE_WAIT_S
        while self._reading:
            if time.monotonic() > deadline:
                raise StorageError(f"{self._path}: a thread is still reading after {CLOSE_WAIT_S:g} s")
            time.sleep(0.001)
        self._database.close()

    def _write(self, batch: Batch, sync: bool) -> None:
        with self._database.write_batch(sync=sync) as rows:
            put, delete = rows.put, rows.delete
            for key, value in batch.rows.items():
                if value is None:
                    delete(key)
                else:
                    put(key, value)

    def _row(self, source: Any, key: bytes) -> bytes | None:
        # _guarded, written out: this is the hottest call of the node.
        token = object()
        self._reading.add(token)
        try:
            if self._closed:
                raise StorageError(f"{self._path}: the database is closed")
            value: bytes | None = source.get(key, verify_checksums=True)
        except (plyvel.Error, OSError) as error:
            raise StorageError(f"{self._path}: row {_shown(key)}: {_reason(error)}") from error
        finally:
            self._reading.discard(token)
        return value

    def _rows(
        self, source: Any, start: bytes, stop: bytes | None, reverse: bool
    ) -> Iterator[tuple[bytes, bytes]]:
        place = f"rows from {_shown(start)} to {'the end' if stop is None else _shown(stop)}"
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
    """Snapshot of a LevelDB."""

    def __init__(self, store: LevelDB, source: Any) -> None:
        """Use LevelDB.snapshot."""
        self._store = store
        self._source = source

    def get(self, key: bytes) -> bytes | None:
        """See Reader."""
        return self._store._row(self._source, key)

    def iterate(
        self, start: bytes, stop: bytes | None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """See Reader."""
        return self._store._rows(self._source, start, stop, reverse)

    def close(self) -> None:
        """See Snapshot."""
        self._source.close()


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


def _shown(key: bytes) -> str:
    return key[:40].hex() + ("..." if len(key) > 40 else "")
