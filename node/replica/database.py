"""What the index needs of a SQL database, and the little that SQLite and PostgreSQL differ in.

SQL here is written once, with `?` for a value and names that need no quoting but those of events' columns. A
reader sees one moment from its first query to its last; the writer's transaction is seen whole or not at all.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

from node.primitives.errors import RequestError, StorageError
from node.replica.tables import Column, Kind, Table

INSERT_ROWS: Final = 500
"""Rows handed over at once."""

Interrupted = Callable[[], bool]


class QueryTooCostly(RequestError):
    """A query was given up before it was done."""

    def __init__(self, timeout_s: float) -> None:
        super().__init__(
            f"the query costs more than {timeout_s:g} s (setting replica.query_timeout_s); ask for less"
        )


class IndexUnavailable(StorageError):
    """The database of the index refuses, or its file is damaged: the node stops."""


class IndexAway(RequestError):
    """The server of the index does not answer now. The node goes on without it, and tries again."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the index is away: {reason}; it is tried again all the time")


class IndexRefused(IndexAway):
    """The server of the index is there and does not let this node in: something is wrong in its settings."""

    def __init__(self, reason: str) -> None:
        self.cure = (
            f"{reason}: put right the setting, the password file (passfile= in it, PGPASSFILE or ~/.pgpass; "
            "mode 600) or the server's roles"
        )
        RequestError.__init__(
            self, f"the index's server lets this node in no more: {self.cure}; it is tried again all the time"
        )


class Session(Protocol):
    """One transaction."""

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query; QueryTooCostly."""
        ...

    def run(self, sql: str, values: Sequence[Any] = ()) -> None:
        """Change something."""
        ...

    def insert(self, table: Table, rows: Iterable[Sequence[Any]]) -> None:
        """Add rows, in the order of the table's columns."""
        ...


class IndexDatabase(ABC):
    """A database that holds an index. Any thread; one writer at a time."""

    name: str
    """What logs call it; without password."""

    @abstractmethod
    def write(self) -> AbstractContextManager[Session]:
        """A transaction that changes rows: done on a clean exit, undone on any exception."""

    @abstractmethod
    def read(
        self, timeout_s: float, interrupted: Interrupted | None = None
    ) -> AbstractContextManager[Session]:
        """A fixed view; queries together are given up after so long, or when nobody waits any more."""

    @abstractmethod
    def sql_type(self, column: Column) -> str:
        """The column's type in this database."""

    @abstractmethod
    def has_table(self, session: Session, name: str) -> bool:
        """Whether there is such a table."""

    @abstractmethod
    def table_names(self, session: Session) -> list[str]:
        """All tables of ours."""

    @abstractmethod
    def value_of(self, column: Column, value: Any) -> Any:
        """What is stored for a value."""

    @abstractmethod
    def close(self) -> None:
        """Let all connections go."""

    def create(self, session: Session, table: Table) -> None:
        """Make a table and its indexes where there is none."""
        columns = ", ".join(
            f'"{column.name}" {self.sql_type(column)}{"" if column.nullable else " NOT NULL"}'
            for column in table.columns
        )
        key = ", ".join(f'"{name}"' for name in table.key)
        session.run(f'CREATE TABLE IF NOT EXISTS "{table.name}" ({columns}, PRIMARY KEY ({key}))')
        for number, index in enumerate(table.indexes):
            names = ", ".join(f'"{name}"' for name in index)
            session.run(f'CREATE INDEX IF NOT EXISTS "{table.name}_by_{number}" ON "{table.name}" ({names})')


def insert_sql(table: Table) -> str:
    """INSERT with a place for each column."""
    names = ", ".join(f'"{name}"' for name in table.column_names)
    return f'INSERT INTO "{table.name}" ({names}) VALUES ({places(len(table.columns))})'


def places(count: int) -> str:
    """`?, ?, ?`."""
    return ", ".join("?" * count)


def in_list(column: str, values: Sequence[Any]) -> str:
    """A condition: one of these."""
    return f"{column} = ?" if len(values) == 1 else f"{column} IN ({places(len(values))})"


def parts(rows: Iterable[Sequence[Any]]) -> Iterator[list[Sequence[Any]]]:
    """Rows in pieces that are handed over at once."""
    piece: list[Sequence[Any]] = []
    for row in rows:
        piece.append(row)
        if len(piece) == INSERT_ROWS:
            yield piece
            piece = []
    if piece:
        yield piece


def whole_number(value: Any) -> int | None:
    """A UINT or INT as it comes out of either database."""
    return None if value is None else int(value)


def digits_of(bits: int) -> int:
    """How many decimal digits hold every number of so many bits."""
    return len(str((1 << bits) - 1))


def is_exact(kind: Kind) -> bool:
    """Whether a column's numbers may pass 63 bits."""
    return kind in (Kind.UINT, Kind.INT)
