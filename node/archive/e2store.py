"""Entries of an e2store file: type(2) ‖ length(4, little-endian) ‖ reserved(2, zero) ‖ data.

Data is mostly framed snappy. How large it becomes is read from its frames before anything is unpacked, so a
file of a stranger costs no more memory than `UNPACKED_BYTES_MAX`.
"""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

import cramjam

from node.archive.errors import BadFile

HEAD_BYTES: Final = 8
PACKED_BYTES_MAX: Final = 64 << 20
UNPACKED_BYTES_MAX: Final = 256 << 20
"""A block of 30 million gas holds 7.5 MB of calldata at most; receipts of the same order."""

_HEAD: Final = struct.Struct("<2sIH")
_CHUNK_BYTES_MAX: Final = 65_536
_COMPRESSED: Final = 0x00
_UNCOMPRESSED: Final = 0x01
_CHECKSUM_BYTES: Final = 4


class Entry(NamedTuple):
    """One record of the file."""

    kind: bytes
    data: memoryview
    start: int
    """Where it begins in the file."""


def encode_entry(kind: bytes, data: bytes) -> bytes:
    """One record."""
    return _HEAD.pack(kind, len(data), 0) + data


def read_entries(content: memoryview) -> Iterator[Entry]:
    """All records in order; BadFile where the file does not consist of whole ones."""
    position = 0
    while position < len(content):
        if position + HEAD_BYTES > len(content):
            raise BadFile(f"ends {len(content) - position} bytes into the head of the entry at {position}")
        kind, size, reserved = _HEAD.unpack_from(content, position)
        if reserved:
            raise BadFile(f"the entry at byte {position} has {reserved:#06x} where zero bytes are reserved")
        stop = position + HEAD_BYTES + size
        if stop > len(content):
            raise BadFile(
                f"the entry at byte {position} should have {size} bytes; {stop - len(content)} are missing"
            )
        yield Entry(kind, content[position + HEAD_BYTES : stop], position)
        position = stop


def pack(data: bytes) -> bytes:
    """Framed snappy."""
    return bytes(cramjam.snappy.compress(data))


def unpack(entry: Entry) -> bytes:
    """The content of a packed entry; BadFile when it is damaged or too large."""
    try:
        if len(entry.data) > PACKED_BYTES_MAX or unpacked_size(entry.data) > UNPACKED_BYTES_MAX:
            raise BadFile(f"the entry at byte {entry.start} unpacks to more than {UNPACKED_BYTES_MAX} bytes")
        return bytes(cramjam.snappy.decompress(bytes(entry.data)))
    except (cramjam.DecompressionError, ValueError) as error:
        raise BadFile(f"the entry at byte {entry.start} cannot be unpacked: {error}") from error


def unpacked_size(packed: memoryview) -> int:
    """What framed snappy says of itself; ValueError when its frames make no sense."""
    total = position = 0
    while position < len(packed):
        kind, size = packed[position], int.from_bytes(packed[position + 1 : position + 4], "little")
        chunk = packed[position + 4 : position + 4 + size]
        if len(chunk) < size:
            raise ValueError("a frame is cut off")
        if kind == _COMPRESSED:
            total += _length_of_block(chunk[_CHECKSUM_BYTES:])
        elif kind == _UNCOMPRESSED:
            total += max(0, size - _CHECKSUM_BYTES)
        elif kind < 0x80:
            raise ValueError(f"a frame of type {kind:#04x}")
        position += 4 + size
    return total


def _length_of_block(block: memoryview) -> int:
    """The varint that raw snappy begins with."""
    length = 0
    for place, byte in enumerate(block[:5]):
        length |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            if length > _CHUNK_BYTES_MAX:
                raise ValueError(f"a frame of {length} bytes; at most {_CHUNK_BYTES_MAX}")
            return length
    raise ValueError("a frame without its length")
