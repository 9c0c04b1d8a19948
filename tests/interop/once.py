"""One process at a time installs what all of them use."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Hold a lock of this folder's, beside it; the kernel gives it back even when its holder is killed."""
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with Path(f"{folder}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
