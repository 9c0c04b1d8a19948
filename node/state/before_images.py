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

Blocks that reach the disk together leave one row for each key that they changed, under the number of the last
of them:

    image                          when that block alone changed it
    0x02 (behind1 size2 image)*    the image of each block that changed it, oldest first, and how many blocks
                                   before the last it was
"""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeAlias

from node.native import kernel_or
from node.primitives.errors import StorageError
from node.primitives.ids import BlockNumber
from node.storage import schema
from node.storage.kv import Batch

WHOLE_ONE_IN: Final = 8
ROW_BYTES_MIN: Final = 113
"""Shorter rows are kept whole. That of a contract's account has 112 bytes: it is read before each of its old
slots, and the difference is most of it."""
BLOCKS_MAX: Final = 16
"""Blocks that leave one row for each key."""

_WHOLE: Final = b"\x00"
_DIFFERENCE: Final = b"\x01"
_SEVERAL: Final = b"\x02"
_IMAGE_BYTES_MAX: Final = 0xFFFF
_SPREAD: Final = 0x9E3779B1
"""Odd, and far from any pattern: which of eight blocks is drawn differs from eight to eight."""

Rows: TypeAlias = dict[bytes, bytes | None]


def pack_images_in_python(
    into: Rows, blocks: tuple[tuple[BlockNumber, Rows, Rows], ...], head: bytes
) -> list[bytes]:
    """See `put_images`: history keys are head + key + "/" + the last block's number."""
    last = blocks[-1][0]
    images: dict[bytes, list[tuple[BlockNumber, bytes]]] = {}
    for number, rows, before in blocks:
        for key, row in before.items():
            into[key] = after = rows[key]
            images.setdefault(key, []).append((number, encode_image(row, after, key, number)))
    tail = b"/" + schema.number_bytes(last)
    for key, each in images.items():
        into[head + key + tail] = join_images(each, last)
    return list(images)


_pack_images = kernel_or(pack_images_in_python, "pack_images")


def put_images(batch: Batch, blocks: tuple[tuple[BlockNumber, Rows, Rows], ...]) -> list[bytes]:
    """The newest rows of blocks (number, rows after and before it), and what tells the older ones; the keys.

    At most BLOCKS_MAX numbers from the first block to the last.
    """
    return _pack_images(batch.rows, blocks, schema.history_prefix(b"")[:-1])


# --- one image


def encode_image(before: bytes | None, after: bytes | None, key: bytes, number: BlockNumber) -> bytes:
    """The image of the row under a state key that block `number` changed."""
    if before is None:
        return b""
    size = len(before)
    if size >= _IMAGE_BYTES_MAX:
        raise ValueError("a row is too long for a before-image")
    if after is None or len(after) != size or size < ROW_BYTES_MIN or is_drawn(key, number):
        return _WHOLE + before
    # As numbers, the rows' highest and lowest differing bits tell where they begin and cease to differ.
    difference = int.from_bytes(before, "big") ^ int.from_bytes(after, "big")
    first = size - (difference.bit_length() + 7) // 8
    last = size - ((difference & -difference).bit_length() + 7) // 8 + 1
    return _DIFFERENCE + first.to_bytes(2, "big") + before[first:last]


def is_drawn(key: bytes, number: BlockNumber) -> bool:
    """Whether the image that a block leaves of this row is whole in any case."""
    mixed = zlib.crc32(key) ^ number // WHOLE_ONE_IN * _SPREAD & 0xFFFFFFFF
    return mixed >> 29 == number % WHOLE_ONE_IN


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


# --- images of several blocks


def join_images(images: Iterable[tuple[BlockNumber, bytes]], last: BlockNumber) -> bytes:
    """What stands under block `last`: the images of it and of blocks before it, oldest first."""
    images = tuple(images)
    if len(images) == 1 and images[0][0] == last:
        return images[0][1]
    parts = [bytes((last - number,)) + len(image).to_bytes(2, "big") + image for number, image in images]
    return _SEVERAL + b"".join(parts)


def split_images(joined: bytes, last: BlockNumber) -> Iterator[tuple[BlockNumber, bytes]]:
    """Inverse of join_images."""
    if joined[:1] != _SEVERAL:
        yield last, joined
        return
    at, end = 1, len(joined)
    while at < end:
        start = at + 3
        at = start + (joined[start - 2] << 8 | joined[start - 1]) if start <= end else end + 1
        if at > end:
            raise _misfit(joined)
        yield last - joined[start - 3], joined[start:at]


def add_images_after(images: list[bytes], number: BlockNumber, place: bytes, joined: bytes) -> bool:
    """Add those of blocks after `number` that a history row holds; whether the last of them tells the row."""
    if joined[:1] != _SEVERAL:
        images.append(joined)
        return tells_row(joined)
    for each, image in split_images(joined, int.from_bytes(place[-schema.NUMBER_BYTES :], "big")):
        if each > number:
            images.append(image)
            if tells_row(image):
                return True
    return False


def _misfit(image: bytes) -> StorageError:
    return StorageError(f"a before-image that does not fit its row: {image[:40].hex()}")
