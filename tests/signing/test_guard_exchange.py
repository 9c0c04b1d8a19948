"""Guard data out and in: nothing that was signed is forgotten, and nothing is signed on an old backup."""

import json
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from node.audit.batches import records_from
from node.cli.entry import main
from node.config.data_dir import audit_path, guard_path
from node.config.settings import StorageSettings
from node.primitives.crypto import PrivateKey, keccak256
from node.primitives.errors import ConfigError
from node.signing.guard import GuardedSigner, GuardLocked, GuardRefusal
from node.signing.guard_exchange import (
    export_guard,
    import_guard,
    merge,
    read_records,
    unlock_guard,
)
from node.signing.guard_rows import GuardRule, SignRecord
from node.signing.signer import LocalKey, SigningRequest
from node.storage.leveldb import LevelDB
from node.storage.memory import MemoryKV
from node.storage.migrations import migrate

KEY = PrivateKey(b"\x11" * 32)
CHAIN = 1337
A, B = keccak256(b"a"), keccak256(b"b")


def request(height: int, digest: bytes = A, weight: int | None = None) -> SigningRequest:
    return SigningRequest(
        kind="vote", chain_id=CHAIN, height=height, digest=digest, weight=weight, attachment=b"block"
    )


def signer_over(kv: MemoryKV, rule: GuardRule = "height") -> GuardedSigner:
    return GuardedSigner(LocalKey(KEY), kv, CHAIN, rule)


async def backup(*heights: int) -> bytes:
    """Of a key that signed these."""
    kv = MemoryKV()
    for height in heights:
        await signer_over(kv).sign(request(height))
    return export_guard(kv)


async def test_what_is_exported_is_imported_whole() -> None:
    kv, other = MemoryKV(), MemoryKV()
    await signer_over(kv, "weight").sign(request(9, weight=10))
    await signer_over(kv, "weight").sign(request(8, B, weight=11))
    import_guard(other, export_guard(kv))
    assert read_records(other.after_crash(Random(0))) == read_records(kv)
    assert json.loads(export_guard(kv))["records"][0]["passedHeight"] == 9


async def test_a_restored_guard_signs_nothing_until_the_chain_is_past_it_by_the_margin() -> None:
    kv = MemoryKV()
    import_guard(kv, await backup(100), margin=10)
    # The chain has gone on to 150 since the backup; what the key signed there nobody knows.
    for height in (151, 152, 160):
        with pytest.raises(GuardLocked, match=f"up to height 160; asked at height {height}"):
            await signer_over(kv).sign(request(height, B))
        kv = kv.after_crash(Random(height))
    await signer_over(kv).sign(request(161, B))
    await signer_over(kv).sign(request(162, B))


async def test_a_node_that_lags_behind_the_backup_does_not_unlock_it() -> None:
    kv = MemoryKV()
    import_guard(kv, await backup(100), margin=10)
    signer = signer_over(kv)
    with pytest.raises(GuardRefusal):
        await signer.sign(request(50, B))
    with pytest.raises(GuardLocked, match="up to height 110"):
        await signer.sign(request(101, B))


async def test_what_the_backup_holds_is_given_again_while_locked() -> None:
    kv = MemoryKV()
    import_guard(kv, await backup(100))
    assert await signer_over(kv).sign(request(100)) == KEY.sign(A)


async def test_an_import_merges_and_an_older_backup_takes_nothing_back() -> None:
    kv = MemoryKV()
    await signer_over(kv).sign(request(200, B))
    import_guard(kv, await backup(100), margin=0)
    with pytest.raises(GuardRefusal):
        await signer_over(kv).sign(request(150, B))
    import_guard(kv, await backup(300), margin=0)
    with pytest.raises(GuardRefusal):
        await signer_over(kv).sign(request(250, B))


def test_a_merge_keeps_the_highest_marks_of_both() -> None:
    one = SignRecord(8, 0, A, b"", weight=20, passed_height=12)
    other = SignRecord(10, 0, B, b"", weight=15, passed_weight=30)
    wanted = replace(other, passed_height=12, passed_weight=30)
    assert merge(one, other) == merge(other, one) == wanted
    assert merge(one, one) == one


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"height": -1}, "negative"),
        ({"digest": "0x" + "22" * 32}, "is not one of|no public key"),
        ({"digest": "0x22"}, "1 bytes where 32"),
        ({"address": "11" * 20}, "not hex with 0x"),
        ({"kind": ""}, "a kind that is empty"),
        ({"extra": 1}, "unknown field"),
        ({"height": "5"}, "Expected `int`"),
    ],
)
async def test_what_no_guard_wrote_is_refused_and_nothing_is_done(change: dict, words: str) -> None:
    document = json.loads(await backup(5))
    document["records"][0] |= change
    kv = MemoryKV()
    with pytest.raises(ConfigError, match=words):
        import_guard(kv, json.dumps(document).encode())
    assert read_records(kv) == {}


@pytest.mark.parametrize("document", [b"", b"{}", b"[" * 9999, b'{"format":"x","version":1,"records":[]}'])
def test_what_is_no_guard_data_is_said_to_be_none(document: bytes) -> None:
    with pytest.raises(ConfigError, match="guard data"):
        import_guard(MemoryKV(), document)


def test_the_commands_move_a_guard_from_one_directory_to_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    old, new, file = tmp_path / "old", tmp_path / "new", tmp_path / "guard.json"
    assert main(["signer", "guard", "export", "--data-dir", str(old)]) == 2
    capsys.readouterr()
    old.mkdir()
    kv = LevelDB.open(guard_path(old), StorageSettings())
    migrate(kv)
    signature = GuardedSigner(LocalKey(KEY), kv, CHAIN)._sign(request(7))
    kv.close()
    assert main(["signer", "guard", "export", "--data-dir", str(old)]) == 0
    file.write_text(capsys.readouterr().out)
    assert main(["signer", "guard", "import", "--data-dir", str(new), str(file), "--json"]) == 0
    merged = json.loads(capsys.readouterr().out)
    assert merged["locked_for_blocks"] == 256
    assert main(["signer", "guard", "export", "--data-dir", str(new)]) == 0
    assert json.loads(capsys.readouterr().out)["records"][0]["signature"] == "0x" + signature.hex()
    command = ["signer", "guard", "unlock", "--data-dir", str(new), "--json"]
    assert main(command) == 2
    assert "--nothing-was-signed-since" in capsys.readouterr().err
    assert main([*command, "--nothing-was-signed-since"]) == 0
    unlocked = [{"address": "0x" + KEY.address.hex(), "chain": CHAIN}]
    assert json.loads(capsys.readouterr().out) == {"unlocked": unlocked}
    done = [record.facts.get("command") for record in records_from(audit_path(new), 2, 9)]
    assert done == [f"phoenix signer guard {deed}" for deed in ("import", "export", "unlock")]
    assert "the operator unlocked a restored guard" in caplog.messages


async def test_an_unlocked_guard_still_refuses_what_the_backup_knows() -> None:
    kv = MemoryKV()
    import_guard(kv, await backup(100))
    unlock_guard(kv)
    with pytest.raises(GuardRefusal):
        await signer_over(kv).sign(request(100, B))
    await signer_over(kv).sign(request(101, B))
