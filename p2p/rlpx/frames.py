"""Frames: a stream of sized chunks, each encrypted, with MACs that cover all that came before (rlpx.md).

Frame: header (16: 3 bytes size, then constants) ‖ header MAC (16) ‖ body padded to 16 ‖ body MAC (16).
A frame that is lost, repeated, reordered or changed breaks every MAC after it.
"""

import hmac
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from p2p.errors import BrokenFrame
from p2p.rlpx.handshake import RunningMac, Secrets

HEAD_BYTES: Final = 32
"""Header with its MAC."""
MAC_BYTES: Final = 16
BLOCK_BYTES: Final = 16
FRAME_BYTES_MAX: Final = (1 << 24) - 1
"""The size field has three bytes."""

_HEADER_TAIL: Final = b"\xc2\x80\x80" + bytes(10)
"""RLP of [capability 0, context 0], the only header data in use, and padding."""


class FrameCodec:
    """Both directions of one session's frames."""

    def __init__(self, secrets: Secrets) -> None:
        """Take over the secrets; their running MACs belong to this codec from now on."""
        # The zero IV is what rlpx.md asks for. Both directions share the key stream, which is a known
        # weakness of the protocol; the optional TLS around it does not have it.
        cipher = Cipher(algorithms.AES(secrets.aes_secret), modes.CTR(bytes(BLOCK_BYTES)))
        self._encrypt = cipher.encryptor().update
        self._decrypt = cipher.decryptor().update
        self._mac_cipher = Cipher(algorithms.AES(secrets.mac_secret), modes.ECB()).encryptor().update
        self._egress = secrets.egress_mac
        self._ingress = secrets.ingress_mac

    def encode(self, body: bytes) -> bytes:
        """The frame that carries `body`, at most FRAME_BYTES_MAX bytes."""
        assert len(body) <= FRAME_BYTES_MAX
        header = self._encrypt(len(body).to_bytes(3, "big") + _HEADER_TAIL)
        header_mac = self._absorb_header(self._egress, header)
        encrypted = self._encrypt(body + bytes(-len(body) % BLOCK_BYTES))
        return b"".join((header, header_mac, encrypted, self._absorb_body(self._egress, encrypted)))

    def decode_head(self, head: bytes) -> int:
        """The body's size from the 32 bytes of a frame's head; BrokenFrame when its MAC is wrong."""
        header = head[:BLOCK_BYTES]
        if not hmac.compare_digest(self._absorb_header(self._ingress, header), head[BLOCK_BYTES:]):
            raise BrokenFrame("a frame header with a wrong MAC")
        return int.from_bytes(self._decrypt(header)[:3], "big")

    def decode_body(self, rest: bytes, size: int) -> bytes:
        """The body from what follows the head (`rest_bytes(size)` of it); BrokenFrame on a wrong MAC."""
        encrypted, mac = rest[:-MAC_BYTES], rest[-MAC_BYTES:]
        if not hmac.compare_digest(self._absorb_body(self._ingress, encrypted), mac):
            raise BrokenFrame("a frame with a wrong MAC")
        return self._decrypt(encrypted)[:size]

    def _absorb_header(self, running: RunningMac, header: bytes) -> bytes:
        running.update(self._seed(running.digest()[:MAC_BYTES], header))
        return running.digest()[:MAC_BYTES]

    def _absorb_body(self, running: RunningMac, encrypted: bytes) -> bytes:
        running.update(encrypted)
        digest = running.digest()[:MAC_BYTES]
        running.update(self._seed(digest, digest))
        return running.digest()[:MAC_BYTES]

    def _seed(self, digest: bytes, block: bytes) -> bytes:
        mixed = int.from_bytes(self._mac_cipher(digest), "big") ^ int.from_bytes(block, "big")
        return mixed.to_bytes(BLOCK_BYTES, "big")


def rest_bytes(size: int) -> int:
    """How many bytes follow the head of a frame whose body has `size`: padding and MAC included."""
    return size + -size % BLOCK_BYTES + MAC_BYTES
