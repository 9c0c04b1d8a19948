"""The life of a key in a token: made there or brought there, put out of use, destroyed.

A key that is out of use is still there, its label with `.disabled` behind it, and signs nothing: it can be
put to use again. One that was destroyed is gone for ever.
"""

import logging
from functools import partial
from typing import TYPE_CHECKING, Final

from node.primitives.crypto import PrivateKey, address_of
from node.primitives.ids import Address, hex_of
from node.signing.keystore import KeyStoreError
from node.signing.pkcs11 import (
    POINT_PREFIX,
    SECP256K1_PARAMETERS,
    TokenKeyName,
    in_session,
    public_key_of,
)

if TYPE_CHECKING:
    import pkcs11

DISABLED: Final = ".disabled"

log = logging.getLogger(__name__)


def create_key(name: TokenKeyName, pin: str) -> Address:
    """Make a key in the token and give its address; KeyStoreError when its name is taken."""
    return in_session(name, pin, partial(_create, name))


def import_key(name: TokenKeyName, pin: str, key: PrivateKey) -> Address:
    """Bring a key that exists into the token, out of which it cannot come again; KeyStoreError when its name
    is taken. The token marks it as one that was made elsewhere (CKA_LOCAL false): copies may be about."""
    return in_session(name, pin, partial(_import, name, key))


def disable_key(name: TokenKeyName, pin: str) -> None:
    """Take a key out of use; KeyStoreError when there is none. Done already: nothing."""
    in_session(name, pin, partial(_switch, name, name.key, name.key + DISABLED, False))


def enable_key(name: TokenKeyName, pin: str) -> None:
    """Put a key to use that `disable_key` took out of it."""
    in_session(name, pin, partial(_switch, name, name.key + DISABLED, name.key, True))


def destroy_key(name: TokenKeyName, pin: str) -> None:
    """Destroy a key that is out of use, for ever; one that is in use is refused. Done already: nothing."""
    in_session(name, pin, partial(_destroy, name))


def find_address(name: TokenKeyName, pin: str) -> Address | None:
    """Whose key has this name, in use or out of it; None when there is none."""
    return in_session(name, pin, partial(_find_address, name))


def has_key(name: TokenKeyName, pin: str) -> bool:
    """Whether a key of this name is in use."""
    return in_session(name, pin, partial(_has, name))


def _create(name: TokenKeyName, session: "pkcs11.Session") -> Address:
    import pkcs11
    from pkcs11 import Attribute

    if list(session.get_objects({Attribute.LABEL: name.key})):
        raise KeyStoreError(f"{name}: there is one already; choose another label")
    curve = session.create_domain_parameters(
        pkcs11.KeyType.EC, {Attribute.EC_PARAMS: SECP256K1_PARAMETERS}, local=True
    )
    private = {
        Attribute.PRIVATE: True,
        Attribute.SENSITIVE: True,
        Attribute.EXTRACTABLE: False,
        Attribute.SIGN: True,
        Attribute.DERIVE: False,
    }
    public, _ = curve.generate_keypair(
        store=True,
        label=name.key,
        id=name.key.encode(),
        mechanism=pkcs11.Mechanism.EC_KEY_PAIR_GEN,
        private_template=private,
    )
    address = address_of(public_key_of(public))
    log.info("a key was made in a token", extra={"key": str(name), "address": hex_of(address)})
    return address


def _import(name: TokenKeyName, key: PrivateKey, session: "pkcs11.Session") -> Address:
    import pkcs11
    from pkcs11 import Attribute

    if list(session.get_objects({Attribute.LABEL: name.key})):
        raise KeyStoreError(f"{name}: there is one already; choose another label")
    common = {
        Attribute.KEY_TYPE: pkcs11.KeyType.EC,
        Attribute.TOKEN: True,
        Attribute.LABEL: name.key,
        Attribute.ID: name.key.encode(),
        Attribute.EC_PARAMS: SECP256K1_PARAMETERS,
    }
    private = {
        Attribute.CLASS: pkcs11.ObjectClass.PRIVATE_KEY,
        Attribute.VALUE: key.secret_bytes(),
        Attribute.PRIVATE: True,
        Attribute.SENSITIVE: True,
        Attribute.EXTRACTABLE: False,
        Attribute.SIGN: True,
        Attribute.DERIVE: False,
    }
    public = {
        Attribute.CLASS: pkcs11.ObjectClass.PUBLIC_KEY,
        Attribute.EC_POINT: POINT_PREFIX + key.public_key,
        Attribute.VERIFY: True,
    }
    session.create_object(common | private)
    session.create_object(common | public)
    log.info("a key was brought into a token", extra={"key": str(name), "address": hex_of(key.address)})
    return key.address


def _objects(session: "pkcs11.Session", label: str) -> "list[pkcs11.Object]":
    from pkcs11 import Attribute

    return list(session.get_objects({Attribute.LABEL: label}))


def _find_address(name: TokenKeyName, session: "pkcs11.Session") -> Address | None:
    import pkcs11
    from pkcs11 import Attribute

    for label in (name.key, name.key + DISABLED):
        for each in _objects(session, label):
            if each[Attribute.CLASS] == pkcs11.ObjectClass.PUBLIC_KEY:
                return address_of(public_key_of(each))
    return None


def _has(name: TokenKeyName, session: "pkcs11.Session") -> bool:
    return bool(_objects(session, name.key))


def _switch(name: TokenKeyName, before: str, after: str, signs: bool, session: "pkcs11.Session") -> None:
    import pkcs11
    from pkcs11 import Attribute

    found = _objects(session, before)
    if not found and not _objects(session, after):
        raise KeyStoreError(f"{name}: there is no key of this label, in use or out of it")
    # The private half last when it comes into use, first when it goes out: no moment has half a key in use.
    found.sort(key=lambda each: each[Attribute.CLASS] == pkcs11.ObjectClass.PRIVATE_KEY, reverse=not signs)
    for each in found:
        if each[Attribute.CLASS] == pkcs11.ObjectClass.PRIVATE_KEY:
            each[Attribute.SIGN] = signs
        each[Attribute.LABEL] = after
    log.warning("a key was %s", "put to use" if signs else "taken out of use", extra={"key": str(name)})


def _destroy(name: TokenKeyName, session: "pkcs11.Session") -> None:
    if _objects(session, name.key):
        raise KeyStoreError(f"{name}: is in use; only what is out of use is destroyed")
    for each in _objects(session, name.key + DISABLED):
        each.destroy()
    log.warning("a key was destroyed", extra={"key": str(name)})
