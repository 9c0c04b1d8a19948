"""Leaf, extension and branch: their encodings, and how a parent refers to a child.

Nibbles are strings of hex digits: slicing, comparing and packing strings is the fastest that Python does.
A *reference* is what stands in the parent: 33 bytes (the RLP string of a hash), the child itself when its
encoding is shorter than 32 bytes, or EMPTY.
"""

from collections.abc import Sequence
from struct import Struct
from typing import Final, NamedTuple, TypeAlias

from sha3 import keccak_256

from node.native import kernels
from node.primitives import rlp
from node.primitives.crypto import keccak256
from node.primitives.ids import Hash32
from node.primitives.rlp import RlpError

EMPTY: Final = b"\x80"
"""The reference to no child, and the value of a branch that has none."""
EMPTY_ROOT: Final = keccak256(EMPTY)
"""Root of a trie without keys."""

_FULL_BRANCH_BYTES: Final = 532
_FULL_BRANCH_STRIDE: Final = b"\xa0" * 16 + EMPTY
_FULL_BRANCH: Final = Struct("33s" * 16 + "1s")


class Short(NamedTuple):
    """A leaf or an extension."""

    nibbles: str
    """The stretch of path that only this node stands for."""
    is_leaf: bool
    payload: bytes
    """A leaf's value; an extension's reference to its child."""


Branch: TypeAlias = list[bytes]
"""Sixteen references, then the RLP of the value that ends here (EMPTY for none)."""


def leaf_in_python(nibbles: str, value: bytes) -> bytes:
    """See `encode_leaf`."""
    path = bytes.fromhex(("3" if len(nibbles) & 1 else "20") + nibbles)
    return rlp.encode_list((rlp.encode_bytes(path), rlp.encode_bytes(value)))


def extension_in_python(nibbles: str, child: bytes) -> bytes:
    """See `encode_extension`."""
    path = bytes.fromhex(("1" if len(nibbles) & 1 else "00") + nibbles)
    return rlp.encode_list((rlp.encode_bytes(path), child))


def branch_in_python(items: Sequence[bytes]) -> bytes:
    """See `encode_branch`."""
    payload = b"".join(items)
    size = len(payload)
    if size > 0xFF:
        return b"\xf9" + size.to_bytes(2, "big") + payload
    return (bytes((0xF8, size)) if size > 55 else bytes((0xC0 + size,))) + payload


def reference_in_python(encoded: bytes) -> bytes:
    """See `reference`."""
    return encoded if len(encoded) < 32 else b"\xa0" + keccak_256(encoded).digest()


encode_leaf = leaf_in_python if kernels is None else kernels.trie_leaf
"""The end of a path (nibbles, at most 126) with its value."""
encode_extension = extension_in_python if kernels is None else kernels.trie_extension
"""A stretch of path without a fork, and the reference to what is behind it."""
encode_branch = branch_in_python if kernels is None else kernels.trie_branch
"""A fork: a list of sixteen references and the RLP of a value."""
reference = reference_in_python if kernels is None else kernels.trie_reference
"""How a parent refers to an encoded node."""


def decode_node(encoded: bytes) -> Branch | Short:
    """The node of an encoding; RlpError for bytes that are no node."""
    if kernels is not None:
        try:
            node = kernels.trie_node(encoded)
            return node if isinstance(node, list) else Short(*node)
        except ValueError:
            pass  # the Python form finds the words
    return decode_node_in_python(encoded)


def decode_node_in_python(encoded: bytes) -> Branch | Short:
    """See `decode_node`."""
    # Near the root of a large trie every branch is full; its layout is fixed.
    if len(encoded) == _FULL_BRANCH_BYTES and encoded[3::33] == _FULL_BRANCH_STRIDE:
        return list(_FULL_BRANCH.unpack_from(encoded, 3))
    start = _payload_start(encoded)
    # What begins a branch is 0x80, 0xa0 or a list; anything else is the path of a leaf or an extension.
    if start < len(encoded) and encoded[start] != 0x80 and encoded[start] < 0xA0:
        return _short(encoded, start)
    items = _split(encoded, start)
    if len(items) == 17:
        if items[16][0] >= 0xC0:
            raise RlpError("a branch whose value is a list")
        return items
    if len(items) != 2:
        raise RlpError(f"a trie node of {len(items)} items; a node has 2 or 17")
    return _short(encoded, start)


