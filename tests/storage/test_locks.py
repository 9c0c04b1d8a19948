"""Rows that consensus finds again after a restart."""

import pytest

from node.primitives.crypto import keccak256
from node.primitives.errors import StorageError
from node.storage import locks, schema
from node.storage.kv import Batch
from node.storage.memory import MemoryKV

BLOCK = keccak256(b"block")


def test_engine_states_are_kept_by_block():
    kv = MemoryKV()
    batch = Batch()
    locks.put_engine_state(batch, BLOCK, b"state")
    kv.write(batch, sync=True)
    assert locks.read_engine_state(kv, BLOCK) == b"state"
    assert locks.read_engine_state(kv, keccak256(b"another")) is None


@pytest.mark.parametrize("proposals", [(), ((b"\x01" * 20, True), (b"\x02" * 20, False))])
def test_proposals_are_replaced_as_a_whole(proposals):
    kv = MemoryKV()
    for written in (((b"\x09" * 20, True),), proposals):
        batch = Batch()
        locks.put_proposals(batch, written)
        kv.write(batch, sync=True)
    assert locks.read_proposals(kv) == proposals
    assert locks.read_proposals(MemoryKV()) == ()


def test_a_damaged_row_of_proposals_is_named():
    with pytest.raises(StorageError, match="standing proposals"):
        locks.read_proposals(MemoryKV({schema.PROPOSALS_KEY: b"\xc3\x01"}))
