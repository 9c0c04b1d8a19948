"""`phoenix audit`: exit codes and words."""

import json
from pathlib import Path

import pytest

from node.audit.files import audit_files
from node.cli.entry import main
from tests.audit.logs import write_log

Capture = pytest.CaptureFixture[str]


def audit(*arguments: object) -> int:
    return main(["audit", *map(str, arguments)])


def test_a_good_log_holds_and_a_tampered_one_fails_with_its_findings(tmp_path: Path, capsys: Capture) -> None:
    head = write_log(tmp_path, 3)
    noted = f"{head.number}:{head.hash.hex()}"
    assert audit("verify", "--folder", tmp_path, "--head", noted, "--json") == 0
    assert json.loads(capsys.readouterr().out)["head"] == noted
    path = audit_files(tmp_path)[0]
    path.write_bytes(path.read_bytes().replace(b'"number":1', b'"number":9'))
    assert audit("verify", "--folder", tmp_path, "--json") == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)["findings"][0]["line"] == 3
    assert "not the one that was written" in captured.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--folder", "nowhere"], "no audit log"),
        ([], "one of --data-dir and --folder"),
        (["--folder", ".", "--head", "7"], "not NUMBER:HASH"),
    ],
)
def test_wrong_arguments_are_exit_code_2(arguments: list[str], words: str, capsys: Capture) -> None:
    assert audit("verify", *arguments) == 2
    assert words in capsys.readouterr().err


def test_show_filters_and_counts_from_the_end(tmp_path: Path, capsys: Capture) -> None:
    write_log(tmp_path, 5)
    assert audit("show", "--folder", tmp_path, "--kind", "admin.action", "--last", 2, "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["facts"]["number"] for line in lines] == [3, 4]
