"""StateStore against the model: layers, base, history, forks, unwinding, pruning and restarts."""

import random

import pytest

from node.config.settings import StorageSettings
from node.primitives.crypto import keccak256
from node.primitives.errors import StorageError
from node.primitives.state import Account, StateChanges
from node.state.store import PRUNE_BLOCKS_MAX, StateStore, StateUnavailable
from node.storage import schema
from node.storage.kv import Batch
from node.storage.leveldb import LevelDB
from node.storage.memory import MemoryKV
from tests.state.model import ADDRESSES, Model, draw_changes, ref_of

SETTINGS = StorageSettings()
GENESIS = ref_of(0, "genesis")


class Chain:
    """A state store with the model of every block in it, and the deeds that an importer does."""

    def __init__(self, kv, draw, settings=SETTINGS):
        self.kv, self.draw, self.settings = kv, draw, settings
        self.store = StateStore(kv, settings)
        self.models, self.roots, self.parents = {}, {}, {}
        self.begin()

    def begin(self):
        changes = draw_changes(self.draw, Model())
        batch = self.numbered(GENESIS)
        self.roots[GENESIS] = self.store.initialise(batch, GENESIS, changes)
        self.kv.write(batch, sync=True)
        self.store.flattened(GENESIS)
        self.models[GENESIS] = Model().after(changes)
        assert self.roots[GENESIS] == self.models[GENESIS].root

    def numbered(self, ref):
        """A batch with the row that the block's own rows would bring."""
        return Batch({schema.block_number_key(ref.hash): schema.number_bytes(ref.number)})

    def grow(self, parent, label, changes=None):
        """One more block on `parent`, in memory."""
        model = self.models[parent]
        changes = draw_changes(self.draw, model) if changes is None else changes
        ref = ref_of(parent.number + 1, label)
        prepared = self.store.prepare(parent.hash, changes)
        self.models[ref] = model.after(changes)
        self.roots[ref], self.parents[ref] = prepared.root, parent
        assert prepared.root == self.models[ref].root
        self.kv.write(self.numbered(ref), sync=False)
        self.store.add(ref, parent.hash, prepared)
        return ref

    def flatten(self, ref, prune=None):
        batch = Batch()
        self.store.flatten(batch, ref)
        if prune is not None:
            self.store.prune(batch, prune)
        self.kv.write(batch, sync=True)
        self.store.flattened(ref)

    def unwind(self, ref):
        batch = Batch()
        self.store.unwind(batch, ref)
        self.kv.write(batch, sync=True)
        self.store.unwound(ref)

    def reopen(self):
        self.store = StateStore(self.kv, self.settings)

    def line(self, ref):
        """The block and its ancestors, newest first."""
        while ref is not None:
            yield ref
            ref = self.parents.get(ref)

    def check(self, ref):
        self.models[ref].check_view(self.store.view(ref.hash))
        self.models[ref].check_proofs(self.store, ref.hash, self.roots[ref])

    def state_rows(self):
        """All that the database holds about states."""
        return state_rows(self.kv)


def state_rows(kv):
    """All that a database holds about states: tables of state and history, and where the base is."""
    names = {schema.STATE_BASE_KEY, schema.STATE_OLDEST_KEY}
    return {key: row for key, row in kv.iterate(b"", None) if key[:1] in b"asASuBKG" or key in names}


@pytest.fixture
def chain():
    return Chain(MemoryKV(), random.Random(1))


# --- the whole, at random


@pytest.mark.parametrize(
    "seed", [*range(3), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(3, 60))]
)
def test_every_kept_state_is_what_the_model_says(seed):
    draw = random.Random(seed)
    chain = Chain(MemoryKV(), draw)
    head = GENESIS
    for step in range(50):
        deed = draw.random()
        if deed < 0.6:
            head = chain.grow(head, f"main {step}")
        elif deed < 0.7 and head.number > chain.store.base.number:
            # A fork in memory: the branch goes on from below the head.
            head = chain.grow(chain.parents[head], f"fork {step}")
        elif deed < 0.85:
            line = [ref for ref in chain.line(head) if ref.number > chain.store.base.number]
            if line:
                chain.flatten(draw.choice(line))
        elif deed < 0.95:
            line = [ref for ref in chain.line(head) if ref.number <= chain.store.base.number]
            head = draw.choice(line[:5])
            chain.unwind(head)
        else:
            head = next(ref for ref in chain.line(head) if ref.hash == chain.store.base.hash)
            chain.reopen()
        chain.check(head)
    for ref in chain.line(head):
        chain.check(ref)


