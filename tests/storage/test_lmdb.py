"""What LMDB is there for: other processes read whole batches, also of a writer that is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from node.config.data_dir import database_path, shared_database_path
from node.config.settings import StorageSettings
from node.primitives.errors import StorageError
from node.storage.kv import Batch
from node.storage.leveldb import LevelDB
from node.storage.lmdb import DATA_FILE, LmdbStore
from node.storage.opening import has_database, open_database

ROOT = Path(__file__).resolve().parents[2]
ROWS = 40

WRITER = """
import sys
from pathlib import Path
from node.storage.kv import Batch
from node.storage.lmdb import LmdbStore
store, count = LmdbStore.open(Path(sys.argv[1])), 0
while True:
    count += 1
    rows = {b"%04d" % place: b"%d" % count for place in range(int(sys.argv[2]))}
    store.write(Batch(rows | {b"gone": None if count % 2 else b"there"}), sync=True)
    print(count, flush=True)
"""
HOLDER = """
import sys, time
from pathlib import Path
from node.storage.lmdb import LmdbStore
held = LmdbStore.open(Path(sys.argv[1]), read_only=True).snapshot()
print(held.get(b"0000").decode(), flush=True)
time.sleep(600)
"""


def start(program: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_a_reader_in_another_process_sees_whole_batches_and_a_killed_writer_leaves_the_last_one(tmp_path):
    for _ in range(2):
        writer = start(WRITER, tmp_path / "db", ROWS)
        assert writer.stdout is not None
        assert int(writer.stdout.readline()) == 1
        store = LmdbStore.open(tmp_path / "db", read_only=True)
        seen = set()
        until_s = time.monotonic() + 60
        while len(seen) < 20 and time.monotonic() < until_s:
            snapshot = store.snapshot()
            rows = dict(snapshot.iterate(b"0", b"9"))
            values = set(rows.values())
            assert len(rows) == ROWS
            assert len(values) == 1, "a batch by halves"
            (value,) = values
            assert (snapshot.get(b"gone") is None) == bool(int(value) % 2)
            assert set(dict(snapshot.iterate(b"0", b"9", reverse=True)).values()) == values
            snapshot.close()
            seen |= values
        assert len(seen) >= 20
        writer.send_signal(signal.SIGKILL)
        promised = [int(line) for line in writer.communicate()[0].splitlines()][-1:]
        store.close()
        again = LmdbStore.open(tmp_path / "db")
        # The last one may have been written and not yet promised.
        assert int(again.get(b"0000") or b"0") - max([*promised, *map(int, seen)]) in (0, 1)
        again.write(Batch({b"%04d" % place: None for place in range(ROWS)}), sync=True)
        again.close()


def test_what_a_killed_reader_looked_at_is_let_go(tmp_path):
    store = LmdbStore.open(tmp_path / "db")
    store.write(Batch({b"0000": b"1"}), sync=True)
    reader = start(HOLDER, tmp_path / "db")
    assert reader.stdout is not None
    assert reader.stdout.readline().strip() == "1"
    store.write(Batch({b"0000": b"2"}), sync=True)
    assert store.forget_dead_readers() == 0, "it lives, and may look"
    kill(reader)
    assert store.forget_dead_readers() == 1
    store.close()


def test_a_damaged_row_is_refused_by_name(tmp_path):
    store = LmdbStore.open(tmp_path / "db")
    store.write(Batch({b"key": b"an unmistakable value", b"other": b"good"}), sync=True)
    store.close()
    file = tmp_path / "db" / DATA_FILE
    data = file.read_bytes()
    assert data.count(b"unmistakable") == 1
    file.write_bytes(data.replace(b"unmistakable", b"unmistakAble"))
    store = LmdbStore.open(tmp_path / "db", read_only=True)
    assert store.get(b"other") == b"good"
    with pytest.raises(StorageError, match=f"row {b'key'.hex()}: damaged"):
        store.get(b"key")
    with pytest.raises(StorageError, match="damaged"):
        list(store.snapshot().iterate(b"", None))
    store.close()


def test_what_is_no_database_is_refused(tmp_path):
    (tmp_path / DATA_FILE).write_bytes(os.urandom(8192))
    with pytest.raises(StorageError, match="cannot be opened"):
        LmdbStore.open(tmp_path)
    with pytest.raises(StorageError, match="cannot be opened"):
        LmdbStore.open(tmp_path / "nothing", read_only=True)


def test_after_close_nothing_is_read_and_nothing_crashes(tmp_path):
    store = LmdbStore.open(tmp_path / "db")
    store.write(Batch({b"a": b"1", b"b": b"2"}), sync=True)
    snapshot = store.snapshot()
    rows = snapshot.iterate(b"", None)
    assert next(rows) == (b"a", b"1")
    store.close()
    store.close()
    for look in (lambda: store.get(b"a"), lambda: snapshot.get(b"a"), lambda: next(rows), store.snapshot):
        with pytest.raises(StorageError, match="closed"):
            look()
    with pytest.raises(StorageError, match="closed"):
        store.write(Batch({b"a": b"2"}), sync=True)


def test_a_replica_that_gets_workers_takes_its_chain_along(tmp_path):
    rows = {b"%05d" % place: bytes(place % 300) for place in range(3000)}
    assert not has_database(tmp_path)
    old, _ = open_database(tmp_path, StorageSettings())
    assert isinstance(old, LevelDB)
    old.write(Batch(dict(rows)), sync=True)
    old.close()
    # What a crash on the way has left is begun again.
    LmdbStore.open(shared_database_path(tmp_path).with_name("database.lmdb.new")).close()
    moved, notices = open_database(tmp_path, StorageSettings(), shared=True)
    assert isinstance(moved, LmdbStore)
    assert "was moved" in notices[0]
    found = dict(moved.iterate(b"", None))
    found.pop(b"msynced")
    assert found == rows
    moved.close()
    assert (database_path(tmp_path) / "CURRENT").exists(), "the old one is the operator's to remove"
    # From then on it stays where it is, with workers or without.
    for shared in (True, False):
        again, notices = open_database(tmp_path, StorageSettings(), shared=shared)
        assert isinstance(again, LmdbStore)
        assert notices == ()
        again.close()
    assert has_database(tmp_path)
