"""Hashes of many messages at once, and tries whose nodes are hashed when all of them are there."""

import random

import pytest
from sha3 import keccak_256

from node import native
from node.trie.ordered_root import ordered_root_in_python
from node.trie.rows import Change, pack_change, update_rows_in_python, update_tries
from node.trie.tree import BrokenTrie

built = pytest.mark.skipif(native.kernels is None, reason=f"kernels: {native.in_words()}")
KERNELS = native.kernels
EDGES = (0, 1, 7, 8, 31, 32, 134, 135, 136, 137, 271, 272, 273, 407, 408, 409)
"""Around the ends of words and blocks."""


def digests(messages):
    """What another implementation says."""
    return [keccak_256(message).digest() for message in messages]


@built
@pytest.mark.parametrize("count", range(10))
def test_messages_of_one_length(count):
    draw = random.Random(count)
    for size in EDGES:
        messages = [draw.randbytes(size) for _ in range(count)]
        expected = digests(messages)
        assert KERNELS.keccak256_many(messages) == expected
        assert [KERNELS.keccak256(message) for message in messages] == expected


@built
@pytest.mark.parametrize("seed", range(20))
def test_messages_of_any_lengths_side_by_side(seed):
    draw = random.Random(seed)
    for _ in range(20):
        sizes = [draw.choice([*EDGES, draw.randrange(3000)]) for _ in range(draw.randrange(30))]
        messages = [draw.randbytes(size) for size in sizes]
        assert KERNELS.keccak256_many(messages) == digests(messages)


@built
@pytest.mark.parametrize("place", range(6))
def test_one_long_message_outlasts_the_others(place):
    messages = [b"%d" % number for number in range(6)]
    messages[place] = bytes(range(256)) * 40
    assert KERNELS.keccak256_many(iter(messages)) == digests(messages)


@built
def test_only_bytes_are_messages():
    for messages in ([b"", "text"], [b"", bytearray(1)], 7):
        with pytest.raises(TypeError):
            KERNELS.keccak256_many(messages)


def updated(read, tries):
    """What the kernel makes of several tries, as `update_rows_in_python` has it of each."""
    rows, before = {}, {}
    tries = [Change(*each) for each in tries]
    roots = KERNELS.update_tries(read, tries, rows, before)
    return roots, rows, before


def updated_in_python(read, tries):
    """The same."""
    done = [update_rows_in_python(read, *each) for each in tries]
    rows = {key: row for each in done for key, row in each.rows.items()}
    before = {key: row for each in done for key, row in each.before.items()}
    return [each.root for each in done], rows, before


def drawn_changes(draw, alphabet):
    """Few keys of few different bytes: nodes fork, merge and vanish, and some stay inside their parents."""
    return {
        bytes(draw.choices(alphabet, k=draw.randrange(1, 4))): draw.choice(
            [None, b"", draw.randbytes(draw.choice([1, 2, 31, 33, 70]))]
        )
        for _ in range(draw.choice([1, 2, 10, 60]))
    }


@built
@pytest.mark.parametrize("seed", range(40))
def test_several_tries_at_once_are_what_each_is_alone(seed):
    draw = random.Random(seed)
    prefixes = [b"A", b"O/", b""][: draw.randrange(1, 4)]
    rows, roots = {}, dict.fromkeys(prefixes)
    for _ in range(6):
        # Without a prefix, the keys of rows are hex digits alone: no others begin so.
        tries = [Change(prefix, drawn_changes(draw, range(2, 18, 5)), roots[prefix]) for prefix in prefixes]
        done = updated(rows.get, tries)
        assert done == updated_in_python(rows.get, tries)
        roots = dict(zip(prefixes, done[0], strict=True))
        rows.update(done[1])
        rows = {key: row for key, row in rows.items() if row is not None}


@built
def test_a_node_that_is_placed_twice_in_one_walk():
    """What is left of an extension that was split is changed by the same update: it precedes its children."""
    long = bytes(40)
    first = {bytes([0x11, 0x11, 0x10 + low]): long for low in range(3)}
    rows = updated({}.get, [(b"A", first, None)])[1]
    more = {bytes([0x11, 0x11, 0x20]): long, bytes([0x11, 0x12, 0x10]): long, bytes([0x11, 0x11, 0x11]): None}
    assert updated(rows.get, [(b"A", more, None)]) == updated_in_python(rows.get, [(b"A", more, None)])


