"""Where passwords come from, in which order."""

import os
from pathlib import Path

import pytest

from node.signing.keystore import KeyStoreError
from node.signing.passwords import (
    CREDENTIAL_NAME,
    PIN_CREDENTIAL_NAME,
    find_password,
    find_pin,
    new_password,
)


def secret(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_the_file_comes_before_the_credential_and_that_before_the_prompt(tmp_path: Path) -> None:
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert find_password(None, environment, lambda _: "typed") == "typed"
    secret(tmp_path / CREDENTIAL_NAME, "from systemd\n", 0o400)
    assert find_password(None, environment, lambda _: "typed") == "from systemd"
    file = secret(tmp_path / "password", "from a file\nsecond line\n")
    assert find_password(file, environment, lambda _: "typed") == "from a file"


def test_spaces_belong_to_the_password(tmp_path: Path) -> None:
    assert find_password(secret(tmp_path / "password", " a b \n"), {}) == " a b "


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        ("pw\n", 0o644, "mode is 0644"),
        ("", 0o600, "first line is empty"),
        ("\npw", 0o600, "first line is empty"),
    ],
)
def test_a_file_that_is_open_or_empty_is_refused(tmp_path: Path, text: str, mode: int, words: str) -> None:
    with pytest.raises(KeyStoreError, match=words):
        find_password(secret(tmp_path / "password", text, mode), {})


def test_without_any_source_the_operator_is_told_the_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.isatty", lambda _: False)
    with pytest.raises(KeyStoreError, match=f"password_file.*{CREDENTIAL_NAME}.*terminal"):
        find_password(None, {})


def test_a_new_password_is_asked_twice() -> None:
    assert new_password(lambda _: "pw") == "pw"
    with pytest.raises(KeyStoreError, match="differ"):
        new_password(_answers("a", "b"))
    with pytest.raises(KeyStoreError, match="empty"):
        new_password(lambda _: "")


def _answers(*answers: str):
    left = list(answers)
    return lambda _: left.pop(0)


def test_a_pin_comes_from_file_then_descriptor_then_credential_then_prompt(tmp_path: Path) -> None:
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert find_pin(None, None, environment, lambda _: "typed") == "typed"
    secret(tmp_path / PIN_CREDENTIAL_NAME, "1111\n", 0o400)
    assert find_pin(None, None, environment, lambda _: "typed") == "1111"
    reading, writing = os.pipe()
    os.write(writing, b"2222\n")
    os.close(writing)
    assert find_pin(None, reading, environment) == "2222"
    with pytest.raises(KeyStoreError, match=f"file descriptor {reading}: Bad file descriptor"):
        find_pin(None, reading, environment)
    file = secret(tmp_path / "pin", "3333")
    assert find_pin(file, reading, environment) == "3333"


def test_without_any_source_of_a_pin_the_operator_is_told_the_sources(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.isatty", lambda _: False)
    with pytest.raises(KeyStoreError, match=f"pin_file.*pin_fd.*{PIN_CREDENTIAL_NAME}.*terminal"):
        find_pin(None, None, {})
