"""The version of the layout: written, brought forward, refused."""

import random

import pytest

from node.primitives.errors import StorageError
from node.storage.kv import Batch
from node.storage.memory import MemoryKV
from node.storage.migrations import STEPS, migrate, read_version


def first_step(kv):
    """Rename every row "old..." to "new..."."""
    batch = Batch()
    for key, value in kv.iterate(b"old", b"ole"):
        batch.put(b"new" + key[3:], value)
        batch.delete(key)
    return batch


def second_step(kv):
    return Batch({b"second": b"done"})


def test_a_new_database_gets_this_programs_version():
    kv = MemoryKV()
    assert migrate(kv) == []
    assert read_version(kv) == len(STEPS) + 1
    assert migrate(kv) == []


def test_an_older_database_takes_one_step_per_version():
    kv = MemoryKV()
    migrate(kv, ())
    kv.write(Batch({b"old1": b"x"}), sync=True)
    assert len(migrate(kv, (first_step, second_step))) == 2
    assert (kv.get(b"old1"), kv.get(b"new1"), kv.get(b"second"), read_version(kv)) == (None, b"x", b"done", 3)


def test_a_newer_database_is_refused_by_name():
    kv = MemoryKV()
    migrate(kv, (first_step, second_step))
    with pytest.raises(StorageError, match="schema version 3; this program knows versions up to 1"):
        migrate(kv, ())


def test_data_without_a_version_is_not_ours():
    with pytest.raises(StorageError, match="no schema version"):
        migrate(MemoryKV({b"x": b"y"}))


@pytest.mark.parametrize("writes", range(3))
def test_a_migration_that_was_cut_off_is_taken_up_again(writes):
    kv = MemoryKV()
    migrate(kv, ())
    kv.write(Batch({b"old1": b"x"}), sync=True)
    kv.fail_after(writes)
    if writes < 2:
        with pytest.raises(StorageError):
            migrate(kv, (first_step, second_step))
    again = kv.after_crash(random.Random(writes))
    migrate(again, (first_step, second_step))
    assert (again.get(b"new1"), again.get(b"second"), read_version(again)) == (b"x", b"done", 3)
