"""A chain into files, and files into a chain.

Export reads a chain's database and signs; it belongs in a worker thread, and a `FileMaker` does a part at a
time. Import goes through the chain's one door, which executes every block again: what files cannot prove of
the state, execution does.
"""

import os
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256
from typing import Final

from consensus.clique.rules import CliqueRules
from consensus.clique.snapshot import CliqueSnapshot
from node.archive.era1 import BLOCKS_MAX, EraBlock, EraEncoder, EraFile
from node.archive.errors import ArchiveFailed, BadFile
from node.archive.files import ArchivedFile, ArchiveDirectory, file_name
from node.archive.manifest import Manifest, sign_manifest
from node.archive.verify import Progress, check_bytes, decode_block_of
from node.chain.engine_states import EngineStates
from node.chain.importer import Importer
from node.chain.reader import ChainReader
from node.primitives.block import Block, BlockRef, Header, encode_body, encode_header
from node.primitives.chain_spec import ChainSpec
from node.primitives.crypto import PrivateKey
from node.primitives.errors import ChainError, StorageError
from node.primitives.ids import BlockNumber, Hash32, hex_of
from node.primitives.receipt import encode_receipt_list
from node.storage import blocks as rows
from node.storage.kv import Reader

STEP_BLOCKS: Final = 64
"""Between two looks at whether somebody wants to stop."""
IMPORT_RUN_BLOCKS: Final = 256
"""Handed to the door at once; their headers are verified together."""


class History:
    """The canonical blocks of a database, as they go into files. Any thread."""

    def __init__(self, kv: Reader, spec: ChainSpec) -> None:
        """StorageError when the database holds no chain."""
        self.kv = kv
        self.spec = spec
        genesis_hash = rows.read_genesis_hash(kv)
        genesis = None if genesis_hash is None else rows.read_header(kv, genesis_hash)
        if genesis is None:
            raise StorageError("the database holds no chain")
        self.genesis = genesis
        self._engine_states = EngineStates(CliqueRules(spec.engine), kv, genesis, spec.engine.epoch_blocks)

    @property
    def head(self) -> BlockRef:
        """The last canonical block."""
        head = rows.read_head(self.kv)
        if head is None:
            raise StorageError("the database holds no head")
        return head

    def hash_at(self, number: BlockNumber) -> Hash32 | None:
        """The canonical block's hash."""
        return rows.read_canonical_hash(self.kv, number)

    def header(self, number: BlockNumber) -> Header:
        """A canonical header. StorageError when it is missing."""
        block_hash = self.hash_at(number)
        header = None if block_hash is None else rows.read_header(self.kv, block_hash)
        if header is None:
            raise StorageError(f"block #{number} is missing from the chain")
        return header

    def clique_after(self, header: Header) -> CliqueSnapshot:
        """What Clique knew after a block."""
        state = self._engine_states.after(header, lambda block_hash: rows.read_header(self.kv, block_hash))
        assert isinstance(state, CliqueSnapshot)
        return state

    def stored(self, header: Header) -> tuple[EraBlock, int]:
        """A block as a file holds it, and how many transactions it has."""
        body, receipts = rows.read_body(self.kv, header.hash), rows.read_receipts(self.kv, header.hash)
        difficulty = rows.read_total_difficulty(self.kv, header.hash)
        if body is None or receipts is None or difficulty is None:
            raise StorageError(f"body, receipts or total difficulty of block {header.ref} are missing")
        items = encode_receipt_list(receipts)
        return EraBlock(encode_header(header), encode_body(body), items, difficulty), len(body.transactions)


class FileMaker:
    """One file in the making: `step` until it says so, then `finish`. It has no final name before that."""

    def __init__(
        self, history: History, first: BlockNumber, last: BlockNumber, directory: ArchiveDirectory
    ) -> None:
        assert first <= last < first + BLOCKS_MAX
        self._history, self._directory = history, directory
        self._first, self._next, self._last = first, first, last
        self._parent = history.header(first - 1) if first else None
        self._header = self._parent
        self._encoder = EraEncoder(first)
        self._first_hash: Hash32 | None = None
        self._transactions = self._difficulty = self._size = 0
        self._sum = sha256()
        self._path = directory.unfinished / f"{first}-{last}"
        self._file = self._path.open("wb")
        self._write(self._encoder.start())

    def step(self, blocks: int = STEP_BLOCKS) -> bool:
        """Write some more blocks; whether all are written. ArchiveFailed when the chain reorganised."""
        for number in range(self._next, min(self._next + blocks, self._last + 1)):
            header = self._history.header(number)
            if self._header is not None and header.parent_hash != self._header.hash:
                raise ArchiveFailed(f"the chain reorganised at block #{number} while it was being archived")
            stored, transactions = self._history.stored(header)
            self._write(self._encoder.add(header.hash, stored))
            self._first_hash = self._first_hash or header.hash
            self._transactions += transactions
            self._difficulty = stored.total_difficulty
            self._header, self._next = header, number + 1
        return self._next > self._last

    def finish(self, key: PrivateKey, blocks_per_file: int) -> ArchivedFile:
        """Bring the file to the disk, sign its manifest, give both their names."""
        end, root = self._encoder.finish()
        self._write(end)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        assert self._header is not None
        assert self._first_hash is not None
        spec, first = self._history.spec, BlockRef(self._first, self._first_hash)
        manifest = Manifest(
            file=file_name(spec.chain_id, first, blocks_per_file, root),
            size_bytes=self._size,
            sha256=Hash32(self._sum.digest()),
            chain_id=spec.chain_id,
            genesis=self._history.genesis.hash,
            first=first,
            last=self._header.ref,
            state_root=self._header.state_root,
            total_difficulty=self._difficulty,
            transactions=self._transactions,
            accumulator=root,
            period_s=spec.engine.period_s,
            epoch_blocks=spec.engine.epoch_blocks,
            parent=self._parent,
            clique=None if self._parent is None else self._history.clique_after(self._parent),
        )
        return self._directory.finish(self._path, sign_manifest(manifest, key))

    def abandon(self) -> None:
        """Leave nothing behind."""
        self._file.close()
        self._path.unlink(missing_ok=True)

    def _write(self, piece: bytes) -> None:
        self._file.write(piece)
        self._sum.update(piece)
        self._size += len(piece)


