"""How a row stood before a block, in few bytes: mostly as the difference to how it stood after it.

A changed trie node mostly differs from its predecessor in one child's hash, 32 bytes of 532. Kept whole, a
changed account leaves 980 bytes of history in a state of 200,000; kept like this, 360. To read a row back,
start at the next change whose image is whole (or at the row as it is now) and undo the changes before it. To
keep this short, a row has a whole image in one of every eight blocks, drawn by its key: if it changes in
every block it has one in each eight; of any other row's images one in eight is whole. With one in sixteen an
archive is 7 % smaller, and an old proof reads twice as many images.

    (empty)                        there was no row
    0x00 row                       the row
    0x01 offset2 bytes             the row after the block, with these bytes put in at the offset
"""

import zlib
from collections.abc import Mapping, Sequence
from typing import Final

from node.native import kernel_or
from node.primitives.errors import StorageError
from node.primitives.ids import BlockNumber
from node.storage import schema
from node.storage.kv import Batch

WHOLE_ONE_IN: Final = 8
ROW_BYTES_MIN: Final = 113
"""Shorter rows are kept whole. That of a contract's account has 112 bytes: it is read before each of its old
slots, and the difference is most of it."""

_WHOLE: Final = b"\x00"
_DIFFERENCE: Final = b"\x01"


def put_images_in_python(
    into: dict[bytes, bytes | None],
    rows: Mapping[bytes, bytes | None],
    before: Mapping[bytes, bytes | None],
    head: bytes,
    tail: bytes,
) -> None:
    """See `put_images`: the image of every row in `before` under head + key + tail."""
    for key, row in before.items():
        place = head + key + tail
        into[place] = encode_image(row, rows[key], place)


_put_images = kernel_or(put_images_in_python, "put_images")


def put_images(
    batch: Batch, rows: dict[bytes, bytes | None], before: dict[bytes, bytes | None], number: BlockNumber
) -> None:
    """What block `number`, which left `rows`, leaves of the same rows before it."""
    head, tail = schema.history_prefix(b"")[:-1], b"/" + schema.number_bytes(number)
    _put_images(batch.rows, rows, before, head, tail)


def encode_image(before: bytes | None, after: bytes | None, place: bytes) -> bytes:
    """The image of a row that a block changed; `place` is the history row's key."""
    if before is None:
        return b""
    size = len(before)
    if after is None or len(after) != size or not ROW_BYTES_MIN <= size <= 0xFFFF:
        return _WHOLE + before
    if is_drawn(place):
        return _WHOLE + before
    # As numbers, the rows' highest and lowest differing bits tell where they begin and cease to differ.
    difference = int.from_bytes(before, "big") ^ int.from_bytes(after, "big")
    first = size - (difference.bit_length() + 7) // 8
    last = size - ((difference & -difference).bit_length() + 7) // 8 + 1
    return _DIFFERENCE + first.to_bytes(2, "big") + before[first:last]


def is_drawn(place: bytes) -> bool:
    """Whether the image at this history row's key is whole in any case."""
    last = place[-1]
    window = place[:-1] + bytes((last - last % WHOLE_ONE_IN,))
    return zlib.crc32(window) % WHOLE_ONE_IN == last % WHOLE_ONE_IN


def decode_image(image: bytes, after: bytes | None) -> bytes | None:
    """The row before a block from the row after it."""
    if not image:
        return None
    if image[:1] == _WHOLE:
        return image[1:]
    first = int.from_bytes(image[1:3], "big")
    if image[:1] != _DIFFERENCE or after is None or first + len(image) - 3 > len(after):
        raise _misfit(image)
    return after[:first] + image[3:] + after[first + len(image) - 3 :]


def tells_row(image: bytes) -> bool:
    """Whether the image tells the row before the block without the row after it."""
    return not image or image[0] != _DIFFERENCE[0]


def undo(images: Sequence[bytes], now: bytes | None) -> bytes | None:
    """The row before the first of the images (oldest first), when it is `now` after the last of them.

    Only the last image may be whole. What decode_image does one by one happens in place here: a busy row has
    many images.
    """
    row, patches = now, images
    if images and tells_row(images[-1]):
        row, patches = decode_image(images[-1], None), images[:-1]
    if not patches:
        return row
    patched = bytearray(row or b"")
    size = len(patched)
    for image in reversed(patches):
        first = image[1] << 8 | image[2]
        end = first + len(image) - 3
        if image[0] != _DIFFERENCE[0] or end > size:
            raise _misfit(image)
        patched[first:end] = image[3:]
    return bytes(patched)


def _misfit(image: bytes) -> StorageError:
    return StorageError(f"a before-image that does not fit its row: {image[:40].hex()}")
