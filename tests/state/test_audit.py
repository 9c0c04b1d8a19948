"""The audit passes what is whole and names what is not."""

import random

import pytest

from node.primitives.errors import StorageError
from node.state.audit import Audit, audit
from node.storage import schema
from node.storage.kv import Batch
from node.storage.memory import MemoryKV
from tests.state.test_store import GENESIS, Chain


@pytest.fixture
def chain():
    chain = Chain(MemoryKV(), random.Random("audit"))
    ref = GENESIS
    for _ in range(8):
        ref = chain.grow(ref, "main")
    chain.flatten(ref)
    return chain


def test_a_whole_state_passes_with_its_counts(chain):
    (model,) = (chain.models[ref] for ref in chain.models if ref == chain.store.base)
    slots = sum(map(len, model.storage.values()))
    assert slots > 5
    assert audit(chain.kv) == Audit(chain.store.base, model.root, len(model.accounts), slots)


@pytest.mark.parametrize("table", [b"a", b"s", b"k", b"A", b"S"])
@pytest.mark.parametrize("deed", ["lost", "changed", "added"])
def test_any_row_that_is_lost_changed_or_added_is_found(chain, table, deed):
    draw = random.Random(f"{table} {deed}")
    live = sorted(key for key in live_keys(chain) if key[:1] == table)
    assert len(live) > 1
    for key in live:
        row = chain.kv.get(key)
        changed = bytearray(row)
        changed[draw.randrange(len(row))] ^= 1 << draw.randrange(8)
        neighbour = key[:-1] + bytes((key[-1] ^ 1,))
        if deed == "added" and (table in b"kAS" or neighbour in live):
            continue  # a stray node or code does not change what the state says
        rows = {"lost": {key: None}, "changed": {key: bytes(changed)}, "added": {neighbour: row}}[deed]
        spoilt = MemoryKV(dict(chain.kv.iterate(b"", None)))
        spoilt.write(Batch(rows), sync=True)
        with pytest.raises(StorageError):
            audit(spoilt)


def live_keys(chain):
    """The rows of the base's state, without storage that died or code that nobody has any more."""
    read = set()

    class Recorder:
        def get(self, key):
            read.add(key)
            return chain.kv.get(key)

        def iterate(self, start, stop, *, reverse=False):
            for key, row in chain.kv.iterate(start, stop, reverse=reverse):
                read.add(key)
                yield key, row

    audit(Recorder())
    return {key for key in read if chain.kv.get(key) is not None and key != schema.STATE_BASE_KEY}


def test_no_state_is_said_to_be_none():
    with pytest.raises(StorageError, match="no state yet"):
        audit(MemoryKV())
