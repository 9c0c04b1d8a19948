"""What the log promises its callers: order, durability, refusal instead of loss, and a crash survived."""

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import trio

from node.audit import files as audit_files_module
from node.audit.files import AuditFiles, audit_files
from node.audit.folding import PLACES_MAX, WINDOW_S, Folding
from node.audit.log import AuditLog
from node.audit.records import Kind, decode_record
from node.audit.trail import AuditUnavailable
from node.audit.verify import verify_folder
from node.primitives.errors import StorageError
from tests.audit.logs import LARGE, findings, kinds, lines, write_log

ACTION = Kind.ADMIN_ACTION


def fill(log: AuditLog, kind: Kind) -> None:
    """Until it is refused."""
    while True:
        log.record_blocking(kind, "a", {})


async def test_a_record_is_on_the_disk_when_the_caller_goes_on(tmp_path: Path) -> None:
    with AuditLog(tmp_path, LARGE) as log:
        await log.record(ACTION, "jwt:alice", {"method": "admin_addPeer"})
        assert decode_record(lines(tmp_path)[-1][:-1]).actor == "jwt:alice"


async def test_many_callers_share_an_fsync_and_keep_their_order(tmp_path: Path, monkeypatch) -> None:
    syncs = []
    real = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda file: (syncs.append(1), real(file))[1])
    with AuditLog(tmp_path, LARGE) as log:
        async with trio.open_nursery() as nursery:
            for number in range(200):
                nursery.start_soon(log.record, ACTION, "a", {"number": number})
    assert log.head.number == 201
    assert len(syncs) < 100
    assert findings(tmp_path) == ""


def test_threads_may_note_at_the_same_time(tmp_path: Path) -> None:
    with AuditLog(tmp_path, LARGE) as log:
        work = [
            threading.Thread(target=lambda: [log.note(Kind.KEY_USED, "a", {"n": n}) for n in range(300)])
            for _ in range(4)
        ]
        for each in work:
            each.start()
        for each in work:
            each.join()
    assert log.head.number == 1201
    assert findings(tmp_path) == ""


def test_a_log_goes_on_where_it_ended(tmp_path: Path) -> None:
    for _ in range(3):
        head = write_log(tmp_path, 4, 600)
    assert head.number == 13
    report = verify_folder(tmp_path)
    assert (report.holds, report.records, report.head) == (True, 13, head)
    assert report.files > 4


