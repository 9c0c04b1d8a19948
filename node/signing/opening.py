"""From settings to the bare key: which back end holds it, and what opens that."""

from node.config.settings import SigningSettings
from node.signing.keystore import KeyStoreError, unlock_key
from node.signing.passwords import find_password, find_pin
from node.signing.signer import DigestSigner, LocalKey, OwnKey


def open_key(settings: SigningSettings) -> DigestSigner:
    """The validator's key, wherever it is. A remote one is not asked yet: it may be down for now."""
    if settings.backend != "remote":
        return open_own_key(settings)
    from node.signing.remote import open_remote

    return open_remote(settings)


def open_own_key(settings: SigningSettings) -> OwnKey:
    """A key in memory or in a token; may ask the operator for what opens it. KeyStoreError if it does not."""
    match settings.backend:
        case "keystore":
            assert settings.keystore is not None, "the settings were checked"
            return LocalKey(unlock_key(settings.keystore, find_password(settings.password_file)))
        case "pkcs11":
            return _in_token(settings)
        case "remote":
            raise KeyStoreError('a key of backend = "remote" is not one of this process')


def _in_token(settings: SigningSettings) -> OwnKey:
    from node.signing.pkcs11 import TokenKey, TokenKeyName

    module, token, key = settings.pkcs11_module, settings.pkcs11_token, settings.pkcs11_key
    assert module is not None, "the settings were checked"
    assert token is not None
    assert key is not None
    pin = find_pin(settings.pin_file, settings.pin_fd)
    return TokenKey(TokenKeyName(module, token, key), pin, settings.timeout_s)
