"""The envelope of the two handshake packets: encrypt to a secp256k1 key (ECIES as rlpx.md fixes it).

Layout: 0x04 ‖ ephemeral public key (64) ‖ iv (16) ‖ AES-128-CTR ciphertext ‖ HMAC-SHA256 (32). The MAC also
covers associated data that travels outside: the packet's length prefix.
"""

import hashlib
import hmac
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from node.primitives.crypto import InvalidSignature, PrivateKey
from p2p.errors import HandshakeFailed

IV_BYTES: Final = 16
POINT_BYTES: Final = 65
MAC_BYTES: Final = 32
OVERHEAD_BYTES: Final = POINT_BYTES + IV_BYTES + MAC_BYTES


def encrypt(
    public_key: bytes, plaintext: bytes, associated: bytes, *, ephemeral: PrivateKey, iv: bytes
) -> bytes:
    """Seal `plaintext` for the holder of a 64-byte public key; `ephemeral` and `iv` serve once only."""
    cipher_key, mac_key = _keys(ephemeral.ecdh_x(public_key))
    body = iv + _aes_ctr(cipher_key, iv, plaintext)
    return b"\x04" + ephemeral.public_key + body + hmac.digest(mac_key, body + associated, "sha256")


def decrypt(key: PrivateKey, message: bytes, associated: bytes) -> bytes:
    """Open what `encrypt` sealed for our key; HandshakeFailed when it was not, or was changed on the way."""
    if len(message) < OVERHEAD_BYTES or message[0] != 4:
        raise HandshakeFailed("a handshake packet that is no sealed envelope")
    try:
        cipher_key, mac_key = _keys(key.ecdh_x(message[1:POINT_BYTES]))
    except InvalidSignature as error:
        raise HandshakeFailed("a handshake packet whose ephemeral key is no point of the curve") from error
    body, tag = message[POINT_BYTES:-MAC_BYTES], message[-MAC_BYTES:]
    if not hmac.compare_digest(hmac.digest(mac_key, body + associated, "sha256"), tag):
        raise HandshakeFailed("a handshake packet that was not sealed for our node key")
    return _aes_ctr(cipher_key, body[:IV_BYTES], body[IV_BYTES:])


def _keys(shared_x: bytes) -> tuple[bytes, bytes]:
    """AES-128 key and HMAC key from the shared point (NIST SP 800-56 concatenation KDF, one round)."""
    derived = hashlib.sha256(b"\x00\x00\x00\x01" + shared_x).digest()
    return derived[:16], hashlib.sha256(derived[16:]).digest()


def _aes_ctr(key: bytes, iv: bytes, data: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.CTR(iv)).encryptor().update(data)
