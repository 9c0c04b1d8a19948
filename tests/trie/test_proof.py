"""Proofs of presence and absence; whatever is changed in one, it proves nothing false."""

import random

import pytest
from trie import HexaryTrie

from node.primitives.crypto import keccak256
from node.trie import tree
from node.trie.nodes import EMPTY_ROOT, encode_leaf
from node.trie.proof import InvalidProof, prove, verify_proof


def trie_of(content):
    done = tree.update({}.get, content)
    return done.root, done.rows.get


@pytest.mark.parametrize("seed", range(8))
def test_proofs_show_values_and_their_absence(seed):
    draw = random.Random(seed)
    size = draw.choice([1, 2, 3, 20, 300])
    key_bytes, value_bytes = draw.choice([(1, 1), (2, 3), (32, 40), (32, 1)])
    content = {draw.randbytes(key_bytes): b"\x01" + draw.randbytes(value_bytes) for _ in range(size)}
    root, read = trie_of(content)
    for key in [*content, *(draw.randbytes(key_bytes) for _ in range(50))]:
        assert verify_proof(root, key, prove(read, key)) == content.get(key)


def test_py_trie_accepts_our_proofs():
    content = {keccak256(bytes((i,))): bytes((i,)) * 40 for i in range(200)}
    root, read = trie_of(content)
    for key in [*content, *(keccak256(bytes((i, i))) for i in range(50))]:
        nodes = prove(read, key)
        reference = HexaryTrie({keccak256(node): node for node in nodes}, root)
        assert reference.get(key) == content.get(key, b"")


def test_the_empty_trie_is_proved_by_nothing():
    assert prove({}.get, b"key") == ()
    assert verify_proof(EMPTY_ROOT, b"key", ()) is None
    with pytest.raises(InvalidProof, match="without keys"):
        verify_proof(EMPTY_ROOT, b"key", (b"\x80",))


def test_a_small_root_is_in_its_proof():
    root, read = trie_of({b"k": b"v"})
    assert prove(read, b"k") == (encode_leaf("6b", b"v"),)
    assert verify_proof(root, b"k", prove(read, b"k")) == b"v"


def test_no_change_to_a_proof_goes_unnoticed():
    content = {keccak256(bytes((i,))): bytes((i,)) * 40 for i in range(100)}
    root, read = trie_of(content)
    key = keccak256(b"\x07")
    nodes = prove(read, key)
    assert len(nodes) > 2
    draw = random.Random(3)
    forgeries = [nodes[:-1], nodes[1:], nodes[::-1], (*nodes, nodes[-1]), (), (*nodes[:-1], b""), (b"\xc0",)]
    for _ in range(300):
        which = draw.randrange(len(nodes))
        node = bytearray(nodes[which])
        node[draw.randrange(len(node))] ^= 1 << draw.randrange(8)
        forgeries.append((*nodes[:which], bytes(node), *nodes[which + 1 :]))
    for forgery in forgeries:
        with pytest.raises(InvalidProof):
            verify_proof(root, key, forgery)


def test_noise_under_the_right_root_is_refused():
    draw = random.Random(4)
    for _ in range(2000):
        node = draw.choice([b"\xc2", b"\xd1", b"\xe4", b"\xf8\x40"]) + draw.randbytes(
            draw.choice([2, 17, 36, 64])
        )
        root = keccak256(node)
        try:
            verify_proof(root, b"k", (node,))
        except InvalidProof:
            continue
        # What was accepted must be a node that says something about the key.
        assert tree.get({"": node}.get, b"k") == verify_proof(root, b"k", (node,))
