"""go-ethereum and our era1 files: its `era` tool verifies them, geth builds a chain of them, and back again.

`geth import-history` knows the networks of its own list only, and finds out by the names of the files which
one it has before it: it is shown our directory with the network's name exchanged in the names, and nothing
else. It takes headers, bodies and receipts and executes nothing. The `era` tool takes any name.
"""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from node.archive.blocks import export_blocks
from node.archive.era1 import EraFile
from node.archive.files import CHECKSUMS, ArchivedFile, ArchiveDirectory
from node.primitives.block import encode_block
from node.primitives.ids import hex_of
from tests.archive.world import BLOCKS_PER_FILE, OPERATOR, World
from tests.interop.geth import go_ethereum, run_geth
from tests.interop.test_era1 import entries_of
from tests.interop.test_geth_chain import ALL_AT_ONCE, blocks_of

pytestmark = pytest.mark.interop

KNOWN_TO_GETH: Final = "mainnet"
QUANTITIES: Final = ("timestamp", "gasLimit", "difficulty")
LAST: Final = 3 * BLOCKS_PER_FILE - 1


class Archive:
    """Our files of a chain, and what geth needs to know of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.world = World(LAST)
        self.files: list[ArchivedFile] = self.world.export(folder / "ours")
        self.genesis = folder / "genesis.json"
        ours = self.world.genesis
        for_geth = {"config": ours["config"] | ALL_AT_ONCE, "extraData": "0x" + ours["extraData"]}
        self.genesis.write_text(json.dumps(ours | {key: hex(ours[key]) for key in QUANTITIES} | for_geth))

    @property
    def network(self) -> str:
        return self.files[0].path.name.split("-")[0]

    def renamed(self, into: Path) -> Path:
        """The same files and list of checksums, under the name of a network that geth knows."""
        folder = into / "renamed"
        folder.mkdir()
        for file in self.files:
            shutil.copy(file.path, folder / file.path.name.replace(self.network, KNOWN_TO_GETH))
        shutil.copy(self.folder / "ours" / CHECKSUMS, folder)
        return folder

    def era(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run go-ethereum's `era` over our directory as it is."""
        place = ["--dir", str(self.folder / "ours"), "--network", self.network]
        command = [str(go_ethereum("era")), *place, "--size", str(BLOCKS_PER_FILE), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    go_ethereum("era")
    return Archive(tmp_path_factory.mktemp("archive"))


def test_era_verifies_every_root_index_and_accumulator_of_our_files(archive: Archive, tmp_path: Path) -> None:
    """It derives each block's transaction and receipt root, sums difficulties, makes the accumulator anew."""
    roots = [hex_of(file.manifest.accumulator) for file in archive.files]
    expected = tmp_path / "roots"
    expected.write_text("\n".join(roots) + "\n")
    done = archive.era("verify", str(expected))
    assert (done.returncode, done.stderr) == (0, "")
    expected.write_text("\n".join([*roots[:-1], "0x" + "11" * 32]) + "\n")
    done = archive.era("verify", str(expected))
    assert done.returncode == 1
    assert "invalid root" in done.stderr


def test_era_tells_of_our_files_and_blocks_what_we_do(archive: Archive) -> None:
    reader = archive.world.reader
    for epoch, file in enumerate(archive.files):
        info: dict[str, Any] = json.loads(archive.era("info", str(epoch)).stdout)
        first = file.manifest.first.number
        before = (
            reader.total_difficulty(reader.canonical_hash(first)) - reader.header_by_number(first).difficulty
        )
        assert info == {
            "accumulator": hex_of(file.manifest.accumulator),
            "totalDifficulty": before,
            "startBlock": first,
            "count": BLOCKS_PER_FILE,
        }
    for number in (0, 1, BLOCKS_PER_FILE, LAST):
        shown = json.loads(archive.era("block", str(number)).stdout)
        assert shown["hash"] == hex_of(reader.canonical_hash(number))


def test_geth_builds_its_chain_from_our_files(archive: Archive, tmp_path: Path) -> None:
    """`geth import-history` takes every block and receipt; what its database then holds is our chain."""
    data = tmp_path / "geth"
    run_geth(data, "init", str(archive.genesis))
    assert "Import done" in run_geth(data, "import-history", str(archive.renamed(tmp_path)))
    run_geth(data, "export", str(tmp_path / "again.rlp"), "0", str(LAST))
    reader = archive.world.reader
    again = blocks_of((tmp_path / "again.rlp").read_bytes())
    assert again == [reader.block_by_number(number) for number in range(LAST + 1)]


def test_geth_refuses_our_file_with_a_byte_changed(archive: Archive, tmp_path: Path) -> None:
    data = tmp_path / "geth"
    run_geth(data, "init", str(archive.genesis))
    folder = archive.renamed(tmp_path)
    changed = sorted(folder.glob("*.era1"))[1]
    content = bytearray(changed.read_bytes())
    content[len(content) // 2] ^= 1
    changed.unlink()
    changed.write_bytes(content)
    with pytest.raises(AssertionError, match="checksum mismatch"):
        run_geth(data, "import-history", str(folder))


def test_what_geth_exports_is_what_we_write(archive: Archive, tmp_path: Path) -> None:
    """The chain enters geth as blocks, is executed, and leaves it as era1: entry for entry our file."""
    reader = archive.world.reader
    chain = [reader.block_by_number(number) for number in range(1, LAST + 1)]
    (tmp_path / "chain.rlp").write_bytes(b"".join(map(encode_block, chain)))
    data = tmp_path / "geth"
    run_geth(data, "init", str(archive.genesis))
    run_geth(data, "import", str(tmp_path / "chain.rlp"))
    run_geth(data, "export-history", str(tmp_path / "theirs"), "0", str(LAST))
    (theirs,) = (tmp_path / "theirs").glob("*.era1")
    content = memoryview(theirs.read_bytes())
    assert len(EraFile(content)) == LAST + 1
    (ours,) = export_blocks(
        archive.world.history, ArchiveDirectory(tmp_path / "ours"), OPERATOR, first=0, last=LAST
    )
    assert entries_of(ours.content())[:-1] == entries_of(content)[:-1]
    assert theirs.stem.rsplit("-", 1)[1] == ours.path.stem.rsplit("-", 1)[1]
