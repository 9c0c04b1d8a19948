"""Who administers keys is on record: before it is done, and how it ended. Or else it is not done."""

import json
from pathlib import Path
from typing import Any

import pytest

from node.audit.batches import records_from
from node.audit.files import AuditFiles
from node.cli import auditing
from node.cli.entry import main
from node.primitives.crypto import PrivateKey
from node.primitives.ids import hex_of
from tests.signing.tokens import PIN, Tokens, shared_tokens

Capture = pytest.CaptureFixture[str]
SECRET = "44" * 32
ADDRESS = hex_of(PrivateKey(bytes.fromhex(SECRET)).address)


@pytest.fixture(scope="session")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    return shared_tokens(tmp_path_factory)


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    for name, text in (("password", "battery staple"), ("secret", SECRET), ("pin", PIN)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    return tmp_path


def run(folder: Path, *words: object, code: int = 0) -> None:
    assert main([*map(str, words), "--audit", str(folder / "log")]) == code


def recorded(folder: Path) -> list[dict[str, Any]]:
    assert main(["audit", "verify", "--folder", str(folder / "log")]) == 0
    return [dict(record.facts) for record in records_from(folder / "log", 2, 99)]


def ended(folder: Path) -> list[tuple[Any, ...]]:
    """Command, outcome and address, without the beginnings."""
    facts = recorded(folder)
    begun = [each["command"] for each in facts if each["outcome"] == "begun"]
    rest = [each for each in facts if each["outcome"] != "begun"]
    assert begun == [each["command"] for each in rest]
    return [(each["command"], each["outcome"], each.get("address")) for each in rest]


def test_keys_in_files_are_on_record(secrets: Path, capsys: Capture) -> None:
    place = ["--keystore", secrets / "keys", "--password-file", secrets / "password", "--light"]
    run(secrets, "keys", "import", *place, "--secret-file", secrets / "secret")
    run(secrets, "keys", "import", *place, "--secret-file", secrets / "secret", code=2)
    capsys.readouterr()
    run(secrets, "keys", "new", *place, "--json")
    made = json.loads(capsys.readouterr().out)["address"]
    assert ended(secrets) == [
        ("phoenix keys import", "done", ADDRESS),
        ("phoenix keys import", "failed", None),
        ("phoenix keys new", "done", made),
    ]
    log = b"".join(path.read_bytes() for path in (secrets / "log").iterdir())
    assert SECRET.encode() not in log
    assert b"battery" not in log
    assert (secrets / "log").stat().st_mode & 0o077 == 0


def test_keys_in_tokens_are_on_record(secrets: Path, tokens: Tokens) -> None:
    name = tokens.name("recorded")
    place = [
        "--module",
        name.module,
        "--token",
        name.token,
        "--label",
        name.key,
        "--pin-file",
        secrets / "pin",
    ]
    run(secrets, "token", "import", *place, "--secret-file", secrets / "secret")
    run(secrets, "token", "destroy", *place, code=2)
    for deed in ("disable", "enable", "disable", "destroy"):
        run(secrets, "token", deed, *place)
    outcomes = [("import", "done"), ("destroy", "failed"), ("disable", "done"), ("enable", "done")]
    outcomes += [("disable", "done"), ("destroy", "done")]
    assert ended(secrets) == [(f"phoenix token {deed}", outcome, ADDRESS) for deed, outcome in outcomes]
    assert PIN not in str(recorded(secrets))


def test_keys_of_the_rpc_are_on_record_by_their_ids(secrets: Path, capsys: Capture) -> None:
    file = ["--file", secrets / "rpc-keys.json"]
    run(secrets, "rpc-keys", "new", *file, "--name", "billing", "--role", "reader", "--json")
    made = json.loads(capsys.readouterr().out)
    run(secrets, "rpc-keys", "revoke", *file, "billing")
    done = [facts for facts in recorded(secrets) if facts["outcome"] == "done"]
    assert [(facts["command"], facts["id"]) for facts in done] == [
        ("phoenix rpc-keys new", made["id"]),
        ("phoenix rpc-keys revoke", made["id"]),
    ]
    assert made["key"] not in str(recorded(secrets))


def test_what_cannot_be_recorded_is_not_done(
    secrets: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(auditing, "PATIENCE_S", 0.0)
    place = ["--keystore", secrets / "keys", "--password-file", secrets / "password", "--light"]
    with AuditFiles(secrets / "log", 1 << 20):
        run(secrets, "keys", "new", *place, code=3)
    assert "another process writes the audit log" in capsys.readouterr().err
    (secrets / "file").write_text("no folder")
    assert main(["keys", "new", *map(str, place), "--audit", str(secrets / "file")]) == 3
    assert not (secrets / "keys").exists()


def test_without_a_folder_it_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert auditing.key_log() == tmp_path / "phoenix" / "audit"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert auditing.key_log() == tmp_path / ".local" / "state" / "phoenix" / "audit"
