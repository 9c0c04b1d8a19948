"""era1: finished blocks with receipts and total difficulties in one file, as geth reads and writes them.

    Version ‖ (Header ‖ Body ‖ Receipts ‖ TotalDifficulty)* ‖ Accumulator ‖ Index

Header, body ([transactions, ommers]) and receipts (a list, as eth/68 carries it) are RLP in snappy. The
accumulator is the SSZ hash tree root of List[(block hash, total difficulty), 8192]. The index holds the first
block's number, the place of each block relative to the index, and how many there are. The last file of a
chain may hold fewer blocks than the others.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, NamedTuple

from node.archive.e2store import Entry, encode_entry, pack, read_entries, unpack
from node.archive.errors import BadFile
from node.primitives.ids import BlockNumber, Hash32

BLOCKS_MAX: Final = 8_192
"""Of one file: the limit of the accumulator's list."""

VERSION: Final = b"e2"
HEADER: Final = b"\x03\x00"
BODY: Final = b"\x04\x00"
RECEIPTS: Final = b"\x05\x00"
TOTAL_DIFFICULTY: Final = b"\x06\x00"
ACCUMULATOR: Final = b"\x07\x00"
INDEX: Final = b"f2"

_TUPLE: Final = (HEADER, BODY, RECEIPTS, TOTAL_DIFFICULTY)
_NAMES: Final = {
    VERSION: "version",
    HEADER: "header",
    BODY: "body",
    RECEIPTS: "receipts",
    TOTAL_DIFFICULTY: "total difficulty",
    ACCUMULATOR: "accumulator",
    INDEX: "index",
}
_DEPTH: Final = BLOCKS_MAX.bit_length() - 1


@dataclass(frozen=True, slots=True)
class EraBlock:
    """One block as the file holds it."""

    header: bytes
    """RLP."""
    body: bytes
    """RLP of [transactions, ommers]."""
    receipts: bytes
    """RLP of the list of receipts."""
    total_difficulty: int


class Record(NamedTuple):
    """What the accumulator commits to of each block."""

    block_hash: Hash32
    total_difficulty: int


def accumulator(records: Sequence[Record]) -> Hash32:
    """SSZ hash tree root of the list of records."""
    assert len(records) <= BLOCKS_MAX
    layer = [_join(block_hash, difficulty.to_bytes(32, "little")) for block_hash, difficulty in records]
    empty = bytes(32)
    for _ in range(_DEPTH):
        if len(layer) % 2:
            layer.append(empty)
        layer = [_join(layer[i], layer[i + 1]) for i in range(0, len(layer), 2)]
        empty = _join(empty, empty)
    return Hash32(_join(layer[0] if layer else empty, len(records).to_bytes(32, "little")))


class EraEncoder:
    """A file in the making, piece by piece: `start`, `add` for each block in order, `finish`."""

    def __init__(self, first: BlockNumber) -> None:
        self._first = first
        self._places: list[int] = []
        self._records: list[Record] = []
        self._position = 0

    def __len__(self) -> int:
        """Blocks so far."""
        return len(self._records)

    def start(self) -> bytes:
        """What the file begins with."""
        return self._passed(encode_entry(VERSION, b""))

    def add(self, block_hash: Hash32, block: EraBlock) -> bytes:
        """The bytes of the next block."""
        assert len(self._records) < BLOCKS_MAX
        self._places.append(self._position)
        self._records.append(Record(block_hash, block.total_difficulty))
        return self._passed(
            encode_entry(HEADER, pack(block.header))
            + encode_entry(BODY, pack(block.body))
            + encode_entry(RECEIPTS, pack(block.receipts))
            + encode_entry(TOTAL_DIFFICULTY, block.total_difficulty.to_bytes(32, "little"))
        )

    def finish(self) -> tuple[bytes, Hash32]:
        """What the file ends with, and its accumulator."""
        root = accumulator(self._records)
        end = self._passed(encode_entry(ACCUMULATOR, root))
        return end + encode_entry(INDEX, _encode_index(self._first, self._places, self._position)), root

    def _passed(self, piece: bytes) -> bytes:
        self._position += len(piece)
        return piece


class EraFile:
    """A file that is held in memory or mapped. Opening reads its structure, not its blocks; BadFile.

    Holds no more than the places of the blocks; each block is unpacked when it is asked for.
    """

    def __init__(self, content: memoryview) -> None:
        blocks: list[tuple[Entry, ...]] = []
        group: list[Entry] = []
        tail: list[Entry] = []
        for place, entry in enumerate(read_entries(content)):
            if place == 0:
                _expect(entry, VERSION)
            elif group or entry.kind == HEADER:
                _expect(entry, _TUPLE[len(group)])
                if tail:
                    raise BadFile(f"a block at byte {entry.start} follows what is no block")
                group.append(entry)
                if len(group) == len(_TUPLE):
                    blocks.append(tuple(group))
                    group = []
            else:
                tail.append(entry)
            if len(blocks) > BLOCKS_MAX:
                raise BadFile(f"more than {BLOCKS_MAX} blocks")
        if group:
            raise BadFile(f"ends in the middle of block {len(blocks)} of the file")
        if [entry.kind for entry in tail] != [ACCUMULATOR, INDEX] or not blocks:
            raise BadFile("does not end with blocks, an accumulator and an index, in this order")
        if len(tail[0].data) != 32:
            raise BadFile(f"an accumulator of {len(tail[0].data)} bytes; it has 32")
        self._blocks = blocks
        self.accumulator = Hash32(bytes(tail[0].data))
        """As the file states it."""
        self.first = self._checked_index(tail[1])
        """Number of the first block, as the index states it."""

    def __len__(self) -> int:
        """How many blocks."""
        return len(self._blocks)

    def block(self, place: int) -> EraBlock:
        """The block at a place, from 0; BadFile when it cannot be unpacked."""
        header, body, receipts, difficulty = self._blocks[place]
        if len(difficulty.data) != 32:
            raise BadFile(f"a total difficulty of {len(difficulty.data)} bytes; it has 32")
        return EraBlock(
            unpack(header), unpack(body), unpack(receipts), int.from_bytes(difficulty.data, "little")
        )

    def blocks(self) -> Iterator[EraBlock]:
        """All blocks in order."""
        return map(self.block, range(len(self._blocks)))

    def _checked_index(self, index: Entry) -> BlockNumber:
        """The first block's number, once the index is the one that the blocks give."""
        if len(index.data) < 16:
            raise BadFile(f"an index of {len(index.data)} bytes")
        first = int.from_bytes(index.data[:8], "little")
        places = [block[0].start for block in self._blocks]
        if bytes(index.data) != _encode_index(first, places, index.start):
            raise BadFile("the index does not point at the blocks of the file")
        return first


def _encode_index(first: BlockNumber, places: Sequence[int], start: int) -> bytes:
    offsets = [place - start for place in places]
    return struct.pack(f"<q{len(offsets)}qq", first & (1 << 63) - 1, *offsets, len(offsets))


def _expect(entry: Entry, kind: bytes) -> None:
    if entry.kind != kind:
        found = _NAMES.get(entry.kind, f"type 0x{entry.kind.hex()}")
        raise BadFile(f"{found} at byte {entry.start}, where {_NAMES[kind]} is expected")


def _join(left: bytes, right: bytes) -> bytes:
    return sha256(left + right).digest()
