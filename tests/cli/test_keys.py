import json
from pathlib import Path
from typing import Any

import pytest

from node.cli import keys as keys_command
from node.cli.entry import main
from node.primitives.crypto import PrivateKey
from node.primitives.ids import hex_of

Capture = pytest.CaptureFixture[str]
SECRET = "11" * 32


@pytest.fixture
def password(tmp_path: Path) -> Path:
    return secret_file(tmp_path / "password", "correct horse\n")


def secret_file(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def keys(*arguments: object) -> int:
    return main(["keys", *map(str, arguments), "--json"])


def result(capsys: Capture) -> Any:
    return json.loads(capsys.readouterr().out)


def test_a_new_key_is_listed_and_opens_with_its_password(
    tmp_path: Path, password: Path, capsys: Capture
) -> None:
    folder = tmp_path / "keys"
    assert keys("new", "--light", "--keystore", folder, "--password-file", password) == 0
    made = result(capsys)
    assert keys("list", "--keystore", folder) == 0
    assert result(capsys) == {"keys": [made]}
    assert keys("test", made["file"], "--password-file", password) == 0
    assert result(capsys) == {"address": made["address"], "opens": True}


def test_a_wrong_password_is_exit_code_2(tmp_path: Path, password: Path, capsys: Capture) -> None:
    keys("new", "--light", "--keystore", tmp_path / "keys", "--password-file", password)
    file = result(capsys)["file"]
    wrong = secret_file(tmp_path / "wrong", "staple")
    assert keys("test", file, "--password-file", wrong) == 2
    assert "wrong password" in capsys.readouterr().err


def test_import_keeps_the_address_and_refuses_it_twice(
    tmp_path: Path, password: Path, capsys: Capture
) -> None:
    secret = secret_file(tmp_path / "key.hex", f"0x{SECRET}\n")
    arguments = ("import", "--light", "--keystore", tmp_path / "k", "--password-file", password)
    assert keys(*arguments, "--secret-file", secret) == 0
    assert result(capsys)["address"] == hex_of(PrivateKey(bytes.fromhex(SECRET)).address)
    assert keys(*arguments, "--secret-file", secret) == 2
    assert "already holds the key" in capsys.readouterr().err


def test_secrets_and_passwords_can_be_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    asked: list[str] = []

    def answer(prompt: str) -> str:
        asked.append(prompt)
        return SECRET if "hex" in prompt else "pw"

    monkeypatch.setattr(keys_command, "getpass", answer)
    monkeypatch.setattr("node.signing.passwords.new_password", lambda: answer("Password: "))
    assert keys("import", "--light", "--keystore", tmp_path / "k") == 0
    assert asked == ["Private key (64 hex digits): ", "Password: "]


@pytest.mark.parametrize("secret", ["", "11" * 31, "zz" * 32, "00" * 32, "ff" * 32])
def test_what_is_no_secret_is_refused_without_repeating_it(
    tmp_path: Path, password: Path, capsys: Capture, secret: str
) -> None:
    file = secret_file(tmp_path / "key.hex", secret)
    code = keys("import", "--keystore", tmp_path / "k", "--password-file", password, "--secret-file", file)
    error = capsys.readouterr().err
    assert code == 2
    assert not secret or secret not in error


def test_a_secret_that_others_can_read_is_refused(tmp_path: Path, password: Path, capsys: Capture) -> None:
    password.chmod(0o644)
    assert keys("new", "--light", "--keystore", tmp_path / "k", "--password-file", password) == 2
    assert "chmod 0600" in capsys.readouterr().err


def test_no_option_takes_a_secret_as_its_value(capsys: Capture) -> None:
    for action in ("new", "import", "test"):
        with pytest.raises(SystemExit):
            main(["keys", action, "--help"])
        text = capsys.readouterr().out
        assert "--password " not in text
        assert "--secret " not in text
