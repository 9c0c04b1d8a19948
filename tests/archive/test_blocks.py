"""A chain into files and files into a chain: nothing lost, resumable, through the one door."""

import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from node.archive.blocks import FileMaker, import_files
from node.archive.errors import ArchiveFailed, BadFile
from node.archive.files import UNFINISHED, ArchiveDirectory
from node.storage.memory import MemoryKV
from tests.archive.world import OPERATOR, World
from tests.chain.harness import ACCOUNTS, KEYS, ChainMaker, make_spec, transfer


@pytest.fixture(scope="module")
def world() -> World:
    return World(40)


async def test_a_node_made_from_files_is_the_same_node(world: World, tmp_path: Path) -> None:
    files = world.export(tmp_path)
    chain = world.maker.open()
    told: list[tuple[int, int]] = []
    taken = await import_files(files, chain.importer, chain.reader, lambda *numbers: told.append(numbers))
    assert taken == 40
    assert told[-1] == (41, 41)
    assert chain.reader.head == world.reader.head
    for number in range(41):
        ours, theirs = chain.reader.block_by_number(number), world.reader.block_by_number(number)
        assert ours == theirs
        assert chain.reader.receipts(ours.hash) == world.reader.receipts(theirs.hash)
        assert chain.reader.total_difficulty(ours.hash) == world.reader.total_difficulty(theirs.hash)
    assert await import_files(files, chain.importer, chain.reader) == 0


async def test_an_import_that_was_interrupted_goes_on_where_it_was(world: World, tmp_path: Path) -> None:
    files = world.export(tmp_path)
    kv = MemoryKV()
    chain = world.maker.open(kv)
    await import_files(files[:1], chain.importer, chain.reader)
    await chain.importer.import_block(world.reader.block_by_number(16))  # and a little of the next
    chain = world.maker.open(kv)
    assert chain.reader.head.number == 16
    assert await import_files(files, chain.importer, chain.reader) == 24
    assert chain.reader.head == world.reader.head


async def test_a_damaged_file_ends_the_import_and_what_came_before_stays(
    world: World, tmp_path: Path
) -> None:
    files = world.export(tmp_path)
    content = bytearray(files[1].path.read_bytes())
    content[len(content) // 2] ^= 1
    files[1].path.write_bytes(content)
    chain = world.maker.open()
    with pytest.raises(BadFile, match=f"{files[1].path.name}: has SHA-256"):
        await import_files(files, chain.importer, chain.reader)
    assert chain.reader.head.number == 15


async def test_files_with_a_hole_or_of_another_chain_are_refused(world: World, tmp_path: Path) -> None:
    files = world.export(tmp_path)
    chain = world.maker.open()
    with pytest.raises(BadFile, match=f"{files[1].path.name}: the parent .* is not known here"):
        await import_files(files[1:], chain.importer, chain.reader)
    other = ChainMaker(make_spec(KEYS[:1]))
    with pytest.raises(BadFile, match="belongs to the chain of genesis"):
        await import_files(files, other.chain.importer, other.reader)


async def test_a_chain_that_is_heavier_already_is_not_left(world: World, tmp_path: Path) -> None:
    files = world.export(tmp_path)
    other = ChainMaker(world.spec)
    for number in range(45):
        other.extend([transfer(ACCOUNTS[5], number)])
    with pytest.raises(ArchiveFailed, match="another one, which is here already, is heavier"):
        await import_files(files, other.chain.importer, other.reader)
    assert other.reader.head.number == 45


def test_exporting_again_makes_only_what_is_missing(world: World, tmp_path: Path) -> None:
    first = world.export(tmp_path, last=20)
    assert [f.manifest.last.number for f in first] == [15, 20]
    # As `geth import-history` reads them: a line for each file.
    sums = ["0x" + sha256(file.content()).hexdigest() for file in first]
    assert (tmp_path / "checksums.txt").read_text().split("\n") == sums
    kept = first[0].path.stat().st_ino
    again = world.export(tmp_path)
    assert [f.manifest.last.number for f in again] == [15, 31, 40]
    assert again[0].path.stat().st_ino == kept


class Crash(BaseException):
    """The power is gone."""


def crashing(deed: Callable, at: int, count: list[int]) -> Callable:
    def run(*args: object, **options: object) -> object:
        count[0] += 1
        if count[0] == at:
            raise Crash
        return deed(*args, **options)

    return run


@pytest.mark.parametrize("at", range(1, 14))
def test_a_crash_at_any_step_leaves_no_half_file_under_a_final_name(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """Every fsync and rename of making a file is interrupted in turn; then the archive goes on."""
    directory = ArchiveDirectory(tmp_path)
    directory.prepare()
    count = [0]
    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", crashing(os.fsync, at, count))
        patched.setattr(Path, "rename", crashing(Path.rename, at, count))
        try:
            maker = FileMaker(world.history, 0, 15, directory)
            while not maker.step(5):
                pass
            maker.finish(OPERATOR, 16)
        except Crash:
            pass
        else:
            assert at > 9, "a step that is never interrupted"
        maker._file.close()
    for path in tmp_path.glob("*.era1"):
        reference = world.export(tmp_path / "reference", last=15)[0]
        assert path.read_bytes() == reference.path.read_bytes(), "a final name holds the whole file"
    finished = [file.manifest.last.number for file in directory.files()]
    assert finished in ([], [15])
    files = world.export(tmp_path)
    assert [file.manifest.last.number for file in files] == [15, 31, 40]
    assert list((tmp_path / UNFINISHED).iterdir()) == []


def test_a_chain_that_reorganises_under_the_writer_is_noticed(tmp_path: Path) -> None:
    world = World(20, signers=1)
    maker = FileMaker(world.history, 0, 15, _prepared(tmp_path))
    assert not maker.step(8)
    fork = world.reader.header_by_number(6)
    for number in range(20):
        block = world.maker.make(fork, [], vanity=b"rival" + bytes([number]) * 2, delay_s=1)
        fork = block.header
    assert world.reader.canonical_hash(fork.number) == fork.hash
    with pytest.raises(ArchiveFailed, match="reorganised at block #8"):
        maker.step(8)
    maker.abandon()
    assert list((tmp_path / UNFINISHED).iterdir()) == []


def _prepared(folder: Path) -> ArchiveDirectory:
    directory = ArchiveDirectory(folder)
    directory.prepare()
    return directory
