"""The append-only Merkle tree of RFC 9162 over Keccak-256, as the AuditLog contract verifies it. Pure.

A leaf is keccak256(0x00 || entry), a node keccak256(0x01 || left || right). Whole subtrees are kept, so that
a root or a proof costs a few hashes whatever the size.
"""

from collections.abc import Iterable

from node.primitives.crypto import keccak256
from node.primitives.ids import Hash32


class MerkleTree:
    """Entries in their order; grows at its end only."""

    def __init__(self, entries: Iterable[bytes] = ()) -> None:
        self._levels: list[list[bytes]] = [[]]
        """levels[h][i] covers entries i << h up to (i + 1) << h, all of them there."""
        for entry in entries:
            self.append(entry)

    def __len__(self) -> int:
        return len(self._levels[0])

    def append(self, entry: bytes) -> None:
        """One more entry: a hash of 32 bytes."""
        node: bytes = keccak256(b"\x00" + entry)
        for level in self._levels:
            level.append(node)
            if len(level) % 2:
                return
            node = _join(level[-2], level[-1])
        self._levels.append([node])

    def root(self, size: int | None = None) -> Hash32:
        """The root over the first `size` entries, at least one."""
        return Hash32(self._node(0, len(self) if size is None else size))

    def path(self, index: int, size: int | None = None) -> list[bytes]:
        """Siblings of entry `index` in the tree of `size` entries, from the leaf upwards."""
        return self._path(index, 0, len(self) if size is None else size)

    def consistency(self, old: int, size: int | None = None) -> list[bytes]:
        """Proof that the tree of the first `old` entries is the beginning of that of `size`."""
        stop = len(self) if size is None else size
        return [] if old in (0, stop) else self._subproof(old, 0, stop, whole=True)

    def _node(self, start: int, stop: int) -> bytes:
        count = stop - start
        height = count.bit_length() - 1
        if count == 1 << height and start % count == 0:
            return self._levels[height][start >> height]
        middle = start + _split(count)
        return _join(self._node(start, middle), self._node(middle, stop))

    def _path(self, index: int, start: int, stop: int) -> list[bytes]:
        if stop - start == 1:
            return []
        middle = start + _split(stop - start)
        if index < middle:
            return [*self._path(index, start, middle), self._node(middle, stop)]
        return [*self._path(index, middle, stop), self._node(start, middle)]

    def _subproof(self, old: int, start: int, stop: int, *, whole: bool) -> list[bytes]:
        if old == stop:
            return [] if whole else [self._node(start, stop)]
        middle = start + _split(stop - start)
        if old <= middle:
            return [*self._subproof(old, start, middle, whole=whole), self._node(middle, stop)]
        return [*self._subproof(old, middle, stop, whole=False), self._node(start, middle)]


def _join(left: bytes, right: bytes) -> bytes:
    return keccak256(b"\x01" + left + right)


def _split(count: int) -> int:
    """The largest power of two below count."""
    return 1 << ((count - 1).bit_length() - 1)
