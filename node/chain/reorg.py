"""Which blocks leave the chain and which enter it when the head moves from one block to another. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from node.primitives.block import Header
from node.primitives.errors import StorageError
from node.primitives.ids import Hash32


@dataclass(frozen=True, slots=True)
class Route:
    """The way from one block to another, through their last common ancestor."""

    ancestor: Header
    removed: tuple[Header, ...]
    """Newest first."""
    added: tuple[Header, ...]
    """Oldest first."""


def route(old: Header, new: Header, header_of: Callable[[Hash32], Header | None]) -> Route:
    """The way from `old` to `new`. StorageError when a header on it is missing, or genesis differs."""
    removed: list[Header] = []
    added: list[Header] = []
    while old.hash != new.hash:
        if old.number == new.number == 0:
            raise StorageError(f"blocks {old.ref} and {new.ref} have no common ancestor")
        climbs_down = new.number >= old.number
        if old.number >= new.number:
            removed.append(old)
            old = parent_of(old, header_of)
        if climbs_down:
            added.append(new)
            new = parent_of(new, header_of)
    return Route(old, tuple(removed), tuple(reversed(added)))


def parent_of(header: Header, header_of: Callable[[Hash32], Header | None]) -> Header:
    """The parent of a block that was accepted; StorageError when it is missing."""
    parent = header_of(header.parent_hash)
    if parent is None:
        raise StorageError(f"the parent 0x{header.parent_hash.hex()} of block {header.ref} is missing")
    return parent
