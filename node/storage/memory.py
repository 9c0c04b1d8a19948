"""The store in memory, for tests and simulation: the same port, with crashes and full disks on demand.

Promises what LevelDB promises: a batch is atomic, and a crash leaves everything up to the last synced batch,
then some of the batches after it in the order they were written.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from random import Random
from threading import Lock

from node.primitives.errors import StorageError
from node.storage.kv import Batch


class MemoryKV:
    """KeyValue over a dict. Snapshots share the dict until the next write copies it."""

    def __init__(self, rows: Mapping[bytes, bytes] | None = None) -> None:
        self._table = _Table(dict(rows or {}))
        self._durable = dict(rows or {})
        self._unsynced: list[Batch] = []
        self._lock = Lock()
        self._shared = False
        self._writes_left: int | None = None
        self._failed = False
        self._closed = False

    def get(self, key: bytes) -> bytes | None:
        """See Reader."""
        self._check_open()
        return self._table.rows.get(key)

    def iterate(
        self, start: bytes, stop: bytes | None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """See Reader."""
        return self.snapshot().iterate(start, stop, reverse=reverse)

    def write(self, batch: Batch, *, sync: bool) -> None:
        """See KeyValue."""
        self._check_open()
        with self._lock:
            if self._failed:
                raise StorageError("an earlier write failed; the store takes no more")
            # Copied, because a caller may go on to use its batch.
            self._unsynced.append(Batch(dict(batch.rows)))
            if self._writes_left == 0:
                self._failed = True
                raise StorageError("the write failed: no space left on device")
            if self._writes_left is not None:
                self._writes_left -= 1
            if self._shared:
                self._table = self._table.copy()
                self._shared = False
            self._table.apply(batch)
            if sync:
                _replay(self._durable, self._unsynced)
                self._unsynced.clear()

    def snapshot(self) -> "MemorySnapshot":
        """See KeyValue."""
        self._check_open()
        with self._lock:
            self._shared = True
            return MemorySnapshot(self._table)

    def close(self) -> None:
        """See KeyValue."""
        self._closed = True

    def fail_after(self, writes: int) -> None:
        """Let `writes` more writes pass; the next one fails as on a full disk, and so do all after it."""
        self._writes_left = writes

    def after_crash(self, random: Random) -> "MemoryKV":
        """What a restart finds: all that was synced, and a drawn number of the later batches, oldest first.

        A torn batch is lost whole, and a write that failed may yet be found: both as in LevelDB's log.
        """
        survivors = random.randint(0, len(self._unsynced))
        rows = dict(self._durable)
        _replay(rows, self._unsynced[:survivors])
        return MemoryKV(rows)

    def _check_open(self) -> None:
        if self._closed:
            raise StorageError("the database is closed")


class MemorySnapshot:
    """Snapshot of a MemoryKV."""

    def __init__(self, table: "_Table") -> None:
        self._table = table

    def get(self, key: bytes) -> bytes | None:
        """See Reader."""
        return self._table.rows.get(key)

    def iterate(
        self, start: bytes, stop: bytes | None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """See Reader."""
        return self._table.between(start, stop, reverse=reverse)

    def visit(self, start: bytes, stop: bytes, has_enough: Callable[[bytes, bytes], bool]) -> bool:
        """See Snapshot."""
        return any(has_enough(key, value) for key, value in self._table.between(start, stop, reverse=False))

    def close(self) -> None:
        """See Snapshot."""


class _Table:
    """Rows with an index of their keys that is brought up to date only when somebody iterates."""

    def __init__(self, rows: dict[bytes, bytes]) -> None:
        self.rows = rows
        # (sorted keys, some of them gone; keys not yet sorted in): swapped as one, so threads may read it.
        self._index: tuple[list[bytes], list[bytes]] = ([], list(rows))

    def copy(self) -> "_Table":
        table = _Table(dict(self.rows))
        keys, fresh = self._index
        table._index = (keys, list(fresh))
        return table

    def apply(self, batch: Batch) -> None:
        fresh = self._index[1]
        for key, value in batch.rows.items():
            if value is None:
                self.rows.pop(key, None)
            else:
                if key not in self.rows:
                    fresh.append(key)
                self.rows[key] = value

    def between(self, start: bytes, stop: bytes | None, *, reverse: bool) -> Iterator[tuple[bytes, bytes]]:
        keys, fresh = self._index
        if fresh:
            # Sorting two sorted runs is one merge; a key may stand in both when it was deleted and came back.
            merged = dict.fromkeys(sorted(keys + sorted(fresh)))
            keys = [key for key in merged if key in self.rows]
            self._index = (keys, [])
        low = bisect_left(keys, start)
        high = len(keys) if stop is None else bisect_left(keys, stop)
        chosen = keys[low:high]
        rows = self.rows
        return ((key, rows[key]) for key in (reversed(chosen) if reverse else chosen) if key in rows)


def _replay(rows: dict[bytes, bytes], batches: list[Batch]) -> None:
    for batch in batches:
        for key, value in batch.rows.items():
            if value is None:
                rows.pop(key, None)
            else:
                rows[key] = value
