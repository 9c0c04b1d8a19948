"""`phoenix archive`: what operators and auditors type, on real directories and against a real node."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from node.cli.entry import main
from node.config.data_dir import database_path
from node.config.settings import StorageSettings
from node.primitives.ids import hex_of
from node.storage.leveldb import LevelDB
from tests.archive.world import OPERATOR, World
from tests.rpc.node import running_node

Capture = pytest.CaptureFixture[str]


class Site:
    """A stopped node with 40 blocks, its genesis file and its exported files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data, self.files, self.genesis = folder / "data", folder / "files", folder / "genesis.json"
        kv = LevelDB.open(database_path(self.data), StorageSettings())
        self.world = World(40, kv=kv)
        self.hashes = [hex_of(self.world.reader.canonical_hash(n)) for n in range(41)]
        self.root = hex_of(self.world.reader.head.state_root)
        self.world.maker.chain.ledger.close()
        self.world.maker.chain.state.close()
        kv.close()
        self.genesis.write_text(json.dumps(self.world.genesis))
        self.key = folder / "operator.key"
        self.key.write_text(OPERATOR.secret_bytes().hex())
        self.key.chmod(0o600)

    @property
    def node(self) -> list[str]:
        return ["--genesis", str(self.genesis), "--data-dir", str(self.data)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"))
    exported = ["export", *site.node, "--out", str(site.files), "--key", str(site.key)]
    assert main(["archive", *exported, "--blocks-per-file", "16", "--json"]) == 0
    return site


def ran(capsys: Capture, *arguments: str, code: int = 0) -> Any:
    """The command's JSON, or its complaint."""
    capsys.readouterr()
    assert main(["archive", *arguments]) == code
    said = capsys.readouterr()
    return json.loads(said.out) if code == 0 else said.err


def test_files_are_proved_by_a_chain_a_hash_or_the_genesis_file(site: Site, capsys: Capture) -> None:
    files = str(site.files)
    by_chain = ran(capsys, "verify", files, "--data-dir", str(site.data), "--json")
    assert by_chain["chain"] == f"the last block of every file is that of {site.data}"
    assert by_chain["blocks"].startswith("41 with ")
    assert by_chain["manifests"] == f"signed by {hex_of(OPERATOR.address)}"
    by_hash = ran(capsys, "verify", files, "--trusted-hash", site.hashes[40], "--json")
    assert by_hash["trusted_hash"] == "is block #40: proves #0 to #40"
    by_hash = ran(capsys, "verify", files, "--trusted-hash", site.hashes[20], "--json")
    assert by_hash["trusted_hash"] == "is block #20: proves #0 to #20; #21 to #40 by their seals alone"
    by_genesis = ran(capsys, "verify", files, "--genesis", str(site.genesis), "--json")
    assert "every header by the rules of the genesis file" in by_genesis["seals"]


async def test_files_are_proved_by_a_running_node(site: Site, capsys: Capture) -> None:
    other = World(40)
    async with running_node(other.maker) as node:
        url = f"http://127.0.0.1:{node.place.port}"
        found = await trio.to_thread.run_sync(
            lambda: ran(capsys, "verify", str(site.files), "--rpc", url, "--json")
        )
        assert found["chain"] == f"the last block of every file is that of {url}"
        status = await trio.to_thread.run_sync(
            lambda: ran(capsys, "status", str(site.files), "--rpc", url, "--json")
        )
        assert (status["last_block"], status["blocks_behind"], status["gaps"]) == (40, 0, [])


def test_what_is_not_as_believed_is_refused(site: Site, tmp_path: Path, capsys: Capture) -> None:
    files = str(site.files)
    wrong = "0x" + "11" * 32
    complaint = ran(capsys, "verify", files, "--trusted-hash", wrong, code=1)
    assert f"no block of the files has the trusted hash {wrong}" in complaint
    stranger = "0x" + "22" * 20
    complaint = ran(capsys, "verify", files, "--genesis", str(site.genesis), "--signer", stranger, code=1)
    assert f"signed by {hex_of(OPERATOR.address)}, not by {stranger}" in complaint
    other = Site(tmp_path / "other")
    other.genesis.write_text(json.dumps(other.world.genesis | {"gasLimit": 29_999_999}))
    complaint = ran(capsys, "verify", files, "--genesis", str(other.genesis), code=1)
    assert "the one given is" in complaint
    rival = World(45, signers=1)
    rival.export(tmp_path / "rival", last=15)
    complaint = ran(capsys, "verify", str(tmp_path / "rival"), "--data-dir", str(site.data), code=1)
    assert f"{site.data} has {site.hashes[15]} there" in complaint
    assert "say what is believed" in ran(capsys, "verify", files, code=2)
    assert "0x and 64 hex digits" in ran(capsys, "verify", files, "--trusted-hash", "0x12", code=2)


def test_a_gap_is_told_and_not_bridged_by_a_hash(site: Site, tmp_path: Path, capsys: Capture) -> None:
    eras = sorted(site.files.glob("*.era1"))
    some = [str(eras[0]), str(eras[2])]
    found = ran(capsys, "verify", *some, "--data-dir", str(site.data), "--json")
    assert found["gap"].startswith("blocks #16 to #31 are missing between")
    complaint = ran(capsys, "verify", *some, "--trusted-hash", site.hashes[40], code=1)
    assert "cannot be proved by a hash behind it" in complaint
    complaint = ran(
        capsys, "import", "--genesis", str(site.genesis), "--data-dir", str(tmp_path), *some, code=2
    )
    assert "blocks #16 to #31 are missing" in complaint


def test_a_node_is_rebuilt_from_files_alone_and_its_files_are_the_same(
    site: Site, tmp_path: Path, capsys: Capture
) -> None:
    node = ["--genesis", str(site.genesis), "--data-dir", str(tmp_path / "new")]
    eras = sorted(str(path) for path in site.files.glob("*.era1"))
    part = ran(capsys, "import", *node, *eras[:2], "--json")
    assert (part["imported"], part["head_number"]) == (31, 31)
    whole = ran(capsys, "import", *node, str(site.files), "--json")
    assert whole["imported"] == 9
    assert (whole["head_hash"], whole["state_root"]) == (site.hashes[40], site.root)
    again = ["export", *node, "--out", str(tmp_path / "again"), "--key", str(site.key)]
    ran(capsys, *again, "--blocks-per-file", "16", "--json")
    names = [path.name for path in sorted(site.files.iterdir()) if path.is_file()]
    for name in names:
        assert (tmp_path / "again" / name).read_bytes() == (site.files / name).read_bytes()


def test_flags_that_make_no_sense_are_refused(site: Site, tmp_path: Path, capsys: Capture) -> None:
    assert "say which node" in ran(capsys, "export", "--out", str(tmp_path), code=2)
    outside = ["export", *site.node, "--out", str(tmp_path), "--last", "41"]
    assert "the chain has 0 to 40" in ran(capsys, *outside, code=2)
    empty = ["--genesis", str(site.genesis), "--data-dir", str(tmp_path / "nowhere")]
    assert "no database in" in ran(capsys, "export", *empty, "--out", str(tmp_path), code=2)
    assert "name files or a directory" in ran(capsys, "import", *empty, code=2)
    assert "no archive.s3_bucket" in ran(capsys, "import", *empty, "--from-store", code=2)
    assert "No such file" in ran(
        capsys, "verify", str(tmp_path / "x.era1"), "--trusted-hash", site.hashes[0], code=1
    )


@pytest.mark.parametrize("part", ["export", "import", "verify", "status"])
def test_every_part_explains_itself_with_examples(part: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["archive", part, "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert f"phoenix archive {part} " in said
    assert "exit codes:" in said
