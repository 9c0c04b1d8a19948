"""The index in one SQLite file (write-ahead log): one writer, many readers, nothing to install.

A power cut may lose the last transactions, rows and checkpoint together; they follow from the chain again.
"""

import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, Final

from node.replica.database import (
    IndexDatabase,
    IndexUnavailable,
    Interrupted,
    QueryTooCostly,
    digits_of,
    insert_sql,
    parts,
)
from node.replica.tables import Column, Kind, Table

STEPS_PER_LOOK: Final = 4_000
"""Instructions of SQLite between two looks at the clock."""
READERS_KEPT_MAX: Final = 8
BUSY_TIMEOUT_S: Final = 30.0
CACHE_KIB: Final = 16 * 1024
MMAP_BYTES: Final = 256 << 20
FILE_MODE: Final = 0o600

_TYPES: Final = {
    Kind.INTEGER: "INTEGER",
    Kind.BYTES: "BLOB",
    Kind.TEXT: "TEXT",
    Kind.UINT: "TEXT",
    Kind.INT: "TEXT",
}


class SqliteDatabase(IndexDatabase):
    """Implements IndexDatabase over a file."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open or make the file; IndexUnavailable when it cannot be had."""
        self.name = str(path)
        self._path = path
        self._lock = Lock()
        self._idle: list[sqlite3.Connection] = []
        self._writer: sqlite3.Connection | None = None
        if not read_only:
            path.touch(FILE_MODE)
            self._writer = self._connect()
            try:
                self._writer.execute("PRAGMA journal_mode = WAL")
                self._writer.execute("PRAGMA synchronous = NORMAL")
            except sqlite3.Error as error:
                raise self._unavailable(error) from error

    @contextmanager
    def write(self) -> Iterator["SqliteSession"]:
        """See IndexDatabase."""
        writer = self._writer
        assert writer is not None, "opened for reading only"
        try:
            writer.execute("BEGIN IMMEDIATE")
            try:
                yield SqliteSession(self, writer)
                writer.execute("COMMIT")
            except BaseException:
                if writer.in_transaction:
                    writer.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise self._unavailable(error) from error

    @contextmanager
    def read(self, timeout_s: float, interrupted: Interrupted | None = None) -> Iterator["SqliteSession"]:
        """See IndexDatabase."""
        reader = self._take()
        until_s = time.monotonic() + timeout_s

        def stop() -> bool:
            return time.monotonic() > until_s or (interrupted is not None and interrupted())

        reader.set_progress_handler(stop, STEPS_PER_LOOK)
        try:
            reader.execute("BEGIN")
            yield SqliteSession(self, reader)
        except sqlite3.OperationalError as error:
            if "interrupted" in str(error):
                raise QueryTooCostly(timeout_s) from None
            raise self._unavailable(error) from error
        except sqlite3.Error as error:
            raise self._unavailable(error) from error
        finally:
            reader.set_progress_handler(None, 0)
            self._give_back(reader)

    def sql_type(self, column: Column) -> str:
        """See IndexDatabase."""
        return _TYPES[column.kind]

    def has_table(self, session: Any, name: str) -> bool:
        """See IndexDatabase."""
        return bool(session.rows("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (name,)))

    def table_names(self, session: Any) -> list[str]:
        """See IndexDatabase."""
        return [row[0] for row in session.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]

    def value_of(self, column: Column, value: Any) -> Any:
        """Digits of fixed width sort as the numbers do."""
        if value is None:
            return None
        if column.kind is Kind.UINT:
            return str(value).zfill(digits_of(column.bits))
        return str(value) if column.kind is Kind.INT else value

    def close(self) -> None:
        """See IndexDatabase."""
        with self._lock:
            for connection in (*self._idle, *([self._writer] if self._writer else [])):
                connection.close()
            self._idle.clear()
            self._writer = None

    def _connect(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(
                self._path, isolation_level=None, check_same_thread=False, timeout=30
            )
            connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            connection.execute(f"PRAGMA mmap_size = {MMAP_BYTES}")
        except sqlite3.Error as error:
            raise self._unavailable(error) from error
        return connection

    def _take(self) -> sqlite3.Connection:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return self._connect()

    def _give_back(self, reader: sqlite3.Connection) -> None:
        if reader.in_transaction:
            reader.execute("ROLLBACK")
        with self._lock:
            if len(self._idle) < READERS_KEPT_MAX:
                self._idle.append(reader)
                return
        reader.close()

    def _unavailable(self, error: sqlite3.Error) -> IndexUnavailable:
        return IndexUnavailable(f"the index in {self.name}: {error}")


class SqliteSession:
    """Implements Session."""

    def __init__(self, database: SqliteDatabase, connection: sqlite3.Connection) -> None:
        self._database = database
        self._connection = connection

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """See Session."""
        return self._connection.execute(sql, values).fetchall()

    def run(self, sql: str, values: Sequence[Any] = ()) -> None:
        """See Session."""
        self._connection.execute(sql, values)

    def insert(self, table: Table, rows: Iterable[Sequence[Any]]) -> None:
        """See Session."""
        convert, columns = self._database.value_of, table.columns
        for piece in parts(rows):
            stored = [tuple(map(convert, columns, row)) for row in piece]
            self._connection.executemany(insert_sql(table), stored)
