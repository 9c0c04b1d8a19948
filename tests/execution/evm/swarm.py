"""A swarm of small random programs, counted by the million: two executors, one block of many programs each.

    python -m tests swarm -- --cases 1000000                       on all cores, from a seed that is printed
    python -m tests swarm -- --cases 1 --seed 1a2b --first 77      that batch again

A random program is called with some gas, value and data, on what the calls before left of the state. That is
four cases: our executor makes the call as it does by default, mostly interpreting; with blocks compiled
early, while the calls run; by what that run left compiled, as a node comes to the same contracts block after
block; and so again, watched as for a replica's index. py-evm says what is right. A few transactions call each
program of a batch some two dozen times; after each call they log whether it succeeded, the gas that is left
and all that came back, so that outcomes are compared call by call, then by receipts and state. What differs
is shrunk, call by call and instruction by instruction, and printed. A seed and a number are a batch.
`test_differential` has deeper cases, made by hypothesis; here they are many.

What a case costs is py-evm's call of a contract and its instructions. So the calls are made for it
(`driving`), each answer is held against four runs of ours, programs that run in circles mostly get little
gas, and what is compiled is run often enough to be worth it.
"""

import argparse
import gc
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from random import Random
from typing import NamedTuple, TypeAlias

from node.execution.evm import program
from node.execution.evm.executor import FastExecutor
from node.execution.evm.session import FastSession
from node.execution.evm.watching import WatchedWorld
from node.execution.executor import BlockContext, BlockOutcome, BlockSession, Executor, execute_block
from node.execution.py_evm import PyEvmExecutor
from node.primitives.chain_spec import Fork
from node.primitives.ids import Address, Hash32
from node.primitives.state import StateView
from node.primitives.transaction import Transaction, TransactionType
from tests.execution.builders import KEY, context, signed
from tests.execution.evm.breeding import PROGRAMS, Part, a_program, circles, code_of, word
from tests.execution.evm.driving import DATA_ROOM, DRIVER, DrivenPyEvm, driver
from tests.execution.worlds import MemoryView

CALLS = 28
"""Of each program: what is compiled, and what is warm, differs from one to the next. Compiling must pay."""
RUNS = 4
"""Of ours, for each call."""
TRANSACTIONS_MAX = 3
GAS = 400_000_000
"""Of each transaction: more than all its calls are given."""
CIRCLES_GAS = 2_500
"""Mostly the most for a program that may run in circles, which costs as much as dozens of others."""
SIZES = (0, 0, 4, 36, 68, -1)
"""Of a call's data; -1 is any below 128."""
FORKS = tuple(fork for fork in Fork if fork >= Fork.BYZANTIUM)
REFERENCE = PyEvmExecutor()
DRIVEN = DrivenPyEvm()
"""The same where all transactions reach the driver."""


Block: TypeAlias = tuple[BlockContext, MemoryView, list[Transaction]]


class Case(NamedTuple):
    """One call."""

    program: int
    gas: int
    value: int = 0
    size: int = 0
    """Bytes of data that it is sent, from as far into the batch's data: below 128."""


@dataclass(frozen=True)
class Batch:
    """Programs as lists of parts, who calls them in each transaction, and what they run under."""

    fork: Fork
    programs: tuple[tuple[Part, ...], ...]
    transactions: tuple[tuple[Case, ...], ...]
    listed: tuple[tuple[Address, tuple[Hash32, ...]], ...]
    data: bytes
    hot_runs: int
    """After which our blocks are compiled."""
    times: int = 1
    """That the block is run by one executor; the third time it is watched."""

    @property
    def calls(self) -> int:
        """How many."""
        return sum(map(len, self.transactions))


def address_of(index: int) -> Address:
    """Where a program lies."""
    return Address((0x1000 + index).to_bytes(20, "big"))


def some_gas(random: Random) -> int:
    """Mostly too little for something, sometimes enough for a creation."""
    kind, share = random.random(), random.random()
    if kind < 0.35:
        return int(share * (300 if kind < 0.2 else 1_500))
    return 1_500 + int(share * 10_500) if kind < 0.65 else 30_000 if kind < 0.9 else 100_000


def a_case(random: Random, index: int, slow: bool) -> Case:
    """A call of a program."""
    gas = some_gas(random)
    if slow and random.random() < 0.97:
        gas = min(gas, int(random.random() * CIRCLES_GAS))
    size = SIZES[int(random.random() * 6)]
    if size < 0:
        size = int(random.random() * 128)
    return Case(index, gas, int(random.random() < 0.25), size)


