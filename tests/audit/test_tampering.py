"""Somebody who may write the files tries everything; each attempt is found and named."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from node.audit.files import audit_files
from node.audit.records import Kind, decode_record, encode_record
from tests.audit.logs import findings, lines, write_log

RECORDS = 12
FILE_BYTES = 900
"""A few records per file."""


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audit")
    write_log(folder, RECORDS, FILE_BYTES)
    assert len(audit_files(folder)) > 3
    assert findings(folder) == ""
    return folder


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "copy"))


def edit(path: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))


def test_a_byte_of_any_record_altered(folder: Path) -> None:
    for path in audit_files(folder):
        content = path.read_bytes()
        for place in range(0, len(content), 37):
            if content[place : place + 1] == b"\n":
                continue
            path.write_bytes(content[:place] + bytes((content[place] ^ 2,)) + content[place + 1 :])
            assert findings(folder) != "", (path.name, place)
        path.write_bytes(content)
    assert findings(folder) == ""


def test_any_record_removed(folder: Path) -> None:
    """But for the last, which only a known head can miss."""
    for path in audit_files(folder):
        content = path.read_bytes()
        for line in range(content.count(b"\n")):
            edit(path, lambda all_lines, line=line: all_lines[:line] + all_lines[line + 1 :])
            is_last = path == audit_files(folder)[-1] and line == content.count(b"\n") - 1
            assert is_last or findings(folder) != "", (path.name, line)
            path.write_bytes(content)


def test_the_first_record_removed_is_seen_by_the_name_of_the_file(folder: Path) -> None:
    edit(audit_files(folder)[0], lambda all_lines: all_lines[1:])
    assert "begins with record 2, which its name denies" in findings(folder)


def test_two_records_swapped(folder: Path) -> None:
    edit(audit_files(folder)[1], lambda all_lines: [all_lines[1], all_lines[0], *all_lines[2:]])
    assert "moved or repeated" in findings(folder)


def test_a_record_repeated(folder: Path) -> None:
    edit(audit_files(folder)[1], lambda all_lines: [all_lines[0], *all_lines])
    assert "moved or repeated" in findings(folder)


def test_a_forged_record_put_in(folder: Path) -> None:
    path = audit_files(folder)[1]
    first = decode_record(path.read_bytes().splitlines()[0])
    forged, _ = encode_record(first.number + 1, 1, Kind.ADMIN_ACTION, "jwt:mallory", {}, first.hash)
    edit(path, lambda all_lines: [all_lines[0], forged, *all_lines[1:]])
    assert "moved or repeated" in findings(folder)


def test_a_record_replaced_by_one_whose_own_hash_fits(folder: Path) -> None:
    path = audit_files(folder)[1]
    first = decode_record(path.read_bytes().splitlines()[0])
    forged, _ = encode_record(first.number, 1, Kind.ADMIN_ACTION, "jwt:mallory", {}, first.previous)
    edit(path, lambda all_lines: [forged, *all_lines[1:]])
    assert "names another record before it" in findings(folder)


@pytest.mark.parametrize("which", [1, 2])
def test_a_file_in_the_middle_removed(folder: Path, which: int) -> None:
    audit_files(folder)[which].unlink()
    assert "are missing" in findings(folder)


def test_a_file_in_the_middle_emptied_or_cut(folder: Path) -> None:
    path = audit_files(folder)[1]
    content = path.read_bytes()
    path.write_bytes(b"")
    assert "are missing" in findings(folder)
    path.write_bytes(content[:-20])
    assert "altered" in findings(folder)


def test_a_file_renamed(folder: Path) -> None:
    path = audit_files(folder)[1]
    path.rename(path.with_name("audit-000000000000099.jsonl"))
    assert findings(folder) != ""


def test_two_files_swapped(folder: Path) -> None:
    first, second = audit_files(folder)[1:3]
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one)
    assert "which its name denies" in findings(folder)


def test_the_end_cut_off_is_seen_by_who_knows_the_head(original: Path, folder: Path) -> None:
    head = write_head(original)
    assert findings(folder, head) == ""
    edit(audit_files(folder)[-1], lambda all_lines: all_lines[:-1])
    assert findings(folder) == "", "the rest is a log like any other"
    assert "its end was cut off" in findings(folder, head)


def test_the_whole_log_written_anew_is_seen_by_who_knows_the_head(original: Path, tmp_path: Path) -> None:
    head = write_head(original)
    forged = tmp_path / "forged"
    write_log(forged, RECORDS, FILE_BYTES)
    assert findings(forged) == ""
    assert "rewritten" in findings(forged, head)


def write_head(folder: Path):
    from node.audit.files import Head

    last = decode_record(lines(folder)[-1][:-1])
    return Head(last.number, last.hash)


def test_a_torn_last_line_is_no_tampering_but_is_named(folder: Path) -> None:
    from node.audit.verify import verify_folder

    path = audit_files(folder)[-1]
    path.write_bytes(path.read_bytes() + b'{"actor":"loc')
    report = verify_folder(folder)
    assert (report.holds, report.torn_bytes) == (True, 13)


def test_old_files_moved_away_leave_a_log_that_says_where_it_begins(folder: Path) -> None:
    from node.audit.verify import verify_folder

    audit_files(folder)[0].unlink()
    report = verify_folder(folder)
    assert report.holds
    assert report.first > 1
