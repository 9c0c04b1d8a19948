"""Key files: the official vectors, our own files, and every way in which an operator can get them wrong."""

import json
from pathlib import Path

import pytest

from node.primitives.crypto import PrivateKey
from node.primitives.errors import ConfigError
from node.signing.keystore import (
    KeyFile,
    KeyStoreError,
    create_key,
    decrypt_key,
    list_keys,
    store_key,
    unlock_key,
)
from tests.vectors import ethereum_tests

KEY = PrivateKey(b"\x11" * 32)
FAST = 1 << 4
"""A work factor for tests alone."""


@pytest.mark.parametrize(
    "name", ["test1", "test2", "python_generated_test_with_odd_iv", "evilnonce", "mycrypto"]
)
def test_official_key_stores_open(name: str) -> None:
    case = json.loads((ethereum_tests() / "KeyStoreTests" / "basic_tests.json").read_text())[name]
    key = decrypt_key(json.dumps(case["json"]).encode(), case["password"])
    assert key.secret_bytes().hex() == case["priv"]
    if name == "test1":  # another one takes seconds to try
        with pytest.raises(ValueError, match="wrong password"):
            decrypt_key(json.dumps(case["json"]).encode(), case["password"] + "x")


def test_a_stored_key_opens_again_from_a_file_of_ours_alone(tmp_path: Path) -> None:
    stored = store_key(tmp_path / "keys", KEY, "correct horse", scrypt_n=FAST)
    assert unlock_key(stored.path, "correct horse").secret_bytes() == KEY.secret_bytes()
    assert (stored.path.stat().st_mode & 0o777, stored.path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert KEY.secret_bytes().hex() not in stored.path.read_text()
    assert list_keys(tmp_path / "keys") == [stored] == [KeyFile(stored.path, KEY.address)]


def test_new_keys_differ(tmp_path: Path) -> None:
    first, second = (create_key(tmp_path, "pw", scrypt_n=FAST) for _ in range(2))
    assert first.address != second.address
    assert unlock_key(first.path, "pw").address == first.address


def test_a_key_is_imported_once(tmp_path: Path) -> None:
    store_key(tmp_path, KEY, "pw", scrypt_n=FAST)
    with pytest.raises(KeyStoreError, match="already holds the key of 0x"):
        store_key(tmp_path, KEY, "pw", scrypt_n=FAST)


def test_an_empty_password_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyStoreError, match="empty password"):
        store_key(tmp_path, KEY, "", scrypt_n=FAST)


def test_the_wrong_password_is_said_plainly(tmp_path: Path) -> None:
    stored = store_key(tmp_path, KEY, "pw", scrypt_n=FAST)
    with pytest.raises(ConfigError, match="wrong password") as caught:
        unlock_key(stored.path, "px")
    assert str(stored.path) in caught.value.problems[0]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    stored = store_key(tmp_path, KEY, "pw", scrypt_n=FAST)
    stored.path.chmod(mode)
    with pytest.raises(KeyStoreError, match=f"mode is {mode:04o}"):
        unlock_key(stored.path, "pw")


def test_a_file_that_names_another_address_is_refused(tmp_path: Path) -> None:
    stored = store_key(tmp_path, KEY, "pw", scrypt_n=FAST)
    document = json.loads(stored.path.read_text())
    document["address"] = "0x" + "22" * 20
    stored.path.write_text(json.dumps(document))
    with pytest.raises(KeyStoreError, match="says it holds 0x2222"):
        unlock_key(stored.path, "pw")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"version": 3}',
        b'{"version": 4}',
        b'{"version": 3, "crypto": {}}',
        b"[" * 30_000,
    ],
)
def test_what_is_no_key_store_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyStoreError, match=r"not JSON|not a JSON object|not a key store|version"):
        unlock_key(path, "pw")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyStoreError, match="No such file"):
        unlock_key(tmp_path / "absent", "pw")


def test_listing_leaves_out_what_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "other.json").write_text('{"address": "0x00"}')
    (tmp_path / "sub").mkdir()
    nameless = tmp_path / "nameless"
    nameless.write_text('{"version": 3, "crypto": {}}')
    assert list_keys(tmp_path) == [KeyFile(nameless, None)]
    assert list_keys(tmp_path / "absent") == []
