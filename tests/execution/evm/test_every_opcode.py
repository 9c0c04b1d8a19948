"""Every opcode of every fork, from the table itself, on both executors: one that is added comes up by itself.

What the issue of two EVMs lists, and which test holds it (the last one holds this list):

    normal                          test_every_opcode_does_what_the_reference_does
    every out-of-gas point          test_every_opcode_out_of_gas_at_every_point
    stack underflow                 test_every_opcode_with_every_smaller_stack
    stack overflow at 1024          test_every_opcode_on_a_full_stack
    static-call violation           test_every_opcode_in_a_static_call
    memory limits and expansion     test_every_operand_at_every_edge
    call depth 1024                 test_limits.test_every_way_to_call_nests_1024_deep
    return-data bounds              test_limits.test_return_data_ends_where_it_ends
    EIP-2929, EIP-2930              test_prices.test_what_is_cold_and_what_is_warm
    EIP-3529                        test_prices.test_what_comes_back
    EIP-1559, EIP-3198              test_prices.test_who_is_paid_what
    EIP-3541                        test_limits.test_code_that_may_not_be_deployed
    EIP-170, 24,576 bytes of code   test_limits.test_code_that_may_not_be_deployed
    EIP-3860, init code             test_limits.test_init_code_has_a_size_and_a_price_from_shanghai_on
"""

import importlib
from itertools import pairwise

import pytest

from node.execution.evm.opcodes import Opcode, instruction_set
from node.execution.executor import Call
from node.primitives.chain_spec import Fork
from tests.execution.builders import CONTRACT, KEY, assemble, context
from tests.execution.evm.breeding import push, run
from tests.execution.evm.pairs import COLD, both, word_of
from tests.execution.evm.swarm import FORKS, REFERENCE
from tests.execution.tracers import SilentTracer
from tests.execution.worlds import MemoryView

LONG = pytest.mark.long(2)
forks = pytest.mark.parametrize(
    "fork", [pytest.param(fork, marks=() if fork is Fork.LONDON else LONG) for fork in FORKS]
)
CHANGES_STATE = {"SSTORE", "TSTORE", "LOG0", "LOG1", "LOG2", "LOG3", "LOG4"} | {
    *("CREATE", "CREATE2", "SELFDESTRUCT"),
    "CALL",  # with value, as here
}
FAILS = {"INVALID", "REVERT"}
ENOUGH = 400_000
TARGET = 0x9999
"""An account that is not there."""
USUAL = (4, 64, 32, 7, 3, 2, 1)
"""Operands that let most instructions do something: an offset, an offset, a size, small numbers."""
OPERANDS: dict[str, tuple[int, ...]] = {
    "BLOCKHASH": (299,),
    "RETURNDATACOPY": (4, 0, 0),
    "CALL": (9_000, TARGET, 1, 4, 64, 32, 7),
    "CALLCODE": (9_000, TARGET, 1, 4, 64, 32, 7),
    "DELEGATECALL": (9_000, 4, 4, 64, 32, 7),
    "STATICCALL": (9_000, 2, 4, 64, 32, 7),
    "CREATE": (1, 64, 32),
    "CREATE2": (1, 64, 32, 7),
}
INSIDE = {
    # The sentry; what is cold; a stipend; value; an account that is new.
    "SSTORE": (2300, 2301, 100, 2100, 2200),
    **dict.fromkeys(("CALL", "CALLCODE"), (100, 700, 2300, 2600, 9000, 11600, 34000, 36600)),
    **dict.fromkeys(("DELEGATECALL", "STATICCALL"), (100, 700, 2600)),
    "SELFDESTRUCT": (5000, 7600, 30_000, 32_600),
    **dict.fromkeys(("CREATE", "CREATE2"), (32000, 32006)),
}
"""Gas after the beginning of an instruction that looks at its gas in several places."""
BEFORE = assemble("GAS POP 1 64 MSTORE CALLDATASIZE POP")
AFTER = assemble("GAS 96 MSTORE 5 SLOAD POP 33 128 KECCAK256 POP MSIZE 160 MSTORE 192 0 RETURN")
EDGES = (0, 1, 31, 32, 33, 255, 2**31, 2**32, 2**64 - 1, 2**255, 2**256 - 32, 2**256 - 1)
FILLED_BY_LOOP = 960


