"""The loader of official vectors: finds them, or skips by name."""

import pytest

from tests import vectors


def test_an_absent_set_is_skipped_by_its_name(monkeypatch, tmp_path):
    monkeypatch.setenv("PHOENIX_VECTORS", str(tmp_path / "nowhere"))
    assert vectors.vectors_dir() is None
    with pytest.raises(pytest.skip.Exception, match=r"devp2p/forkid\.json"):
        vectors.require("devp2p/forkid.json")


def test_the_tree_is_unpacked_with_every_set_the_tests_read():
    names = {entry.name for entry in vectors.ethereum_tests().iterdir()}
    assert {"GeneralStateTests", "RLPTests", "TrieTests", "TransactionTests", "KeyStoreTests"} <= names
