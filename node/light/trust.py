"""Verified headers at rest: one file, appended to and now and then written anew, small for ever.

    record     length (4) ‖ crc32 (4) ‖ kind (1) ‖ payload
    ANCHOR     RLP [format, chain tag, total difficulty, header, state, milestones]: the first record
    HEADER     RLP of a header that follows, or replaces everything from its number up (a reorganisation)
    STATE      RLP [number, state]: the engine's state after a header, every STATE_EVERY

Milestones are (hash, total difficulty) of every MILESTONE_EVERY-th header that has left the window, 64 bytes
each: by them, any header since the checkpoint can be proved again with at most that many fetched.

Appending ends with fsync, so that what was shown survives a power cut. A record that is cut short at the end
of the file was never acknowledged and is dropped; any other damage is a StorageError. Writing anew goes to a
file aside, which then takes the name.
"""

import os
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from node.primitives import rlp
from node.primitives.errors import StorageError
from node.primitives.ids import Hash32

FORMAT: Final = 1
MILESTONE_EVERY: Final = 64
STATE_EVERY: Final = 64
PREFIX_BYTES: Final = 9
RECORD_BYTES_MAX: Final = 1 << 28
WRITE_BYTES: Final = 64 * 1024

_ANCHOR: Final = 1
_HEADER: Final = 2
_STATE: Final = 3


@dataclass(frozen=True, slots=True)
class Milestone:
    """A header that is no longer kept."""

    hash: Hash32
    total_difficulty: int


@dataclass(slots=True)
class Kept:
    """What the file holds, encoded as it lies there."""

    tag: bytes
    """Which chain and checkpoint it belongs to."""
    anchor: bytes
    """The oldest header kept."""
    anchor_state: bytes
    total_difficulty: int
    """Of the anchor."""
    milestones: dict[int, Milestone] = field(default_factory=dict)
    """By number."""
    headers: list[bytes] = field(default_factory=list)
    """After the anchor, ascending."""
    states: dict[int, bytes] = field(default_factory=dict)
    """By how many headers stand between the anchor and it."""


class TrustFile:
    """The file. One process at a time; calls from one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None
        self.bytes = 0

    def open(self) -> Kept | None:
        """What the file holds; None when there is none. StorageError for a damaged one."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self._path.exists():
            return None
        raw = self._path.read_bytes()
        kept, good = self._read(raw)
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        if good < len(raw):
            os.ftruncate(self._file, good)
            os.fsync(self._file)
        self.bytes = good
        return kept

    def append(self, headers: Iterable[bytes], states: Iterable[tuple[int, bytes]] = ()) -> None:
        """Add headers, and states after them (by distance from the anchor); durable on return."""
        assert self._file is not None, "write() comes first"
        parts = [_record(_HEADER, header) for header in headers]
        parts += [_record(_STATE, rlp.encode([place, state])) for place, state in states]
        payload = b"".join(parts)
        try:
            written = 0
            while written < len(payload):
                written += os.write(self._file, payload[written:])
            os.fsync(self._file)
        except OSError as error:
            raise StorageError(f"{self._path} cannot be written: {error}; free some space") from error
        self.bytes += len(payload)

    def write(self, kept: Kept) -> None:
        """Replace everything; durable on return."""
        milestones: list[rlp.Encodable] = [
            [number, each.hash, each.total_difficulty] for number, each in sorted(kept.milestones.items())
        ]
        total = kept.total_difficulty
        fields: list[rlp.Encodable] = [FORMAT, kept.tag, total, kept.anchor, kept.anchor_state, milestones]
        aside = self._path.with_suffix(".new")
        try:
            file = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
            # Record by record: a second copy of everything would be most of what this process ever needs.
            with open(file, "wb", buffering=WRITE_BYTES, closefd=False) as out:
                out.write(_record(_ANCHOR, rlp.encode(fields)))
                for header in kept.headers:
                    out.write(_record(_HEADER, header))
                for place, state in sorted(kept.states.items()):
                    out.write(_record(_STATE, rlp.encode([place, state])))
                size = out.tell()
            os.fsync(file)
            aside.rename(self._path)
            _sync_folder(self._path.parent)
        except OSError as error:
            raise StorageError(f"{self._path} cannot be written: {error}; free some space") from error
        self.close()
        self._file, self.bytes = file, size

    def close(self) -> None:
        """Let the file go."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _read(self, raw: bytes) -> tuple[Kept, int]:
        kept: Kept | None = None
        at = 0
        while at < len(raw):
            size = int.from_bytes(raw[at : at + 4], "big")
            end = at + PREFIX_BYTES + size
            body = raw[at + 8 : end]
            if end > len(raw) or zlib.crc32(body) != int.from_bytes(raw[at + 4 : at + 8], "big"):
                if end >= len(raw) and kept is not None:
                    break  # cut short in the middle of an append that was never acknowledged
                raise self._damaged(at, "its checksum does not hold")
            try:
                kept = _apply(kept, body[0], body[1:])
            except (rlp.RlpError, IndexError, AssertionError) as error:
                raise self._damaged(at, str(error)) from error
            at = end
        if kept is None:
            raise self._damaged(0, "it is empty")
        return kept, at

    def _damaged(self, at: int, why: str) -> StorageError:
        return StorageError(
            f"{self._path} is damaged at byte {at}: {why}; remove it, and the light client starts again from"
            " its checkpoint"
        )


def _apply(kept: Kept | None, kind: int, payload: bytes) -> Kept:
    if kind == _ANCHOR:
        assert kept is None, "a second anchor"
        return _decode_anchor(payload)
    assert kept is not None, "no anchor comes first"
    if kind == _HEADER:
        place = _number_of(payload) - _number_of(kept.anchor)
        assert 0 < place <= len(kept.headers) + 1, f"header {place} after {len(kept.headers)}"
        del kept.headers[place - 1 :]
        kept.states = {at: state for at, state in kept.states.items() if at < place}
        kept.headers.append(payload)
    else:
        assert kind == _STATE, f"a record of kind {kind}"
        place_item, state = rlp.as_list(rlp.decode(payload), 2)
        kept.states[rlp.as_uint(place_item, 64)] = rlp.as_bytes(state)
    return kept


def _decode_anchor(payload: bytes) -> Kept:
    layout, tag, total, anchor, state, milestones = rlp.as_list(rlp.decode(payload), 6)
    assert rlp.as_uint(layout) == FORMAT, f"format {rlp.as_uint(layout)}; this program knows {FORMAT}"
    found: dict[int, Milestone] = {}
    for item in rlp.as_list(milestones):
        number, block_hash, difficulty = rlp.as_list(item, 3)
        found[rlp.as_uint(number, 64)] = Milestone(
            Hash32(rlp.as_bytes(block_hash, 32)), rlp.as_uint(difficulty)
        )
    return Kept(rlp.as_bytes(tag), rlp.as_bytes(anchor), rlp.as_bytes(state), rlp.as_uint(total), found)


def _number_of(encoded_header: bytes) -> int:
    return rlp.as_uint(rlp.as_list(rlp.decode(encoded_header))[8], 64)


def _record(kind: int, payload: bytes) -> bytes:
    body = bytes((kind,)) + payload
    assert len(body) < RECORD_BYTES_MAX
    return len(payload).to_bytes(4, "big") + zlib.crc32(body).to_bytes(4, "big") + body


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def milestones_of(numbered: Sequence[tuple[int, Milestone]]) -> dict[int, Milestone]:
    """Those of the headers leaving the window that stay as milestones."""
    return {number: each for number, each in numbered if number % MILESTONE_EVERY == 0}
