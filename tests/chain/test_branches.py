"""Branches that win and lose, at any depth: layers switched, the base unwound, blocks executed late."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from node.chain.errors import BranchTooOld, InvalidBlock, KnownBadBlock, WrongOutcome
from node.chain.opening import Chain
from node.chain.state_keeper import LAYERS_PER_HEIGHT_MAX
from node.config.settings import StorageSettings
from node.primitives.block import Block
from node.primitives.crypto import PrivateKey
from node.primitives.ids import Hash32
from node.storage.kv import KeyValue
from node.storage.leveldb import LevelDB
from node.storage.memory import MemoryKV
from tests.chain.harness import ACCOUNTS, KEYS, ChainMaker, make_spec, random_transfers, seal, take

SIGNERS = KEYS[:5]
TOTAL_ORDER = {"phoenix": {}}


@pytest.fixture(params=["memory", "leveldb"])
def kv(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[KeyValue]:
    store: KeyValue = (
        MemoryKV() if request.param == "memory" else LevelDB.open(tmp_path / "db", StorageSettings())
    )
    yield store
    store.close()


class Fork:
    """A stem and two branches with transfers; the second, with more signers at work, is the heavier one."""

    def __init__(self, stem: int, mine: int, theirs: int, *, seed: int = 1) -> None:
        self.maker = ChainMaker(make_spec(SIGNERS, **TOTAL_ORDER))
        random = Random(seed)
        self.stem: list[Block] = []
        stem_nonces: dict[str, int] = {}
        for _ in range(stem):
            self.stem.append(self.maker.extend(random_transfers(random, stem_nonces, 2)))
        self.mine = self._grow(random, dict(stem_nonces), mine, light=True)
        self.theirs = self._grow(random, dict(stem_nonces), theirs, light=False)

    def _grow(self, random: Random, nonces: dict[str, int], count: int, *, light: bool) -> list[Block]:
        parent = self.stem[-1].header
        grown = []
        for _ in range(count):
            signer = self._out_of_turn(parent.hash, parent.number + 1) if light else None
            grown.append(self.maker.make(parent, random_transfers(random, nonces, 2), signer=signer))
            parent = grown[-1].header
        return grown

    def _out_of_turn(self, parent_hash: Hash32, number: int) -> PrivateKey:
        state = self.maker.reader.engine_state(parent_hash)
        return next(
            key
            for key in SIGNERS
            if state.last_signed(key.address) is None and state.distance(number, key.address) != 0
        )

    def resealed(self, blocks: list[Block], parent: Block, vanity: bytes = b"") -> list[Block]:
        """The same blocks on another parent, by the same signers; their outcome is not what they claim."""
        branch = [parent]
        for block in blocks:
            author = self.maker.rules.author(block.header)
            key = next(key for key in SIGNERS if key.address == author)
            extra = vanity.ljust(32, b"\0") + block.header.extra_data[32:]
            header = dataclasses.replace(block.header, parent_hash=branch[-1].hash, extra_data=extra)
            branch.append(seal(Block(header, block.body), key))
        return branch[1:]

    def node(self, kv: KeyValue, layers: int, history: int = 0) -> Chain:
        settings = StorageSettings(state_layers_max=layers, history_blocks=history)
        return self.maker.open(kv, settings)


def take_each(chain: Chain, blocks: list[Block]) -> None:
    """Import one by one, as gossip brings them."""
    for block in blocks:
        take(chain, [block])


def stands_at(chain: Chain, blocks: list[Block]) -> None:
    """Head, canonical rows, receipts and state are those of the blocks, and can be read back by a restart."""
    head = blocks[-1]
    assert chain.reader.head == head.header
    for block in blocks:
        assert chain.reader.canonical_hash(block.number) == block.hash
        receipts = chain.reader.receipts(block.hash)
        assert receipts is not None
        assert len(receipts) == len(block.transactions)
        for index, tx in enumerate(block.transactions):
            location = chain.reader.transaction_location(tx.hash)
            assert location is not None
            assert (location.block_hash, location.index) == (block.hash, index)
    assert chain.reader.canonical_hash(head.number + 1) is None
    chain.reader.state_at(head.hash)


@pytest.mark.parametrize(
    ("layers", "mine", "theirs"),
    [(16, 3, 4), (16, 5, 5), (2, 6, 6), (0, 4, 4), (1, 12, 11)],
    ids=["in layers", "all layers", "below the base", "no layers", "deep"],
)
def test_the_heavier_branch_wins_one_by_one(kv: KeyValue, layers: int, mine: int, theirs: int) -> None:
    fork = Fork(4, mine, theirs)
    chain = fork.node(kv, layers)
    for block in (*fork.stem, *fork.mine):
        take(chain, [block])
    stands_at(chain, [*fork.stem, *fork.mine])
    for block in fork.theirs:
        take(chain, [block])
    stands_at(chain, [*fork.stem, *fork.theirs])
    for gone in fork.mine:
        for tx in gone.transactions:
            location = chain.reader.transaction_location(tx.hash)
            assert location is None or chain.reader.canonical_hash(location.number) == location.block_hash


@pytest.mark.parametrize("layers", [16, 2, 0])
def test_the_heavier_branch_wins_as_a_run(kv: KeyValue, layers: int) -> None:
    fork = Fork(3, 6, 7)
    chain = fork.node(kv, layers)
    take(chain, [*fork.stem, *fork.mine])
    take(chain, fork.theirs)
    stands_at(chain, [*fork.stem, *fork.theirs])


def test_back_and_forth_below_the_base(kv: KeyValue) -> None:
    fork = Fork(2, 8, 6)
    chain = fork.node(kv, 1)
    take(chain, [*fork.stem, *fork.theirs])
    base = chain.state.base
    take(chain, fork.mine[:6])
    assert chain.reader.head == fork.theirs[-1].header, "lighter: stored, not executed"
    assert chain.reader.receipts(fork.mine[5].hash) is None
    assert chain.state.base == base
    parent = fork.mine[-1].header
    take(chain, fork.mine[6:])
    more = []
    while chain.reader.head.hash == fork.theirs[-1].hash:
        more.append(fork.maker.make(parent))
        parent = more[-1].header
        take(chain, more[-1:])
    stands_at(chain, [*fork.stem, *fork.mine, *more])
    parent = fork.theirs[-1].header
    again = []
    while chain.reader.head.hash == more[-1].hash:
        again.append(fork.maker.make(parent))
        parent = again[-1].header
        take(chain, again[-1:])
    stands_at(chain, [*fork.stem, *fork.theirs, *again])


@pytest.mark.parametrize("layers", [16, 1])
@pytest.mark.parametrize("broken", [0, 2, 5])
def test_a_branch_wins_only_as_far_as_it_is_valid(kv: KeyValue, layers: int, broken: int) -> None:
    fork = Fork(3, 5, 6)
    chain = fork.node(kv, layers)
    take(chain, [*fork.stem, *fork.mine])
    lie = fork.theirs[broken]
    key = next(key for key in SIGNERS if key.address == fork.maker.rules.author(lie.header))
    bad = seal(Block(dataclasses.replace(lie.header, state_root=Hash32(b"\x66" * 32)), lie.body), key)
    branch = [*fork.theirs[:broken], bad, *fork.resealed(fork.theirs[broken + 1 :], bad)]
    with pytest.raises(InvalidBlock) as caught:
        take_each(chain, branch)
    assert isinstance(caught.value, WrongOutcome | KnownBadBlock)
    # Five blocks out of turn weigh 5; five of the other branch, mostly in turn, have won before the sixth.
    stands_at(chain, [*fork.stem, *(fork.theirs[:5] if broken == 5 else fork.mine)])
    for block in branch[broken:]:
        assert chain.reader.header(block.hash) is None, "a bad block leaves nothing behind"
    with pytest.raises(KnownBadBlock):
        take(chain, [bad])
    take(chain, fork.theirs[broken:])
    stands_at(chain, [*fork.stem, *fork.theirs])


def test_a_branch_older_than_all_kept_state_is_refused_and_harms_nothing(kv: KeyValue) -> None:
    fork = Fork(2, 9, 8)
    chain = fork.node(kv, 1, history=3)
    take_each(chain, [*fork.stem, *fork.mine])
    assert chain.state.oldest > fork.stem[-1].number
    with pytest.raises(BranchTooOld, match="leaves our chain at #2; the oldest state kept is that of #7"):
        take_each(chain, fork.theirs)
    stands_at(chain, [*fork.stem, *fork.mine])
    assert chain.reader.header(fork.theirs[0].hash) is not None, "old is not bad"


def test_equal_weight_is_decided_by_the_network_s_rule() -> None:
    for config, moves in (({}, False), (TOTAL_ORDER, True)):
        maker = ChainMaker(make_spec(SIGNERS, **config))
        first = maker.make(maker.reader.genesis, signer=SIGNERS[2])
        second = maker.make(maker.reader.genesis, signer=SIGNERS[0], vanity=b"x")
        assert first.header.difficulty == second.header.difficulty == 1
        # EIP-3436: (1 - 2) mod 5 = 4 against (1 - 0) mod 5 = 1; the smaller wins.
        assert (maker.head.hash == second.hash) is moves


@pytest.mark.parametrize("layers", [16, 1])
def test_a_restart_in_the_middle_changes_nothing(layers: int) -> None:
    fork = Fork(5, 4, 6)
    kv = MemoryKV()
    chain = fork.node(kv, layers)
    for block in (*fork.stem, *fork.mine, *fork.theirs):
        before = chain.reader.head
        chain = fork.node(kv, layers)
        assert chain.reader.head == before
        take(chain, [block])
    stands_at(chain, [*fork.stem, *fork.theirs])


def test_a_state_that_stands_on_the_losing_branch_is_brought_back_at_the_start() -> None:
    """As a crash leaves it in the middle of a deep reorganisation: base moved, head not."""
    fork = Fork(3, 6, 6)
    kv = MemoryKV()
    chain = fork.node(kv, 0)
    take(chain, [*fork.stem, *fork.mine])
    take(chain, fork.theirs[:2])
    chain.ledger._states.ensure(fork.theirs[1].header)
    chain.ledger._states.move_base(fork.theirs[1].header)
    assert chain.state.base == fork.theirs[1].ref
    reopened = fork.node(kv, 0)
    stands_at(reopened, [*fork.stem, *fork.mine])
    assert reopened.state.base.number <= fork.mine[-1].number
    take(reopened, fork.theirs[2:])
    stands_at(reopened, [*fork.stem, *fork.theirs])


@pytest.mark.parametrize("seed", range(8))
def test_every_order_of_arrival_ends_at_the_same_head(seed: int) -> None:
    fork = Fork(3, 5, 5, seed=seed)
    random = Random(seed)
    chain = fork.node(MemoryKV(), random.choice([0, 1, 3, 16]))
    waiting = [[*fork.stem, *fork.mine], [*fork.stem, *fork.theirs]]
    while any(waiting):
        queue = random.choice([queue for queue in waiting if queue])
        block = queue.pop(0)
        if chain.reader.header(block.hash) is None:
            take(chain, [block])
    expected = fork.maker.head
    assert chain.reader.head == expected
    view, same = chain.reader.state_at(expected.hash), fork.maker.reader.state_at(expected.hash)
    for account in ACCOUNTS:
        address = bytes.fromhex(account.address[2:])
        assert view.account(address) == same.account(address)


def test_all_that_stands_on_a_bad_block_goes_with_it(kv: KeyValue) -> None:
    """Also branches that did not compete: a start would otherwise find a block without its parent."""
    fork = Fork(3, 9, 6)
    chain = fork.node(kv, 0)
    take(chain, [*fork.stem, *fork.mine[:5]])
    lie = fork.theirs[0]
    key = next(key for key in SIGNERS if key.address == fork.maker.rules.author(lie.header))
    bad = seal(Block(dataclasses.replace(lie.header, state_root=Hash32(b"\x66" * 32)), lie.body), key)
    twigs = [fork.resealed(fork.theirs[1:2], bad, vanity) for vanity in (b"one", b"two")]
    take(chain, [bad])
    for twig in twigs:
        take(chain, twig)
    assert chain.reader.header(twigs[0][-1].hash) is not None, "stored, and not executed"
    heavy = fork.resealed(fork.theirs[1:], bad, b"three")
    with pytest.raises(WrongOutcome):
        take(chain, heavy)
    for block in (bad, *twigs[0], *twigs[1], *heavy):
        assert chain.reader.header(block.hash) is None
    stands_at(fork.node(kv, 0), [*fork.stem, *fork.mine[:5]])


def test_rivals_without_number_are_stored_and_not_executed() -> None:
    maker = ChainMaker(make_spec(SIGNERS))
    stem = maker.extend()
    chain = maker.open()
    take(chain, [stem])
    rivals = [maker.unimported(stem.header, signer=KEYS[0], vanity=bytes([i])) for i in range(20)]
    for rival in rivals:
        take(chain, [rival])
    executed = [rival for rival in rivals if chain.reader.receipts(rival.hash) is not None]
    assert len(executed) == LAYERS_PER_HEIGHT_MAX
    assert all(chain.reader.header(rival.hash) is not None for rival in rivals)
    take(maker.chain, rivals[-1:])
    late = maker.make(rivals[-1].header, signer=KEYS[3])
    take(chain, [late])
    stands_at(chain, [stem, rivals[-1], late])


def test_blocks_beside_the_chain_are_forgotten_with_the_state_they_stand_on(kv: KeyValue) -> None:
    fork = Fork(2, 2, 12)
    chain = fork.node(kv, 1, history=4)
    take_each(chain, [*fork.stem, *fork.mine, *fork.theirs])
    stands_at(chain, [*fork.stem, *fork.theirs])
    assert chain.state.oldest > fork.mine[-1].number
    for gone in fork.mine:
        assert chain.reader.header(gone.hash) is None
        assert chain.reader.body(gone.hash) is None
    assert chain.reader.header(fork.theirs[0].hash) is not None
