"""What is anchored: trees as the contract has them, manifests that hold records to account."""

from pathlib import Path

import pytest

from node.audit.batches import FILE, Batch, next_batch, read_batches, records_from, tree_of, write_batch
from node.audit.files import audit_files
from node.audit.merkle import MerkleTree
from node.primitives.crypto import keccak256
from node.primitives.errors import StorageError
from tests.audit.logs import findings, write_log
from tests.contracts.trees import log_tree


def test_the_tree_is_that_of_rfc_9162_for_every_size() -> None:
    entries = [keccak256(bytes([number])) for number in range(40)]
    grown = MerkleTree(entries)
    for size in range(1, len(entries) + 1):
        by_definition = log_tree(entries[:size])
        assert grown.root(size) == by_definition.root()
        for index in range(size):
            assert grown.path(index, size) == by_definition.path(index)
        for old in range(size + 1):
            assert grown.consistency(old, size) == by_definition.consistency(old)


def made(folder: Path, after: int, _: object) -> Batch | None:
    """The next batch, after what was written just now."""
    return next_batch(folder, after)


def test_batches_follow_one_another_and_survive_a_torn_line(tmp_path: Path) -> None:
    first = made(tmp_path, 0, write_log(tmp_path, 5, 700))
    assert first is not None
    write_batch(tmp_path, first)
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'{"first":7,"la')
    second = made(tmp_path, first.last, write_log(tmp_path, 3, 700))
    assert second is not None
    assert (first.first, first.last, second.first, second.last) == (1, 6, 7, 9)
    write_batch(tmp_path, second)
    assert read_batches(tmp_path) == [first, second]
    assert len(tree_of(read_batches(tmp_path))) == 2
    assert made(tmp_path, 9, write_log(tmp_path, 0)) is None
    assert findings(tmp_path) == ""


def test_one_record_is_proved_by_two_short_paths(tmp_path: Path) -> None:
    batch = made(tmp_path, 0, write_log(tmp_path, 20))
    assert batch is not None
    hashes = [record.hash for record in records_from(tmp_path, batch.first, batch.last + 1)]
    tree = MerkleTree(hashes)
    assert tree.root().hex() == batch.root
    assert tree.path(7) == log_tree(hashes).path(7)


def test_a_log_written_anew_does_not_fit_its_manifests(tmp_path: Path) -> None:
    head = write_log(tmp_path / "log", 8)
    batch = made(tmp_path / "log", 0, head)
    assert batch is not None
    write_batch(tmp_path / "log", batch)
    for path in audit_files(tmp_path / "log"):
        path.unlink()
    write_log(tmp_path / "log", 4)
    assert "the log ends before it" in findings(tmp_path / "log")
    write_log(tmp_path / "log", 4)
    assert "not those that were anchored" in findings(tmp_path / "log")


def test_an_altered_manifest_is_found(tmp_path: Path) -> None:
    batch = made(tmp_path, 0, write_log(tmp_path, 8))
    assert batch is not None
    write_batch(tmp_path, batch)
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes().replace(batch.root.encode(), b"ab" * 32))
    assert "not those that were anchored" in findings(tmp_path)
    path.write_bytes(b"nonsense\n")
    assert "no manifest" in findings(tmp_path)


def test_records_moved_away_too_early_cannot_be_anchored(tmp_path: Path) -> None:
    head = write_log(tmp_path, 12, 700)
    audit_files(tmp_path)[0].unlink()
    with pytest.raises(StorageError, match="once their records are anchored"):
        made(tmp_path, 0, head)
