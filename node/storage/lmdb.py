"""The store that many processes read while one writes: LMDB. The only importer of lmdb.

For a replica with workers. A reader's snapshot is one moment of the whole database, taken in microseconds and
without a word to the writer; it stays as it is while the writer goes on, and the pages that it shows are used
again once it has ended. So a process sees a block wholly or not at all. What this module adds:
- every row has a checksum, and damage is a StorageError that names the row;
- after a write that failed, no other is tried;
- a snapshot may be read from any thread, one at a time, and `close` ends those that are left.
"""

import weakref
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any, Final
from zlib import crc32

import lmdb

from node.primitives.errors import StorageError
from node.storage.kv import Batch, shown

MAP_BYTES_MAX: Final = 1 << 44
"""Address space, not disk: the file is as large as what it holds has ever been."""
READERS_MAX: Final = 4_096
"""Snapshots of all processes together; 64 bytes each."""
FILE_MODE: Final = 0o600
CHECKSUM_BYTES: Final = 4
CHUNK_ROWS: Final = 256
DATA_FILE: Final = "data.mdb"


class LmdbStore:
    """KeyValue over one LMDB directory. One process may write; a process opens a directory once."""

    def __init__(self, path: Path, environment: Any, *, read_only: bool) -> None:
        """Use `open`."""
        self._path = path
        self._environment = environment
        self._read_only = read_only
        self._turn = Lock()
        self._failure: str | None = None
        self._snapshots: weakref.WeakSet[LmdbSnapshot] = weakref.WeakSet()
        self._closed = False

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False) -> "LmdbStore":
        """Open the database in `path`; made where there is none, unless it is only read. StorageError."""
        try:
            if not read_only:
                path.mkdir(parents=True, exist_ok=True)
            environment = lmdb.open(
                str(path),
                map_size=MAP_BYTES_MAX,
                max_readers=READERS_MAX,
                mode=FILE_MODE,
                readonly=read_only,
                create=not read_only,
                # A database is larger than memory, and is read here and there.
                readahead=False,
            )
            environment.reader_check()
        except (lmdb.Error, OSError) as error:
            raise StorageError(f"{path}: cannot be opened: {error}") from error
        return cls(path, environment, read_only=read_only)

    def get(self, key: bytes) -> bytes | None:
        """See Reader. The snapshot for one look ends when nobody holds it."""
        return self.snapshot().get(key)

    def iterate(
        self, start: bytes, stop: bytes | None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """See Reader."""
        return self.snapshot().iterate(start, stop, reverse=reverse)

    def write(self, batch: Batch, *, sync: bool) -> None:
        """See KeyValue. Always synced: a batch is one transaction, and LMDB has no lesser promise."""
        assert not self._read_only, "opened for reading only"
        with self._turn:
            if self._closed:
                raise StorageError(f"{self._path}: the database is closed")
            if self._failure is not None:
                raise StorageError(f"{self._path}: takes no more writes after: {self._failure}")
            try:
                with self._environment.begin(write=True) as rows:
                    _apply(rows, batch)
            except (lmdb.Error, OSError) as error:
                self._failure = str(error)
                raise StorageError(f"{self._path}: a write: {error}") from error

    def snapshot(self) -> "LmdbSnapshot":
        """See KeyValue."""
        with self._turn:
            if self._closed:
                raise StorageError(f"{self._path}: the database is closed")
            try:
                snapshot = LmdbSnapshot(self._path, self._environment.begin())
            except lmdb.Error as error:
                raise StorageError(f"{self._path}: a snapshot: {error}") from error
            self._snapshots.add(snapshot)
            return snapshot

    def forget_dead_readers(self) -> int:
        """Let go of the pages that processes were looking at when they were killed; how many snapshots."""
        with self._turn:
            return 0 if self._closed else int(self._environment.reader_check())

    def close(self) -> None:
        """End all snapshots once their readers are done with the row at hand, and let the directory go."""
        with self._turn:
            if self._closed:
                return
            self._closed = True
            for snapshot in list(self._snapshots):
                snapshot.close()
            self._environment.close()


class LmdbSnapshot:
    """Snapshot of an LMDB: a read transaction."""

    def __init__(self, path: Path, transaction: Any) -> None:
        """Use LmdbStore.snapshot."""
        self._path = path
        self._transaction = transaction
        self._lock = Lock()
        self._closed = False

    def get(self, key: bytes) -> bytes | None:
        """See Reader."""
        with self._lock:
            self._check_open()
            try:
                row = self._transaction.get(key)
            except lmdb.Error as error:
                raise StorageError(f"{self._path}: row {shown(key)}: {error}") from error
        return None if row is None else self._value(key, row)

    def iterate(
        self, start: bytes, stop: bytes | None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """See Reader."""
        # Taken at the call, as the port says, not at the first row.
        with self._lock:
            self._check_open()
            rows = self._backward(start, stop) if reverse else self._forward(start, stop)
        return self._chunks(rows)

    def visit(self, start: bytes, stop: bytes, has_enough: Callable[[bytes, bytes], bool]) -> bool:
        """See Snapshot."""
        with self._lock:
            self._check_open()
            try:
                rows = self._forward(start, stop)
                return any(has_enough(key, self._value(key, row)) for key, row in rows)
            except lmdb.Error as error:
                raise StorageError(f"{self._path}: rows from {shown(start)}: {error}") from error

    def close(self) -> None:
        """See Snapshot."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._transaction.abort()

    def _chunks(self, rows: Iterator[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
        # Many callers want the first row only, others want all: fetch more each time.
        size = 1
        while True:
            with self._lock:
                self._check_open()
                try:
                    chunk = list(islice(rows, size))
                except lmdb.Error as error:
                    raise StorageError(f"{self._path}: rows: {error}") from error
            for key, row in chunk:
                yield key, self._value(key, row)
            if len(chunk) < size:
                return
            size = min(2 * size, CHUNK_ROWS)

    def _forward(self, start: bytes, stop: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        cursor = self._transaction.cursor()
        found = cursor.set_range(start) if start else cursor.first()
        while found:
            key, row = cursor.item()
            if stop is not None and key >= stop:
                return
            yield key, row
            found = cursor.next()

    def _backward(self, start: bytes, stop: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        cursor = self._transaction.cursor()
        if stop is None:
            found = cursor.last()
        else:
            found = cursor.prev() if stop and cursor.set_range(stop) else bool(stop) and cursor.last()
        while found:
            key, row = cursor.item()
            if key < start:
                return
            yield key, row
            found = cursor.prev()

    def _check_open(self) -> None:
        if self._closed:
            raise StorageError(f"{self._path}: the database is closed")

    def _value(self, key: bytes, row: bytes) -> bytes:
        value = row[CHECKSUM_BYTES:]
        if crc32(value, crc32(key)).to_bytes(CHECKSUM_BYTES, "big") != row[:CHECKSUM_BYTES]:
            raise StorageError(f"{self._path}: row {shown(key)}: damaged: its checksum does not fit")
        return value


def _apply(rows: Any, batch: Batch) -> None:
    # In the order of keys: neighbours lie on one page, which is then copied and written once.
    for key in sorted(batch.rows):
        value = batch.rows[key]
        if value is None:
            rows.delete(key)
        else:
            rows.put(key, crc32(value, crc32(key)).to_bytes(CHECKSUM_BYTES, "big") + value)
