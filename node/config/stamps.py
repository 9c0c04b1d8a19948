"""What tells one state of a file from another, for whoever reads files again when they have changed."""

from pathlib import Path
from typing import TypeAlias

Stamp: TypeAlias = tuple[int, int, int] | None
"""When it was written (ns), its size in bytes, and which file it is; None while there is none."""


def stamp_of(path: Path) -> Stamp:
    """The file's stamp of this moment."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
