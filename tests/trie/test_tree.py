"""The path-keyed trie against official vectors and against py-trie."""

import random
from itertools import permutations

import pytest
from trie import HexaryTrie

from node.primitives.crypto import keccak256
from node.trie import tree
from node.trie.nodes import EMPTY_ROOT
from node.trie.rows import update_rows, update_rows_in_python
from tests.vectors import ethereum_tests, load_json


class Rows(dict):
    """A trie's rows, brought forward by updates that are checked against the rows they change."""

    def update_with(self, changes):
        done = tree.update(self.get, changes)
        assert done.before == {path: self.get(path) for path in done.rows}
        # The same among the rows of others, in C where it is there.
        keyed = update_rows(lambda key: self.get(key[1:].decode()), b"A", changes, None)
        assert keyed == update_rows_in_python(lambda key: self.get(key[1:].decode()), b"A", changes, None)
        assert {key[1:].decode(): row for key, row in keyed.rows.items()} == done.rows
        for path, row in done.rows.items():
            assert row != self.get(path)
            if row is None:
                del self[path]
            else:
                self[path] = row
        return done

    def reachable(self):
        """Walk the whole trie; the rows that were read."""
        read = {}
        content = dict(tree.leaves(lambda path: read.setdefault(path, self.get(path))))
        return content, {path: row for path, row in read.items() if row is not None}


def reference_root(content):
    trie = HexaryTrie({})
    for key, value in content.items():
        trie[key] = value
    return trie.root_hash


# --- official vectors (TrieTests)


def as_bytes(text):
    return bytes.fromhex(text[2:]) if text.startswith("0x") else text.encode()


def case(name, secure=False):
    for title, content in load_json(ethereum_tests() / "TrieTests" / name).items():
        pairs = content["in"].items() if isinstance(content["in"], dict) else content["in"]
        changes = [(as_bytes(key), None if value is None else as_bytes(value)) for key, value in pairs]
        yield title, [(keccak256(k) if secure else k, v) for k, v in changes], as_bytes(content["root"])


FILES = [
    ("trietest.json", False),
    ("trieanyorder.json", False),
    ("trietest_secureTrie.json", True),
    ("trieanyorder_secureTrie.json", True),
    ("hex_encoded_securetrie_test.json", True),
]


@pytest.mark.parametrize(("name", "secure"), FILES)
def test_official_roots_change_by_change(name, secure):
    for title, changes, root in case(name, secure):
        rows = Rows()
        for key, value in changes:
            done = rows.update_with({key: value})
        assert done.root == root, title


@pytest.mark.parametrize(("name", "secure"), FILES)
def test_official_roots_in_one_update(name, secure):
    for title, changes, root in case(name, secure):
        assert tree.update({}.get, dict(changes)).root == root, title


@pytest.mark.parametrize(("name", "secure"), [file for file in FILES if "anyorder" in file[0]])
def test_official_roots_do_not_depend_on_the_order(name, secure):
    for title, changes, root in case(name, secure):
        for order in list(permutations(changes))[:200]:
            rows = Rows()
            for key, value in order:
                done = rows.update_with({key: value})
            assert done.root == root, title


def test_official_neighbours_are_found_by_walking_in_key_order():
    vectors = load_json(ethereum_tests() / "TrieTests" / "trietestnextprev.json")
    for title, content in vectors.items():
        rows = Rows()
        rows.update_with({key.encode(): key.encode() for key in content["in"]})
        keys = [key.decode() for key, _ in tree.leaves(rows.get)]
        for wanted, before, after in content["tests"]:
            assert max((key for key in keys if key < wanted), default="") == before, title
            assert min((key for key in keys if key > wanted), default="") == after, title


# --- single rules


def test_an_empty_trie_has_no_rows():
    assert tree.update({}.get, {}) == tree.TrieUpdate(EMPTY_ROOT, {}, {})
    rows = Rows()
    rows.update_with({b"key": b"value", b"other": b"value"})
    assert rows.update_with({b"key": None, b"other": b""}).root == EMPTY_ROOT
    assert rows == {}