def test_files_are_their_owners_only(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    write_log(folder, 1)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_a_second_writer_is_kept_out(tmp_path: Path) -> None:
    with AuditLog(tmp_path, LARGE), pytest.raises(StorageError, match="another process"):
        AuditLog(tmp_path, LARGE)


# --- when there is no room


def test_the_full_disk_refuses_strangers_first_and_operators_last(tmp_path: Path) -> None:
    with AuditLog(tmp_path, 20_000) as log:
        with pytest.raises(AuditUnavailable, match="move its oldest files away"):
            fill(log, Kind.TRANSACTION_SUBMITTED)
        log.record_blocking(ACTION, "admin", {"method": "still works"})
        log.note(Kind.PEER_REFUSED, "stranger", {"reason": "no place for this"})
        assert log.statistics.lost == 1
        assert "move its oldest files away" in str(log.problem)
    assert findings(tmp_path) == ""


def test_files_moved_away_make_room_again_and_what_was_lost_is_told(tmp_path: Path) -> None:
    with AuditLog(tmp_path, 20_000) as log:
        with pytest.raises(AuditUnavailable):
            fill(log, Kind.TRANSACTION_SUBMITTED)
        log.note(Kind.PEER_LEFT, "b", {})
        with pytest.raises(AuditUnavailable):
            fill(log, ACTION)
        log.note(ACTION, "c", {})
        for path in audit_files(tmp_path)[:-1]:
            path.unlink()
        while log.problem is not None:
            pass  # the writing thread looks again by itself
        log.record_blocking(Kind.TRANSACTION_SUBMITTED, "a", {})
    assert "log.gap" in kinds(tmp_path)
    assert findings(tmp_path) == ""


def test_a_disk_that_fails_refuses_and_recovers(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("node.audit.log.RETRY_S", 0.01)
    broken = threading.Event()
    real = os.write

    def write(file: int, data: bytes) -> int:
        if broken.is_set():
            real(file, data[:10])  # torn in the middle of a line
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(file, data)

    with AuditLog(tmp_path, LARGE) as log:
        log.record_blocking(ACTION, "a", {"number": 1})
        monkeypatch.setattr(audit_files_module.os, "write", write)
        broken.set()
        with pytest.raises(AuditUnavailable, match="No space left"):
            log.record_blocking(ACTION, "a", {"number": 2})
        assert "No space left" in str(log.problem)
        log.note(Kind.KEY_USED, "a", {})
        broken.clear()
        while log.problem is not None:
            pass
        log.record_blocking(ACTION, "a", {"number": 3})
    assert findings(tmp_path) == ""
    assert kinds(tmp_path).count("log.gap") == 1
    assert log.statistics.lost >= 2
    numbers = [decode_record(line[:-1]).facts.get("number") for line in lines(tmp_path)]
    assert 2 not in numbers
    assert 3 in numbers


# --- refusals that repeat


def test_the_same_refusal_is_one_record_and_a_count(tmp_path: Path) -> None:
    now = [1000.0]
    with AuditLog(tmp_path, LARGE, unix_time=lambda: now[0]) as log:
        for _ in range(500):
            log.note(Kind.LOGIN_REFUSED, "10.0.0.7", {"reason": "wrong key"})
        log.note(Kind.LOGIN_REFUSED, "10.0.0.8", {"reason": "wrong key"})
    assert kinds(tmp_path).count("login.refused") == 2
    [folded] = [
        record for line in lines(tmp_path) if (record := decode_record(line[:-1])).kind == "refusals.folded"
    ]
    assert folded.facts == {"of": "login.refused", "reason": "wrong key", "times": 499}


def test_refusals_without_a_reason_are_the_same_when_all_their_facts_are() -> None:
    folding = Folding()
    call, deploy = {"wanted": "call", "rule": "file"}, {"wanted": "deploy", "rule": "file"}
    seen = [
        folding.is_new(Kind.PERMISSION_REFUSED, "account:a", facts, 0.0) for facts in (call, deploy, call)
    ]
    assert seen == [True, True, False], "another refusal of one account is another record"
    [(_, counted)] = list(folding.due(WINDOW_S))
    assert (counted["reason"], counted["times"]) == ("wanted=call rule=file", 1)


def test_folding_is_bounded_however_many_strangers_come() -> None:
    folding = Folding()
    new = sum(folding.is_new(Kind.PEER_REFUSED, f"peer{i}", {}, 0.0) for i in range(10 * PLACES_MAX))
    assert new == PLACES_MAX
    [(actor, facts)] = list(folding.due(WINDOW_S))
    assert (actor, facts["times"]) == ("others", 9 * PLACES_MAX)
    assert folding.is_new(Kind.PEER_REFUSED, "peer1", {}, 2 * WINDOW_S)


# --- crashes


@pytest.mark.parametrize("rest", [b'{"actor":"a"', b"\0" * 700, b"garbage\nmore garbage\n", b"x" * 40_000])
def test_a_torn_end_is_cut_off_kept_and_told(tmp_path: Path, rest: bytes) -> None:
    write_log(tmp_path, 3)
    path = audit_files(tmp_path)[-1]
    path.write_bytes(path.read_bytes() + rest)
    write_log(tmp_path, 1)
    assert findings(tmp_path) == ""
    [torn] = [record for line in lines(tmp_path) if (record := decode_record(line[:-1])).kind == "log.torn"]
    assert (torn.facts["bytes"], torn.facts["whole_lines"]) == (len(rest), rest.count(b"\n"))
    assert (tmp_path / str(torn.facts["kept_in"])).read_bytes() == rest


def test_an_altered_last_record_does_not_vanish_in_silence(tmp_path: Path) -> None:
    write_log(tmp_path, 3)
    path = audit_files(tmp_path)[-1]
    path.write_bytes(path.read_bytes().replace(b'"number":1', b'"number":8'))
    write_log(tmp_path, 0)
    [torn] = [record for line in lines(tmp_path) if (record := decode_record(line[:-1])).kind == "log.torn"]
    assert torn.facts["whole_lines"] == 2, "records that a crash cannot have torn"


def test_an_empty_newest_file_is_where_a_crash_between_two_steps_leaves_off(tmp_path: Path) -> None:
    head = write_log(tmp_path, 3)
    (tmp_path / f"audit-{head.number + 1:015d}.jsonl").touch()
    assert write_log(tmp_path, 1).number == head.number + 1
    assert findings(tmp_path) == ""


def test_a_log_without_its_past_is_not_gone_on_with(tmp_path: Path) -> None:
    head = write_log(tmp_path, 3)
    for path in audit_files(tmp_path):
        path.unlink()
    (tmp_path / f"audit-{head.number + 1:015d}.jsonl").touch()
    with pytest.raises(StorageError, match="begin a new log"), AuditFiles(tmp_path, LARGE) as files:
        files.take_up()


WRITER = """
import sys
from pathlib import Path
from node.audit.log import AuditLog
from node.audit.records import Kind
with AuditLog(Path(sys.argv[1]), 1 << 30, 4000) as log:
    number = 0
    while True:
        for _ in range(20):
            log.note(Kind.KEY_USED, "local", {"filler": "x" * 100})
        log.record_blocking(Kind.ADMIN_ACTION, "local", {"number": number})
        print(number, flush=True)
        number += 1
"""


def test_killed_at_any_instant_it_opens_verifies_and_holds_what_was_promised(tmp_path: Path) -> None:
    promised = -1
    for after in (1, 7, 30):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            for _ in range(after):
                promised = int(process.stdout.readline())
            process.send_signal(signal.SIGKILL)
        report = verify_folder(tmp_path)
        assert report.holds, report.findings
        with AuditLog(tmp_path, LARGE):
            pass
        assert findings(tmp_path) == ""
        recorded = [decode_record(line[:-1]).facts.get("number") for line in lines(tmp_path)]
        assert promised in recorded
