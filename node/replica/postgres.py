"""The index in PostgreSQL, for a region whose services and BI tools share one database.

Passwords never stand in a URL: libpq reads them from a password file. Needs the extra `postgres` (psycopg 3).
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Any, Final
from urllib.parse import urlsplit

import psycopg
from psycopg.pq import TransactionStatus

from node.replica.database import (
    IndexAway,
    IndexDatabase,
    IndexRefused,
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
AWAY: Final = (psycopg.OperationalError, psycopg.InterfaceError)
"""No connection, a broken one, a server that is shutting down or has no room."""

REFUSAL: Final = re.compile(
    r"password authentication failed|no password supplied|is not permitted to log in|no pg_hba\.conf entry"
    r'|permission denied for database|(database|role) "[^"]*" does not exist'
)
"""What a server says that will say so again tomorrow. libpq has no code for it before a login; a server that
speaks another language is waited for, and its words are shown."""

_TYPES: Final = {Kind.INTEGER: "BIGINT", Kind.BYTES: "BYTEA", Kind.TEXT: "TEXT", Kind.INT: "NUMERIC(78)"}

Connection = psycopg.Connection[tuple[Any, ...]]


class PostgresDatabase(IndexDatabase):
    """Implements IndexDatabase over a server; tables live in the first schema of the search path."""

    def __init__(self, url: str) -> None:
        """Nothing is connected before it is needed: a server that is down now may be up then."""
        self.name = f"PostgreSQL {_shown(url)}"
        self._url = url
        self._lock = Lock()
        self._idle: list[Connection] = []
        self._writer: Connection | None = None
        self._has_written = False

    @contextmanager
    def write(self) -> Iterator["PostgresSession"]:
        """See IndexDatabase. IndexUnavailable when another writer is there."""
        try:
            writer = self._connected_writer()
            with writer.transaction():
                yield PostgresSession(self, writer)
        except psycopg.Error as error:
            raise self._failure(error) from error

    @contextmanager
    def read(self, timeout_s: float, interrupted: Interrupted | None = None) -> Iterator["PostgresSession"]:
        """See IndexDatabase."""
        try:
            reader = self._begun()
        except psycopg.Error as error:
            raise self._failure(error) from error
        try:
            reader.execute(f"SET LOCAL statement_timeout = {max(1, int(timeout_s * 1000))}")
            yield PostgresSession(self, reader)
            reader.execute("COMMIT")
        except psycopg.errors.QueryCanceled:
            raise QueryTooCostly(timeout_s) from None
        except psycopg.Error as error:
            raise self._failure(error) from error
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
            for connection in (*self._idle, *([self._writer] if self._writer else [])):
                connection.close()
            self._idle.clear()
            self._writer = None

    def _connect(self) -> Connection:
        return psycopg.connect(
            self._url,
            autocommit=True,
            connect_timeout=CONNECT_TIMEOUT_S,
            # A server that vanishes without a word counts as away after half a minute, not after hours.
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=4,
        )

    def _connected_writer(self) -> Connection:
        if self._writer is not None and not self._writer.closed:
            return self._writer
        writer = self._connect()
        row = writer.execute("SELECT pg_try_advisory_lock(%s)", (WRITER_LOCK,)).fetchone()
        if row is None or not row[0]:
            writer.close()
            text = f"{self.name}: another replica writes there; give each a database of its own"
            # Once we have written, it is most likely our own connection of before, not yet missed there.
            raise IndexAway(text) if self._has_written else IndexUnavailable(text)
        self._writer, self._has_written = writer, True
        return writer

    def _begun(self) -> Connection:
        """A connection inside a transaction that reads one moment. One that died unnoticed is replaced."""
        while True:
            with self._lock:
                reader, is_fresh = (self._idle.pop(), False) if self._idle else (None, True)
            reader = reader or self._connect()
            try:
                reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                return reader
            except psycopg.Error:
                reader.close()
                if is_fresh:
                    raise

    def _failure(self, error: psycopg.Error) -> IndexAway | IndexUnavailable:
        """Whose fault it is: a server that is not there is waited for; rows it will not have are not."""
        told = "; ".join(str(error).split("\n")).strip("; ")
        text = f"{self.name}: {told or type(error).__name__}"
        if not isinstance(error, AWAY):
            return IndexUnavailable(text)
        return IndexRefused(text) if REFUSAL.search(text) else IndexAway(text)

    def _give_back(self, reader: Connection) -> None:
        if not reader.closed and reader.info.transaction_status is not TransactionStatus.IDLE:
            with suppress(psycopg.Error):
                reader.execute("ROLLBACK")
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


def _shown(url: str) -> str:
    """Which database, for logs: without the name that logs in, and without options."""
    parts_of_url = urlsplit(url)
    return f"{parts_of_url.path.strip('/') or '(by default)'} at {parts_of_url.hostname or 'a local socket'}"