def a_batch(seed: str, number: int) -> Batch:
    """The batch of a seed and a number."""
    random = Random(f"{seed}/{number}")
    fork = random.choice((Fork.LONDON, Fork.LONDON, Fork.LONDON, *FORKS))
    programs = tuple(a_program(random, fork) for _ in range(PROGRAMS))
    called = [index for index in range(PROGRAMS) for _ in range(CALLS)]
    if random.random() < 0.5:
        random.shuffle(called)
    slow = [circles(parts) for parts in programs]
    cases = [a_case(random, index, slow[index]) for index in called]
    size = -(-len(cases) // random.randint(1, TRANSACTIONS_MAX))
    slots = tuple(Hash32(slot.to_bytes(32, "big")) for slot in range(2))
    return Batch(
        fork=fork,
        programs=programs,
        transactions=tuple(tuple(cases[place : place + size]) for place in range(0, len(cases), size)),
        listed=tuple(
            (address_of(random.randrange(PROGRAMS)), random.choice(((), slots[:1], slots)))
            for _ in range(random.choice((0, 0, 5)))
        ),
        data=b"".join(word(random).to_bytes(32, "big") for _ in range(DATA_ROOM // 32)),
        hot_runs=random.choice((0, 2)),
        times=RUNS - 1,
    )


def calldata(batch: Batch, cases: tuple[Case, ...]) -> bytes:
    """What tells the driver whom to call."""
    told = b"".join(
        (gas << 176 | size << 168 | value << 160 | 0x1000 + index).to_bytes(32, "big")
        for index, gas, value, size in cases
    )
    return batch.data.ljust(DATA_ROOM, b"\0") + told


def block_of(batch: Batch) -> Block:
    """A block with the transactions, and the state before it."""
    view = MemoryView()
    view.put(KEY.address, 10**20)
    view.put(DRIVER, balance=10**9, nonce=1, code=driver())
    for index, parts in enumerate(batch.programs):
        view.put(address_of(index), balance=7, nonce=1, code=code_of(parts), storage={0: 1, 1: 2**200})
    room = GAS * len(batch.transactions)
    kind = TransactionType.ACCESS_LIST if batch.fork >= Fork.BERLIN else TransactionType.LEGACY
    listed = batch.listed if batch.fork >= Fork.BERLIN else ()
    transactions = [
        signed(nonce=nonce, to=DRIVER, data=calldata(batch, cases), gas=GAS, kind=kind, access_list=listed)
        for nonce, cases in enumerate(batch.transactions)
    ]
    return context(batch.fork, number=300, gas_limit=room), view, transactions


def outcome(executor: Executor, batch: Batch) -> BlockOutcome:
    """What the block with the transactions comes to."""
    return execute_block(executor, *block_of(batch))


class Watched(FastExecutor):
    """Runs blocks by what another has compiled, and notes what moves inside transactions."""

    def __init__(self, other: FastExecutor) -> None:
        super().__init__(other._given)
        self._programs = other._programs

    def begin(self, context: BlockContext, parent: StateView) -> BlockSession:
        """Start a block on top of `parent`."""
        return FastSession(context, parent, self._programs_of(context.fork), WatchedWorld(parent))


def as_ours(block: Block, batch: Batch) -> list[BlockOutcome]:
    """What ours makes of the block each time, its own blocks compiled as the batch says."""
    before, program.HOT_RUNS = program.HOT_RUNS, batch.hot_runs  # type: ignore[misc]
    try:
        ours = FastExecutor(REFERENCE)
        each = (ours, ours, Watched(ours))
        return [execute_block(executor, *block) for executor in each[: batch.times]]
    finally:
        program.HOT_RUNS = before  # type: ignore[misc]


def parted(batch: Batch) -> Batch | None:
    """Compiled as the batch says or as by default, where the executors part; None where they never do."""
    block = block_of(batch)
    theirs = execute_block(DRIVEN, *block)
    assert all(receipt.succeeded for receipt in theirs.receipts), "the driver could not make all calls"
    each = (batch, replace(batch, hot_runs=program.HOT_RUNS, times=1))
    return next((one for one in each if any(ours != theirs for ours in as_ours(block, one))), None)


def first_difference(batch: Batch) -> int | None:
    """The call by which the executors part, counted through; the last when they do only in the end."""
    block = block_of(batch)
    theirs = execute_block(DRIVEN, *block)
    ours = next((each for each in as_ours(block, batch) if each != theirs), None)
    if ours is None:
        return None
    told = [
        [log for receipt in each.receipts for log in receipt.logs if log.address == DRIVER]
        for each in (ours, theirs)
    ]
    pairs = enumerate(zip(*told, strict=False))
    return next((place for place, (one, two) in pairs if one != two), batch.calls - 1)


def shrunk(batch: Batch) -> Batch:
    """As few calls and parts as still differ: the call that differs by itself if it does, or with its
    program's calls before it, or with all before it; then bisected.
    """
    place = first_difference(batch)
    assert place is not None
    until = without_calls(batch, place + 1, batch.calls)
    called = until.transactions[-1][-1].program
    for fewer in (without_calls(until, 0, place), without_other_programs(until, called), until):
        if first_difference(fewer) is not None:
            batch = fewer
            break
    for simpler in ({"listed": ()}, {"times": 1}, {"times": 2}):
        fewer = replace(batch, **simpler)
        if fewer.times <= batch.times and first_difference(fewer) is not None:
            batch = fewer
    while True:
        smaller = _reduced(batch, without_calls, lambda each: each.calls)
        smaller = _reduced(smaller, without_parts, lambda each: sum(map(len, each.programs)))
        if smaller == batch:
            return batch
        batch = smaller


def _reduced(
    batch: Batch, without: Callable[[Batch, int, int], Batch], count: Callable[[Batch], int]
) -> Batch:
    """Take away halves, quarters and so on down to single things, as long as it still differs."""
    size = count(batch)
    while size:
        first = 0
        while first < count(batch):
            candidate = without(batch, first, size)
            if candidate.calls and first_difference(candidate) is not None:
                batch = candidate
            else:
                first += size
        size //= 2
    return batch


def without_calls(batch: Batch, first: int, size: int) -> Batch:
    """Without so many calls from one on, counted through; without transactions that have none left."""
    left, place = [], 0
    for cases in batch.transactions:
        kept = tuple(case for at, case in enumerate(cases, place) if not first <= at < first + size)
        place += len(cases)
        left += [kept] if kept else []
    return replace(batch, transactions=tuple(left))


def without_other_programs(batch: Batch, called: int) -> Batch:
    """With the calls of one program only; it may call others."""
    kept = (tuple(case for case in cases if case.program == called) for cases in batch.transactions)
    return replace(batch, transactions=tuple(filter(None, kept)))


def without_parts(batch: Batch, first: int, size: int) -> Batch:
    """Without so many parts of programs from one on, counted through."""
    left, place = [], 0
    for parts in batch.programs:
        left.append(tuple(part for at, part in enumerate(parts, place) if not first <= at < first + size))
        place += len(parts)
    return replace(batch, programs=tuple(left))


def described(batch: Batch) -> str:
    """For people: every program that is left, and the calls."""
    compiled = f"hot after {batch.hot_runs} runs" + ("", ", the second time", ", watched")[batch.times - 1]
    lines = [f"{batch.fork.name}, {compiled}, data {batch.data.hex() or 'none'}"]
    lines += [f"  listed: {address.hex()} {len(slots)} slots" for address, slots in batch.listed]
    for index, parts in enumerate(batch.programs):
        if parts:
            lines.append(f"  {address_of(index).hex()[-4:]}: {code_of(parts).hex()}")
    for cases in batch.transactions:
        calls = (
            f"{address_of(index).hex()[-4:]} gas {gas} value {value} data {size}"
            for index, gas, value, size in cases
        )
        lines.append(f"  transaction calls {'; '.join(calls)}")
    return "\n".join(lines)


def compare(seed: str, cases: int, until_s: float, first: int = 0, step: int = 1) -> tuple[int, str]:
    """Run batches number first, first + step, ...: how many cases, and what differs, in words."""
    done, number = 0, first
    while done < cases and time.monotonic() < until_s:
        batch = a_batch(seed, number)
        with _collecting_once():
            found = parted(batch)
        if found is not None:
            return done, f"batch {number} of seed {seed}:\n{described(shrunk(found))}"
        done += RUNS * batch.calls
        number += step
    return done, ""


@contextmanager
def _collecting_once() -> Iterator[None]:
    """What a failed call leaves behind is looked for when the batch is done, and nowhere else."""
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.collect()
        gc.unfreeze()


def _share(job: tuple[str, int, float, int, int]) -> tuple[int, str]:
    return compare(*job)


def main(arguments: list[str]) -> int:
    """Run it on all cores; 1 when something differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=1_000_000, help="four for each call")
    parser.add_argument("--first", type=int, default=0, help="number of the first batch")
    parser.add_argument("--seconds", type=float, default=1e9, help="at most so long")
    parser.add_argument("--seed", default=os.urandom(4).hex())
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args(arguments)
    write, started = sys.stdout.write, time.monotonic()
    write(f"seed {options.seed}\n")
    sys.stdout.flush()
    each, until = -(-options.cases // options.processes), started + options.seconds
    step = options.processes
    jobs = [(options.seed, each, until, options.first + share, step) for share in range(step)]
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        results = pool.map(_share, jobs)
    seconds = time.monotonic() - started
    write(f"{sum(count for count, _ in results):,} cases compared in {seconds:.0f} s\n")
    found = [words for _, words in results if words]
    write("".join(f"DIFFERENCE in {words}\n" for words in found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