def test_deleting_an_absent_key_changes_nothing():
    rows = Rows()
    root = rows.update_with({bytes(32): bytes(40), b"\x00" * 31 + b"\x01": bytes(40)}).root
    for key in (b"\xff" * 32, b"\x00" * 16 + b"\xff" * 16, b"\x00" * 31 + b"\x11", b"\x00" * 31 + b"\x02"):
        assert tree.update(rows.get, {key: None}) == tree.TrieUpdate(root, {}, {})


def test_a_missing_node_is_named_by_its_path():
    rows = Rows()
    rows.update_with({keccak256(bytes((i,))): bytes(40) for i in range(100)})
    lost = next(path for path in rows if len(path) == 1)
    del rows[lost]
    key = next(key for i in range(100) if (key := keccak256(bytes((i,)))).hex().startswith(lost))
    for read in (
        lambda: tree.get(rows.get, key),
        lambda: tree.update(rows.get, {key: b"new"}),
        lambda: update_rows(lambda row: rows.get(row[1:].decode()), b"A", {key: b"new"}, None),
    ):
        with pytest.raises(tree.BrokenTrie, match=f"no node at '{lost}'"):
            read()


@pytest.mark.parametrize(
    "row", [b"", b"\x80", b"\xc0", b"\xc1\x80", b"\xc2\x80\x80", b"\xc2\x40\x01", b"\xc8"]
)
def test_a_row_that_is_no_node_is_broken(row):
    with pytest.raises(tree.BrokenTrie):
        tree.update({"": row}.get, {b"key": b"value"})
    with pytest.raises(tree.BrokenTrie):
        update_rows({b"A": row}.get, b"A", {b"key": b"value"}, None)
    with pytest.raises(tree.BrokenTrie):
        tree.get({"": row}.get, b"key")


# --- against py-trie


def draw_key(draw, key_bytes):
    """Keys that share long and short prefixes, so that extensions and collapses abound."""
    if key_bytes is None:
        return draw.randbytes(draw.choice([1, 1, 2, 3, 4]))
    stem = draw.choice([b"", b"\x00" * 8, b"\x12\x34" * 8, b"\x00" * (key_bytes - 2)])
    return (
        (stem + draw.randbytes(key_bytes))[:key_bytes] if draw.random() < 0.8 else keccak256(stem)[:key_bytes]
    )


@pytest.mark.parametrize(
    "key_bytes", [32, 3, None], ids=["32-byte keys", "3-byte keys", "keys of any length"]
)
@pytest.mark.parametrize("seed", range(12))
def test_random_commits_agree_with_py_trie(seed, key_bytes):
    draw = random.Random(f"{seed} {key_bytes}")
    rows, content = Rows(), {}
    reference = HexaryTrie({})
    value_sizes = draw.choice([[1], [1, 4, 40], [31, 32, 33, 70]])
    for _ in range(40):
        known = sorted(content)
        changes = {}
        for _ in range(draw.choice([1, 2, 5, 30])):
            key = draw.choice(known) if known and draw.random() < 0.5 else draw_key(draw, key_bytes)
            changes[key] = (
                None if draw.random() < 0.45 else draw.randbytes(draw.choice(value_sizes)) + b"\x01"
            )
        if draw.random() < 0.05:
            changes |= dict.fromkeys(known)
        done = rows.update_with(changes)
        for key, value in changes.items():
            if value is None:
                if content.pop(key, None) is not None:
                    del reference[key]
            else:
                content[key] = reference[key] = value
        assert done.root == reference.root_hash
        assert rows.reachable() == (dict(sorted(content.items())), rows), "rows are left behind or missing"
    for key in [*content, *(draw_key(draw, key_bytes) for _ in range(50))]:
        assert tree.get(rows.get, key) == content.get(key)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(300))
def test_many_random_commits_agree_with_py_trie(seed):
    for key_bytes in (32, 3, None):
        test_random_commits_agree_with_py_trie(1000 + seed, key_bytes)


def test_a_large_trie_agrees_with_py_trie():
    draw = random.Random(7)
    content = {draw.randbytes(32): draw.randbytes(78) for _ in range(5000)}
    rows = Rows()
    assert rows.update_with(content).root == reference_root(content)
    for key in draw.sample(sorted(content), 1000):
        content[key] = draw.randbytes(78)
    for _ in range(500):
        content[draw.randbytes(32)] = draw.randbytes(78)
    assert rows.update_with(content).root == reference_root(content)
