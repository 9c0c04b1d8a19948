"""Where the password of a key store or the PIN of a token comes from.

A file, a file descriptor that a parent process opened (PINs), a systemd credential, or the operator at the
terminal: never an argument or a variable, which other users or child processes can read.
"""

import os
from collections.abc import Callable, Mapping
from getpass import getpass
from pathlib import Path
from typing import Final

from node.signing.keystore import KeyStoreError, read_secret_file

CREDENTIAL_NAME: Final = "phoenix-keystore-password"
"""`LoadCredential=phoenix-keystore-password:/path` in the systemd unit, encrypted or not."""
PIN_CREDENTIAL_NAME: Final = "phoenix-token-pin"
"""The same for the PIN of a token."""
SECRET_BYTES_MAX: Final = 4096
"""Of what a file descriptor holds."""
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
    credential = _credential(environment, CREDENTIAL_NAME)
    if credential is not None:
        return _first_line(credential)
    if prompt is None and not os.isatty(0):
        raise KeyStoreError(
            "no password for the key store: name signing.password_file, pass the systemd credential "
            f"{CREDENTIAL_NAME}, or start at a terminal"
        )
    return (prompt or getpass)("Password of the key store: ")


def find_pin(
    pin_file: Path | None,
    pin_fd: int | None,
    environment: Mapping[str, str] = os.environ,
    prompt: Callable[[str], str] | None = None,
) -> str:
    """The PIN of a token: from the first of file, file descriptor, systemd credential and prompt.

    The descriptor is read to its end and closed, so nothing that is started later inherits it.
    """
    if pin_file is not None:
        return _first_line(pin_file)
    if pin_fd is not None:
        return _from_descriptor(pin_fd)
    credential = _credential(environment, PIN_CREDENTIAL_NAME)
    if credential is not None:
        return _first_line(credential)
    if prompt is None and not os.isatty(0):
        raise KeyStoreError(
            "no PIN for the token: name signing.pin_file or signing.pin_fd, pass the systemd credential "
            f"{PIN_CREDENTIAL_NAME}, or start at a terminal"
        )
    return (prompt or getpass)("PIN of the token: ")


def new_password(prompt: Callable[[str], str] = getpass) -> str:
    """A password for a new key, asked twice; KeyStoreError when the two differ or are empty."""
    first = prompt("New password: ")
    if not first:
        raise KeyStoreError("an empty password protects nothing")
    if prompt("Again: ") != first:
        raise KeyStoreError("the two passwords differ")
    return first


def _credential(environment: Mapping[str, str], name: str) -> Path | None:
    folder = environment.get(CREDENTIALS_DIRECTORY)
    if not folder:
        return None
    path = Path(folder) / name
    return path if path.exists() else None


def _from_descriptor(descriptor: int) -> str:
    try:
        with os.fdopen(descriptor, "rb") as file:
            return _line_of(file.read(SECRET_BYTES_MAX), f"file descriptor {descriptor}")
    except OSError as error:
        raise KeyStoreError(f"file descriptor {descriptor}: {error.strerror}") from error


def _first_line(path: Path) -> str:
    return _line_of(read_secret_file(path), str(path))


def _line_of(content: bytes, place: str) -> str:
    try:
        lines = content.decode().splitlines()
    except UnicodeDecodeError as error:
        raise KeyStoreError(f"{place}: not UTF-8") from error
    if not lines or not lines[0]:
        raise KeyStoreError(f"{place}: the first line is empty; it should be the password or PIN")
    return lines[0]
