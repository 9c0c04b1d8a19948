"""The life of a key in a real token."""

import pytest

from node.primitives.crypto import PrivateKey, keccak256, recover_address
from node.signing.keystore import KeyStoreError
from node.signing.pkcs11 import TokenKey, TokenKeyName
from node.signing.signer import SigningRequest
from node.signing.token_keys import create_key, destroy_key, disable_key, enable_key, has_key, import_key
from tests.signing.tokens import PIN, Tokens


def signs(name: TokenKeyName) -> bool:
    key = TokenKey(name, PIN, 10.0)
    digest = keccak256(b"life")
    signature = key.sign_digest(SigningRequest(kind="test", chain_id=0, height=0, digest=digest))
    key.close()
    return recover_address(digest, signature) == key.address


def test_a_key_that_was_brought_in_signs_and_cannot_come_out_again(tokens: Tokens) -> None:
    key, name = PrivateKey(b"\x33" * 32), tokens.name("brought")
    assert import_key(name, PIN, key) == key.address
    assert TokenKey(name, PIN, 10.0).address == key.address
    assert signs(name)
    with pytest.raises(KeyStoreError, match="there is one already"):
        import_key(name, PIN, key)


def test_a_key_is_taken_out_of_use_put_to_use_again_and_destroyed_for_ever(tokens: Tokens) -> None:
    name = tokens.name("life")
    address = create_key(name, PIN)
    with pytest.raises(KeyStoreError, match="is in use"):
        destroy_key(name, PIN)
    for _ in range(2):  # each step may be done again
        disable_key(name, PIN)
        assert not has_key(name, PIN)
    with pytest.raises(KeyStoreError, match="there is no private key"):
        TokenKey(name, PIN, 10.0)
    for _ in range(2):
        enable_key(name, PIN)
    assert TokenKey(name, PIN, 10.0).address == address
    assert signs(name)
    disable_key(name, PIN)
    for _ in range(2):
        destroy_key(name, PIN)
    with pytest.raises(KeyStoreError, match="in use or out of it"):
        enable_key(name, PIN)
