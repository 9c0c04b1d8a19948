"""Was the end of a LevelDB log torn by a power failure, or is the log damaged? Pure.

LevelDB opens a log that simply ends inside a record: the write was never finished. But a disk that loses
power can also leave the last record at full length with zeros or noise in it, which LevelDB in its careful
mode calls a corruption. It was torn, and may be cut off, when nothing that was begun later follows it: as
long as writes are synced, a later one proves that the earlier one had reached the disk whole.

The format (LevelDB, doc/log_format.md): blocks of 32 KiB; in each, fragments of checksum(4) length(2) type(1)
data; the checksum is a masked CRC-32C of type and data, numbers are little-endian.
"""

from enum import IntEnum
from typing import Final

BLOCK_BYTES: Final = 32 * 1024
HEADER_BYTES: Final = 7
_CASTAGNOLI: Final = 0x82F63B78
_MASK_DELTA: Final = 0xA282EAD8


class Fragment(IntEnum):
    """The part of a record that a fragment holds."""

    FULL = 1
    FIRST = 2
    MIDDLE = 3
    LAST = 4


_BEGINS: Final = (Fragment.FULL, Fragment.FIRST)


def torn_at(log: bytes) -> int | None:
    """Where to cut a log whose last record is torn; None when it is whole, or damaged in any other way."""
    position = record_start = 0
    inside = False
    while position < len(log):
        if _left_in_block(position) < HEADER_BYTES:
            position += _left_in_block(position)
            continue
        fragment = _fragment_at(log, position)
        begins = fragment in _BEGINS
        if begins and inside:
            return None
        if fragment is None or begins == inside:
            return None if _begins_after(log, position) else (record_start if inside else position)
        if begins:
            record_start = position
        inside = fragment in (Fragment.FIRST, Fragment.MIDDLE)
        position += HEADER_BYTES + _length_at(log, position)
    return None


def _begins_after(log: bytes, damage: int) -> bool:
    """Whether any record begins, whole, after the damage."""
    # Behind a damaged fragment the next one is found if its length survived, and else at the next block.
    candidates = (
        [damage + HEADER_BYTES + _length_at(log, damage)] if damage + HEADER_BYTES <= len(log) else []
    )
    candidates += range(damage - damage % BLOCK_BYTES + BLOCK_BYTES, len(log), BLOCK_BYTES)
    for start in candidates:
        position = start
        while position < len(log) and _left_in_block(position) >= HEADER_BYTES:
            fragment = _fragment_at(log, position)
            if fragment is None:
                break
            if fragment in _BEGINS:
                return True
            position += HEADER_BYTES + _length_at(log, position)
    return False


def _fragment_at(log: bytes, position: int) -> Fragment | None:
    """The fragment that begins here, or None where there is no whole one."""
    if position + HEADER_BYTES > len(log):
        return None
    length, kind = _length_at(log, position), log[position + 6]
    end = position + HEADER_BYTES + length
    if (
        not Fragment.FULL <= kind <= Fragment.LAST
        or end > len(log)
        or HEADER_BYTES + length > _left_in_block(position)
    ):
        return None
    stored = int.from_bytes(log[position : position + 4], "little")
    return Fragment(kind) if stored == _masked(crc32c(log[position + 6 : end])) else None


def _length_at(log: bytes, position: int) -> int:
    return int.from_bytes(log[position + 4 : position + 6], "little")


def _left_in_block(position: int) -> int:
    return BLOCK_BYTES - position % BLOCK_BYTES


def _masked(checksum: int) -> int:
    rotated = (checksum >> 15) | (checksum << 17)
    return (rotated + _MASK_DELTA) & 0xFFFFFFFF


def _table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (_CASTAGNOLI if value & 1 else 0)
        table.append(value)
    return table


_TABLE: Final = _table()


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli; RFC 3720, appendix B.4)."""
    checksum = 0xFFFFFFFF
    for byte in data:
        checksum = _TABLE[(checksum ^ byte) & 0xFF] ^ (checksum >> 8)
    return checksum ^ 0xFFFFFFFF