class Step(NamedTuple):
    """What a node says to whoever looks for a key."""

    child: bytes
    """Reference to where the search goes on; EMPTY where it ends."""
    taken: int
    """How many nibbles of the key lead there."""
    value: bytes | None
    """The key's value, when it ends at this node and is there."""


def step(node: Branch | Short, nibbles: str) -> Step:
    """One step towards a key whose remaining path is `nibbles`."""
    if isinstance(node, list):
        if not nibbles:
            return Step(EMPTY, 0, string_of(node[16]) or None)
        return Step(node[int(nibbles[0], 16)], 1, None)
    if node.is_leaf:
        return Step(EMPTY, 0, node.payload if node.nibbles == nibbles else None)
    if nibbles.startswith(node.nibbles):
        return Step(node.payload, len(node.nibbles), None)
    return Step(EMPTY, 0, None)


def root_of(encoded: bytes | None) -> Hash32:
    """Hash of a root node; EMPTY_ROOT for None."""
    return EMPTY_ROOT if encoded is None else keccak256(encoded)


def shared_length(first: str, second: str) -> int:
    """How many nibbles two paths have in common."""
    length = 0
    for a, b in zip(first, second, strict=False):
        if a != b:
            break
        length += 1
    return length


def string_of(item: bytes) -> bytes:
    """The bytes that an RLP string holds (its encoding checked already)."""
    prefix = item[0]
    if prefix < 0x80:
        return item
    return item[1:] if prefix < 0xB8 else item[1 + prefix - 0xB7 :]


def _payload_start(encoded: bytes) -> int:
    size = len(encoded)
    if size > 57 and encoded[0] == 0xF8 and encoded[1] == size - 2:
        return 2
    start, end, is_list = rlp.item_bounds(encoded, 0, size)
    if not is_list or end != size:
        raise RlpError("a trie node is exactly one list")
    return start


def _split(encoded: bytes, start: int) -> list[bytes]:
    end = len(encoded)
    items: list[bytes] = []
    add = items.append
    while start < end:
        prefix = encoded[start]
        if prefix == 0x80:
            add(EMPTY)
            start += 1
            continue
        stop = start + 33 if prefix == 0xA0 else rlp.item_bounds(encoded, start, end)[1]
        add(encoded[start:stop])
        start = stop
    if start != end:
        raise RlpError("a trie node that ends inside an item")
    return items


def _short(encoded: bytes, start: int) -> Short:
    size = len(encoded)
    path_start, path_end, is_list = rlp.item_bounds(encoded, start, size)
    if is_list or path_start == path_end:
        raise RlpError("a trie node without a path")
    digits = encoded[path_start:path_end].hex()
    flag = digits[0]
    if flag in "13":
        nibbles = digits[1:]
    elif digits[:2] in ("00", "20"):
        nibbles = digits[2:]
    else:
        raise RlpError(f"a trie path that begins with {digits[:2]}")
    value_start, value_end, is_list = rlp.item_bounds(encoded, path_end, size)
    if value_end != size:
        raise RlpError("a trie node of more than two items that begins with a path")
    if flag in "23":
        if is_list:
            raise RlpError("a leaf whose value is a list")
        return Short(nibbles, True, encoded[value_start:])
    second = encoded[path_end:]
    if not nibbles or not (second[0] == 0xA0 or 0xC0 < second[0] < 0xE0):
        raise RlpError("an extension that leads nowhere")
    return Short(nibbles, False, second)
