"""One process of a machine per key: the second one that would sign with it is turned away at its start.

A key store is locked as a file; a key in a token by a name that the kernel gives to one process of the
machine and takes back when that ends, however it ends. Keys of a remote signer are leased by it (`lease`).
What shares neither a file system nor a machine shares no lock: two hosts with one HSM go through one signer.
"""

import fcntl
import hashlib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from node.config.settings import SigningSettings
from node.signing.keystore import KeyStoreError

CURE = "two that sign with one key contradict each other; stop the other one first"


@contextmanager
def held_exclusively(settings: SigningSettings) -> Iterator[None]:
    """Hold the key that the settings name against every other process; KeyStoreError when one has it."""
    match settings.backend:
        case "keystore":
            assert settings.keystore is not None, "the settings were checked"
            try:
                descriptor = os.open(settings.keystore, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                raise KeyStoreError(f"{settings.keystore}: {error.strerror}") from error
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(descriptor)
                raise KeyStoreError(
                    f"{settings.keystore}: another process signs with this key; {CURE}"
                ) from error
            try:
                yield
            finally:
                os.close(descriptor)
        case "pkcs11":
            with _name_of_token_key(settings):
                yield
        case "remote":
            yield


@contextmanager
def _name_of_token_key(settings: SigningSettings) -> Iterator[None]:
    # Which token it is depends on where the module looks; SoftHSM2 is told by this variable.
    place = os.environ.get("SOFTHSM2_CONF", "")
    words = "\n".join(
        [str(settings.pkcs11_module), settings.pkcs11_token or "", settings.pkcs11_key or "", place]
    )
    # An abstract name: no file that could be left behind.
    name = b"\0phoenix-key-" + hashlib.sha256(words.encode()).hexdigest().encode()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as holder:
        try:
            holder.bind(name)
        except OSError as error:
            raise KeyStoreError(
                f"key {settings.pkcs11_key!r} in token {settings.pkcs11_token!r}: another process of this "
                f"machine signs with it; {CURE}"
            ) from error
        yield
