"""An update of a trie among the rows of others: the keys of its rows are a prefix and the path's digits.

In C one call makes the walks of several tries; in Python they are `tree.update`. Both give the same rows.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from node.native import kernels
from node.primitives.ids import Hash32
from node.trie import tree

KEY_BYTES: Final = 32
"""Of a packed change."""

RowReader: TypeAlias = Callable[[bytes], bytes | None]
"""The row under a key, or None where there is none."""


class RowsUpdate(NamedTuple):
    """What an update does to the rows."""

    root: Hash32
    """After the update."""
    rows: dict[bytes, bytes | None]
    """New row by key, changed rows only; None: there is none any more."""
    before: dict[bytes, bytes | None]
    """For the same keys, the rows as the reader had them."""


class Change(NamedTuple):
    """What an update begins with."""

    prefix: bytes
    """Of the keys of the trie's rows."""
    changes: dict[bytes, bytes | None]
    """Values by key; None or an empty value deletes."""
    root: Hash32 | None
    """Before the update, where it is known."""
    packed: bytes = b""
    """More changes, one behind the other, of keys of 32 bytes that occur once only: see `pack_change`."""


def pack_change(key: bytes, value: bytes | None) -> bytes:
    """The key, the value's size in one byte, the value: thousands of these are no objects in C."""
    return key + bytes((len(value or b""),)) + (value or b"")


def unpack_changes(packed: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Inverse of pack_change, of many; a value of no bytes deletes."""
    at = 0
    while at < len(packed):
        start = at + KEY_BYTES + 1
        end = start + packed[start - 1]
        yield packed[at : at + KEY_BYTES], packed[start:end]
        at = end


def update_rows(
    read: RowReader, prefix: bytes, changes: dict[bytes, bytes | None], root: Hash32 | None
) -> RowsUpdate:
    """Set values by key; None or an empty value deletes. BrokenTrie as `tree.update` has it."""
    rows: dict[bytes, bytes | None] = {}
    before: dict[bytes, bytes | None] = {}
    (new_root,) = update_tries(read, [Change(prefix, changes, root)], rows, before)
    return RowsUpdate(new_root, rows, before)


def update_tries(
    read: RowReader,
    tries: Sequence[Change],
    rows: dict[bytes, bytes | None],
    before: dict[bytes, bytes | None],
) -> list[Hash32]:
    """The new roots of several tries without a common row: in C, nodes of all of them are hashed at once.

    Rows that differ are put into `rows`, and how they were into `before`: nothing is put where BrokenTrie is
    raised; after other errors, as when there is no memory, both may hold a part and are of no use.
    """
    if kernels is not None:
        try:
            return [Hash32(root) for root in kernels.update_tries(read, tries, rows, before)]
        except ValueError:
            pass  # the Python form finds the words
    done = [update_rows_in_python(read, *each) for each in tries]
    for each in done:
        rows.update(each.rows)
        before.update(each.before)
    return [each.root for each in done]


def update_rows_in_python(
    read: RowReader,
    prefix: bytes,
    changes: Mapping[bytes, bytes | None],
    root: Hash32 | None,
    packed: bytes = b"",
) -> RowsUpdate:
    """See `update_rows`."""
    changes = {**changes, **dict(unpack_changes(packed))}
    done = tree.update(lambda path: read(prefix + path.encode()), changes, root)
    keys = {path: prefix + path.encode() for path in done.rows}
    return RowsUpdate(
        done.root,
        {key: done.rows[path] for path, key in keys.items()},
        {key: done.before[path] for path, key in keys.items()},
    )
