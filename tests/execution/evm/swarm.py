"""A swarm of small random programs, counted by the million: two executors, one block of many programs each.

    python -m tests swarm --cases 1000000            on all cores, from a seed that is printed
    python -m tests swarm --cases 1 --seed 1a2b      that batch again

One transaction calls a batch of programs one after the other; after each call it logs whether it succeeded,
the gas that is left and a hash of what came back, so that both executors are compared program by program,
and then by receipts and state. What differs is shrunk, instruction by instruction, and printed. A seed and a
number are a batch. `test_differential` has deeper cases, made by hypothesis; here they are many.
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from random import Random

from node.execution.evm import program
from node.execution.evm.executor import FastExecutor
from node.execution.evm.opcodes import instruction_set
from node.execution.executor import BlockOutcome, Executor
from node.execution.py_evm import PyEvmExecutor
from node.primitives.chain_spec import Fork
from node.primitives.ids import Address
from tests.execution.builders import KEY, context, signed
from tests.execution.worlds import MemoryView

PROGRAMS = 64
"""In a batch."""
DRIVER = Address(b"\xdd" * 20)
FORKS = tuple(fork for fork in Fork if fork >= Fork.BYZANTIUM)
EDGES = (0, 1, 2, 31, 32, 33, 255, 256, 2**31, 2**64 - 1, 2**255 - 1, 2**255, 2**256 - 1)
REFERENCE = PyEvmExecutor()

Part = bytes
"""Some instructions that stay together when a program is shrunk; a jump names the number of a part."""


@dataclass(frozen=True)
class Batch:
    """Programs as lists of parts, and what they run under."""

    fork: Fork
    programs: tuple[tuple[Part, ...], ...]
    gas: tuple[int, ...]
    values: tuple[int, ...]
    data: bytes
    hot_runs: int


def address_of(index: int) -> Address:
    """Where a program lies."""
    return Address((0x1000 + index).to_bytes(20, "big"))


def push(word: int) -> bytes:
    """The shortest PUSH."""
    raw = word.to_bytes(max(1, (word.bit_length() + 7) // 8), "big")
    return bytes((0x5F + len(raw),)) + raw


def word(random: Random) -> int:
    """Small, at an edge, or anything."""
    kind = random.random()
    if kind < 0.5:
        return random.randrange(300)
    return random.choice(EDGES) if kind < 0.8 else random.getrandbits(random.choice((64, 160, 256)))


def far(random: Random, near: int) -> int:
    """Mostly below `near`."""
    return word(random) if random.random() < 0.07 else random.randrange(near)


def run(opcode: int, *operands: int) -> bytes:
    """An instruction with its operands, the first of them on top."""
    return b"".join(push(each) for each in reversed(operands)) + bytes((opcode,))


def a_call(random: Random) -> bytes:
    """To another program of the batch, to a quick precompiled contract, or to nobody."""
    others = (1, 2, 3, 4, 5, 9, 0xEEEE)
    to = 0x1000 + random.randrange(PROGRAMS) if random.random() < 0.7 else random.choice(others)
    opcode = random.choice((0xF1, 0xF1, 0xF2, 0xF4, 0xFA))
    ranges = [random.randrange(100) for _ in range(4)]
    value = (random.choice((0, 0, 0, 1)),) if opcode in (0xF1, 0xF2) else ()
    return run(opcode, random.choice((0, 700, 5_000, 2**256 - 1)), to, *value, *ranges)


def a_creation(random: Random) -> bytes:
    """Of a few random bytes of init code, or of code that returns some."""
    returns = random.random() < 0.5
    init = run(0xF3, 0, random.randrange(40)) if returns else random.randbytes(random.randrange(8))
    store = run(0x52, 0, int.from_bytes(init.ljust(32, b"\0"), "big"))
    salt = (random.randrange(3),) if random.random() < 0.5 else ()
    return store + run(0xF5 if salt else 0xF0, random.choice((0, 0, 1)), 0, len(init), *salt)


MAKERS: tuple[tuple[int, Callable[[Random], bytes]], ...] = (
    (30, lambda r: run(r.choice((*range(1, 12), *range(0x10, 0x1E))), word(r), word(r), word(r))),
    (12, lambda r: push(word(r))),
    (14, lambda r: bytes((r.choice((*range(0x80, 0x88), *range(0x90, 0x98), 0x50)),))),
    (10, lambda r: bytes((r.choice((1, 2, 3, 4, 0x10, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19)),))),
    (8, lambda r: bytes((r.choice((*range(0x30, 0x4B), 0x58, 0x59, 0x5A, 0x5F)),))),
    (6, lambda r: run(r.choice((0x51, 0x52, 0x53)), far(r, 200), word(r))),
    (5, lambda r: run(r.choice((0x54, 0x5C)), r.randrange(3))),
    (9, lambda r: run(r.choice((0x55, 0x55, 0x5D)), r.randrange(3), r.choice((0, 1, 2, 2**200)))),
    (4, lambda r: run(r.choice((0x37, 0x39, 0x5E)), r.randrange(99), far(r, 99), r.randrange(99))),
    (1, lambda r: run(0x3E, r.randrange(99), far(r, 5), r.randrange(3))),
    (3, lambda r: run(0x20, r.randrange(99), r.randrange(99))),
    (2, lambda r: run(0xA0 + r.randrange(5), *(r.randrange(99) for _ in range(6)))),
    (2, lambda r: run(r.choice((0x31, 0x3B, 0x3F, 0x40)), r.choice((r.randrange(0x1040), word(r))))),
    (4, a_call),
    (1, a_creation),
    (1, lambda r: r.randbytes(r.randrange(3)) if r.random() < 0.5 else b""),
)  # fmt: skip


def shown(random: Random) -> bytes:
    """Returns, or reverts with, what lies on top of the stack, and a stretch of memory."""
    count = random.randrange(1, 7)
    stores = b"".join(push(32 * place) + b"\x52" for place in range(count))
    return stores + run(random.choice((0xF3, 0xF3, 0xFD)), 0, 32 * count + random.randrange(64))


ENDS: tuple[Callable[[Random], bytes], ...] = (
    *(shown,) * 8,
    lambda r: b"",
    lambda r: b"\x00",
    lambda r: run(0xFF, 0x1000 + r.randrange(PROGRAMS)),
    lambda r: b"\xfe" if r.random() < 0.2 else b"",
)
MAKER_WEIGHTS = [weight for weight, _ in MAKERS]
JUMP = b"\xff\xffJUMP"
"""Begins a part that stands for a jump; then what comes before the PUSH of its target, the byte of JUMP or
JUMPI, and the number of a part."""
CONDITIONS = (b"\x36", b"\x36", b"\x5a", b"\x80", b"\x15")
"""CALLDATASIZE, GAS, DUP1 and ISZERO: mostly there is something to decide by."""


def a_program(random: Random, fork: Fork) -> tuple[Part, ...]:
    """Something on the stack, then parts; a jump leads to the beginning of one, seldom backwards."""
    known, count = instruction_set(fork), random.randrange(2, 14)
    parts = [make(random) for _, make in random.choices(MAKERS, MAKER_WEIGHTS, k=count)]
    for place, part in enumerate(parts):
        if part and part[-1] not in known and random.random() < 0.95:
            parts[place] = b""
        elif random.random() < 0.15:
            first = 0 if random.random() < 0.1 else place + 1
            target = random.randrange(first, count + 1)
            condition = random.choice(CONDITIONS) if random.random() < 0.7 else b""
            parts[place] = JUMP + condition + bytes((0x57 if condition else 0x56, target))
    filled = b"".join(push(word(random)) for _ in range(random.choice((0, 8, 8, 10, 12))))
    return (filled, *parts, random.choice(ENDS)(random))


def code_of(parts: tuple[Part, ...]) -> bytes:
    """Every part after a JUMPDEST; jumps to a part that was shrunk away go to the last one."""
    sizes = [1 + (len(part) - len(JUMP) + 2 if part.startswith(JUMP) else len(part)) for part in parts]
    starts = [sum(sizes[:place]) for place in range(len(parts))]
    code = b""
    for part in parts:
        if part.startswith(JUMP):
            target = starts[min(part[-1], len(starts) - 1)]
            part = part[len(JUMP) : -2] + b"\x61" + target.to_bytes(2, "big") + part[-2:-1]
        code += b"\x5b" + part
    return code


def a_batch(seed: str, number: int) -> Batch:
    """The batch of a seed and a number."""
    random = Random(f"{seed}/{number}")
    fork = random.choice((Fork.LONDON, Fork.LONDON, Fork.LONDON, *FORKS))
    return Batch(
        fork=fork,
        programs=tuple(a_program(random, fork) for _ in range(PROGRAMS)),
        gas=tuple(random.choice((1_000, 10_000, 30_000, 60_000)) for _ in range(PROGRAMS)),
        values=tuple(random.choice((0, 0, 0, 1)) for _ in range(PROGRAMS)),
        data=random.randbytes(random.choice((0, 4, 36, 68))),
        hot_runs=0 if number % 4 == 0 else program.HOT_RUNS,
    )


def driver(batch: Batch) -> bytes:
    """Calls every program and logs what came of it."""
    code = run(0x37, 0x400, 0, len(batch.data))
    for index in range(len(batch.programs)):
        to = 0x1000 + index
        code += run(0xF1, batch.gas[index], to, batch.values[index], 0x400, len(batch.data), 0, 0)
        code += push(0x20) + b"\x52" + b"\x5a" + push(0x40) + b"\x52"
        code += b"\x3d" + push(0) + push(0x500) + b"\x3e"
        code += b"\x3d" + push(0x500) + b"\x20" + push(0x60) + b"\x52"
        code += run(0xA0, 0x20, 0x60)
    return code + b"\x00"


def outcome(executor: Executor, batch: Batch) -> BlockOutcome:
    """What the block with the one transaction comes to."""
    view = MemoryView()
    view.put(KEY.address, 10**20)
    view.put(DRIVER, balance=10**9, nonce=1, code=driver(batch))
    for index, parts in enumerate(batch.programs):
        view.put(address_of(index), balance=7, nonce=1, code=code_of(parts), storage={0: 1, 1: 2**200})
    session = executor.begin(context(batch.fork, number=300), view)
    session.apply(signed(to=DRIVER, data=batch.data, gas=29_000_000))
    return session.finish()


def first_difference(batch: Batch) -> int | None:
    """The program by which the executors part; the last when they do only in the end."""
    before, program.HOT_RUNS = program.HOT_RUNS, batch.hot_runs  # type: ignore[misc]
    try:
        ours, theirs = outcome(FastExecutor(REFERENCE), batch), outcome(REFERENCE, batch)
    finally:
        program.HOT_RUNS = before  # type: ignore[misc]
    if ours == theirs:
        return None
    count = len(batch.programs)
    told = [[log for log in each.receipts[0].logs if log.address == DRIVER] for each in (ours, theirs)]
    pairs = enumerate(zip(*told, strict=False))
    return next((index for index, (one, two) in pairs if one != two), count - 1)


def alone(batch: Batch, index: int) -> Batch:
    """The one program, if it differs without the others too; else the batch."""
    programs = tuple(parts if place == index else () for place, parts in enumerate(batch.programs))
    candidate = replace(batch, programs=programs)
    return batch if first_difference(candidate) is None else candidate


def shrunk(batch: Batch) -> Batch:
    """As few programs and parts as still differ."""
    smaller = True
    while smaller:
        smaller = False
        for candidate in _smaller(batch):
            if first_difference(candidate) is not None:
                batch, smaller = candidate, True
                break
    return batch


def _smaller(batch: Batch) -> Iterator[Batch]:
    """Without one program, then without one part."""
    for index, parts in enumerate(batch.programs):
        others = (batch.programs[:index], batch.programs[index + 1 :])
        if parts:
            yield replace(batch, programs=(*others[0], (), *others[1]))
        for place in range(len(parts)):
            less = (*parts[:place], *parts[place + 1 :])
            yield replace(batch, programs=(*others[0], less, *others[1]))


def described(batch: Batch) -> str:
    """For people: every program that is left."""
    lines = [f"{batch.fork.name}, hot after {batch.hot_runs} runs, data {batch.data.hex() or 'none'}"]
    for index, parts in enumerate(batch.programs):
        if parts:
            gas, value = batch.gas[index], batch.values[index]
            lines.append(f"  {address_of(index).hex()[-4:]} gas {gas} value {value}: {code_of(parts).hex()}")
    return "\n".join(lines)


def compare(seed: str, cases: int, until_s: float, share: int = 0, shares: int = 1) -> tuple[int, str]:
    """Run batches number share, share + shares, ...: how many programs, and what differs, in words."""
    done, number = 0, share
    while done < cases and time.monotonic() < until_s:
        batch = a_batch(seed, number)
        index = first_difference(batch)
        if index is not None:
            return done, f"batch {number} of seed {seed}:\n{described(shrunk(alone(batch, index)))}"
        done += len(batch.programs)
        number += shares
    return done, ""


def _share(job: tuple[str, int, float, int, int]) -> tuple[int, str]:
    return compare(*job)


def main(arguments: list[str]) -> int:
    """Run it on all cores; 1 when something differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=1_000_000, help="programs to compare")
    parser.add_argument("--seconds", type=float, default=1e9, help="at most so long")
    parser.add_argument("--seed", default=os.urandom(4).hex())
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args(arguments)
    write, started = sys.stdout.write, time.monotonic()
    write(f"seed {options.seed}\n")
    sys.stdout.flush()
    each, until = -(-options.cases // options.processes), started + options.seconds
    jobs = [(options.seed, each, until, share, options.processes) for share in range(options.processes)]
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        results = pool.map(_share, jobs)
    seconds = time.monotonic() - started
    write(f"{sum(count for count, _ in results):,} programs compared in {seconds:.0f} s\n")
    found = [words for _, words in results if words]
    write("".join(f"DIFFERENCE in {words}\n" for words in found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