def opcodes_of(fork: Fork) -> list[Opcode]:
    return list(instruction_set(fork).values())


def operands_of(opcode: Opcode) -> tuple[int, ...]:
    return OPERANDS.get(opcode.name, USUAL[: opcode.pops])


def instruction(opcode: Opcode, operands: tuple[int, ...], before: int) -> bytes:
    """The opcode after its operands; so many bytes come before it. Jumps lead to a JUMPDEST behind."""
    if opcode.name in ("JUMP", "JUMPI"):
        rest = push(1) if opcode.name == "JUMPI" else b""
        return rest + b"\x61" + (before + len(rest) + 4).to_bytes(2, "big") + bytes((opcode.code, 0x5B))
    if 0x60 <= opcode.code < 0x80:
        return bytes((opcode.code,)) + bytes(range(1, opcode.code - 0x5E))
    return run(opcode.code, *operands)


def usual(opcode: Opcode) -> bytes:
    """The instruction in the middle of a block."""
    operands = operands_of(opcode)
    if opcode.pops > len(operands):  # DUPs and SWAPs that reach deep
        operands = tuple(range(1, opcode.pops + 1))
    return BEFORE + instruction(opcode, operands, 1 + len(BEFORE)) + AFTER


class Boundaries(SilentTracer):
    """How much gas the outermost frame had used before and after each instruction."""

    wants_memory = False

    def __init__(self) -> None:
        self.points: set[int] = set()
        self._first: int | None = None

    def on_step(self, **step) -> None:
        if step["depth"]:
            return
        self._first = step["gas"] if self._first is None else self._first
        before = self._first - step["gas"]
        self.points |= {before, before + step["gas_cost"]}


def gas_points(fork: Fork, code: bytes, *inside: int) -> list[int]:
    """Just too little and just enough for every instruction, and `inside` of each."""
    view = MemoryView()
    view.put(CONTRACT, balance=7, nonce=1, code=b"\x5b" + code, storage={0: 1, 1: 2**200})
    tracer = Boundaries()
    call = Call(sender=KEY.address, to=CONTRACT, gas_limit=21_000 + ENOUGH)
    REFERENCE.call(context(fork, number=300), view, call, tracer=tracer)
    points = {point + more for point in tracer.points for more in (-1, 0, *inside)}
    return sorted({point for point in points if 0 <= point <= ENOUGH})


@forks
def test_every_opcode_does_what_the_reference_does(fork):
    opcodes = opcodes_of(fork)
    calls = [(index, ENOUGH) for index in range(len(opcodes))]
    answers = both(fork, [usual(opcode) for opcode in opcodes], calls, at_once=60)
    wrong = [o.name for o, ok in zip(opcodes, answers, strict=True) if ok == (o.name in FAILS)]
    assert wrong == [], "these did not do what they are there for: give them OPERANDS"


@forks
def test_every_opcode_out_of_gas_at_every_point(fork):
    codes, calls = [], []
    for index, opcode in enumerate(opcodes_of(fork)):
        code = usual(opcode)
        calls += [(index, gas) for gas in gas_points(fork, code, *INSIDE.get(opcode.name, ()))]
        codes.append(code)
    assert len(calls) > 10 * len(codes)
    both(fork, codes, calls)


@forks
def test_every_opcode_with_every_smaller_stack(fork):
    rows = [(opcode, items) for opcode in opcodes_of(fork) for items in range(opcode.pops + 1)]
    # Zeros do no harm, and a return in front of what follows would hide nothing.
    codes = [push(0) * items + bytes((opcode.code,)) + b"\x00" for opcode, items in rows]
    answers = both(fork, codes, [(index, 60_000) for index in range(len(codes))])
    for (opcode, items), succeeded in zip(rows, answers, strict=True):
        fine = items == opcode.pops and opcode.name not in {*FAILS, "JUMP", "JUMPI"}
        assert succeeded == fine or opcode.name == "JUMPI", (opcode.name, items)


