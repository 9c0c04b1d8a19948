import argparse
import errno

import pytest

from node.cli import entry, version
from node.cli.entry import main
from node.primitives.errors import ChainError, ConfigError, RequestError, StorageError

COMMANDS = ["run", "init", "keys", "keys new", "keys import", "keys list", "keys test", "inspect", "version"]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """What `phoenix version` raises."""
    errors: list[BaseException] = []

    def fail(args: argparse.Namespace) -> None:
        raise errors[0]

    monkeypatch.setattr(version, "run", fail)
    return errors


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_examples_and_exit_codes(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*command.split(), "--help"])
    text = capsys.readouterr().out
    assert caught.value.code == 0
    assert "examples:" in text
    assert "exit codes:" in text
    assert f"phoenix {command}" in text


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ConfigError(["a.toml:1:1: one", "a.toml:2:1: two"]), 2, ["a.toml:1:1: one", "a.toml:2:1: two"]),
        (StorageError("row lost"), 3, ["row lost"]),
        (RequestError("no such block"), 1, ["no such block"]),
        (PermissionError(13, "Permission denied", "data"), 1, ["[Errno 13] Permission denied: 'data'"]),
        (ExceptionGroup("", [ChainError("x"), ExceptionGroup("", [StorageError("disk")])]), 3, ["x", "disk"]),
        (ExceptionGroup("", [StorageError("disk"), StorageError("disk")]), 3, ["disk"]),
        (KeyboardInterrupt(), 130, ["interrupted"]),
    ],
)
def test_each_kind_of_error_has_its_exit_code_and_its_words(
    failing: list[BaseException],
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    said: list[str],
) -> None:
    failing.append(error)
    assert main(["version"]) == code
    assert capsys.readouterr().err.splitlines() == [f"phoenix: {line}" for line in said]


def test_a_taken_port_is_the_operators_to_change(
    failing: list[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    failing.append(ExceptionGroup("", [OSError(errno.EADDRINUSE, "Address already in use")]))
    assert main(["version"]) == 2
    assert "change the port in the settings" in capsys.readouterr().err


def test_an_error_nobody_foresaw_keeps_its_traceback(failing: list[BaseException]) -> None:
    failing.append(ExceptionGroup("", [StorageError("x"), ZeroDivisionError()]))
    with pytest.raises(ExceptionGroup):
        main(["version"])


def test_a_wrong_command_line_is_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["rum"])
    assert caught.value.code == entry.WRONG_CONFIGURATION
    assert "invalid choice: 'rum'" in capsys.readouterr().err
