"""LevelDB on a bad day: locked, killed, full, torn, damaged. Nothing synced is lost, nothing is guessed."""

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest

from node.config.settings import StorageSettings
from node.primitives.errors import StorageError
from node.storage import leveldb
from node.storage.kv import Batch
from node.storage.leveldb import LevelDB
from node.storage.log_tail import BLOCK_BYTES, crc32c, torn_at
from node.storage.witness import FILE_NAME

SETTINGS = StorageSettings(write_buffer_bytes=1 << 20)


def filled(path, batches, *, sync=True, rows=20, settings=SETTINGS):
    """A closed database of `batches` batches, each with its number in every row."""
    kv = LevelDB.open(path, settings)
    draw = random.Random(1)
    for number in range(batches):
        kv.write(Batch({b"%06d %02d" % (number, i): draw.randbytes(200) for i in range(rows)}), sync=sync)
    kv.close()
    return path


@pytest.fixture(scope="module")
def damageable(tmp_path_factory):
    """A database of 400 synced batches with tables, a manifest and a log, to be copied and damaged."""
    path = filled(tmp_path_factory.mktemp("damageable") / "db", 400)
    assert list(path.glob("*.ldb"))
    assert only(path, "*.log").stat().st_size > 20_000
    return path


@pytest.fixture
def database(damageable, tmp_path):
    return Path(shutil.copytree(damageable, tmp_path / "db"))


def batches_in(path, known=0):
    """How many whole batches the database holds; a batch that is there in part fails the test. The first
    `known` are not looked at.
    """
    kv = LevelDB.open(path, SETTINGS)
    try:
        found = [key for key, _ in kv.iterate(b"%06d" % known, b":")]
    finally:
        kv.close()
    count = known + len(found) // 20
    assert found == [b"%06d %02d" % (number, i) for number in range(known, count) for i in range(20)]
    return count


def only(path, pattern):
    (file,) = path.glob(pattern)
    return file


def flip(file, offset):
    content = bytearray(file.read_bytes())
    content[offset] ^= 0x40
    file.write_bytes(content)


# --- one process, one owner


def test_a_second_opening_names_the_reason(tmp_path):
    kv = LevelDB.open(tmp_path / "db", SETTINGS)
    with pytest.raises(StorageError, match="another process has it open"):
        LevelDB.open(tmp_path / "db", SETTINGS)
    kv.close()
    LevelDB.open(tmp_path / "db", SETTINGS).close()


def test_another_process_is_refused_too(tmp_path):
    kv = LevelDB.open(tmp_path / "db", SETTINGS)
    program = (
        "import sys; from pathlib import Path; from node.config.settings import StorageSettings;"
        "from node.storage.leveldb import LevelDB; LevelDB.open(Path(sys.argv[1]), StorageSettings())"
    )
    run = subprocess.run([sys.executable, "-c", program, tmp_path / "db"], capture_output=True, check=False)
    assert run.returncode == 1
    assert b"another process has it open" in run.stderr
    kv.close()


def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("no directory")
    with pytest.raises(StorageError, match="file/db: cannot be opened"):
        LevelDB.open(tmp_path / "file" / "db", SETTINGS)


def test_foreign_files_do_not_hinder_a_new_database(tmp_path):
    (tmp_path / "nodekey").write_text("key")
    LevelDB.open(tmp_path, SETTINGS).close()


def test_close_waits_for_a_reading_thread_and_says_when_it_does_not_end(tmp_path, monkeypatch):
    kv = LevelDB.open(tmp_path / "db", SETTINGS)
    reading, release = threading.Event(), threading.Event()

    def read():
        kv._guarded("a read", lambda: (reading.set(), release.wait()))

    thread = threading.Thread(target=read)
    thread.start()
    reading.wait()
    monkeypatch.setattr(leveldb, "CLOSE_WAIT_S", 0.0)
    with pytest.raises(StorageError, match="still reading"):
        kv.close()
    release.set()
    thread.join()


def test_snapshots_and_iterators_that_outlive_the_store_raise(tmp_path):
    kv = LevelDB.open(filled(tmp_path / "db", 3), SETTINGS)
    snapshot, rows = kv.snapshot(), kv.iterate(b"", None)
    next(rows)
    kv.close()
    with pytest.raises(StorageError, match="closed"):
        snapshot.get(b"000000 00")
    with pytest.raises(StorageError, match="closed"):
        list(rows)


def test_threads_that_write_at_the_same_time_take_turns(tmp_path):
    kv = LevelDB.open(tmp_path / "db", SETTINGS)

    def write(name):
        for number in range(30):
            kv.write(Batch({b"%d %d" % (name, number): b"x"}), sync=number % 2 == 0)

    threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kv.close()
    # A count of synced writes that had gone astray would be refused here.
    kv = LevelDB.open(tmp_path / "db", SETTINGS)
    assert len(list(kv.iterate(b"0", b":"))) == 120
    kv.close()


# --- damage: named, never repaired


