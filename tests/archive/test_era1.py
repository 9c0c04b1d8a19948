"""The file format: what is written is read back, the accumulator is SSZ's, torn files are refused."""

from collections.abc import Callable
from hashlib import sha256

import cramjam
import pytest

from node.archive.e2store import UNPACKED_BYTES_MAX, Entry, encode_entry, pack, read_entries, unpack
from node.archive.era1 import (
    ACCUMULATOR,
    BLOCKS_MAX,
    HEADER,
    INDEX,
    EraBlock,
    EraEncoder,
    EraFile,
    Record,
    accumulator,
)
from node.archive.errors import BadFile
from node.primitives.ids import Hash32


def block(number: int) -> EraBlock:
    return EraBlock(b"header %d" % number * 40, b"body %d" % number, b"\xc0", 1 + 2 * number)


def hash_of(number: int) -> Hash32:
    return Hash32(sha256(b"%d" % number).digest())


def encoded(first: int = 0, count: int = 5) -> bytes:
    encoder = EraEncoder(first)
    pieces = [encoder.start(), *(encoder.add(hash_of(n), block(n)) for n in range(first, first + count))]
    return b"".join([*pieces, encoder.finish()[0]])


def tree_root(records: list[Record]) -> bytes:
    """List[Container(Bytes32, uint256), 8192] by the definition of SSZ: all 8,192 leaves, then the length."""
    leaves = [sha256(h + td.to_bytes(32, "little")).digest() for h, td in records]
    layer = leaves + [bytes(32)] * (BLOCKS_MAX - len(leaves))
    while len(layer) > 1:
        layer = [sha256(layer[i] + layer[i + 1]).digest() for i in range(0, len(layer), 2)]
    return sha256(layer[0] + len(records).to_bytes(32, "little")).digest()


@pytest.mark.parametrize("count", [0, 1, 2, 3, 100, BLOCKS_MAX])
def test_the_accumulator_is_the_hash_tree_root_of_the_padded_list(count: int) -> None:
    records = [Record(hash_of(n), n) for n in range(count)]
    assert accumulator(records) == tree_root(records)


@pytest.mark.parametrize(("first", "count"), [(0, 1), (0, 5), (8_192, 5), (1 << 40, 3)])
def test_what_is_written_is_read_back(first: int, count: int) -> None:
    era = EraFile(memoryview(encoded(first, count)))
    assert (era.first, len(era)) == (first, count)
    assert list(era.blocks()) == [block(n) for n in range(first, first + count)]
    numbers = range(first, first + count)
    assert era.accumulator == accumulator([Record(hash_of(n), block(n).total_difficulty) for n in numbers])


def test_a_file_cut_anywhere_is_refused() -> None:
    content = encoded()
    for size in range(len(content)):
        with pytest.raises(BadFile):
            EraFile(memoryview(content[:size]))


def entries_of(content: bytes) -> list[tuple[bytes, bytes]]:
    return [(entry.kind, bytes(entry.data)) for entry in read_entries(memoryview(content))]


def swapped(one: int, other: int) -> Callable[[list], list]:
    def change(entries: list) -> list:
        entries[one], entries[other] = entries[other], entries[one]
        return entries

    return change


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda e: e[1:], "header at byte 0, where version is expected"),
        (swapped(1, 2), "a block at byte .* follows what is no block"),
        (lambda e: e[:1] + e[5:], "index does not point"),
        (lambda e: [*e[:-2], (ACCUMULATOR, b"short"), e[-1]], "accumulator of 5 bytes"),
        (lambda e: [*e[:-2], e[-1]], "does not end with"),
        (lambda e: [*e, e[-1]], "does not end with"),
        (lambda e: [*e[:-1], (INDEX, b"x")], "index of 1 bytes"),
        (lambda e: [*e[:-2], e[-1], e[-2]], "does not end with"),
        (lambda e: [*e[:-1], *e[1:5], e[-1]], "a block at byte .* follows what is no block"),
        (lambda e: [e[0], (b"\x99\x99", b""), *e[1:]], "a block at byte .* follows what is no block"),
        (lambda e: [*e[:2], (b"\x99\x99", b""), *e[2:]], "type 0x9999 at byte .*, where body is expected"),
    ],
)
def test_a_changed_structure_is_refused_by_its_place(change: Callable, cause: str) -> None:
    content = b"".join(encode_entry(kind, data) for kind, data in change(entries_of(encoded())))
    with pytest.raises(BadFile, match=cause):
        EraFile(memoryview(content))


def test_reserved_bytes_are_zero() -> None:
    content = bytearray(encoded())
    content[6] = 1
    with pytest.raises(BadFile, match="reserved"):
        EraFile(memoryview(bytes(content)))


def test_a_damaged_entry_is_refused_by_its_checksum() -> None:
    packed = bytearray(pack(b"x" * 1000))
    packed[14] ^= 1  # in the frame's CRC-32C
    with pytest.raises(BadFile, match="entry at byte 7 cannot be unpacked"):
        unpack(Entry(HEADER, memoryview(bytes(packed)), 7))


def test_an_entry_that_would_fill_the_memory_is_refused_before_it_is_unpacked() -> None:
    # Snappy packs 64 KiB of zeros into some 3 KB: 16 MB of them would become 350 MB.
    frames = pack(bytes(1 << 16))
    bomb = frames + frames[10:] * (UNPACKED_BYTES_MAX >> 16)
    assert len(cramjam.snappy.decompress(frames + frames[10:])) == 2 << 16
    with pytest.raises(BadFile, match="unpacks to more than"):
        unpack(Entry(HEADER, memoryview(bomb), 0))


@pytest.mark.parametrize(
    "junk", [b"\x00\xff\xff\xff", b"\x55\x00\x00\x00", b"\x00\x01\x00\x00\x00", b"\x00\x04"]
)
def test_frames_that_make_no_sense_are_refused(junk: bytes) -> None:
    with pytest.raises(BadFile, match="cannot be unpacked"):
        unpack(Entry(HEADER, memoryview(pack(b"x") + junk), 0))
