"""A directory of archived files. What has a final name is whole, on the disk, and described by its manifest.

    chain325000-00000-5f3759df.era1          blocks; named as geth does: network, number, accumulator
    chain325000-00000-5f3759df.json          its signed manifest; a file without one is not there
    chain325000-00000-5f3759df.anchor.json   where the chain holds its hash, once it does
    checksums.txt                            SHA-256 by file in order, as `geth import-history` wants it
    .unfinished/                             files in the making; emptied at the start

A file gets its name after it has reached the disk, its manifest after that: a crash in between leaves a whole
file that nobody looks at, and it is made again with the same bytes and the same name.
"""

import json
import mmap
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from node.archive.errors import BadFile
from node.archive.manifest import (
    MANIFEST_BYTES_MAX,
    Manifest,
    SignedManifest,
    decode_manifest,
    encode_manifest,
)
from node.primitives.block import BlockRef
from node.primitives.ids import hex_of

ERA_SUFFIX: Final = ".era1"
MANIFEST_SUFFIX: Final = ".json"
ANCHOR_SUFFIX: Final = ".anchor.json"
CHECKSUMS: Final = "checksums.txt"
UNFINISHED: Final = ".unfinished"


@dataclass(frozen=True, slots=True)
class ArchivedFile:
    """A finished file of a directory."""

    path: Path
    signed: SignedManifest

    @property
    def manifest(self) -> Manifest:
        """What it holds."""
        return self.signed.manifest

    @property
    def manifest_path(self) -> Path:
        """Beside it."""
        return self.path.with_suffix(MANIFEST_SUFFIX)

    @property
    def anchor_path(self) -> Path:
        """Beside it, once it is anchored."""
        return self.path.with_suffix(ANCHOR_SUFFIX)

    def content(self) -> memoryview:
        """The file mapped into memory; BadFile when it is missing or empty."""
        return mapped(self.path)

    def read_anchor(self) -> dict[str, Any] | None:
        """What `anchor` wrote; None when it is not anchored yet. BadFile when it cannot be read."""
        try:
            found = json.loads(self.anchor_path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise BadFile(f"{self.anchor_path.name}: {error}") from error
        if not isinstance(found, dict):
            raise BadFile(f"{self.anchor_path.name} holds no object")
        return found


class ArchiveDirectory:
    """Finished files in order, and the one place where new ones are finished."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def prepare(self) -> None:
        """Make the directory and throw away what an interrupted run left unfinished."""
        self.unfinished.mkdir(parents=True, exist_ok=True)
        for path in self.unfinished.iterdir():
            path.unlink()

    @property
    def unfinished(self) -> Path:
        """Where files are made."""
        return self.folder / UNFINISHED

    def files(self) -> list[ArchivedFile]:
        """Finished files by their first block; BadFile names a manifest that cannot be believed."""
        found = [
            open_archived(path.with_suffix(ERA_SUFFIX))
            for path in sorted(self.folder.glob(f"*{MANIFEST_SUFFIX}"))
            if not path.name.endswith(ANCHOR_SUFFIX)
        ]
        return sorted(found, key=lambda file: file.manifest.first.number)

    def finish(self, made: Path, signed: SignedManifest) -> ArchivedFile:
        """Give a file that is on the disk its name, then its manifest, then its line in checksums.txt."""
        path = self.folder / signed.manifest.file
        made.rename(path)
        sync_folder(self.folder)
        file = ArchivedFile(path, signed)
        self.put(file.manifest_path, encode_manifest(signed))
        self._write_checksums()
        return file

    def put(self, path: Path, content: bytes) -> None:
        """A small file of the directory, whole or not at all, on the disk on return."""
        aside = self.unfinished / path.name
        with aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.rename(path)
        sync_folder(self.folder)

    def _write_checksums(self) -> None:
        lines = [hex_of(file.manifest.sha256) for file in self.files()]
        self.put(self.folder / CHECKSUMS, "\n".join(lines).encode())


def file_name(chain_id: int, first: BlockRef, blocks_per_file: int, accumulator: bytes) -> str:
    """As geth names era1 files."""
    return f"chain{chain_id}-{first.number // blocks_per_file:05d}-{accumulator[:4].hex()}{ERA_SUFFIX}"


def open_archived(path: Path) -> ArchivedFile:
    """A file by its path, with the manifest beside it; BadFile when that is missing or not believed."""
    manifest_path = path.with_suffix(MANIFEST_SUFFIX)
    try:
        with manifest_path.open("rb") as file:
            signed = decode_manifest(file.read(MANIFEST_BYTES_MAX + 1))
    except OSError as error:
        raise BadFile(f"{manifest_path}: {error.strerror}; it says what {path.name} must hold") from error
    except BadFile as error:
        raise BadFile(f"{manifest_path}: {error}") from error
    if signed.manifest.file != path.name:
        raise BadFile(f"{manifest_path}: describes {signed.manifest.file}, not {path.name}")
    return ArchivedFile(path, signed)


def find_archived(sources: Sequence[Path]) -> list[ArchivedFile]:
    """The files that are named, and those of directories that are named, by their first block; BadFile."""
    found: dict[Path, ArchivedFile] = {}
    for source in sources:
        if source.is_dir():
            files = ArchiveDirectory(source).files()
            if not files:
                raise BadFile(f"{source}: no archived file is there")
        else:
            name = source.name.removesuffix(MANIFEST_SUFFIX).removesuffix(ERA_SUFFIX)
            files = [open_archived(source.with_name(name + ERA_SUFFIX))]
        found |= {file.path.resolve(): file for file in files}
    return sorted(found.values(), key=lambda file: file.manifest.first.number)


def breaks(files: Sequence[ArchivedFile]) -> Iterator[str]:
    """What is missing or twice between files that should follow one another."""
    for earlier, later in pairwise(files):
        wanted, found = earlier.manifest.last.number + 1, later.manifest.first.number
        if found > wanted:
            names = f"{earlier.path.name} and {later.path.name}"
            yield f"blocks #{wanted} to #{found - 1} are missing between {names}"
        elif found < wanted:
            yield f"{later.path.name} begins at block #{found}, which {earlier.path.name} holds already"


def mapped(path: Path) -> memoryview:
    """A file mapped into memory; let go of when nothing refers to it any more."""
    try:
        with path.open("rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError) as error:
        raise BadFile(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def sync_folder(folder: Path) -> None:
    """Names that were given in it have reached the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
