"""The trees of RFC 9162 by its own recursive definition, over Keccak: the contracts verify, this one builds.

Written from the definition and not from the verifying loops, so that the two cannot share a mistake.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from node.primitives.crypto import keccak256

N = TypeVar("N")


@dataclass(frozen=True, slots=True)
class Tree(Generic[N]):
    """Leaves in order and how two nodes make one."""

    leaves: Sequence[N]
    join: Callable[[N, N], N]

    def root(self, start: int = 0, stop: int | None = None) -> N:
        """The root over leaves[start:stop]; at least one."""
        stop = len(self.leaves) if stop is None else stop
        if stop - start == 1:
            return self.leaves[start]
        middle = start + _split(stop - start)
        return self.join(self.root(start, middle), self.root(middle, stop))

    def path(self, index: int, start: int = 0, stop: int | None = None) -> list[N]:
        """Siblings of leaf `index`, from the leaf upwards."""
        stop = len(self.leaves) if stop is None else stop
        if stop - start == 1:
            return []
        middle = start + _split(stop - start)
        if index < middle:
            return [*self.path(index, start, middle), self.root(middle, stop)]
        return [*self.path(index, middle, stop), self.root(start, middle)]

    def consistency(self, size: int) -> list[N]:
        """Proof that the tree of the first `size` leaves is the beginning of this one."""
        if size in (0, len(self.leaves)):
            return []
        return self._subproof(size, 0, len(self.leaves), whole=True)

    def _subproof(self, size: int, start: int, stop: int, *, whole: bool) -> list[N]:
        if size == stop:
            return [] if whole else [self.root(start, stop)]
        middle = start + _split(stop - start)
        if size <= middle:
            return [*self._subproof(size, start, middle, whole=whole), self.root(middle, stop)]
        return [*self._subproof(size, middle, stop, whole=False), self.root(start, middle)]


def log_tree(entries: Sequence[bytes]) -> Tree[bytes]:
    """MerkleLog's tree over entry hashes."""
    leaves = [keccak256(b"\x00" + entry) for entry in entries]
    return Tree(leaves, lambda left, right: keccak256(b"\x01" + left + right))


Sum = tuple[bytes, int]
"""A node of a tree of quantities: (hash, sum)."""


def usage_tree(records: Sequence[tuple[bytes, int]]) -> Tree[Sum]:
    """UsageTree's tree over (record hash, quantity)."""
    leaves = [(keccak256(b"\x00" + record + _sum(quantity)), quantity) for record, quantity in records]
    return Tree(leaves, _join_sums)


def _join_sums(left: Sum, right: Sum) -> Sum:
    data = b"\x01" + left[0] + _sum(left[1]) + right[0] + _sum(right[1])
    return keccak256(data), left[1] + right[1]


def _sum(quantity: int) -> bytes:
    return quantity.to_bytes(16, "big")


def _split(count: int) -> int:
    """The largest power of two below count."""
    return 1 << ((count - 1).bit_length() - 1)
