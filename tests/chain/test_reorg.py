"""Which blocks leave and which enter when the head moves."""

import dataclasses

import pytest

from node.chain.genesis import genesis_block
from node.chain.reorg import route
from node.primitives.block import Header
from node.primitives.errors import StorageError
from node.primitives.ids import Hash32
from tests.chain.harness import make_spec

GENESIS = genesis_block(make_spec()).header


class Tree:
    """Headers by name of their branch."""

    def __init__(self) -> None:
        self.headers: dict[Hash32, Header] = {GENESIS.hash: GENESIS}

    def grow(self, parent: Header, count: int, branch: bytes) -> list[Header]:
        grown = []
        for _ in range(count):
            parent = dataclasses.replace(
                parent, number=parent.number + 1, parent_hash=parent.hash, extra_data=branch
            )
            self.headers[parent.hash] = parent
            grown.append(parent)
        return grown


def test_extension_removes_nothing() -> None:
    tree = Tree()
    line = tree.grow(GENESIS, 3, b"a")
    way = route(GENESIS, line[-1], tree.headers.get)
    assert (way.ancestor, way.removed, way.added) == (GENESIS, (), tuple(line))
    assert route(line[1], line[1], tree.headers.get).added == ()


@pytest.mark.parametrize(("mine", "theirs"), [(1, 1), (2, 5), (5, 2)])
def test_a_branch_replaces_what_is_above_the_fork(mine: int, theirs: int) -> None:
    tree = Tree()
    stem = tree.grow(GENESIS, 4, b"")
    old, new = tree.grow(stem[-1], mine, b"a"), tree.grow(stem[-1], theirs, b"b")
    way = route(old[-1], new[-1], tree.headers.get)
    assert (way.ancestor, way.removed, way.added) == (stem[-1], tuple(reversed(old)), tuple(new))


def test_going_back_to_an_ancestor_adds_nothing() -> None:
    tree = Tree()
    line = tree.grow(GENESIS, 4, b"")
    way = route(line[-1], line[0], tree.headers.get)
    assert (way.ancestor, way.removed, way.added) == (line[0], tuple(reversed(line[1:])), ())


def test_a_missing_header_or_another_genesis_is_a_broken_database() -> None:
    tree = Tree()
    line = tree.grow(GENESIS, 3, b"")
    other = dataclasses.replace(GENESIS, extra_data=b"other")
    tree.headers[other.hash] = other
    with pytest.raises(StorageError, match="have no common ancestor"):
        route(line[-1], other, tree.headers.get)
    del tree.headers[line[0].hash]
    with pytest.raises(StorageError, match="the parent 0x"):
        route(line[-1], GENESIS, tree.headers.get)
