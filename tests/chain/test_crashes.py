"""A crash at every write: the database opens, and nothing that was announced is lost."""

from random import Random

import pytest

from node.chain.opening import Chain
from node.config.settings import StorageSettings
from node.primitives.block import Block
from node.primitives.errors import StorageError
from node.primitives.ids import Hash32
from node.storage.memory import MemoryKV
from tests.chain.harness import ACCOUNTS, ChainMaker, take
from tests.chain.test_branches import Fork, stands_at


class Life:
    """One life of a node: takes blocks in until its disk fails, and remembers what it announced."""

    def __init__(self, fork: Fork, kv: MemoryKV, layers: int) -> None:
        self.kv = kv
        self.settings = StorageSettings(state_layers_max=layers, history_blocks=0)
        self.chain: Chain = fork.maker.open(kv, self.settings)
        self.announced = [self.chain.reader.head.hash]

    def live(self, steps: list[list[Block]]) -> bool:
        """Whether all steps went through."""
        for run in steps:
            unknown = [block for block in run if self.chain.reader.header(block.hash) is None]
            if not unknown:
                continue
            try:
                take(self.chain, unknown)
            except StorageError:
                return False
            self.announced.append(self.chain.reader.head.hash)
        return True


def check(maker: ChainMaker, chain: Chain, announced: list[Hash32]) -> None:
    """The head is the one announced last or a better one, and its state is what the maker has there."""
    head = chain.reader.head
    assert all(chain.reader.header(block_hash) is not None for block_hash in announced)
    last = chain.reader.total_difficulty(announced[-1])
    found = chain.reader.total_difficulty(head.hash)
    assert last is not None
    assert found is not None
    assert found >= last
    view, same = chain.reader.state_at(head.hash), maker.reader.state_at(head.hash)
    for account in ACCOUNTS:
        address = bytes.fromhex(account.address[2:])
        assert view.account(address) == same.account(address)


def writes_of(fork: Fork, steps: list[list[Block]], layers: int) -> int:
    class Counting(MemoryKV):
        writes = 0

        def write(self, batch, *, sync):
            self.writes += 1
            super().write(batch, sync=sync)

    kv = Counting()
    life = Life(fork, kv, layers)
    kv.writes = 0
    assert life.live(steps)
    return kv.writes


@pytest.mark.parametrize("layers", [0, 2, 16])
@pytest.mark.parametrize("shape", ["one by one", "runs"])
def test_a_crash_at_any_write_loses_nothing_announced(layers: int, shape: str) -> None:
    fork = Fork(4, 5, 6)
    blocks = [*fork.stem, *fork.mine, *fork.theirs]
    if shape == "runs":
        # The third run makes an unexecuted branch win, below the base.
        steps = [[*fork.stem, *fork.mine], fork.theirs[:2], fork.theirs[2:]]
    else:
        steps = [[block] for block in blocks]
    total = writes_of(fork, steps, layers)
    for crash_at in range(total):
        random = Random(crash_at)
        life = Life(fork, MemoryKV(), layers)
        life.kv.fail_after(crash_at)
        assert not life.live(steps)
        reborn = Life(fork, life.kv.after_crash(random), layers)
        check(fork.maker, reborn.chain, life.announced)
        assert reborn.live(steps)
        stands_at(reborn.chain, [*fork.stem, *fork.theirs])


@pytest.mark.parametrize("seed", range(6))
def test_many_crashes_in_a_row_come_to_the_same_end(seed: int) -> None:
    random = Random(seed)
    fork = Fork(4, 6, 6, seed=seed)
    steps = [[block] for block in (*fork.stem, *fork.mine, *fork.theirs)]
    kv = MemoryKV()
    announced: list[Hash32] = []
    for _ in range(60):
        layers = random.choice([0, 1, 3, 16])
        # Reading what is there again may write too; a disk that fails at the start is a crash like any other.
        try:
            life = Life(fork, kv, layers)
        except StorageError:
            kv = kv.after_crash(random)
            continue
        if announced:
            check(fork.maker, life.chain, announced)
        life.kv.fail_after(random.randrange(6))
        done = life.live(steps)
        announced = life.announced
        kv = life.kv.after_crash(random)
        if done:
            break
    stands_at(Life(fork, kv, 16).chain, [*fork.stem, *fork.theirs])


def test_a_clean_end_leaves_nothing_to_do_for_the_next_start() -> None:
    fork = Fork(4, 5, 6)
    life = Life(fork, MemoryKV(), 16)
    assert life.live([[*fork.stem, *fork.theirs]])
    assert life.chain.state.base.number == 0
    life.chain.ledger.close()
    life.kv.fail_after(0)  # any write would fail
    again = Life(fork, MemoryKV(life.kv._durable), 16)
    assert again.chain.state.base == fork.theirs[-1].ref
    stands_at(again.chain, [*fork.stem, *fork.theirs])