def test_the_same_holds_on_leveldb(tmp_path):
    draw = random.Random("leveldb")
    kv = LevelDB.open(tmp_path / "db", SETTINGS)
    chain = Chain(kv, draw)
    head = GENESIS
    for number in range(20):
        head = chain.grow(head, "main")
        if number % 3 == 2:
            chain.flatten(chain.parents[head])
    for ref in chain.line(head):
        chain.check(ref)
    chain.unwind(ref_of(7, "main"))
    for ref in chain.line(ref_of(7, "main")):
        chain.check(ref)
    chain.store.close()
    kv.close()


# --- going back


@pytest.mark.parametrize("seed", range(3))
def test_unwinding_leaves_the_rows_as_if_the_blocks_had_never_been(seed):
    chain = Chain(MemoryKV(), random.Random(f"unwind {seed}"))
    snapshots, ref = [chain.state_rows()], GENESIS
    for _ in range(8):
        ref = chain.grow(ref, "main")
        chain.flatten(ref)
        snapshots.append(chain.state_rows())
    for target in (6, 5, 1, 0):
        chain.unwind(next(r for r in chain.line(ref) if r.number == target))
        assert chain.state_rows() == snapshots[target]


@pytest.mark.parametrize("target", range(1, 6))
def test_unwinding_into_blocks_written_together_leaves_those_before_as_written_together(target):
    chains = [Chain(MemoryKV(), random.Random(f"together {target}")) for _ in range(2)]
    for chain, last in zip(chains, (target, 6), strict=True):
        refs = [GENESIS]
        for number in range(last):
            refs.append(chain.grow(refs[-1], "main"))
            if number == 0:
                chain.flatten(refs[-1])
        chain.flatten(refs[-1])
        chain.unwind(refs[target])
    assert chains[0].state_rows() == chains[1].state_rows()
    for ref in refs[: target + 1]:
        chains[1].check(ref)
    again = chains[1].grow(refs[target], "another")
    chains[1].flatten(again)
    chains[1].unwind(GENESIS)
    assert (
        chains[1].state_rows().keys()
        == Chain(MemoryKV(), random.Random(f"together {target}")).state_rows().keys()
    )


@pytest.mark.parametrize("runs", [(1,) * 40, (40,), (3, 20, 1, 16)])
def test_however_many_blocks_are_written_together_every_state_is_read(runs):
    chain = Chain(MemoryKV(), random.Random("runs"), StorageSettings(history_blocks=0))
    ref = GENESIS
    for run in runs:
        for _ in range(run):
            ref = chain.grow(ref, "main")
        chain.flatten(ref)
    for each in chain.line(ref):
        chain.check(each)
    for number in (25, 4, 0):
        chain.unwind(next(each for each in chain.line(ref) if each.number == number))
        for each in chain.line(ref_of(number, "main") if number else GENESIS):
            chain.check(each)
    assert all(key[:1] not in b"uKG" for key in chain.state_rows())


def test_a_key_has_one_history_row_for_blocks_written_together(chain):
    refs = [GENESIS]
    for value in range(1, 6):
        refs.append(chain.grow(refs[-1], "main", written({1: value})))
    chain.flatten(refs[-1])
    assert sum(key[:1] == b"u" and key[1:2] == b"s" for key in chain.state_rows()) == 1
    for ref in refs:
        chain.check(ref)


def test_pruning_into_blocks_written_together_keeps_the_later_ones(chain):
    refs = [GENESIS]
    for _ in range(6):
        refs.append(chain.grow(refs[-1], "main"))
    chain.flatten(refs[-1], prune=3)
    last = chain.grow(refs[-1], "main")
    chain.flatten(last, prune=3)
    assert chain.store.oldest == 3
    for ref in refs[3:]:
        chain.check(ref)
    chain.flatten(chain.grow(last, "main"), prune=last.number)
    rows = [key for key in chain.state_rows() if key[:1] == b"u"]
    assert all(int.from_bytes(key[-schema.NUMBER_BYTES :], "big") > last.number for key in rows)


