"""An update of a trie among the rows of others: the keys of its rows are a prefix and the path's digits.

In C one call makes the whole walk; in Python it is `tree.update`. Both give the same rows.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, TypeAlias

from node.native import has, kernels
from node.primitives.ids import Hash32
from node.trie import tree

_IN_C: Final = has("trie_update")

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


def update_rows(
    read: RowReader, prefix: bytes, changes: dict[bytes, bytes | None], root: Hash32 | None
) -> RowsUpdate:
    """Set values by key; None or an empty value deletes. BrokenTrie as `tree.update` has it."""
    if kernels is not None and _IN_C:
        try:
            return RowsUpdate(*kernels.trie_update(read, prefix, changes, root))
        except ValueError:
            pass  # the Python form finds the words
    return update_rows_in_python(read, prefix, changes, root)


def update_rows_in_python(
    read: RowReader, prefix: bytes, changes: Mapping[bytes, bytes | None], root: Hash32 | None
) -> RowsUpdate:
    """See `update_rows`."""
    done = tree.update(lambda path: read(prefix + path.encode()), changes, root)
    keys = {path: prefix + path.encode() for path in done.rows}
    return RowsUpdate(
        done.root,
        {key: done.rows[path] for path, key in keys.items()},
        {key: done.before[path] for path, key in keys.items()},
    )
