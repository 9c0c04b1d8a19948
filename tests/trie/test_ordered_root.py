"""Roots of lists against py-trie, for every length near a change of key shape."""

import random

import pytest
import rlp
from trie import HexaryTrie

from node.trie.nodes import EMPTY_ROOT
from node.trie.ordered_root import ordered_root, ordered_root_in_python


def reference_root(items):
    trie = HexaryTrie({})
    for index, item in enumerate(items):
        trie[rlp.encode(index)] = item
    return trie.root_hash


def test_no_items_have_the_empty_root():
    assert ordered_root([]) == EMPTY_ROOT


@pytest.mark.parametrize("count", [1, 2, 3, 15, 16, 17, 126, 127, 128, 129, 130, 255, 256, 257, 300, 1000])
def test_root_agrees_with_py_trie(count):
    draw = random.Random(count)
    items = [draw.randbytes(draw.choice([1, 5, 31, 32, 33, 110, 600])) for _ in range(count)]
    assert ordered_root(items) == ordered_root_in_python(items) == reference_root(items)


@pytest.mark.parametrize("count", [2, 20, 200])
def test_items_so_short_that_nodes_stand_in_their_parents(count):
    items = [bytes((index % 255 + 1,)) for index in range(count)]
    assert ordered_root(items) == ordered_root_in_python(items) == reference_root(items)
