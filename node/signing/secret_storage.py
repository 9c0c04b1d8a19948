"""Reading Web3 Secret Storage, version 3: a key under AES-128-CTR, its password through scrypt or PBKDF2.

Our own, because eth-keyfile reads this format after importing curves that nothing here uses, which takes half
of a node's start. Writing, which happens once in a key's life, is left to eth-account.
"""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from node.primitives.crypto import keccak256

DERIVED_BYTES: Final = 32
SCRYPT_MEMORY_BYTES_MAX: Final = 1 << 30
"""geth's files take 256 MiB; a file that asks for more than this is refused rather than tried."""


def decrypt_secret(document: Mapping[str, Any], password: bytes) -> bytes:
    """The secret of a version 3 document; ValueError says "wrong password", or what cannot be read."""
    try:
        # Names are found in any case: geth's first files wrote "Crypto".
        crypto = _lower(_lower(document)["crypto"])
        derived = _derive(str(crypto["kdf"]), _lower(crypto["kdfparams"]), password)
        ciphertext = bytes.fromhex(crypto["ciphertext"])
        expected = bytes.fromhex(crypto["mac"])
        # Some writers leave out leading zeros, and so half a byte.
        counter = int(_lower(crypto["cipherparams"])["iv"], 16).to_bytes(16, "big")
        if str(crypto["cipher"]).lower() != "aes-128-ctr":
            raise ValueError(f"cipher {crypto['cipher']!r}; aes-128-ctr is supported")
    except KeyError as error:
        raise ValueError(f"not a key store that can be read: {error} is missing") from error
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"not a key store that can be read: {error}") from error
    if not hmac.compare_digest(keccak256(derived[16:32] + ciphertext), expected):
        raise ValueError("wrong password")
    decryptor = Cipher(AES(derived[:16]), CTR(counter)).decryptor()
    return decryptor.update(ciphertext) + decryptor.finalize()


def _lower(table: Mapping[str, Any]) -> dict[str, Any]:
    return {name.lower(): value for name, value in table.items()}


def _derive(function: str, parameters: Mapping[str, Any], password: bytes) -> bytes:
    salt, size = bytes.fromhex(parameters["salt"]), int(parameters["dklen"])
    if size < DERIVED_BYTES:
        raise ValueError(f"a derived key of {size} bytes; at least {DERIVED_BYTES} are needed")
    match function.lower():
        case "scrypt":
            n, r, p = (int(parameters[name]) for name in ("n", "r", "p"))
            # What OpenSSL counts: the large table, the blocks, and some for itself.
            memory = 128 * r * (n + p + 2) + (1 << 20)
            if memory > SCRYPT_MEMORY_BYTES_MAX:
                raise ValueError(f"scrypt with {memory} bytes; at most {SCRYPT_MEMORY_BYTES_MAX} are used")
            if n >= 1 << 16 * r:
                # OpenSSL holds to RFC 7914 here; early writers of this format did not.
                return _unbounded_scrypt(password, salt, n, r, p, size)
            return hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=memory, dklen=size)
        case "pbkdf2":
            if parameters["prf"] != "hmac-sha256":
                raise ValueError(f"PBKDF2 with {parameters['prf']!r}; hmac-sha256 is supported")
            return hashlib.pbkdf2_hmac("sha256", password, salt, int(parameters["c"]), size)
        case _:
            raise ValueError(f"key derivation {function!r}; scrypt and pbkdf2 are supported")


def _unbounded_scrypt(password: bytes, salt: bytes, n: int, r: int, p: int, size: int) -> bytes:
    from Crypto.Protocol.KDF import scrypt

    return bytes(scrypt(password, salt, size, n, r, p))  # type: ignore[arg-type]
