"""What instructions do in C, they do in Python."""

import copy
from random import Random

import pytest

from node.execution.evm import operations
from node.execution.evm.halts import OutOfGas, WriteProtection
from node.execution.evm.schedule import schedule_of
from node.execution.evm.world import World
from node.native import has, kernels
from node.primitives.chain_spec import Fork
from node.primitives.ids import Address
from tests.execution.worlds import MemoryView

pytestmark = pytest.mark.skipif(not has("hash_of"), reason="there are no kernels here")

OWNERS = [Address(bytes([n]) * 20) for n in (1, 2)]
WORDS = [0, 1, 255, 256, 2**64, 2**255, 2**256 - 1]


def test_words_are_hashed_alike():
    random = Random(1)
    for count in range(9):
        for _ in range(50):
            words = [random.choice((*WORDS, random.getrandbits(256))) for _ in range(count)]
            assert kernels.hash_of(*words) == operations.hash_of_in_python(*words)
            assert kernels.word_bytes(tuple(words)) == operations.word_bytes_in_python(tuple(words))


def test_pairs_that_share_a_place_keep_their_own_hash():
    for _ in range(2):
        for key in range(5_000):
            assert kernels.hash_of(key, 1) == operations.hash_of_in_python(key, 1)


@pytest.mark.parametrize("wrong", [(2**256,), (-1,), (0,) * 9, ("0",), (None, 1)])
def test_what_is_no_word_is_refused(wrong):
    with pytest.raises((OverflowError, TypeError, ValueError)):
        kernels.hash_of(*wrong)


def test_words_are_read_alike_wherever_they_begin():
    for size in (0, 1, 31, 32, 33, 68, 100):
        data = bytes(range(1, size + 1))
        for offset in (*range(102), 2**31, 2**63 - 1, 2**63, 2**64, 2**256 - 1):
            assert kernels.word_at(data, offset) == operations.word_at_in_python(data, offset)


class Frame:
    """What SLOAD and SSTORE see of a frame."""

    def __init__(self, world: World, address: Address, gas: int, static: bool) -> None:
        self.world, self.address, self.gas, self.static = world, address, gas, static
        self.schedule = schedule_of(Fork.LONDON)


def a_world() -> World:
    view = MemoryView()
    for owner in OWNERS:
        view.put(owner, nonce=1, code=b"\x00", storage={0: 1, 1: 2, 2: 2**255})
    return World(view)


def after(world: World, sload, sstore, seed: int) -> list[object]:
    """All that can be seen of some accesses, and of the world after them."""
    random, seen = Random(seed), []
    accessed = world.record_accesses() if seed % 2 else set()
    for _ in range(4):
        world.begin_transaction()
        snapshots = []
        for _ in range(random.randrange(12)):
            gas = random.choice((0, 99, 100, 1_999, 2_000, 2_300, 2_301, 5_000, 22_100, 2**62, 2**64))
            frame = Frame(world, random.choice(OWNERS), gas, random.random() < 0.1)
            slot, value = random.choice((0, 1, 2, 3, 2**200)), random.choice((0, 0, 1, 2, 2**255))
            snapshots.append(world.snapshot())
            try:
                seen.append(sload(frame, slot) if random.random() < 0.4 else sstore(frame, slot, value))
            except (OutOfGas, WriteProtection) as halt:
                seen.append(halt.reason)
                world.revert(snapshots[-1])
            else:
                seen.append(frame.gas)
            if random.random() < 0.1:
                world.revert(random.choice(snapshots))
                snapshots.clear()
            seen.append((world.refund, copy.copy(world.warm), copy.copy(accessed), list(world._undo)))
    return [*seen, world.changes()]


def test_slots_are_read_and_written_alike():
    sload, sstore = operations.sload_in_python, operations.sstore_london_in_python
    for seed in range(600):
        expected = after(a_world(), sload, sstore, seed)
        assert after(a_world(), kernels.sload, kernels.sstore, seed) == expected
