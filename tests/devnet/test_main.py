from pathlib import Path

import pytest

from devnet.__main__ import main


def run(home: Path, *arguments: str) -> int:
    return main(["--home", str(home), *arguments])


def test_commands_without_a_network_say_how_to_make_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (["status"], ["endpoints", "--json"], ["check"], ["logs", "alpha"], ["down"]):
        assert run(tmp_path, *command) == 1
        assert "`python -m devnet up` makes one" in capsys.readouterr().err


def test_a_wrong_manifest_is_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "up", "--network", "nowhere") == 2
    assert "there are: local" in capsys.readouterr().err


def test_a_directory_that_is_not_ours_is_never_cleaned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    assert run(tmp_path, "up", "--fresh") == 1
    assert run(tmp_path, "down", "--clean") == 1
    assert "it is left alone" in capsys.readouterr().err
    assert (tmp_path / "thesis.tex").exists()


def test_ports_that_do_not_exist_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "up", "--rpc-port", "65534") == 1
    assert "ports 65534 to 655" in capsys.readouterr().err


def test_help_shows_examples_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert "examples:" in text
    assert "exit codes:" in text
