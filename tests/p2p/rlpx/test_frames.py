"""Frames: the published one, and what happens to frames that are changed, repeated or lost."""

import pytest

from node.primitives.crypto import keccak256
from p2p.errors import BrokenFrame
from p2p.rlpx.frames import HEAD_BYTES, FrameCodec, rest_bytes
from p2p.rlpx.handshake import Secrets, derive_secrets
from tests.vectors import load_json, require


class ConstantMac:
    """The hash of the published frame: it always ends in 32 bytes 0x01."""

    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes:
        return b"\x01" * 32


def codec(*, is_initiator: bool) -> FrameCodec:
    return FrameCodec(
        derive_secrets(
            remote_public_key=bytes(64),
            shared_ephemeral=b"\x05" * 32,
            initiator=(b"\x01" * 32, b"auth"),
            responder=(b"\x02" * 32, b"ack"),
            is_initiator=is_initiator,
        )
    )


def decode(receiver: FrameCodec, frame: bytes) -> bytes:
    size = receiver.decode_head(frame[:HEAD_BYTES])
    assert len(frame) == HEAD_BYTES + rest_bytes(size)
    return receiver.decode_body(frame[HEAD_BYTES:], size)


def test_published_frame() -> None:
    vector = load_json(require("devp2p/eip8_rlpx_handshake.json"))["frame_vector"]
    secret = keccak256(b"")
    frame, body = bytes.fromhex(vector["frame"]), bytes.fromhex(vector["decrypted_frame_data"])
    secrets = Secrets(bytes(64), secret, secret, ConstantMac(), ConstantMac())
    assert FrameCodec(secrets).encode(body) == frame
    assert decode(FrameCodec(secrets), frame) == body


@pytest.mark.parametrize("size", [1, 15, 16, 17, 255, 256, 65_536, 100_001])
def test_frames_of_any_size_come_through_in_both_directions(size: int) -> None:
    initiator, responder = codec(is_initiator=True), codec(is_initiator=False)
    for _ in range(3):
        assert decode(responder, initiator.encode(b"\x07" * size)) == b"\x07" * size
        assert decode(initiator, responder.encode(b"\x08" * size)) == b"\x08" * size


@pytest.mark.parametrize("position", [0, 3, 15, 16, 31, 32, 47, 48, 63])
def test_a_frame_with_any_bit_changed_is_refused(position: int) -> None:
    frame = bytearray(codec(is_initiator=True).encode(b"sixteen bytes...") + bytes(0))
    frame[position] ^= 0x80
    with pytest.raises(BrokenFrame, match="MAC"):
        decode(codec(is_initiator=False), bytes(frame))


def test_a_repeated_frame_is_refused() -> None:
    receiver, frame = codec(is_initiator=False), codec(is_initiator=True).encode(b"once")
    assert decode(receiver, frame) == b"once"
    with pytest.raises(BrokenFrame, match="MAC"):
        decode(receiver, frame)


def test_a_frame_after_a_lost_one_is_refused() -> None:
    sender = codec(is_initiator=True)
    sender.encode(b"lost")
    with pytest.raises(BrokenFrame, match="MAC"):
        decode(codec(is_initiator=False), sender.encode(b"second"))


def test_a_frame_sent_back_to_its_sender_is_refused() -> None:
    sender = codec(is_initiator=True)
    with pytest.raises(BrokenFrame, match="MAC"):
        decode(sender, sender.encode(b"mirror"))
