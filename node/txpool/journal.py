"""The journal of local transactions: what our own clients were told "accepted" survives a restart.

An append-only file of records, each the RLP list [crc32 of the transaction (4 bytes), encoded transaction].
A record is with the operating system when `append` returns (the process may be killed), and on the disk
when `wait_durable` returns (the power may fail). A torn tail, which a power cut leaves behind, ends the
reading and is cut off, so that later records can be read; nothing before it is lost.
"""

import logging
import os
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO, Final

import trio

from node.primitives import rlp
from node.primitives.errors import ChainError, StorageError
from node.primitives.ids import Hash32
from node.primitives.transaction import Transaction, decode_transaction

FILE_MODE: Final = 0o600

log = logging.getLogger(__name__)


class Journal:
    """One file, one writer. Blocking work beyond a short write happens in one worker thread at a time."""

    def __init__(self, path: Path) -> None:
        """Name the file; `open` reads it and must be called before anything else."""
        self._path = path
        self._file: BinaryIO | None = None
        self._size = 0
        self._synced = 0
        self._hashes: set[Hash32] = set()
        self._late: list[bytes] | None = None
        self._gathered: dict[Hash32, Transaction] = {}
        self._disk = trio.Lock()
        self._limiter = trio.CapacityLimiter(1)

    def __contains__(self, tx_hash: Hash32) -> bool:
        return tx_hash in self._hashes

    def __len__(self) -> int:
        """Transactions in the file."""
        return len(self._hashes)

    def open(self) -> list[Transaction]:
        """Open or make the file and give what it holds, in the order it came. StorageError when it cannot."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, FILE_MODE)
            self._file = os.fdopen(descriptor, "r+b", buffering=0)
            content = self._file.read()
            transactions, self._size = _read_records(content)
            if self._size < len(content):
                log.warning(
                    "transaction journal ends in a torn record; it is cut off",
                    extra={"path": self._path, "bytes_lost": len(content) - self._size},
                )
                self._file.truncate(self._size)
            self._file.seek(self._size)
        except OSError as error:
            raise StorageError(f"the transaction journal {self._path} cannot be opened: {error}") from error
        self._synced = 0
        self._hashes = {tx.hash for tx in transactions}
        return transactions

    def append(self, tx: Transaction) -> None:
        """Hand one record to the operating system; StorageError when it does not take it whole."""
        self.gather(tx)
        self._write_gathered()

    def gather(self, tx: Transaction) -> None:
        """`append` for one of many: written with the others by `wait_durable`, which must follow."""
        if tx.hash not in self._hashes:
            self._gathered[tx.hash] = tx

    async def wait_durable(self) -> None:
        """Return when all that was appended before the call is on the disk; callers share one fsync."""
        assert self._file is not None
        self._write_gathered()
        wanted = self._size
        async with self._disk:
            # Whoever held the lock before may have synced our record too.
            if self._synced >= wanted:
                return
            reached, descriptor = self._size, self._file.fileno()
            await trio.to_thread.run_sync(_sync, descriptor, limiter=self._limiter)
            self._synced = max(self._synced, reached)

    async def rotate(self, live: Callable[[], Iterable[Transaction]]) -> None:
        """Replace the file by one that holds what `live` gives alone, at once or not at all."""
        async with self._disk:
            # Asked only now: what is appended from here on lands in `_late`, and nothing falls in between.
            kept = [tx for tx in live() if tx.hash in self._hashes]
            if len(kept) == len(self._hashes):
                return
            self._late = []
            try:
                records = [_encode_record(tx) for tx in kept]
                fresh = self._path.with_suffix(".new")
                await trio.to_thread.run_sync(_write_file, fresh, records, limiter=self._limiter)
                self._swap(fresh, kept, sum(map(len, records)))
            finally:
                self._late = None
            await trio.to_thread.run_sync(_sync_folder, self._path.parent, limiter=self._limiter)

    def close(self) -> None:
        """Close the file; nothing may follow."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write_gathered(self) -> None:
        assert self._file is not None
        if not self._gathered:
            return
        gathered, self._gathered = self._gathered, {}
        records = b"".join(map(_encode_record, gathered.values()))
        _write(self._file, records, self._size)
        self._size += len(records)
        self._hashes.update(gathered)
        if self._late is not None:
            self._late.append(records)

    def _swap(self, fresh: Path, kept: list[Transaction], size: int) -> None:
        """Put the new file in place; no task runs in between, so no record can fall between the two."""
        assert self._late is not None
        assert self._file is not None
        late = b"".join(self._late)
        try:
            file = fresh.open("r+b", buffering=0)
            file.seek(size)
            _write(file, late, size)
            fresh.replace(self._path)
        except OSError as error:
            raise StorageError(f"the transaction journal {self._path} cannot be replaced: {error}") from error
        self._file.close()
        self._file = file
        appended = _read_records(late)[0]
        self._size, self._synced = size + len(late), size
        self._hashes = {tx.hash for tx in (*kept, *appended)}


def _encode_record(tx: Transaction) -> bytes:
    return rlp.encode([zlib.crc32(tx.encoded).to_bytes(4, "big"), tx.encoded])


def _read_records(content: bytes) -> tuple[list[Transaction], int]:
    """The records up to the first that is not whole, and where that one starts."""
    transactions: list[Transaction] = []
    position = 0
    while position < len(content):
        try:
            _, end, _ = rlp.item_bounds(content, position, len(content))
            checksum, encoded = rlp.as_list(rlp.decode(content[position:end]), 2)
            raw = rlp.as_bytes(encoded)
            if rlp.as_bytes(checksum) != zlib.crc32(raw).to_bytes(4, "big"):
                break
            transactions.append(decode_transaction(raw))
        except ChainError:
            break
        position = end
    return transactions, position


def _write(file: BinaryIO, data: bytes, size: int) -> None:
    """Append `data` to a file of `size` bytes; on failure leave the file as it was."""
    try:
        written = file.write(data)
        if written == len(data):
            return
        reason = f"{written} of {len(data)} bytes written"
    except OSError as error:
        reason = str(error)
    # Half a record in the middle would hide every record after it.
    file.truncate(size)
    file.seek(size)
    raise StorageError(f"the transaction journal does not take a record: {reason}")


def _sync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise StorageError(f"the transaction journal does not reach the disk: {error}") from error


def _write_file(path: Path, records: list[bytes]) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(records)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StorageError(f"the transaction journal {path} cannot be written: {error}") from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