DAMAGE = {
    "CURRENT missing": (lambda path: (path / "CURRENT").unlink(), "CURRENT is missing"),
    "CURRENT with noise": (lambda path: (path / "CURRENT").write_bytes(b"noise"), "CURRENT"),
    "manifest missing": (lambda path: only(path, "MANIFEST-*").unlink(), "MANIFEST"),
    "manifest damaged": (lambda path: flip(only(path, "MANIFEST-*"), 20), "Corruption"),
    "table missing": (lambda path: min(path.glob("*.ldb")).unlink(), r"missing files; e\.g\.: .*ldb"),
    "table cut short": (lambda path: os.truncate(min(path.glob("*.ldb")), 4000), r"\.ldb"),
    "byte of a table": (lambda path: flip(min(path.glob("*.ldb")), 5000), "checksum mismatch"),
    "index of a table": (lambda path: flip(min(path.glob("*.ldb")), -200), r"Corruption|\.ldb"),
    "byte inside the log": (lambda path: flip(only(path, "*.log"), 5000), "checksum mismatch"),
    "log missing": (lambda path: only(path, "*.log").unlink(), "synced writes are missing"),
    "log cut short": (lambda path: os.truncate(only(path, "*.log"), 20_000), "synced writes are missing"),
    "last write damaged": (lambda path: flip(only(path, "*.log"), -10), "1 synced writes are missing"),
    "all but the witness gone": (
        lambda path: [file.unlink() for file in path.iterdir() if file.name != FILE_NAME],
        "400 synced writes are missing",
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named_every_time(database, damage):
    deed, words = DAMAGE[damage]
    deed(database)
    for _ in range(2):
        with pytest.raises(StorageError, match=words) as problem:
            batches_in(database)
        assert str(database) in str(problem.value)


def test_a_damaged_row_is_named_by_its_key(database):
    flip(min(database.glob("*.ldb")), 5000)
    kv = LevelDB.open(database, SETTINGS)
    key = b"000001 02"
    with pytest.raises(StorageError, match=f"row {key.hex()}: Corruption: block checksum mismatch"):
        kv.get(key)
    with pytest.raises(StorageError, match="rows from 30 to 3a: Corruption: block checksum mismatch"):
        list(kv.iterate(b"0", b":"))
    assert kv.get(b"000100 05") is not None
    kv.close()


def test_a_witness_that_is_torn_or_gone_does_not_stop_a_whole_database(tmp_path):
    path = filled(tmp_path / "db", 5)
    for spoil in (lambda: (path / FILE_NAME).write_bytes(b"\x00" * 600), lambda: (path / FILE_NAME).unlink()):
        spoil()
        assert batches_in(path) == 5
    filled_again = LevelDB.open(path, SETTINGS)
    filled_again.write(Batch({b"x": b"y"}), sync=True)
    filled_again.close()
    os.truncate(only(path, "*.log"), 10)
    with pytest.raises(StorageError, match="1 synced writes are missing"):
        LevelDB.open(path, SETTINGS)


# --- a torn last write


@pytest.mark.parametrize("filler", ["zeros", "noise", "nothing"])
@pytest.mark.parametrize("last_rows", [1, 20, 400])
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.98])
def test_a_torn_last_write_is_cut_off_and_told(tmp_path, filler, last_rows, kept):
    path = filled(tmp_path / "db", 10)
    kv = LevelDB.open(path, SETTINGS)
    log = only(path, "*.log")
    whole = log.stat().st_size
    kv.write(Batch({b"torn %06d" % i: b"\xff" * 200 for i in range(last_rows)}), sync=False)
    kv.close()
    content = log.read_bytes()
    end = whole + 1 + int(kept * (len(content) - whole - 1))
    lost = len(content) - end
    torn = (
        content[:end]
        + {"zeros": bytes(lost), "noise": random.Random(1).randbytes(lost), "nothing": b""}[filler]
    )
    log.write_bytes(torn)
    kv = LevelDB.open(path, SETTINGS)
    assert [key for key, _ in kv.iterate(b"torn", b"torn~")] == []
    assert len(list(kv.iterate(b"0", b":"))) == 200
    if kv.notices:
        assert f"torn {whole} bytes into the log" in kv.notices[0]
        assert log.with_name(log.name + ".torn").read_bytes() == torn
    # LevelDB itself passes over a record whose length leads out of the log.
    assert bool(kv.notices) == (filler != "nothing") or kept < 0.1
    kv.close()


def test_a_log_is_cut_only_where_nothing_begins_after_the_damage(tmp_path):
    path = filled(tmp_path / "db", 20)
    log = only(path, "*.log").read_bytes()
    assert torn_at(log) is None
    assert len(log) > 2 * BLOCK_BYTES
    draw = random.Random(5)
    last_record = log.rfind(b"000019 00") - 40
    for _ in range(60):
        offset = draw.randrange(len(log))
        damaged = bytearray(log)
        damaged[offset] ^= 1 << draw.randrange(8)
        cut = torn_at(bytes(damaged))
        assert cut is None or offset >= cut >= last_record
        assert cut is not None or offset < last_record + 200


