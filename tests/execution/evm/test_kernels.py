"""What instructions do in C, they do in Python."""

import copy
from random import Random

import pytest

from node.execution.evm import interpret, operations
from node.execution.evm.current import Accounts, grow_in_python
from node.execution.evm.frame import Frame, TransactionEnvironment
from node.execution.evm.halts import Halt, OutOfGas, StackOverflow, WriteProtection
from node.execution.evm.program import Program, ProgramCache
from node.execution.evm.schedule import schedule_of
from node.execution.evm.world import World
from node.native import kernels
from node.primitives.chain_spec import Fork
from node.primitives.ids import Address
from node.primitives.state import EMPTY_ACCOUNT, Account
from tests.execution.worlds import MemoryView

pytestmark = pytest.mark.skipif(kernels is None, reason="there are no kernels here")

OWNERS = [Address(bytes([n]) * 20) for n in (1, 2)]
WORDS = [0, 1, 255, 256, 2**64, 2**255, 2**256 - 1]


def test_words_are_hashed_alike():
    random = Random(1)
    for count in range(9):
        for _ in range(50):
            words = [random.choice((*WORDS, random.getrandbits(256))) for _ in range(count)]
            assert kernels.hash_of(*words) == operations.hash_of_in_python(*words)
            assert kernels.word_bytes(tuple(words)) == operations.word_bytes_in_python(tuple(words))


def test_numbers_and_bytes_become_each_other_alike():
    random = Random(2)
    numbers = [2**bits + more for bits in range(256) for more in (-1, 0, 1)]
    for number in (*numbers, *(random.getrandbits(random.randrange(257)) for _ in range(2_000)), True):
        data = number.to_bytes(32, "big")
        assert kernels.bytes_of(number) == operations.bytes_of_in_python(number) == data
        assert kernels.word_of(data) == kernels.word_of(bytearray(data)) == operations.word_of_in_python(data)
    for size in range(33):
        data = random.randbytes(size)
        assert kernels.word_of(data) == operations.word_of_in_python(data)
        for zeros in range(size):
            assert kernels.word_of(bytes(zeros) + data[zeros:]) == int.from_bytes(data[zeros:], "big")
    for wrong in (-1, 2**256, 2**256 + 1, 2**300, -(2**256)):
        with pytest.raises(OverflowError):
            kernels.bytes_of(wrong)
    for wrong in (bytes(33), "0", None):
        with pytest.raises((TypeError, ValueError)):
            kernels.word_of(wrong)


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


def a_frame(world: World, ran: Program, address: Address, gas: int, static: bool = False) -> Frame:
    """A call of OWNERS[1] to an address, about to run."""
    environment = TransactionEnvironment(OWNERS[1], 2, lambda: None)
    return Frame(
        world, schedule_of(Fork.LONDON), None, environment, ran, address, OWNERS[1], 0, b"data", gas, 0,
        static, world.snapshot(),
    )  # fmt: skip


def a_world() -> World:
    view = MemoryView()
    for owner in OWNERS:
        view.put(owner, nonce=1, code=b"\x00", storage={0: 1, 1: 2, 2: 2**255})
    return World(view)


def after(world: World, sload, sstore, seed: int) -> list[object]:
    """All that can be seen of some accesses, and of the world after them."""
    random, seen = Random(seed), []
    stop = Program(b"", ProgramCache(Fork.LONDON))
    accessed = world.record_accesses() if seed % 2 else set()
    for _ in range(4):
        world.begin_transaction()
        snapshots = []
        for _ in range(random.randrange(12)):
            gas = random.choice((0, 99, 100, 1_999, 2_000, 2_300, 2_301, 5_000, 22_100, 2**62, 2**64))
            frame = a_frame(world, stop, random.choice(OWNERS), gas, random.random() < 0.1)
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


