"""Validator keys as encrypted files: Web3 Secret Storage version 3, as geth and eth-account write it.

Files are ours alone (mode 0600): one that others may read is refused, not used with a warning.
"""

import json
import os
import secrets
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from node.primitives.crypto import PrivateKey
from node.primitives.errors import ConfigError
from node.primitives.ids import Address, hex_of
from node.signing.secret_storage import decrypt_secret

FILE_MODE: Final = 0o600
SCRYPT_N: Final = 1 << 18
"""Work factor of new files: about a second and 256 MiB for every password tried."""
KEYSTORE_BYTES_MAX: Final = 64 * 1024


class KeyStoreError(ConfigError):
    """A key file or password that cannot be used; the operator's to mend."""

    def __init__(self, problem: str) -> None:
        super().__init__([problem])


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A key file by what it says of itself; nothing is proved before it is unlocked."""

    path: Path
    address: Address | None
    """None when the file does not name its address (the format lets it be left out)."""


def create_key(folder: Path, password: str, *, scrypt_n: int = SCRYPT_N) -> KeyFile:
    """A new random key in a new file of `folder`, which is made (mode 0700) if need be."""
    return store_key(folder, PrivateKey(_random_secret()), password, scrypt_n=scrypt_n)


def store_key(folder: Path, key: PrivateKey, password: str, *, scrypt_n: int = SCRYPT_N) -> KeyFile:
    """Import a key: encrypt it into a new file of `folder`; KeyStoreError when its address has one there."""
    import eth_account  # a third of a second that only this needs

    if not password:
        raise KeyStoreError("an empty password protects nothing")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for known in list_keys(folder):
        if known.address == key.address:
            raise KeyStoreError(f"{known.path} already holds the key of {hex_of(key.address)}")
    document = eth_account.Account.encrypt(key.secret_bytes(), password, kdf="scrypt", iterations=scrypt_n)
    moment = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S.%fZ")
    path = folder / f"UTC--{moment}--{key.address.hex()}"
    write_secret_file(path, json.dumps(document, indent=2).encode())
    return KeyFile(path, key.address)


def unlock_key(path: Path, password: str) -> PrivateKey:
    """The key in a file. Takes about a second: that is the point. KeyStoreError says what is wrong."""
    content = read_secret_file(path)
    try:
        key = decrypt_key(content, password)
    except ValueError as error:
        raise KeyStoreError(f"{path}: {error}") from error
    named = _named_address(content)
    if named is not None and named != key.address:
        raise KeyStoreError(
            f"{path}: says it holds {hex_of(named)} but its key is that of {hex_of(key.address)}"
        )
    return key


def decrypt_key(document: bytes, password: str) -> PrivateKey:
    """The key in a version 3 document (JSON); ValueError says whether password or document is wrong."""
    fields = _parse(document)
    if fields.get("version") != 3:
        raise ValueError(f"a key store of version {fields.get('version')!r}; version 3 is supported")
    secret = decrypt_secret(fields, password.encode())
    return PrivateKey(secret.rjust(32, b"\0"))


def list_keys(folder: Path) -> list[KeyFile]:
    """The key files of a folder by name; what is no key store is left out."""
    found = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if not path.is_file() or path.stat().st_size > KEYSTORE_BYTES_MAX:
            continue
        try:
            fields = _parse(path.read_bytes())
        except (ValueError, OSError):
            continue
        if "crypto" in fields or "Crypto" in fields:
            found.append(KeyFile(path, _address_field(fields)))
    return found


def read_secret_file(path: Path) -> bytes:
    """A file that only its owner can read; KeyStoreError when it is missing, too long or open to others."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
        with os.fdopen(descriptor, "rb") as file:
            mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
            if mode & 0o077:
                raise KeyStoreError(f"{path}: mode is {mode:04o}, so others can read it; chmod 0600 it first")
            content = file.read(KEYSTORE_BYTES_MAX + 1)
    except OSError as error:
        raise KeyStoreError(f"{path}: {error.strerror}") from error
    if len(content) > KEYSTORE_BYTES_MAX:
        raise KeyStoreError(f"{path}: more than {KEYSTORE_BYTES_MAX} bytes")
    return content


def write_secret_file(path: Path, content: bytes) -> None:
    """A new file with mode 0600 that is on the disk on return; KeyStoreError when it exists already."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise KeyStoreError(f"{path}: {error.strerror}") from error


def _random_secret() -> bytes:
    while True:
        secret = secrets.token_bytes(32)
        try:
            PrivateKey(secret)
        except ValueError:
            continue  # outside the group order, with a chance of 2**-128
        return secret


def _parse(document: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise ValueError("not a JSON object")
    return fields


def _named_address(document: bytes) -> Address | None:
    return _address_field(_parse(document))


def _address_field(fields: dict[str, Any]) -> Address | None:
    text = fields.get("address")
    try:
        address = bytes.fromhex(str(text).removeprefix("0x"))
    except ValueError:
        return None
    return Address(address) if len(address) == 20 else None
