"""Read a trie, and update it: all changes sorted, one walk, every touched node encoded and hashed once.

An update writes nothing. It returns the rows that changed, each with what it held before, so that whoever
keeps the rows can go forward, back, or keep both.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from node.primitives import rlp
from node.primitives.crypto import keccak256
from node.primitives.errors import StorageError
from node.primitives.ids import Hash32
from node.trie.nodes import (
    EMPTY,
    Branch,
    Short,
    decode_node,
    encode_branch,
    encode_extension,
    encode_leaf,
    reference,
    root_of,
    shared_length,
    step,
    string_of,
)

NodeReader: TypeAlias = Callable[[str], bytes | None]
"""The row at a path, or None where there is none."""

_Changes: TypeAlias = list[tuple[str, bytes | None]]
"""(key as nibbles, new value or None to delete), ascending."""

_NIBBLES = "0123456789abcdef"


class BrokenTrie(StorageError):
    """The rows do not make a trie: a node is missing or cannot be read."""


@dataclass(frozen=True, slots=True)
class TrieUpdate:
    """What an update does to the rows."""

    root: Hash32
    """After the update."""
    rows: Mapping[str, bytes | None]
    """New row by path, changed rows only; None: there is none any more."""
    before: Mapping[str, bytes | None]
    """For the same paths, the rows as the reader had them."""


def update(read: NodeReader, changes: Mapping[bytes, bytes | None], root: Hash32 | None = None) -> TrieUpdate:
    """Set values by key; None or an empty value deletes.

    BrokenTrie when the rows do not fit together, or do not have the `root` that they are said to have.
    """
    run = _Update(read)
    items: _Changes = sorted((key.hex(), value or None) for key, value in changes.items())
    try:
        encoded = run.change_root(items, root)
    except rlp.RlpError as error:
        raise BrokenTrie(f"a trie node cannot be read back: {error}") from error
    rows = {path: row for path, row in run.rows.items() if row != run.seen.get(path)}
    return TrieUpdate(root_of(encoded), rows, {path: run.seen.get(path) for path in rows})


def get(read: NodeReader, key: bytes) -> bytes | None:
    """The value of a key, or None where there is none."""
    return find(read, key)[1]


def find(read: NodeReader, key: bytes, at_hand: NodeReader | None = None) -> tuple[list[bytes], bytes | None]:
    """The encoded nodes from the root towards a key (those inside their parents too), and its value.

    `at_hand` reads another state's nodes more cheaply: one that is what its parent names is taken from there.
    """
    nibbles = key.hex()
    nodes: list[bytes] = []
    encoded = read("")
    taken = 0
    while encoded is not None:
        nodes.append(encoded)
        child, advance, value = step(_decoded(encoded, nibbles[:taken]), nibbles[taken:])
        if child == EMPTY:
            return nodes, value
        taken += advance
        path = nibbles[:taken]
        near = at_hand(path) if at_hand is not None and child[0] < 0xC0 else None
        is_same = near is not None and keccak256(near) == child[1:]
        encoded = near if is_same else _resolved(read, path, child)
    return nodes, None


def leaves(read: NodeReader) -> Iterator[tuple[bytes, bytes]]:
    """All keys (of whole bytes) with their values, in key order."""
    root = read("")
    pending = [] if root is None else [("", root)]
    while pending:
        path, encoded = pending.pop()
        node = _decoded(encoded, path)
        if isinstance(node, Short):
            below = path + node.nibbles
            if node.is_leaf:
                yield bytes.fromhex(below), node.payload
            else:
                pending.append((below, _resolved(read, below, node.payload)))
            continue
        if node[16] != EMPTY:
            yield bytes.fromhex(path), string_of(node[16])
        for nibble in reversed(_NIBBLES):
            child = node[int(nibble, 16)]
            if child != EMPTY:
                pending.append((path + nibble, _resolved(read, path + nibble, child)))


def _decoded(encoded: bytes, path: str) -> Branch | Short:
    try:
        return decode_node(encoded)
    except rlp.RlpError as error:
        raise BrokenTrie(f"the trie node at {path!r} cannot be read back: {error}") from error


def _resolved(read: NodeReader, path: str, child: bytes) -> bytes:
    if child[0] >= 0xC0:
        return child
    encoded = read(path)
    if encoded is None:
        raise BrokenTrie(f"the trie has no node at {path!r}, where its parent names one")
    return encoded


class _Update:
    """One walk through the trie."""

    def __init__(self, read: NodeReader) -> None:
        self._read = read
        self.seen: dict[str, bytes] = {}
        """Rows as they were, for every row that the walk came upon."""
        self.rows: dict[str, bytes | None] = {}
        """Rows as they become; where a path is not in `seen`, there was no row."""

    def change_root(self, items: _Changes, expected: Hash32 | None) -> bytes | None:
        """Apply all changes; the encoded root, or None for an empty trie."""
        old = self._read("")
        if expected is not None and root_of(old) != expected:
            raise BrokenTrie(f"the rows have the root {root_of(old).hex()}, where {expected.hex()} is kept")
        if old is not None:
            self.seen[""] = old
        new = self._changed("", old, items, 0, len(items)) if items else old
        self.rows[""] = new
        return new

    # Every method below gets a path and changes items[low:high] whose keys all begin with it, and returns the
    # node that belongs there after them. The caller decides where that node is kept.

    def _changed(
        self, path: str, encoded: bytes | None, items: _Changes, low: int, high: int
    ) -> bytes | None:
        if encoded is None:
            return self._built_live(path, items[low:high])
        node = decode_node(encoded)
        if isinstance(node, list):
            return self._changed_branch(path, node, items, low, high)
        if node.is_leaf:
            return self._changed_leaf(path, node, items[low:high])
        return self._changed_extension(path, node, encoded, items, low, high)

    def _changed_leaf(self, path: str, leaf: Short, items: _Changes) -> bytes | None:
        own = path + leaf.nibbles
        if len(items) == 1 and items[0][0] == own:
            value = items[0][1]
            return None if value is None else encode_leaf(leaf.nibbles, value)
        if all(key != own for key, _ in items):
            items = sorted([*items, (own, leaf.payload)])
        return self._built_live(path, items)

    def _changed_extension(
        self, path: str, node: Short, encoded: bytes, items: _Changes, low: int, high: int
    ) -> bytes | None:
        end = path + node.nibbles
        if not (items[low][0].startswith(end) and items[high - 1][0].startswith(end)):
            # Deleting what is not there changes nothing, and must not split the extension.
            items = [item for item in items[low:high] if item[1] is not None or item[0].startswith(end)]
            low, high = 0, len(items)
            if not items:
                return encoded
        depth = len(path)
        shared = min(
            shared_length(node.nibbles, items[low][0][depth:]),
            shared_length(node.nibbles, items[high - 1][0][depth:]),
        )
        if shared == len(node.nibbles):
            child = self._changed(end, self._child(end, node.payload), items, low, high)
            return self._extended(path, end, child)
        fork = path + node.nibbles[:shared]
        slots = [EMPTY] * 17
        nibble, rest = node.nibbles[shared], node.nibbles[shared + 1 :]
        slots[int(nibble, 16)] = (
            self._placed(fork + nibble, encode_extension(rest, node.payload)) if rest else node.payload
        )
        return self._extended(path, fork, self._changed_branch(fork, slots, items, low, high))

    def _changed_branch(self, path: str, slots: Branch, items: _Changes, low: int, high: int) -> bytes | None:
        depth = len(path)
        key, value = items[low]
        if len(key) == depth:
            slots[16] = EMPTY if value is None else rlp.encode_bytes(value)
            low += 1
        while low < high:
            nibble = items[low][0][depth]
            stop = low + 1
            while stop < high and items[stop][0][depth] == nibble:
                stop += 1
            child_path, slot = path + nibble, int(nibble, 16)
            old = slots[slot]
            new = self._changed(child_path, self._child(child_path, old), items, low, stop)
            slots[slot] = self._placed(child_path, new)
            low = stop
        if slots.count(EMPTY) < 16:
            return encode_branch(slots)
        return self._collapsed(path, slots)

    def _collapsed(self, path: str, slots: Branch) -> bytes | None:
        """The node in place of a branch with one way out, or none."""
        if slots[16] != EMPTY:
            return encode_leaf("", string_of(slots[16]))
        for nibble, slot in zip(_NIBBLES, slots, strict=False):
            if slot != EMPTY:
                return self._extended(path, path + nibble, self._child(path + nibble, slot))
        return None

    def _extended(self, path: str, end: str, child: bytes | None) -> bytes | None:
        """The node at `path` when nothing lies between it and `child` at `end`."""
        if path == end:
            return child
        if child is None:
            self._vacate(end)
            return None
        nibbles = end[len(path) :]
        node = decode_node(child)
        if isinstance(node, list):
            return encode_extension(nibbles, self._placed(end, child))
        self._vacate(end)
        if node.is_leaf:
            return encode_leaf(nibbles + node.nibbles, node.payload)
        return encode_extension(nibbles + node.nibbles, node.payload)

    def _built_live(self, path: str, items: _Changes) -> bytes | None:
        live = [(key, value) for key, value in items if value is not None]
        return self._built(path, live, 0, len(live)) if live else None

    def _built(self, path: str, items: list[tuple[str, bytes]], low: int, high: int) -> bytes:
        """A subtree where there was none."""
        first, value = items[low]
        depth = len(path)
        if high - low == 1:
            return encode_leaf(first[depth:], value)
        fork = depth + shared_length(first[depth:], items[high - 1][0][depth:])
        slots = [EMPTY] * 17
        if len(first) == fork:
            slots[16] = rlp.encode_bytes(value)
            low += 1
        while low < high:
            nibble = items[low][0][fork]
            stop = low + 1
            while stop < high and items[stop][0][fork] == nibble:
                stop += 1
            child_path = first[:fork] + nibble
            slots[int(nibble, 16)] = self._placed(child_path, self._built(child_path, items, low, stop))
            low = stop
        branch = encode_branch(slots)
        if fork == depth:
            return branch
        return encode_extension(first[depth:fork], self._placed(first[:fork], branch))

    def _child(self, path: str, slot: bytes) -> bytes | None:
        if slot == EMPTY:
            return None
        if slot[0] >= 0xC0:
            return slot
        placed = self.rows.get(path)
        if placed is not None:
            return placed
        encoded = _resolved(self._read, path, slot)
        self.seen[path] = encoded
        return encoded

    def _placed(self, path: str, encoded: bytes | None) -> bytes:
        """Keep a node at a path that is not the root; how its parent refers to it."""
        if encoded is None:
            self._vacate(path)
            return EMPTY
        if len(encoded) < 32:
            self._vacate(path)
            return encoded
        self.rows[path] = encoded
        return reference(encoded)

    def _vacate(self, path: str) -> None:
        if path in self.seen:
            self.rows[path] = None
        else:
            self.rows.pop(path, None)