def test_unwinding_below_what_is_kept_is_refused(chain):
    ref = GENESIS
    for _ in range(4):
        ref = chain.grow(ref, "main")
    chain.flatten(ref, prune=0)
    chain.flatten(chain.grow(ref, "main"), prune=3)
    with pytest.raises(StateUnavailable) as refusal:
        chain.store.unwind(Batch(), ref_of(2, "main"))
    assert (refusal.value.number, refusal.value.oldest) == (2, 3)
    chain.unwind(ref_of(3, "main"))
    chain.check(ref_of(3, "main"))


# --- destroyed storage


CONTRACT = ADDRESSES[0]
OTHER = ADDRESSES[1]
CODE = b"\x00"
RICH = Account(1, 5, keccak256(CODE))


def written(slots, wiped=(), account=RICH):
    return StateChanges(
        {CONTRACT: account}, {CONTRACT: slots} if slots else {}, frozenset(wiped), {RICH.code_hash: CODE}
    )


@pytest.mark.parametrize("flat", [True, False], ids=["flattened", "in layers"])
def test_storage_that_was_destroyed_does_not_come_back_with_the_account(flat):
    chain = Chain(MemoryKV(), random.Random(2))
    deeds = [
        written({1: 1, 2: 2}),
        StateChanges({CONTRACT: None}, {}, frozenset({CONTRACT})),
        written({}),
        written({2: 7}),
        written({1: 8}, wiped=[CONTRACT]),
        written({1: 0}),
        written({3: 9}),
    ]
    ref = GENESIS
    for changes in deeds:
        ref = chain.grow(ref, "main", changes)
        if flat:
            chain.flatten(ref)
    for kept in chain.line(ref):
        chain.check(kept)


def test_dead_storage_is_swept_when_its_past_is_pruned(chain):
    ref = chain.grow(GENESIS, "main", written(dict.fromkeys(range(100), 1), wiped=[CONTRACT]))
    ref = chain.grow(ref, "main", StateChanges({CONTRACT: None}, {}, frozenset({CONTRACT})))
    ref = chain.grow(ref, "main", written({5: 5}))
    chain.flatten(ref)
    for number in (1, 2):
        assert any(key.startswith(schema.slot_prefix(CONTRACT, 1)) for key in chain.state_rows())
        ref = chain.grow(ref, "main", written({5: 5 + number}))
        chain.flatten(ref, prune=number)
    rows = chain.state_rows()
    assert not any(key.startswith((schema.slot_prefix(CONTRACT, 1), b"G")) for key in rows)
    assert not any(key.startswith(schema.storage_node_prefix(CONTRACT, 1)) for key in rows)
    for kept in chain.line(ref):
        if kept.number >= 2:
            chain.check(kept)


# --- forks in memory


def test_two_branches_are_read_side_by_side(chain):
    trunk = chain.grow(GENESIS, "trunk")
    tips = []
    for label in ("a", "b"):
        tip = trunk
        for _ in range(5):
            tip = chain.grow(tip, label)
        tips.append(tip)
    for tip in tips:
        for ref in chain.line(tip):
            chain.check(ref)
    chain.flatten(ref_of(3, "a"))
    assert chain.store.has(tips[0].hash)
    assert not chain.store.has(tips[1].hash)
    assert not chain.store.has(ref_of(3, "b").hash)
    for ref in chain.line(tips[0]):
        chain.check(ref)


def test_a_dropped_layer_takes_with_it_what_lies_on_it(chain):
    one = chain.grow(GENESIS, "main")
    two = chain.grow(one, "main")
    side = chain.grow(GENESIS, "side")
    chain.store.drop(one.hash)
    assert [chain.store.has(ref.hash) for ref in (GENESIS, one, two, side)] == [True, False, False, True]


