"""The append-only tree of file hashes whose roots the AuditLog contract holds: RFC 9162 over Keccak-256.

A leaf is keccak256(0x00 ‖ hash), a node keccak256(0x01 ‖ left ‖ right). Entry n is the SHA-256 of archived
file n; the contract accepts a new root only with a proof that the tree grew out of the one before.
"""

from collections.abc import Sequence

from node.primitives.crypto import keccak256
from node.primitives.ids import Hash32


def root(entries: Sequence[bytes]) -> Hash32:
    """Root over at least one entry."""
    return _root(_leaves(entries))


def inclusion(entries: Sequence[bytes], index: int) -> list[Hash32]:
    """Siblings of an entry, from the leaf upwards."""
    return _path(_leaves(entries), index)


def consistency(entries: Sequence[bytes], size: int) -> list[Hash32]:
    """Proof that the tree of the first `size` entries is the beginning of the tree of all."""
    if size in (0, len(entries)):
        return []
    return _subproof(_leaves(entries), size, whole=True)


def includes(root_hash: Hash32, size: int, entry: bytes, index: int, proof: Sequence[bytes]) -> bool:
    """Whether `entry` is entry `index` of the tree of `size` entries under `root_hash`."""
    if index >= size:
        return False
    last, found = size - 1, _leaf(entry)
    for sibling in proof:
        if last == 0:
            return False
        if index & 1 or index == last:
            found = _node(sibling, found)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            found = _node(found, sibling)
        index, last = index >> 1, last >> 1
    return last == 0 and found == root_hash


def _leaves(entries: Sequence[bytes]) -> list[Hash32]:
    return list(map(_leaf, entries))


def _leaf(entry: bytes) -> Hash32:
    return keccak256(b"\x00" + entry)


def _node(left: bytes, right: bytes) -> Hash32:
    return keccak256(b"\x01" + left + right)


def _root(leaves: Sequence[Hash32]) -> Hash32:
    if len(leaves) == 1:
        return leaves[0]
    split = _split(len(leaves))
    return _node(_root(leaves[:split]), _root(leaves[split:]))


def _path(leaves: Sequence[Hash32], index: int) -> list[Hash32]:
    if len(leaves) == 1:
        return []
    split = _split(len(leaves))
    if index < split:
        return [*_path(leaves[:split], index), _root(leaves[split:])]
    return [*_path(leaves[split:], index - split), _root(leaves[:split])]


def _subproof(leaves: Sequence[Hash32], size: int, *, whole: bool) -> list[Hash32]:
    if size == len(leaves):
        return [] if whole else [_root(leaves)]
    split = _split(len(leaves))
    if size <= split:
        return [*_subproof(leaves[:split], size, whole=whole), _root(leaves[split:])]
    return [*_subproof(leaves[split:], size - split, whole=False), _root(leaves[:split])]


def _split(count: int) -> int:
    """The largest power of two below count."""
    return 1 << ((count - 1).bit_length() - 1)
