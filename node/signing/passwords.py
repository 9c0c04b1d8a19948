"""Where a key store's password comes from: a file, a systemd credential, or the operator at the terminal."""

import os
from collections.abc import Callable, Mapping
from getpass import getpass
from pathlib import Path
from typing import Final

from node.signing.keystore import KeyStoreError, read_secret_file

CREDENTIAL_NAME: Final = "phoenix-keystore-password"
"""`LoadCredential=phoenix-keystore-password:/path` in the systemd unit, encrypted or not."""
CREDENTIALS_DIRECTORY: Final = "CREDENTIALS_DIRECTORY"


def find_password(
    password_file: Path | None,
    environment: Mapping[str, str] = os.environ,
    prompt: Callable[[str], str] | None = None,
) -> str:
    """The first of: `password_file`, the systemd credential, the answer to a prompt. KeyStoreError if none.

    `prompt` is asked only at a terminal (None: getpass, which does not echo).
    """
    if password_file is not None:
        return _first_line(password_file)
    credential = _credential(environment)
    if credential is not None:
        return _first_line(credential)
    if prompt is None and not os.isatty(0):
        raise KeyStoreError(
            "no password for the key store: name signing.password_file, pass the systemd credential "
            f"{CREDENTIAL_NAME}, or start at a terminal"
        )
    return (prompt or getpass)("Password of the key store: ")


def new_password(prompt: Callable[[str], str] = getpass) -> str:
    """A password for a new key, asked twice; KeyStoreError when the two differ or are empty."""
    first = prompt("New password: ")
    if not first:
        raise KeyStoreError("an empty password protects nothing")
    if prompt("Again: ") != first:
        raise KeyStoreError("the two passwords differ")
    return first


def _credential(environment: Mapping[str, str]) -> Path | None:
    folder = environment.get(CREDENTIALS_DIRECTORY)
    if not folder:
        return None
    path = Path(folder) / CREDENTIAL_NAME
    return path if path.exists() else None


def _first_line(path: Path) -> str:
    try:
        lines = read_secret_file(path).decode().splitlines()
    except UnicodeDecodeError as error:
        raise KeyStoreError(f"{path}: not UTF-8") from error
    if not lines or not lines[0]:
        raise KeyStoreError(f"{path}: the first line is empty; it should be the password")
    return lines[0]
