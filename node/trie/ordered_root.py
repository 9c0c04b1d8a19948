"""Roots of lists: transactions and receipts, keyed by the RLP of their index. Built once, nothing is kept."""

from collections.abc import Sequence
from functools import lru_cache

from node.native import kernel_or
from node.primitives import rlp
from node.primitives.ids import Hash32
from node.trie.nodes import (
    EMPTY,
    encode_branch,
    encode_extension,
    encode_leaf,
    reference,
    root_of,
    shared_length,
)


def ordered_root(encoded_items: Sequence[bytes]) -> Hash32:
    """Root of the trie that maps rlp(0), rlp(1), ... to the items (none of them empty)."""
    if not encoded_items:
        return root_of(None)
    return _root(encoded_items)


def ordered_root_in_python(encoded_items: Sequence[bytes]) -> Hash32:
    """See `ordered_root`; of one item at least."""
    count = len(encoded_items)
    order, keys = _ordered_keys(count)
    values = [encoded_items[index] for index in order]
    return root_of(_built(keys, values, 0, count, 0))


@lru_cache(maxsize=64)
def _ordered_keys(count: int) -> tuple[list[int], list[str]]:
    """Indexes in the order of their keys, and the keys as nibbles."""
    # rlp(0) is 0x80: it comes after the single bytes 1..127 and before the longer keys.
    order = [*range(1, min(count, 128)), 0, *range(128, count)]
    return order, [rlp.encode_uint(index).hex() for index in order]


def _built(keys: Sequence[str], values: Sequence[bytes], low: int, high: int, depth: int) -> bytes:
    """The node that holds keys[low:high], which agree in their first `depth` nibbles."""
    first = keys[low]
    if high - low == 1:
        return encode_leaf(first[depth:], values[low])
    fork = depth + shared_length(first[depth:], keys[high - 1][depth:])
    items = [EMPTY] * 17
    while low < high:
        nibble = keys[low][fork]
        stop = low + 1
        while stop < high and keys[stop][fork] == nibble:
            stop += 1
        items[int(nibble, 16)] = reference(_built(keys, values, low, stop, fork + 1))
        low = stop
    branch = encode_branch(items)
    return branch if fork == depth else encode_extension(first[depth:fork], reference(branch))


_root = kernel_or(ordered_root_in_python, "ordered_root")
