"""All stores behave as the port says, on the same cases."""

import pytest

from node.config.settings import StorageSettings
from node.primitives.errors import StorageError
from node.storage.kv import Batch, prefix_stop
from node.storage.leveldb import LevelDB
from node.storage.lmdb import LmdbStore
from node.storage.memory import MemoryKV


@pytest.fixture(params=["memory", "leveldb", "lmdb"])
def kv(request, tmp_path):
    stores = {
        "memory": MemoryKV,
        "leveldb": lambda: LevelDB.open(tmp_path / "db", StorageSettings()),
        "lmdb": lambda: LmdbStore.open(tmp_path / "db"),
    }
    store = stores[request.param]()
    yield store
    store.close()


def put(kv, **rows):
    kv.write(Batch({key.encode(): value for key, value in rows.items()}), sync=False)


def test_rows_are_read_back_and_deleted(kv):
    put(kv, a=b"1", b=b"2")
    put(kv, a=None, c=b"")
    assert [kv.get(key) for key in (b"a", b"b", b"c", b"d")] == [None, b"2", b"", None]


def test_the_last_word_on_a_key_counts(kv):
    batch = Batch()
    batch.put(b"a", b"1")
    batch.delete(b"a")
    batch.delete(b"b")
    batch.put(b"b", b"2")
    kv.write(batch, sync=True)
    assert (kv.get(b"a"), kv.get(b"b"), len(batch)) == (None, b"2", 2)


@pytest.mark.parametrize(
    ("start", "stop", "keys"),
    [
        (b"", None, "abcd"),
        (b"b", b"d", "bc"),
        (b"bb", b"cc", "c"),
        (b"c", b"c", ""),
        (b"d", b"a", ""),
        (b"e", None, ""),
    ],
)
def test_iteration_is_in_key_order_and_leaves_out_the_stop(kv, start, stop, keys):
    put(kv, c=b"3", a=b"1", d=b"4", b=b"2")
    expected = [(key.encode(), str("abcd".index(key) + 1).encode()) for key in keys]
    assert list(kv.iterate(start, stop)) == expected
    assert list(kv.iterate(start, stop, reverse=True)) == expected[::-1]


def test_iteration_shows_the_moment_it_began(kv):
    put(kv, a=b"1", b=b"2")
    rows = kv.iterate(b"", None)
    put(kv, a=None, b=b"3", c=b"4")
    assert list(rows) == [(b"a", b"1"), (b"b", b"2")]
    assert list(kv.iterate(b"", None)) == [(b"b", b"3"), (b"c", b"4")]


def test_keys_that_go_and_come_back_are_iterated_once(kv):
    for value in (b"1", None, b"2", None, b"3"):
        put(kv, a=value, z=b"0")
        assert list(kv.iterate(b"a", b"b")) == ([] if value is None else [(b"a", value)])


def test_long_ranges_are_whole(kv):
    rows = {b"%05d" % i: b"%d" % i for i in range(1000)}
    kv.write(Batch(dict(rows)), sync=False)
    assert dict(kv.iterate(b"", None)) == rows
    assert len(list(kv.iterate(b"00100", b"00900", reverse=True))) == 800


def test_a_snapshot_stays_while_the_store_moves_on(kv):
    put(kv, a=b"1", b=b"2")
    snapshot = kv.snapshot()
    put(kv, a=b"9", b=None, c=b"3")
    assert (snapshot.get(b"a"), snapshot.get(b"b"), snapshot.get(b"c")) == (b"1", b"2", None)
    assert list(snapshot.iterate(b"", None)) == [(b"a", b"1"), (b"b", b"2")]
    assert list(kv.iterate(b"", None)) == [(b"a", b"9"), (b"c", b"3")]
    snapshot.close()


def test_a_closed_store_says_so(kv):
    kv.close()
    with pytest.raises(StorageError, match="closed"):
        kv.get(b"a")
    with pytest.raises(StorageError, match="closed"):
        put(kv, a=b"1")


def test_prefix_stop_is_the_first_key_after_the_prefix():
    assert prefix_stop(b"ab") == b"ac"
    assert prefix_stop(b"a\xff\xff") == b"b"
    assert prefix_stop(b"\xff") is None