def test_crc32c_is_castagnolis():
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA


# --- killed and full, in processes of their own


WRITER = """
import sys
from pathlib import Path
from node.config.settings import StorageSettings
from node.storage.kv import Batch
from node.storage.leveldb import LevelDB

kv = LevelDB.open(Path(sys.argv[1]), StorageSettings(write_buffer_bytes=1 << 20))
number = int(sys.argv[2])
while True:
    kv.write(Batch({b"%06d %02d" % (number, i): bytes([i]) * 2000 for i in range(20)}), sync=True)
    number += 1
    print(number, flush=True)
"""


def written_before(path, number, end):
    """Run the writer from batch `number` on until `end(process)` ended it: how many batches there are that it
    confirmed, and its stderr.
    """
    command = [sys.executable, "-c", WRITER, str(path), str(number)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    confirmed = end(process)
    out, errors = process.communicate()
    return max([confirmed, *map(int, out.split())]), errors


def kill_at(number, process):
    confirmed = 0
    # Read to the end: the pipe may hold more than the line that decided, and all of it was promised.
    for line in process.stdout:
        confirmed = int(line)
        if confirmed >= number:
            process.send_signal(signal.SIGKILL)
    return confirmed


@pytest.mark.parametrize("kills", [3, pytest.param(100, marks=pytest.mark.long(45))])
def test_a_process_killed_at_any_moment_loses_nothing_it_confirmed(tmp_path, kills):
    draw = random.Random(kills)
    total = 0
    for life in range(kills):
        wanted = draw.randint(1, 120)
        confirmed, _ = written_before(tmp_path / "db", total, partial(kill_at, total + wanted))
        # What went before is there if it is there in the end: nobody writes it again.
        found = batches_in(tmp_path / "db", 0 if life % 10 == 9 or life == kills - 1 else total)
        # One batch more may be there: it was synced, and the process died before it said so.
        assert confirmed <= found <= confirmed + 1
        total = found


def test_a_full_disk_is_an_error_and_loses_nothing(tmp_path):
    limit = 3_000_000
    # A limit on file size stands for the full disk: write(2) fails in the middle of a record just so.
    previous = resource.getrlimit(resource.RLIMIT_FSIZE)
    path = filled(tmp_path / "db", 10)
    kv = LevelDB.open(path, StorageSettings(write_buffer_bytes=64 << 20))
    confirmed = 10
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, previous[1]))
    try:
        error = None
        while error is None:
            try:
                kv.write(Batch({b"%06d %02d" % (confirmed, i): bytes(2000) for i in range(20)}), sync=True)
                confirmed += 1
            except StorageError as problem:
                error = str(problem)
        assert str(path) in error
        assert "File too large" in error
        with pytest.raises(StorageError, match=r"takes no more writes after.*File too large"):
            kv.write(Batch({b"x": b"y"}), sync=True)
        assert kv.get(b"%06d 00" % (confirmed - 1)) is not None
        kv.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, previous)
    assert confirmed > 20
    assert batches_in(path) == confirmed


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system takes root")
def test_a_file_system_that_runs_full_loses_nothing(tmp_path):
    path = tmp_path / "small"
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(path)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a tmpfs: {mounted.stderr.decode().strip()}")
    try:
        confirmed, errors = written_before(path / "db", 0, lambda process: 0)
        assert "StorageError" in errors
        assert "No space left on device" in errors
        # Room is made by whoever operates the machine.
        subprocess.run(["mount", "-o", "remount,size=64m", str(path)], check=True)
        assert confirmed <= batches_in(path / "db") <= confirmed + 1
    finally:
        subprocess.run(["umount", str(path)], check=True)


def test_visits_until_enough_was_seen_share_an_iterator_of_the_snapshot(tmp_path: Path) -> None:
    kv = LevelDB.open(tmp_path, StorageSettings())
    kv.write(Batch({b"k%03d" % n: b"%d" % n for n in range(20)}), sync=True)
    snapshot = kv.snapshot()
    kv.write(Batch({b"k005": b"later"}), sync=True)

    def visited(start: bytes, stop: bytes, last: bytes | None) -> tuple[list[bytes], bool]:
        seen: list[bytes] = []

        def see(key: bytes, value: bytes) -> bool:
            assert key == b"k%03d" % int(value)
            seen.append(value)
            return value == last

        return seen, snapshot.visit(start, stop, see)

    assert visited(b"k003", b"k9", b"6") == ([b"3", b"4", b"5", b"6"], True)
    assert visited(b"k0035", b"k007", None) == ([b"4", b"5", b"6"], False)
    assert visited(b"k018", b"l", None) == ([b"18", b"19"], False)
    assert visited(b"k9", b"l", None) == ([], False)
    assert len(snapshot._idle) == 1
    snapshot.close()
    kv.close()
    with pytest.raises(StorageError, match="closed"):
        visited(b"k", b"l", None)
