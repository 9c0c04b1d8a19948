"""Where a validator's key lies, as far as changing it goes: another is made there, one is put out of use.

Every deed may be done again.
"""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

from node.config.settings import SigningSettings
from node.primitives.errors import ConfigError
from node.primitives.ids import Address, hex_of
from node.signing.keystore import KeyStoreError, create_key, list_keys
from node.signing.passwords import find_password, find_pin

DISABLED: Final = ".disabled"


class KeyPlace(Protocol):
    """A place for keys. A `name` is what the setting `setting` of a node's section [signing] says."""

    setting: str

    def make(self, wanted: str | None) -> tuple[Address, str]:
        """A new key, or the one that was made under this name before: its address and name."""
        ...

    def disable(self, name: str) -> None:
        """Take a key out of use; it stays."""
        ...

    def enable(self, name: str) -> None:
        """The reverse."""
        ...

    def destroy(self, name: str) -> None:
        """Destroy a key that is out of use, for ever."""
        ...


class KeyStorePlace:
    """Encrypted files in one folder; names are relative to the settings file."""

    setting = "keystore"

    def __init__(self, settings: SigningSettings, base: Path, scrypt_n: int) -> None:
        assert settings.keystore is not None, "the settings were checked"
        self._settings = settings
        self._folder = settings.keystore.parent
        self._base = base
        self._scrypt_n = scrypt_n

    def make(self, wanted: str | None) -> tuple[Address, str]:
        """See the port; each call makes another file."""
        password = find_password(self._settings.password_file)
        made = create_key(self._folder, password, scrypt_n=self._scrypt_n)
        assert made.address is not None, "we wrote it"
        return made.address, os.path.relpath(made.path, self._base)

    def disable(self, name: str) -> None:
        """See the port."""
        self._rename(name, name + DISABLED)

    def enable(self, name: str) -> None:
        """See the port."""
        self._rename(name + DISABLED, name)

    def destroy(self, name: str) -> None:
        """See the port: written over, then removed. Copies and old disk blocks are the operator's to know."""
        path = self._base / (name + DISABLED)
        if (self._base / name).exists():
            raise KeyStoreError(f"{self._base / name}: is in use; only what is out of use is destroyed")
        if path.exists():
            with path.open("r+b") as file:
                file.write(bytes(path.stat().st_size))
                file.flush()
                os.fsync(file.fileno())
            path.unlink()

    def _rename(self, before: str, after: str) -> None:
        if (self._base / before).exists():
            (self._base / before).rename(self._base / after)
        elif not (self._base / after).exists():
            raise KeyStoreError(f"{self._base / before}: there is no such key file")


class TokenPlace:
    """Keys in one token; names are labels."""

    setting = "pkcs11_key"

    def __init__(self, settings: SigningSettings) -> None:
        """Asks for the PIN."""
        assert settings.pkcs11_module is not None, "the settings were checked"
        assert settings.pkcs11_token is not None
        assert settings.pkcs11_key is not None
        self._module, self._token = settings.pkcs11_module, settings.pkcs11_token
        self._old = settings.pkcs11_key
        self._pin = find_pin(settings.pin_file, settings.pin_fd)

    def make(self, wanted: str | None) -> tuple[Address, str]:
        """See the port."""
        from node.signing.pkcs11 import TokenKey, TokenKeyName
        from node.signing.token_keys import create_key, has_key

        label = wanted or f"{self._old.split('@')[0]}@{datetime.now(UTC):%Y%m%dT%H%M%S}"
        name = TokenKeyName(self._module, self._token, label)
        if has_key(name, self._pin):
            key = TokenKey(name, self._pin, 10.0)
            key.close()
            return key.address, label
        return create_key(name, self._pin), label

    def disable(self, name: str) -> None:
        """See the port."""
        from node.signing.pkcs11 import TokenKeyName
        from node.signing.token_keys import disable_key

        disable_key(TokenKeyName(self._module, self._token, name), self._pin)

    def enable(self, name: str) -> None:
        """See the port."""
        from node.signing.pkcs11 import TokenKeyName
        from node.signing.token_keys import enable_key

        enable_key(TokenKeyName(self._module, self._token, name), self._pin)

    def destroy(self, name: str) -> None:
        """See the port."""
        from node.signing.pkcs11 import TokenKeyName
        from node.signing.token_keys import destroy_key

        destroy_key(TokenKeyName(self._module, self._token, name), self._pin)


class RemotePlace:
    """A key of a remote signer; its name is its address. It is made, and taken out of use, at the signer."""

    setting = "remote_address"

    def make(self, wanted: str | None) -> tuple[Address, str]:
        """See the port: what the operator has made at the signer."""
        if wanted is None:
            raise ConfigError(
                [
                    "the key of a remote signer is made there (`phoenix token new`, another [[keys]] in its "
                    "settings, restart it); name its address here with --new"
                ]
            )
        address = Address(bytes.fromhex(wanted.removeprefix("0x")))
        return address, hex_of(address)

    def disable(self, name: str) -> None:
        """Nothing here: `phoenix token disable`, and its [[keys]] out of the signer's settings."""

    def enable(self, name: str) -> None:
        """Nothing here."""

    def destroy(self, name: str) -> None:
        """Nothing here: `phoenix token destroy`."""


def place_of(settings: SigningSettings, base: Path, scrypt_n: int) -> KeyPlace:
    """The place that the settings name; may ask for a PIN."""
    match settings.backend:
        case "keystore":
            return KeyStorePlace(settings, base, scrypt_n)
        case "pkcs11":
            return TokenPlace(settings)
        case "remote":
            return RemotePlace()


def address_in(settings: SigningSettings) -> Address | None:
    """Which key a key store or remote signer is set to; None where only a token could say."""
    if settings.backend == "remote" and settings.remote_address is not None:
        return Address(bytes.fromhex(settings.remote_address[2:]))
    if settings.backend == "keystore" and settings.keystore is not None:
        files = {file.path: file.address for file in list_keys(settings.keystore.parent)}
        return files.get(settings.keystore)
    return None
