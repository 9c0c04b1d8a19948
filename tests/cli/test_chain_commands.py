"""init, inspect, run --check and version: commands that need no secrets."""

import json
from pathlib import Path
from typing import Any

import pytest

from devnet.generate import genesis_of
from devnet.manifest import load_manifest
from node.cli.entry import main
from node.config.data_dir import database_path
from node.config.settings import StorageSettings
from node.storage.kv import Batch
from node.storage.leveldb import LevelDB
from node.storage.migrations import STEPS

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def genesis(tmp_path: Path) -> Path:
    path = tmp_path / "genesis.json"
    path.write_text(json.dumps(genesis_of(load_manifest("local"))))
    return path


def result(capsys: Capture) -> Any:
    return json.loads(capsys.readouterr().out)


def init(genesis: Path, data_dir: Path) -> int:
    return main(["init", "--genesis", str(genesis), "--data-dir", str(data_dir), "--json"])


def inspect(data_dir: Path, *more: str) -> int:
    return main(["inspect", "--data-dir", str(data_dir), "--json", *more])


def test_init_writes_block_0_once(genesis: Path, tmp_path: Path, capsys: Capture) -> None:
    assert init(genesis, tmp_path / "data") == 0
    first = result(capsys)
    assert (first["chain_id"], first["accounts"], first["written"]) == (325_000, 13, "now")
    assert init(genesis, tmp_path / "data") == 0
    again = result(capsys)
    assert again == first | {"written": "before; nothing was changed"}


def test_init_refuses_the_directory_of_another_genesis(
    genesis: Path, tmp_path: Path, capsys: Capture
) -> None:
    init(genesis, tmp_path / "data")
    hash_before = result(capsys)["genesis_hash"]
    genesis.write_text(genesis.read_text().replace("0x1c9c380", "0x1c9c381"))
    assert init(genesis, tmp_path / "data") == 2
    assert hash_before in capsys.readouterr().err
    inspect(tmp_path / "data")
    assert result(capsys)["genesis_hash"] == hash_before


def test_init_lists_all_problems_of_a_genesis(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "genesis.json"
    path.write_text('{"config": {"chainId": 0, "clique": {"period": 1}, "pragueTime": 1}, "difficulty": "x"}')
    assert init(path, tmp_path / "data") == 2
    assert len(capsys.readouterr().err.splitlines()) > 2


def test_inspect_shows_head_signers_and_counts(genesis: Path, tmp_path: Path, capsys: Capture) -> None:
    init(genesis, tmp_path / "data")
    genesis_hash = result(capsys)["genesis_hash"]
    assert inspect(tmp_path / "data", "--count") == 0
    seen = result(capsys)
    assert (seen["head_number"], seen["head_hash"], seen["genesis_hash"]) == (0, genesis_hash, genesis_hash)
    assert (seen["schema_version"], seen["chain_id"], len(seen["signers"])) == (1 + len(STEPS), 325_000, 4)
    assert {"count": 13, "table": "accounts"} in seen["rows"]
    assert seen["last_signed"] == seen["proposals"] == seen["equivocations"] == []


def test_inspect_audits_the_state(genesis: Path, tmp_path: Path, capsys: Capture) -> None:
    init(genesis, tmp_path / "data")
    capsys.readouterr()
    assert inspect(tmp_path / "data", "--audit") == 0
    assert result(capsys)["audited"]["accounts"] == 13
    kv = LevelDB.open(database_path(tmp_path / "data"), StorageSettings())
    key, _ = next(kv.iterate(b"a", b"b"))
    kv.write(Batch({key: None}), sync=True)
    kv.close()
    assert inspect(tmp_path / "data", "--audit") == 3
    assert "the account trie has 13 leaves, and there are 12 rows" in capsys.readouterr().err


def test_inspect_prints_the_python_of_a_contract(genesis: Path, tmp_path: Path, capsys: Capture) -> None:
    contract, nobody = "0x" + "70" * 20, "0x" + "71" * 20
    stated = json.loads(genesis.read_text())
    stated["alloc"][contract] = {"balance": "0x0", "code": "0x600160020160005500"}
    genesis.write_text(json.dumps(stated))
    data = tmp_path / "data"
    init(genesis, data)
    capsys.readouterr()
    assert inspect(data, "code", contract) == 0
    seen = result(capsys)
    assert (seen["fork"], seen["code_bytes"], seen["address"]) == ("London", 9, contract)
    assert "sstore_london(F,0x0,0x3)" in seen["python"]
    assert main(["inspect", "code", contract, "--data-dir", str(data)]) == 0
    printed = capsys.readouterr().out
    assert "# fork: London\n" in printed
    compile(printed, "listing", "exec")
    assert inspect(data, "code", nobody) == 2
    assert f"no contract at {nobody}" in capsys.readouterr().err
    assert inspect(data, "code", "0x70") == 2
    assert inspect(data, "code") == 2


def test_inspect_of_nothing_makes_nothing(tmp_path: Path, capsys: Capture) -> None:
    assert inspect(tmp_path / "data") == 2
    assert "`phoenix init` makes one" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_inspect_of_a_running_node_is_refused(genesis: Path, tmp_path: Path, capsys: Capture) -> None:
    init(genesis, tmp_path / "data")
    running = LevelDB.open(database_path(tmp_path / "data"), StorageSettings())
    try:
        assert inspect(tmp_path / "data") == 3
    finally:
        running.close()
    assert "another process has it open" in capsys.readouterr().err


def test_run_check_looks_at_settings_and_genesis_only(genesis: Path, tmp_path: Path, capsys: Capture) -> None:
    config = tmp_path / "node.toml"
    config.write_text('data_dir = "data"\ngenesis = "genesis.json"\n')
    assert main(["run", "--config", str(config), "--check"]) == 0
    assert not (tmp_path / "data").exists()
    genesis.write_text("{}")
    assert main(["run", "--config", str(config), "--check"]) == 2
    assert main(["run", "--config", str(config), "--set", "rpc.port=-1", "--set", "nam=x"]) == 2
    assert len(capsys.readouterr().err.splitlines()) >= 3


def test_version_names_the_program(capsys: Capture) -> None:
    assert main(["version", "--json"]) == 0
    assert result(capsys)["client"].startswith("phoenix-ledger/v0.1.0/linux-")
