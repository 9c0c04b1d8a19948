"""From settings to the bare key: which back end holds it, and what opens that."""

from pathlib import Path

from node.config.settings import SigningSettings
from node.signing.keystore import KeyStoreError, unlock_key
from node.signing.passwords import find_password, find_pin
from node.signing.signer import DigestSigner, LocalKey, OwnKey


def open_key(settings: SigningSettings, known_token: Path | None = None) -> DigestSigner:
    """The validator's key, wherever it is. A remote one is not asked yet: it may be down for now; see
    `open_own_key` for the others."""
    if settings.backend != "remote":
        return open_own_key(settings, known_token)
    from node.signing.remote import open_remote

    return open_remote(settings)


def open_own_key(settings: SigningSettings, known_token: Path | None = None) -> OwnKey:
    """A key in memory or in a token; may ask the operator for what opens it. KeyStoreError if it does not,
    unless it is in a token that was opened before, where `known_token` remembers whose key it has."""
    match settings.backend:
        case "keystore":
            assert settings.keystore is not None, "the settings were checked"
            return LocalKey(unlock_key(settings.keystore, find_password(settings.password_file)))
        case "pkcs11":
            return _in_token(settings, known_token)
        case "remote":
            raise KeyStoreError('a key of backend = "remote" is not one of this process')


def _in_token(settings: SigningSettings, known_token: Path | None) -> OwnKey:
    from node.signing.known_token import recall, remember
    from node.signing.pkcs11 import TokenKey, TokenKeyName

    module, token, key = settings.pkcs11_module, settings.pkcs11_token, settings.pkcs11_key
    assert module is not None, "the settings were checked"
    assert token is not None
    assert key is not None
    pin = find_pin(settings.pin_file, settings.pin_fd)
    name = TokenKeyName(module, token, key)
    known = None if known_token is None else recall(known_token, name)
    opened = TokenKey(name, pin, settings.timeout_s, known)
    if known_token is not None:
        remember(known_token, name, opened.public_key)
    return opened
