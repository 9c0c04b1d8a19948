"""A swarm of small random programs, counted by the million: two executors, one block of many programs each.

    python -m tests swarm -- --cases 1000000                       on all cores, from a seed that is printed
    python -m tests swarm -- --cases 1 --seed 1a2b --first 77      that batch again

A case is one call of a random program with some gas. A few transactions call a batch of programs several
times each; after each call they log whether it succeeded, the gas that is left and a hash of what came back,
so that both executors are compared call by call, and then by receipts and state. What differs is shrunk, call
by call and instruction by instruction, and printed. A seed and a number are a batch. `test_differential` has
deeper cases, made by hypothesis; here they are many.
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import NamedTuple

from node.execution.evm import program
from node.execution.evm.executor import FastExecutor
from node.execution.executor import BlockOutcome, Executor
from node.execution.py_evm import PyEvmExecutor
from node.primitives.chain_spec import Fork
from node.primitives.ids import Address, Hash32
from node.primitives.transaction import TransactionType
from tests.execution.builders import KEY, context, signed
from tests.execution.evm.breeding import PROGRAMS, Part, a_program, code_of, push, run
from tests.execution.worlds import MemoryView

CALLS = 4
"""Of each program: what is compiled, and what is warm, differs from one to the next."""
TRANSACTIONS_MAX = 3
GAS = 30_000_000
"""Of each transaction."""
DRIVER = Address(b"\xdd" * 20)
FORKS = tuple(fork for fork in Fork if fork >= Fork.BYZANTIUM)
REFERENCE = PyEvmExecutor()


class Case(NamedTuple):
    """One call."""

    program: int
    gas: int
    value: int


@dataclass(frozen=True)
class Batch:
    """Programs as lists of parts, who calls them in each transaction, and what they run under."""

    fork: Fork
    programs: tuple[tuple[Part, ...], ...]
    transactions: tuple[tuple[Case, ...], ...]
    listed: tuple[tuple[Address, tuple[Hash32, ...]], ...]
    data: bytes
    hot_runs: int

    @property
    def cases(self) -> int:
        """How many calls it is."""
        return sum(map(len, self.transactions))


def address_of(index: int) -> Address:
    """Where a program lies."""
    return Address((0x1000 + index).to_bytes(20, "big"))


def some_gas(random: Random) -> int:
    """Mostly too little for something, sometimes enough for a creation."""
    kind = random.random()
    if kind < 0.25:
        return random.randrange(1_500)
    return random.randrange(1_500, 12_000) if kind < 0.6 else 30_000 if kind < 0.9 else 100_000


def a_batch(seed: str, number: int) -> Batch:
    """The batch of a seed and a number."""
    random = Random(f"{seed}/{number}")
    fork = random.choice((Fork.LONDON, Fork.LONDON, Fork.LONDON, *FORKS))
    calls = [index for index in range(PROGRAMS) for _ in range(CALLS)]
    if number % 2:
        random.shuffle(calls)
    cases = [Case(index, some_gas(random), random.choice((0, 0, 0, 1))) for index in calls]
    count = random.randint(1, TRANSACTIONS_MAX)
    size = -(-len(cases) // count)
    slots = tuple(Hash32(slot.to_bytes(32, "big")) for slot in range(2))
    return Batch(
        fork=fork,
        programs=tuple(a_program(random, fork) for _ in range(PROGRAMS)),
        transactions=tuple(tuple(cases[place : place + size]) for place in range(0, len(cases), size)),
        listed=tuple(
            (address_of(random.randrange(PROGRAMS)), random.choice(((), slots[:1], slots)))
            for _ in range(random.choice((0, 0, 5)))
        ),
        data=random.randbytes(random.choice((0, 4, 36, 68))),
        hot_runs={0: 0, 1: 2}.get(number % 8, program.HOT_RUNS),
    )


DATA_ROOM = 96
"""Calldata of the driver: what it hands on, in so many bytes, then a word for each call."""


def calldata(batch: Batch, cases: tuple[Case, ...]) -> bytes:
    """What tells the driver whom to call."""
    told = b"".join((gas << 64 | index << 8 | value).to_bytes(32, "big") for index, gas, value in cases)
    return batch.data.ljust(DATA_ROOM, b"\0") + told


def driver(batch: Batch) -> bytes:
    """Makes the calls of its calldata and logs what came of each; on the stack: where it is, and the word."""
    before = run(0x37, 0x400, 0, len(batch.data)) + push(DATA_ROOM)
    code = b"\x5b\x80\x35" + push(0) + push(0) + push(len(batch.data)) + push(0x400)
    code += b"\x84" + push(1) + b"\x16"  # value
    code += push(1 << 8) + b"\x86\x04" + push(0xFFFF) + b"\x16" + push(0x1000) + b"\x01"  # to
    code += push(1 << 64) + b"\x87\x04\xf1"
    code += push(0x20) + b"\x52\x5a" + push(0x40) + b"\x52"
    code += b"\x3d" + push(0) + push(0x500) + b"\x3e"
    code += b"\x3d" + push(0x500) + b"\x20" + push(0x60) + b"\x52" + run(0xA0, 0x20, 0x60)
    code += b"\x50" + push(32) + b"\x01\x36\x81\x10" + push(len(before)) + b"\x57\x00"
    return before + code


def outcome(executor: Executor, batch: Batch) -> BlockOutcome:
    """What the block with the transactions comes to."""
    view = MemoryView()
    view.put(KEY.address, 10**20)
    view.put(DRIVER, balance=10**9, nonce=1, code=driver(batch))
    for index, parts in enumerate(batch.programs):
        view.put(address_of(index), balance=7, nonce=1, code=code_of(parts), storage={0: 1, 1: 2**200})
    room = GAS * len(batch.transactions)
    session = executor.begin(context(batch.fork, number=300, gas_limit=room), view)
    kind = TransactionType.ACCESS_LIST if batch.fork >= Fork.BERLIN else TransactionType.LEGACY
    listed = batch.listed if batch.fork >= Fork.BERLIN else ()
    for nonce, cases in enumerate(batch.transactions):
        data = calldata(batch, cases)
        session.apply(signed(nonce=nonce, to=DRIVER, data=data, gas=GAS, kind=kind, access_list=listed))
    return session.finish()


def first_difference(batch: Batch) -> int | None:
    """The call by which the executors part, counted through; the last when they do only in the end."""
    before, program.HOT_RUNS = program.HOT_RUNS, batch.hot_runs  # type: ignore[misc]
    try:
        ours, theirs = outcome(FastExecutor(REFERENCE), batch), outcome(REFERENCE, batch)
    finally:
        program.HOT_RUNS = before  # type: ignore[misc]
    if ours == theirs:
        return None
    told = [
        [log for receipt in each.receipts for log in receipt.logs if log.address == DRIVER]
        for each in (ours, theirs)
    ]
    pairs = enumerate(zip(*told, strict=False))
    return next((place for place, (one, two) in pairs if one != two), batch.cases - 1)


def shrunk(batch: Batch) -> Batch:
    """As few calls and parts as still differ: the call that differs by itself if it does, then bisected."""
    place = first_difference(batch)
    assert place is not None
    only = without_calls(without_calls(batch, place + 1, batch.cases), 0, place)
    if first_difference(only) is not None:
        batch = only
    if first_difference(replace(batch, listed=())) is not None:
        batch = replace(batch, listed=())
    while True:
        smaller = _reduced(batch, without_parts, lambda each: sum(map(len, each.programs)))
        smaller = _reduced(smaller, without_calls, lambda each: each.cases)
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
            if candidate.cases and first_difference(candidate) is not None:
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


def without_parts(batch: Batch, first: int, size: int) -> Batch:
    """Without so many parts of programs from one on, counted through."""
    left, place = [], 0
    for parts in batch.programs:
        left.append(tuple(part for at, part in enumerate(parts, place) if not first <= at < first + size))
        place += len(parts)
    return replace(batch, programs=tuple(left))


def described(batch: Batch) -> str:
    """For people: every program that is left, and the calls."""
    lines = [f"{batch.fork.name}, hot after {batch.hot_runs} runs, data {batch.data.hex() or 'none'}"]
    lines += [f"  listed: {address.hex()} {len(slots)} slots" for address, slots in batch.listed]
    for index, parts in enumerate(batch.programs):
        if parts:
            lines.append(f"  {address_of(index).hex()[-4:]}: {code_of(parts).hex()}")
    for cases in batch.transactions:
        calls = (f"{address_of(index).hex()[-4:]} gas {gas} value {value}" for index, gas, value in cases)
        lines.append(f"  transaction calls {'; '.join(calls)}")
    return "\n".join(lines)


def compare(seed: str, cases: int, until_s: float, first: int = 0, step: int = 1) -> tuple[int, str]:
    """Run batches number first, first + step, ...: how many cases, and what differs, in words."""
    done, number = 0, first
    while done < cases and time.monotonic() < until_s:
        batch = a_batch(seed, number)
        if first_difference(batch) is not None:
            return done, f"batch {number} of seed {seed}:\n{described(shrunk(batch))}"
        done += batch.cases
        number += step
    return done, ""


def _share(job: tuple[str, int, float, int, int]) -> tuple[int, str]:
    return compare(*job)


def main(arguments: list[str]) -> int:
    """Run it on all cores; 1 when something differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=1_000_000, help="calls to compare")
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