def full(items: int) -> bytes:
    """So many zeros on the stack: a loop pushes most of them, counting in memory."""
    times, straight = FILLED_BY_LOOP // 64, items - FILLED_BY_LOOP
    head = push(times) + push(0) + b"\x52\x5b"
    body = push(0) * 64 + push(1) + push(0) + b"\x51\x03\x80" + push(0) + b"\x52" + push(len(head)) + b"\x57"
    return head + body + push(0) * straight


@pytest.mark.parametrize(
    ("fork", "hot_runs"),
    [(Fork.LONDON, 0), *(pytest.param(fork, hot, marks=LONG) for fork in FORKS for hot in (0, COLD))],
)
def test_every_opcode_on_a_full_stack(fork, hot_runs):
    opcodes = [opcode for opcode in opcodes_of(fork) if opcode.name not in {*FAILS, "JUMP", "JUMPI"}]
    codes, expected = [], []
    for opcode in opcodes:
        grows = max(0, opcode.pushes - opcode.pops)
        code = bytes((opcode.code,)) + (bytes(opcode.code - 0x5F) if 0x60 <= opcode.code < 0x80 else b"")
        codes += [full(items) + code + b"\x00" for items in (1024 - grows, 1025 - grows)]
        # Without growth the second is too high before the instruction.
        expected += [True, False]
    answers = both(fork, codes, [(index, 60_000) for index in range(len(codes))], hot_runs=(hot_runs,))
    assert [code.hex() for code, ok, fine in zip(codes, answers, expected, strict=True) if ok != fine] == []


@forks
def test_every_opcode_in_a_static_call(fork):
    opcodes = opcodes_of(fork)
    codes = [usual(opcode) for opcode in opcodes]
    for index in range(len(opcodes)):
        asking = run(0xFA, ENOUGH, word_of(index), 0, 0, 0, 0)
        end = 1 + len(asking) + 5
        codes.append(asking + b"\x61" + end.to_bytes(2, "big") + b"\x57\xfe\x5b\x00")
    calls = [(len(opcodes) + index, 2 * ENOUGH) for index in range(len(opcodes))]
    answers = both(fork, codes, calls, at_once=30)
    allowed = {opcode.name for opcode, ok in zip(opcodes, answers, strict=True) if ok}
    assert allowed == {opcode.name for opcode in opcodes} - CHANGES_STATE - FAILS


def at_edges(opcode: Opcode) -> list[bytes]:
    """The instruction with each operand, and each two neighbours, at the edges; then the size of memory."""
    plain = (operands_of(opcode) + USUAL)[: opcode.pops]
    rows = {(*plain[:place], edge, *plain[place + 1 :]) for place in range(len(plain)) for edge in EDGES}
    for one, two in pairwise(range(len(plain))):
        for edges in ((1, 2**256 - 1), (2**256 - 1, 1), (2**64 - 1, 0), (2**256 - 1, 0), (31, 1), (32, 1)):
            row = list(plain)
            row[one], row[two] = edges
            rows.add(tuple(row))
    end = assemble("MSIZE 0 MSTORE 32 0 RETURN")
    return [run(opcode.code, *row) + end for row in sorted(rows)]


@pytest.mark.parametrize(
    ("fork", "hot_runs"),
    [(Fork.LONDON, COLD), *(pytest.param(fork, hot, marks=LONG) for fork in FORKS for hot in (0, COLD))],
)
def test_every_operand_at_every_edge(fork, hot_runs):
    taking = [opcode for opcode in opcodes_of(fork) if opcode.pops > 0 and not 0x80 <= opcode.code < 0xA0]
    codes = [code for opcode in taking for code in at_edges(opcode)]
    both(fork, codes, [(index, 100_000) for index in range(len(codes))], hot_runs=(hot_runs,))


def test_every_rule_of_the_list_has_its_test():
    for line in (__doc__ or "").split(":\n\n")[1].strip().splitlines():
        module, _, name = line.split()[-1].rpartition(".")
        where = importlib.import_module(f"tests.execution.evm.{module or 'test_every_opcode'}")
        assert callable(getattr(where, name)), line