def export_blocks(
    history: History,
    directory: ArchiveDirectory,
    key: PrivateKey,
    *,
    first: BlockNumber,
    last: BlockNumber,
    blocks_per_file: int = BLOCKS_MAX,
    progress: Progress = lambda done, total: None,
    finished: Callable[[ArchivedFile], None] = lambda file: None,
) -> list[ArchivedFile]:
    """Blocks `first` to `last` into files that begin at multiples of `blocks_per_file` (but for the first).

    Files that are there already are kept; the last one may be shorter than the others.
    """
    directory.prepare()
    there = {(file.manifest.first.number, file.manifest.last.number): file for file in directory.files()}
    made, total = [], last - first + 1
    start = first
    while start <= last:
        stop = min(start - start % blocks_per_file + blocks_per_file - 1, last)
        file = there.get((start, stop))
        if file is None or history.hash_at(stop) != file.manifest.last.hash:
            maker = FileMaker(history, start, stop, directory)
            report = partial(_shifted, progress, start - first, total)
            file = _finished(maker, key, blocks_per_file, report)
        made.append(file)
        finished(file)
        progress(stop - first + 1, total)
        start = stop + 1
    return made


def _finished(
    maker: FileMaker, key: PrivateKey, blocks_per_file: int, progress: Callable[[int], None]
) -> ArchivedFile:
    done = 0
    try:
        while not maker.step():
            done += STEP_BLOCKS
            progress(done)
        return maker.finish(key, blocks_per_file)
    except BaseException:
        maker.abandon()
        raise


def _shifted(progress: Progress, before: int, total: int, done: int) -> None:
    progress(before + done, total)


async def import_files(
    files: Sequence[ArchivedFile],
    importer: Importer,
    reader: ChainReader,
    progress: Progress = lambda done, total: None,
) -> int:
    """Take the blocks of files that follow one another into a chain; how many were new.

    Resumable: blocks that are there already are passed over. BadFile, or the door's ChainError, names the
    file; what came before it is in the chain and durable.
    """
    total = files[-1].manifest.last.number - files[0].manifest.first.number + 1
    done = taken = 0
    for file in files:
        manifest = file.manifest
        if manifest.genesis != reader.genesis.hash:
            raise BadFile(
                f"{file.path.name}: belongs to the chain of genesis {hex_of(manifest.genesis)}, this one "
                f"begins with {hex_of(reader.genesis.hash)}"
            )
        if reader.canonical_hash(manifest.last.number) != manifest.last.hash:
            try:
                taken += await _import_one(file, importer, reader, partial(_shifted, progress, done, total))
            except ChainError as error:
                raise BadFile(f"{file.path.name}: {error}") from error
        done += manifest.blocks
        progress(done, total)
    return taken


async def _import_one(
    file: ArchivedFile, importer: Importer, reader: ChainReader, progress: Callable[[int], None]
) -> int:
    content = file.content()
    check_bytes(file.manifest, content)
    era = EraFile(content)
    run: list[Block] = []
    taken = 0
    for place, stored in enumerate(era.blocks(), start=1):
        block, _ = decode_block_of(stored)
        if run and block.header.parent_hash != run[-1].hash:
            raise BadFile(f"block {block.header.ref} does not follow {run[-1].header.ref}")
        if reader.header(block.hash) is None:
            run.append(block)
        if len(run) >= IMPORT_RUN_BLOCKS or (place == len(era) and run):
            await importer.import_run(run)
            taken += len(run)
            run = []
            progress(place)
    if reader.canonical_hash(file.manifest.last.number) != file.manifest.last.hash:
        raise ArchiveFailed(
            f"{file.path.name} is imported, but its branch is not the chain: another one, which is here "
            f"already, is heavier at block #{file.manifest.last.number}"
        )
    return taken