def test_accounts_grow_alike():
    there = Account(5, 2**100, b"h" * 32)
    for account in (None, EMPTY_ACCOUNT, there):
        for nonces, wei in ((0, 0), (1, -3), (0, 2**70), (2**64, -(2**100))):
            seen = []
            for form in (grow_in_python, kernels.grow_account):
                accounts = Accounts({OWNERS[0]: account}.__getitem__)
                seen.append(
                    (form(accounts, OWNERS[0], nonces, wei, EMPTY_ACCOUNT), dict(accounts), accounts.before)
                )
                assert type(accounts[OWNERS[0]]) is Account
            assert seen[0] == seen[1]
            assert seen[1][0] is account
    for wrong in (
        ({}, b"", 0, 0, ()),
        ({b"": 1}, b"", 0, 0, there),
        ({b"": there}, b"", "", 0, there),
        ({}, 0),
    ):
        with pytest.raises(TypeError):
            kernels.grow_account(*wrong)
    with pytest.raises(KeyError):
        kernels.grow_account({}, b"", 0, 0, there)


STACKS = [[], [1], [0, 5, 2**255], [2**256 - 1, 2**64, 32, 7, 1, 0, 255, 256]]
PARTS = [
    *(bytes((byte,)) for byte in (*range(0x08), *range(0x10, 0x1E), 0x20, 0x35, 0x50, 0x51, 0x52, 0x53)),
    *(
        bytes((byte,))
        for byte in (0x58, 0x59, 0x5A, 0x5B, 0x5B, 0x80, 0x81, 0x83, 0x90, 0x91, 0x93, 0x0C, 0xFE)
    ),
    *(
        bytes((0x60 + len(word) - 1,)) + word
        for word in (b"\x00", b"\x05", b"\x20", b"\x01\x00", b"\xff" * 32)
    ),
    *(bytes((0x60, place, opcode)) for place in (0, 4, 9, 33) for opcode in (0x51, 0x52, 0x56, 0x57)),
]


def a_cold_program(random: Random) -> bytes:
    """Instructions that are done in C and such that are not, of small programs with jumps to and fro."""
    return b"".join([b"\x5b", *(random.choice(PARTS) for _ in range(random.randrange(1, 24)))])


def a_run(form, code: bytes, stack: list[int], gas: int, memory: bytes, hot_runs: int) -> list[object]:
    """All that can be seen of three runs of cold code, one after the other, as long as the gas lasts."""
    ran, seen = Program(code, ProgramCache(Fork.LONDON)), []
    ran.hot_runs, ran.few_runs = hot_runs, min(4, hot_runs)
    for _ in range(3):
        frame = a_frame(a_world(), ran, OWNERS[0], gas)
        frame.stack += stack
        frame.memory += memory
        try:
            step = form(ran, 0, frame.stack, frame)
        except Halt as halt:
            seen.append(type(halt))
        else:
            # Where code jumps without end, it is left now and then.
            seen.append((step and step._pc, frame.gas, list(frame.stack), bytes(frame.memory), frame.output))
        seen.append((bytes(ran.arrivals), {pc: block.runs for pc, block in ran.jumps.items()}))
    return seen


def test_cold_code_runs_alike():
    random = Random(5)
    for _ in range(4_000):
        code, stack = a_cold_program(random), random.choice(STACKS)
        gas = random.choice((0, 3, 20, 60, 1_000, 100_000, 2**63 - 1, 2**64))
        memory, hot_runs = bytes(random.choice((0, 32, 96))), random.choice((1, 3, 100))
        ran = [
            a_run(form, code, stack, gas, memory, hot_runs)
            for form in (interpret.interpret_in_python, kernels.interpret)
        ]
        assert ran[0] == ran[1], code.hex()


def test_a_full_stack_is_seen_in_cold_code():
    for code in (b"\x58", b"\x60\x01", b"\x80", b"\x5b\x5b\x58"):
        for items in (1_023, 1_024):
            ran = [
                a_run(form, code, [7] * items, 100, b"", 3)
                for form in (interpret.interpret_in_python, kernels.interpret)
            ]
            assert ran[0] == ran[1]
            assert (ran[0][0] is StackOverflow) == (items == 1_024)


def test_what_is_no_cold_code_is_refused():
    ran = Program(b"\x5b", ProgramCache(Fork.LONDON))
    with pytest.raises((TypeError, ValueError, AttributeError)):
        kernels.interpret(ran, 0, (), None)
    with pytest.raises((TypeError, ValueError, AttributeError)):
        kernels.interpret(None, 0, [], a_frame(a_world(), ran, OWNERS[0], 1))
    with pytest.raises((TypeError, ValueError)):
        kernels.interpret(ran, -1, [], None)
    with pytest.raises(TypeError):
        kernels.interpret(ran)
