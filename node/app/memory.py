"""Keeping a small process small: what the C library does with memory that Python has given back.

By default glibc gives every thread an arena of its own and keeps what is freed in it; with a dozen threads
that each decode headers now and then, a third of a light client's memory is such leftovers.
"""

import ctypes
import logging
from typing import Final

M_ARENA_MAX: Final = -8
M_MMAP_THRESHOLD: Final = -3
ARENAS_MAX: Final = 1
MMAP_THRESHOLD_BYTES: Final = 128 * 1024
"""Larger pieces are given back to the system at once; named, so that glibc does not raise it by itself."""
LARGE_PIECE_BYTES: Final = 1 << 20

log = logging.getLogger(__name__)


def share_one_arena() -> None:
    """Have all threads allocate from one place; before any of them starts. Does nothing without glibc."""
    try:
        library = ctypes.CDLL(None)
        library.mallopt(M_ARENA_MAX, ARENAS_MAX)
        library.mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)
    except (AttributeError, OSError):
        log.debug("this C library has no arenas to share")


def return_large_pieces() -> None:
    """Have what a large answer needed leave the process with it. Does nothing without glibc.

    By itself glibc keeps pieces of up to 32 MiB once it has seen them freed: after a few large traces a node
    is that much larger for good.
    """
    try:
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_PIECE_BYTES)
    except (AttributeError, OSError):
        log.debug("this C library has no such option")


def give_back() -> None:
    """Return freed memory to the system; after work that needed much of it."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError):
        log.debug("this C library has nothing to trim")
