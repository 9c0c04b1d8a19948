"""Where a validator's key lies, as far as changing it goes: another is made there, one is put out of use.

Every deed may be done again.
"""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from node.config.settings import SigningSettings
from node.primitives.errors import ConfigError
from node.primitives.ids import Address, hex_of
from node.signing.keystore import KeyStoreError, create_key, list_keys
from node.signing.passwords import find_password, find_pin

if TYPE_CHECKING:
    from node.signing.pkcs11 import TokenKeyName

DISABLED: Final = ".disabled"
GENERATION: Final = re.compile(r"(.*)@(\d{1,6})")

AtSigner: TypeAlias = Callable[[Sequence[str]], str]
"""Has `phoenix signer key ...` done where the signer is; gives the address of the key it was done to."""


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

    def address_of(self, name: str) -> Address | None:
        """Whose key this is, in use or out of it; None when there is none."""
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

    def address_of(self, name: str) -> Address | None:
        """See the port; what the file says of itself."""
        wanted = {(self._base / each).resolve() for each in (name, name + DISABLED)}
        found = (each.address for each in list_keys(self._folder) if each.path.resolve() in wanted)
        return next(found, None)

    def _rename(self, before: str, after: str) -> None:
        if (self._base / before).exists():
            (self._base / before).rename(self._base / after)
        elif not (self._base / after).exists():
            raise KeyStoreError(f"{self._base / before}: there is no such key file")


class TokenPlace:
    """Keys in one token; names are labels."""

    setting = "pkcs11_key"

    def __init__(self, settings: SigningSettings, pin: str | None = None) -> None:
        """Asks for the PIN unless it is given."""
        assert settings.pkcs11_module is not None, "the settings were checked"
        assert settings.pkcs11_token is not None
        assert settings.pkcs11_key is not None
        self._module, self._token = settings.pkcs11_module, settings.pkcs11_token
        self._old = settings.pkcs11_key
        self._pin = find_pin(settings.pin_file, settings.pin_fd) if pin is None else pin

    def make(self, wanted: str | None) -> tuple[Address, str]:
        """See the port. Without a wish: "sealer", "sealer@2", "sealer@3"."""
        from node.signing.token_keys import create_key, has_key

        label = wanted or self._next_label()
        address = self.address_of(label)
        if address is None:
            return create_key(self._named(label), self._pin), label
        if not has_key(self._named(label), self._pin):
            raise KeyStoreError(f"{self._named(label)}: was taken out of use; choose another label")
        return address, label

    def _next_label(self) -> str:
        """Who was killed before he noted the key he made finds it again; one out of use is passed over."""
        match = GENERATION.fullmatch(self._old)
        base, number = (match[1], int(match[2])) if match else (self._old.split("@")[0], 1)
        while True:
            number += 1
            label = f"{base}@{number}"
            if self.address_of(label + DISABLED) is None:
                return label

    def disable(self, name: str) -> None:
        """See the port."""
        from node.signing.token_keys import disable_key

        disable_key(self._named(name), self._pin)

    def enable(self, name: str) -> None:
        """See the port."""
        from node.signing.token_keys import enable_key

        enable_key(self._named(name), self._pin)

    def destroy(self, name: str) -> None:
        """See the port."""
        from node.signing.token_keys import destroy_key

        destroy_key(self._named(name), self._pin)

    def address_of(self, name: str) -> Address | None:
        """See the port; by the public half."""
        from node.signing.token_keys import find_address

        return find_address(self._named(name), self._pin)

    def _named(self, label: str) -> "TokenKeyName":
        from node.signing.pkcs11 import TokenKeyName

        return TokenKeyName(self._module, self._token, label)


class RemotePlace:
    """A key of a remote signer; its name is its address. What is done to it is done at the signer."""

    setting = "remote_address"

    def __init__(self, settings: SigningSettings, at_signer: AtSigner | None) -> None:
        """`at_signer` None: the operator does it there."""
        assert settings.remote_address is not None, "the settings were checked"
        self._old = settings.remote_address
        self._at_signer = at_signer

    def make(self, wanted: str | None) -> tuple[Address, str]:
        """See the port; `wanted` is what the operator has made at the signer."""
        if wanted is None:
            wanted = self._do("new", "--like", self._old)
        if wanted is None:
            raise ConfigError(
                [
                    "the key of a remote signer is made there: --at-signer says how that is reached, or make "
                    f"it (`phoenix signer key new --config signer.toml --like {self._old}`) and name its "
                    "address here with --new"
                ]
            )
        address = Address(bytes.fromhex(wanted.removeprefix("0x")))
        return address, hex_of(address)

    def disable(self, name: str) -> None:
        """See the port; without `at_signer` the operator does it, by `phoenix signer key disable`."""
        self._do("disable", name)

    def enable(self, name: str) -> None:
        """See the port."""
        self._do("enable", name)

    def destroy(self, name: str) -> None:
        """See the port."""
        self._do("destroy", name)

    def address_of(self, name: str) -> Address | None:
        """See the port; whether the signer has it is not asked."""
        return Address(bytes.fromhex(name.removeprefix("0x")))

    def _do(self, *words: str) -> str | None:
        return None if self._at_signer is None else self._at_signer(words)


def place_of(
    settings: SigningSettings, base: Path, scrypt_n: int, at_signer: AtSigner | None = None
) -> KeyPlace:
    """The place that the settings name; may ask for a PIN."""
    match settings.backend:
        case "keystore":
            return KeyStorePlace(settings, base, scrypt_n)
        case "pkcs11":
            return TokenPlace(settings)
        case "remote":
            return RemotePlace(settings, at_signer)


def address_in(settings: SigningSettings) -> Address | None:
    """Which key a key store or remote signer is set to; None where only a token could say."""
    if settings.backend == "remote" and settings.remote_address is not None:
        return Address(bytes.fromhex(settings.remote_address[2:]))
    if settings.backend == "keystore" and settings.keystore is not None:
        files = {file.path: file.address for file in list_keys(settings.keystore.parent)}
        return files.get(settings.keystore)
    return None
