"""Proofs that a key has a value, or none, under a root: made from rows, checked without them (EIP-1186).

A proof is the list of nodes from the root towards the key, nodes that stand inside their parents left out.
The trie without keys is proved by no node at all.
"""

from collections.abc import Sequence

from node.primitives import rlp
from node.primitives.crypto import keccak256
from node.primitives.errors import ChainError
from node.primitives.ids import Hash32
from node.trie.nodes import EMPTY, EMPTY_ROOT, decode_node, step
from node.trie.tree import NodeReader, find


class InvalidProof(ChainError):
    """The nodes do not show what the key has under this root."""


def prove(read: NodeReader, key: bytes, at_hand: NodeReader | None = None) -> tuple[bytes, ...]:
    """The nodes that show the key's value, or that it has none; see `find`. BrokenTrie if rows do not fit."""
    nodes, _ = find(read, key, at_hand)
    return tuple(node for depth, node in enumerate(nodes) if depth == 0 or len(node) >= 32)


def verify_proof(root: Hash32, key: bytes, nodes: Sequence[bytes]) -> bytes | None:
    """The key's value under `root`, or None where it is proved to have none; InvalidProof otherwise."""
    if root == EMPTY_ROOT:
        if nodes:
            raise InvalidProof(f"{len(nodes)} nodes to prove something in a trie without keys")
        return None
    nibbles = key.hex()
    wanted = b"\xa0" + root
    used = 0
    while True:
        if wanted[0] >= 0xC0:
            encoded = wanted
        else:
            encoded = _next_node(nodes, used, wanted)
            used += 1
        try:
            child, taken, value = step(decode_node(encoded), nibbles)
        except rlp.RlpError as error:
            raise InvalidProof(f"node {used - 1} of the proof: {error}") from error
        if child == EMPTY:
            break
        wanted, nibbles = child, nibbles[taken:]
    if used != len(nodes):
        raise InvalidProof(f"the proof has {len(nodes)} nodes and needs {used}")
    return value


def _next_node(nodes: Sequence[bytes], used: int, wanted: bytes) -> bytes:
    if used >= len(nodes):
        raise InvalidProof(f"the proof ends after {used} nodes, before the key does")
    encoded = nodes[used]
    if keccak256(encoded) != wanted[1:]:
        raise InvalidProof(f"node {used} of the proof is not the one its parent names")
    return encoded
