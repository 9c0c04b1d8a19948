"""The index in PostgreSQL, for a region whose services and BI tools share one database.

Passwords never stand in a URL: libpq reads them from a password file. Needs the extra `postgres` (psycopg 3).
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any, Final

import psycopg

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

READERS_KEPT_MAX: Final = 8
CONNECT_TIMEOUT_S: Final = 10
WRITER_LOCK: Final = 0x50484F454E49
"""An advisory lock: a second writer on one database is refused instead of interleaved."""

_TYPES: Final = {Kind.INTEGER: "BIGINT", Kind.BYTES: "BYTEA", Kind.TEXT: "TEXT", Kind.INT: "NUMERIC(78)"}

Connection = psycopg.Connection[tuple[Any, ...]]


class PostgresDatabase(IndexDatabase):
    """Implements IndexDatabase over a server; tables live in the first schema of the search path."""

    def __init__(self, url: str) -> None:
        """Connect; IndexUnavailable when the server does not let us, or another writer is there."""
        self._url = url
        self._lock = Lock()
        self._idle: list[Connection] = []
        self._writer = self._connect()
        self.name = f"PostgreSQL {self._writer.info.dbname} at {self._writer.info.host}"
        row = self._writer.execute("SELECT pg_try_advisory_lock(%s)", (WRITER_LOCK,)).fetchone()
        if row is None or not row[0]:
            self._writer.close()
            raise IndexUnavailable(
                f"{self.name}: another replica writes there; give each a database of its own"
            )

    @contextmanager
    def write(self) -> Iterator["PostgresSession"]:
        """See IndexDatabase."""
        try:
            with self._writer.transaction():
                yield PostgresSession(self, self._writer)
        except psycopg.Error as error:
            raise IndexUnavailable(f"{self.name}: {error}") from error

    @contextmanager
    def read(self, timeout_s: float, interrupted: Interrupted | None = None) -> Iterator["PostgresSession"]:
        """See IndexDatabase."""
        reader = self._take()
        try:
            with reader.transaction():
                reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                reader.execute(f"SET LOCAL statement_timeout = {max(1, int(timeout_s * 1000))}")
                yield PostgresSession(self, reader)
        except psycopg.errors.QueryCanceled:
            raise QueryTooCostly(timeout_s) from None
        except psycopg.Error as error:
            raise IndexUnavailable(f"{self.name}: {error}") from error
        finally:
            self._give_back(reader)

    def sql_type(self, column: Column) -> str:
        """See IndexDatabase."""
        if column.kind is Kind.UINT:
            return f"NUMERIC({digits_of(column.bits)})"
        return _TYPES[column.kind]

    def has_table(self, session: Any, name: str) -> bool:
        """See IndexDatabase."""
        return bool(session.rows("SELECT 1 WHERE to_regclass(?) IS NOT NULL", (f'"{name}"',)))

    def table_names(self, session: Any) -> list[str]:
        """See IndexDatabase."""
        found = session.rows("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
        return [row[0] for row in found]

    def value_of(self, column: Column, value: Any) -> Any:
        """Numbers as they are: NUMERIC is exact."""
        return value

    def close(self) -> None:
        """See IndexDatabase."""
        with self._lock:
            for connection in (*self._idle, self._writer):
                connection.close()
            self._idle.clear()

    def _connect(self) -> Connection:
        try:
            return psycopg.connect(self._url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S)
        except psycopg.Error as error:
            raise IndexUnavailable(f"PostgreSQL for the index: {error}") from error

    def _take(self) -> Connection:
        with self._lock:
            while self._idle:
                reader = self._idle.pop()
                if not reader.closed:
                    return reader
        return self._connect()

    def _give_back(self, reader: Connection) -> None:
        with self._lock:
            if not reader.closed and len(self._idle) < READERS_KEPT_MAX:
                self._idle.append(reader)
                return
        reader.close()


class PostgresSession:
    """Implements Session."""

    def __init__(self, database: PostgresDatabase, connection: Connection) -> None:
        self._database = database
        self._connection = connection

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """See Session."""
        return self._connection.execute(_placed(sql), values).fetchall()

    def run(self, sql: str, values: Sequence[Any] = ()) -> None:
        """See Session."""
        self._connection.execute(_placed(sql), values)

    def insert(self, table: Table, rows: Iterable[Sequence[Any]]) -> None:
        """See Session."""
        sql = _placed(insert_sql(table))
        with self._connection.cursor() as cursor:
            for piece in parts(rows):
                cursor.executemany(sql, piece)


def _placed(sql: str) -> bytes:
    """psycopg writes a place as %s; no SQL of ours has a percent sign or a question mark of its own."""
    return sql.replace("?", "%s").encode()