@built
def test_rows_that_the_reader_gave_are_not_written_to():
    draw = random.Random(1)
    values = {draw.randbytes(2): draw.randbytes(40) for _ in range(600)}
    rows = {key: row for key, row in updated({}.get, [(b"A", values, None)])[1].items() if row}
    copies = {key: bytes(bytearray(row)) for key, row in rows.items()}
    for _ in range(30):
        changes = dict.fromkeys(draw.sample(sorted(values), 300)) | {draw.randbytes(2): draw.randbytes(40)}
        updated(rows.get, [(b"A", changes, None)])
        assert rows == copies


@built
def test_no_tries_and_no_changes():
    assert updated({}.get, []) == ([], {}, {})
    nothing = update_rows_in_python({}.get, b"A", {}, None)
    tries = [(b"A", {}, None), (b"O", {}, nothing.root)]
    assert updated({}.get, tries) == ([nothing.root] * 2, nothing.rows, nothing.before)


@built
@pytest.mark.parametrize("seed", range(10))
def test_packed_changes_are_changes(seed):
    draw = random.Random(seed)
    rows, root = {}, None
    # Many keys, and some that are the same but for the end.
    keys = [draw.randbytes(32) for _ in range(300)] + [bytes(31) + bytes([low]) for low in range(0, 60, 5)]
    for _ in range(4):
        changes = {key: draw.choice([None, draw.randbytes(draw.choice([1, 33, 110, 255]))]) for key in keys}
        apart = dict(draw.sample(sorted(changes.items(), key=lambda item: item[0]), draw.randrange(40)))
        packed = b"".join(pack_change(key, value) for key, value in changes.items() if key not in apart)
        done = updated(rows.get, [(b"A", apart, root, packed)])
        assert done == updated_in_python(rows.get, [(b"A", changes, root)])
        assert done == updated_in_python(rows.get, [(b"A", apart, root, packed)])
        (root,), new, _ = done
        rows = {key: row for key, row in (rows | new).items() if row is not None}


@built
@pytest.mark.parametrize(
    ("changes", "packed", "problem"),
    [
        ({}, bytes(32), "end too early"),
        ({}, bytes(32) + b"\x02a", "end too early"),
        ({}, 2 * pack_change(bytes(32), b"a"), "changed twice"),
        ({bytes(32): b"b"}, pack_change(bytes(32), b"a"), "changed twice"),
    ],
)
def test_what_is_no_packed_change_is_refused(changes, packed, problem):
    with pytest.raises(ValueError, match=problem):
        KERNELS.update_tries({}.get, [Change(b"A", changes, None, packed)], {}, {})


@built
@pytest.mark.parametrize(
    "update",
    [
        (b"A", {}, None),
        (b"A", [], None, b""),
        ("A", {}, None, b""),
        (b"A", {}, 7, b""),
        (b"A", {}, None, 7),
        [],
    ],
)
def test_what_is_no_update_is_refused(update):
    with pytest.raises(TypeError):
        KERNELS.update_tries({}.get, [Change(b"O", {}, None), update], {}, {})


@built
@pytest.mark.parametrize("root", [b"", bytes(31), bytes(32)])
def test_one_root_that_is_another_refuses_all(root):
    notes = {b"held": b"1"}, {b"held": b"2"}
    tries = [Change(b"O", {b"k": b"v"}, None), Change(b"A", {b"k": b"v"}, root)]
    with pytest.raises(ValueError, match="another root"):
        KERNELS.update_tries({}.get, tries, *notes)
    assert notes == ({b"held": b"1"}, {b"held": b"2"})


@pytest.mark.parametrize("broken", [b"A", b"O"])
def test_tries_of_which_one_is_broken_leave_the_notes_as_they_were(broken):
    draw = random.Random(5)
    values = {draw.randbytes(2): draw.randbytes(40) for _ in range(50)}
    rows = {}
    for prefix in (b"A", b"O"):
        rows |= update_rows_in_python({}.get, prefix, values, None).rows
    del rows[max(key for key in rows if key.startswith(broken))]
    notes = {b"held": b"1"}, {b"held": b"2"}
    with pytest.raises(BrokenTrie):
        update_tries(
            rows.get, [Change(prefix, dict.fromkeys(values), None) for prefix in (b"A", b"O")], *notes
        )
    assert notes == ({b"held": b"1"}, {b"held": b"2"})


@built
@pytest.mark.parametrize("count", [1, 2, 3, 16, 17, 127, 128, 129, 255, 256, 257, 700])
def test_roots_of_lists(count):
    draw = random.Random(count)
    for sizes in ([1], [1, 20, 33, 400], [430]):
        items = [draw.randbytes(draw.choice(sizes)) for _ in range(count)]
        assert KERNELS.ordered_root(items) == ordered_root_in_python(items)
