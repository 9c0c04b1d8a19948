"""A crash or a full disk at every write: the database opens at one block, and at none before a synced one."""

import random

import pytest

from node.config.settings import StorageSettings
from node.primitives.errors import StorageError
from node.state.store import StateStore
from node.storage import schema
from node.storage.blocks import decode_ref
from node.storage.memory import MemoryKV
from tests.state.test_store import GENESIS, Chain, state_rows

DEEDS = 30


def run(chain, head, recorded):
    """Random deeds; after each write, remember what a database at that base must hold."""
    draw = chain.draw
    for step in range(DEEDS):
        deed = draw.random()
        if deed < 0.55:
            head = chain.grow(head, f"main {step}")
        elif deed < 0.85:
            line = [ref for ref in chain.line(head) if ref.number > chain.store.base.number]
            if line:
                chain.flatten(
                    draw.choice(line), prune=draw.choice([None, max(0, chain.store.base.number - 3)])
                )
        else:
            kept = [
                ref for ref in chain.line(head) if chain.store.oldest <= ref.number <= chain.store.base.number
            ]
            head = draw.choice(kept[:4])
            chain.unwind(head)
        recorded.append(chain.state_rows())


def crashed_at(write, seed):
    """Run until the write with this index fails: the chain, its rows after each deed, whether it failed."""
    kv = MemoryKV()
    chain = Chain(kv, random.Random(f"faults {seed}"))
    recorded = [chain.state_rows()]
    if write is not None:
        kv.fail_after(write)
    try:
        run(chain, GENESIS, recorded)
    except StorageError:
        return chain, recorded, True
    return chain, recorded, False


@pytest.mark.parametrize("seed", range(3))
def test_after_a_crash_at_any_write_the_state_is_that_of_one_block(seed):
    _, complete, _ = crashed_at(None, seed)
    write, failed = 0, True
    while failed:
        chain, recorded, failed = crashed_at(write, seed)
        assert complete[: len(recorded)] == recorded, "the run is not the same each time"
        # The failing write may have reached the disk whole, or not at all.
        allowed = complete[len(recorded) - 1 : len(recorded) + 1]
        for crash in range(3):
            survivor = chain.kv.after_crash(random.Random(crash))
            assert state_rows(survivor) in allowed
            store = StateStore(survivor, StorageSettings())
            ref = store.base
            assert ref == decode_ref(survivor.get(schema.STATE_BASE_KEY))
            chain.models[ref].check_view(store.view(ref.hash))
        write += 1
    assert write > 15


def test_a_full_disk_leaves_what_was_readable_readable():
    chain, _, failed = crashed_at(12, 0)
    assert failed
    base = chain.store.base
    chain.check(base)
    with pytest.raises(StorageError, match="takes no more"):
        chain.grow(base, "after the failure")
