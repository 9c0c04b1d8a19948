"""The ports of an ordered key-value store: what the rest of the house needs of a database, and no more."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(slots=True)
class Batch:
    """Changes that reach the disk together or not at all; the last word on a key counts."""

    rows: dict[bytes, bytes | None] = field(default_factory=dict)
    """New value by key; None deletes."""

    def put(self, key: bytes, value: bytes) -> None:
        """Write a row."""
        self.rows[key] = value

    def delete(self, key: bytes) -> None:
        """Remove a row; nothing happens where there is none."""
        self.rows[key] = None

    def __len__(self) -> int:
        """How many rows are written or deleted."""
        return len(self.rows)


class Reader(Protocol):
    """Rows by key. StorageError when the disk does not give back what was written."""

    def get(self, key: bytes) -> bytes | None:
        """The value, or None where there is no row."""
        ...

    def iterate(
        self, start: bytes, stop: bytes | None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Rows with start <= key < stop in key order (None: to the end), or in the opposite order.

        Shows the rows as they were at the call, whatever is written while it runs.
        """
        ...


class Snapshot(Reader, Protocol):
    """All rows as they were at one moment; may be read from any thread."""

    def visit(self, start: bytes, stop: bytes, has_enough: Callable[[bytes, bytes], bool]) -> bool:
        """Show rows from key `start` on, none from `stop` on, until the visitor has enough; whether it has.

        What an old state is read with: one search, and no more rows than are needed.
        """
        ...

    def close(self) -> None:
        """Let go of the moment; the garbage collector does it too."""
        ...


class KeyValue(Reader, Protocol):
    """An ordered store that one process has open."""

    def write(self, batch: Batch, *, sync: bool) -> None:
        """Apply the batch atomically; with `sync` it has reached the disk when this returns.

        StorageError when it could not be written; the store then takes no further write.
        """
        ...

    def snapshot(self) -> Snapshot:
        """A fixed view of all rows as they are now."""
        ...

    def close(self) -> None:
        """Release the store; reads and writes after it raise StorageError."""
        ...


def prefix_stop(prefix: bytes) -> bytes | None:
    """The first key after all keys that begin with `prefix`; None when there is no such key."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes((stem[-1] + 1,)) if stem else None


def shown(key: bytes) -> str:
    """A key in an error, as hex and not too long."""
    return key[:40].hex() + ("..." if len(key) > 40 else "")
