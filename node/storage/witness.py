"""A count of synced writes beside the database, so that a database that lost its end is found out.

LevelDB takes a log that was cut short, or is missing, for a crash before the last writes, and opens at an
earlier state without a word. For a validator that would be fatal: its signing guard would have forgotten what
it signed. So every synced batch carries its number in a row, and the number is also written to a small file
when the batch has reached the disk. The file itself is never synced: it may fall behind the database after a
power failure, but it can never be ahead of one that is whole.
"""

import os
import zlib
from pathlib import Path
from typing import Final

from node.primitives.errors import StorageError

FILE_NAME: Final = "SYNCED"
_SLOT_BYTES: Final = 512
"""Two slots in two disk sectors, written in turn: a torn write spoils one of them at most."""


class Witness:
    """The file that remembers how many synced writes there were."""

    def __init__(self, folder: Path) -> None:
        """Open or create the file in the database's folder. OSError when that cannot be."""
        self._file = os.open(folder / FILE_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self.count = max(self._slot(0), self._slot(1))

    def check(self, folder: Path, count: int) -> None:
        """Compare with the database's own count and go on from that; StorageError when it lost writes."""
        if self.count > count:
            raise StorageError(
                f"{folder}: {self.count - count} synced writes are missing: the end of the database was lost "
                f"(write {count} is there, write {self.count} was). Restore it from a backup or sync anew. "
                f"Removing the file {FILE_NAME} accepts the loss; never do that where a validator key signs"
            )
        self.count = count

    def advance(self) -> None:
        """One more synced write has reached the disk."""
        self.count += 1
        number = self.count.to_bytes(8, "big")
        slot = number + zlib.crc32(number).to_bytes(4, "big")
        os.pwrite(self._file, slot, self.count % 2 * _SLOT_BYTES)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _slot(self, index: int) -> int:
        slot = os.pread(self._file, 12, index * _SLOT_BYTES)
        number, check = slot[:8], slot[8:]
        if len(slot) != 12 or zlib.crc32(number).to_bytes(4, "big") != check:
            return 0
        return int.from_bytes(number, "big")
