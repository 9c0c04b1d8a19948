"""Code written to cost more time than gas: the work it causes is bounded by its gas, counted and not timed.

Counted are instructions of the Python interpreter, characters of generated source that are compiled, and
bytes of programs kept. What C does for one of our instructions is not counted: its price is in the gas of
that instruction, and `tests/bench/adversarial.py` measures it.
"""

import sys
from types import FrameType
from typing import Any

import pytest

from node.execution.evm import interpret, program
from node.execution.evm.executor import FastExecutor
from node.execution.evm.program import Program, ProgramCache
from node.execution.executor import Call
from node.native import kernels
from node.primitives.chain_spec import Fork
from tests.bench.adversarial import LARGEST_CODE, cases, loop
from tests.execution.builders import CONTRACT, KEY, assemble, context
from tests.execution.worlds import MemoryView

INTRINSIC_GAS = 21_000
INSTRUCTIONS_PER_GAS = 48
"""At most; 37 for runs of the cheapest instructions in contracts that are met for the first time."""
ROUND_INSTRUCTIONS_IN_PYTHON = 256
"""At most, for a round of BLAKE2b where there is no kernel: it costs one gas (EIP-152), a price for C.
A node without kernels has no better bound than that."""
CHARACTERS_PER_GAS = 0.1
"""Of source that is compiled, at most: to compile one takes about as long as a hundred of the above."""
CASES = cases()
BOMBS = {
    # As many blocks as possible, each as wordy as can be for its gas, run just often enough to be compiled.
    "wordy": loop("ADDRESS POP " * 200 + "JUMPDEST CALLER ORIGIN XOR POP " * 100),
    "entered everywhere": loop(" ".join(f"{4 * n} POP JUMPDEST" for n in range(200))),
    "the stack turned over": loop("SWAP1 SWAP2 SWAP3 DUP1 POP " * 150, "1 2 3 4"),
    "branches": loop(" ".join("CALLDATASIZE 0 JUMPI" for _ in range(100))),
}


def spent(executor: FastExecutor, code: bytes, view: MemoryView, gas: int) -> int:
    """Run the code until the gas is gone; how much it really used."""
    view.put(CONTRACT, nonce=1, balance=10**18, code=code)
    call = Call(sender=KEY.address, to=CONTRACT, gas_limit=INTRINSIC_GAS + gas)
    return executor.call(context(gas_limit=10**9), view, call).gas_used - INTRINSIC_GAS


class Counter:
    """Counts the Python interpreter's instructions while it is entered."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, frame: FrameType, event: str, argument: Any) -> "Counter":
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        self.count += event == "opcode"
        return self

    def __enter__(self) -> "Counter":
        self._before = sys.gettrace()
        sys.settrace(self)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)


def test_no_code_makes_python_work_beyond_its_gas(monkeypatch):
    monkeypatch.setattr(interpret, "interpret", interpret.interpret_in_python)
    executor = FastExecutor(None)
    with Counter() as around:
        spent(executor, b"", MemoryView(), 100)
    shares, most = {}, dict.fromkeys(CASES, INSTRUCTIONS_PER_GAS)
    if kernels is None:
        most["blake2f"] = ROUND_INSTRUCTIONS_IN_PYTHON
    for name, (code, view, _) in CASES.items():
        with Counter() as counter:
            gas = spent(FastExecutor(None), code, view, 25_000)
        shares[name] = (counter.count - around.count) / gas
    assert {name: share for name, share in shares.items() if share > most[name]} == {}
    assert max(shares.values()) > INSTRUCTIONS_PER_GAS / 2, "the bound is no bound: lower it"


@pytest.mark.parametrize("name", BOMBS)
def test_no_code_makes_us_compile_what_it_has_not_paid_for(name, monkeypatch):
    compiled = []
    translated = Program.translated

    def counted(self, pc, instructions_max):
        function = translated(self, pc, instructions_max)
        compiled.append(len(function.source))
        return function

    monkeypatch.setattr(Program, "translated", counted)
    executor, gas = FastExecutor(None), 0
    # A little at a time, so that no moment is missed at which much is compiled and little is paid.
    for _ in range(90):
        gas += spent(executor, BOMBS[name], MemoryView(), 20_000)
        assert sum(compiled) <= CHARACTERS_PER_GAS * gas
    assert compiled, "the bomb did not go off"


def test_code_that_runs_once_is_never_compiled(monkeypatch):
    monkeypatch.setattr(Program, "compile", lambda self, pc: pytest.fail(f"compiled at {pc}"))
    for name in ("distinct contracts: jumps", "distinct contracts: jumpdests"):
        code, view, _ = CASES[name]
        assert spent(FastExecutor(None), code, view, 120_000) == 120_000


def test_contracts_without_end_take_no_more_memory_than_the_cache_may():
    code, view, _ = CASES["distinct contracts: jumps"]
    executor, bytes_max = FastExecutor(None), 20 * LARGEST_CODE
    cache = executor._programs[Fork.LONDON] = ProgramCache(Fork.LONDON, bytes_max)
    spent(executor, code, view, 300_000)
    assert len(cache) > 1
    assert cache.size <= bytes_max


def test_a_row_of_jumpdests_costs_what_is_left_of_the_gas():
    """They are skipped at once, so the gas must still end where it ends."""
    code = assemble("JUMPDEST " * 500 + "1 0 MSTORE")
    for gas in (0, 1, 499, 500, 502, 505, 509, 515):
        view = MemoryView()
        view.put(CONTRACT, nonce=1, code=code)
        call = Call(sender=KEY.address, to=CONTRACT, gas_limit=INTRINSIC_GAS + gas)
        result = FastExecutor(None).call(context(), view, call)
        assert (result.error is None) == (gas >= 500 + 3 + 3 + 3 + 3), gas
    assert program.HOT_RUNS > 1, "else this was compiled"