@pytest.mark.parametrize(
    ("layers", "bases"), [(0, [*range(1, 13)]), (1, [*range(1, 12)]), (4, [2, 4, 6, 8]), (8, [3, 6])]
)
def test_the_base_follows_the_head_at_the_distance_set(layers, bases):
    chain = Chain(MemoryKV(), random.Random(3), StorageSettings(state_layers_max=layers))
    ref, moved = GENESIS, []
    for _ in range(12):
        ref = chain.grow(ref, "main")
        target = chain.store.overdue(ref.hash)
        if target is not None:
            chain.flatten(target)
            moved.append(target.number)
    assert moved == bases


# --- views


def test_a_view_is_fixed_while_the_base_moves_over_it_and_back():
    chain = Chain(MemoryKV(), random.Random(4))
    refs = [GENESIS]
    for _ in range(6):
        refs.append(chain.grow(refs[-1], "main"))
    chain.flatten(refs[3])
    views = {ref: chain.store.view(ref.hash) for ref in refs}
    chain.flatten(refs[6], prune=3)
    chain.flatten(chain.grow(refs[6], "main"), prune=5)
    chain.unwind(refs[5])
    for ref, view in views.items():
        chain.models[ref].check_view(view)


def test_what_is_not_kept_is_named():
    chain = Chain(MemoryKV(), random.Random(5))
    ref = GENESIS
    for _ in range(5):
        ref = chain.grow(ref, "main")
        chain.flatten(ref)
    side = ref_of(3, "never executed")
    chain.kv.write(chain.numbered(side), sync=True)
    chain.flatten(chain.grow(ref, "main"), prune=2)
    chain.flatten(chain.grow(ref_of(6, "main"), "main"))
    unknown = keccak256(b"nobody knows it")
    for block_hash, number in ((side.hash, 3), (ref_of(1, "main").hash, 1), (unknown, None)):
        with pytest.raises(StateUnavailable, match="oldest state kept is that of block #2") as refusal:
            chain.store.view(block_hash)
        assert refusal.value.number == number
        assert not chain.store.has(block_hash)
    assert [chain.store.has(ref_of(number, "main").hash) for number in range(1, 8)] == [False] + [True] * 6


def test_pruning_goes_in_steps():
    chain = Chain(MemoryKV(), random.Random(6))
    ref = GENESIS
    for _ in range(PRUNE_BLOCKS_MAX + 10):
        ref = chain.grow(ref, "main", written({1: ref.number + 1}))
        chain.flatten(ref)
    kept = []
    for _ in range(3):
        ref = chain.grow(ref, "main", written({1: ref.number + 1}))
        chain.flatten(ref, prune=PRUNE_BLOCKS_MAX + 8)
        kept.append(chain.store.oldest)
    assert kept == [PRUNE_BLOCKS_MAX, PRUNE_BLOCKS_MAX + 8, PRUNE_BLOCKS_MAX + 8]
    assert sum(key[:1] == b"K" for key in chain.state_rows()) == ref.number - kept[-1]


# --- damage


def test_a_store_without_a_state_says_so():
    store = StateStore(MemoryKV(), SETTINGS)
    with pytest.raises(StorageError, match="no state yet"):
        _ = store.base


def test_rows_that_do_not_have_the_root_are_found_at_the_next_block(chain):
    root_row = schema.ACCOUNT_NODE_PREFIX
    other = Chain(MemoryKV(), random.Random(99)).kv.get(root_row)
    chain.kv.write(Batch({root_row: other}), sync=True)
    chain.reopen()
    with pytest.raises(StorageError, match="the rows have the root"):
        chain.store.prepare(GENESIS.hash, written({1: 1}))


def test_a_missing_before_image_is_named(chain):
    ref = chain.grow(GENESIS, "main", written({1: 1}))
    chain.flatten(ref)
    key = schema.history_prefix(schema.account_key(CONTRACT)) + schema.number_bytes(1)
    chain.kv.write(Batch({key: None}), sync=True)
    with pytest.raises(
        StorageError, match=f"no before-image of the state row {schema.account_key(CONTRACT).hex()}"
    ):
        chain.store.unwind(Batch(), GENESIS)


def test_a_base_that_is_another_blocks_is_refused(chain):
    chain.kv.write(Batch({schema.STATE_BASE_KEY: schema.number_bytes(0) + keccak256(b"another")}), sync=True)
    with pytest.raises(StorageError, match="base"):
        StateStore(chain.kv, SETTINGS)
