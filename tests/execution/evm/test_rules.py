"""The fast executor, rule by rule, beside the reference executor."""

from dataclasses import replace
from threading import Thread

import pytest

from node.execution.evm import program
from node.execution.evm.blocks import BLOCK_INSTRUCTIONS_MAX, basic_block, is_destination, jump_destinations
from node.execution.evm.executor import FastExecutor
from node.execution.evm.opcodes import Kind, instruction_set
from node.execution.evm.program import ProgramCache, interpreter_of
from node.execution.evm.translate import INSTRUCTIONS_MAX
from node.execution.executor import Call, ExecutionInterrupted
from node.execution.opcode_names import name_of
from node.execution.py_evm import PyEvmExecutor
from node.execution.py_evm_rules import _ITEMS, _TABLES
from node.primitives.chain_spec import Fork
from node.primitives.crypto import keccak256
from tests.execution.builders import CONTRACT, KEY, assemble, context, deploying, signed, world

REFERENCE = PyEvmExecutor()
FORKS = tuple(fork for fork in Fork if fork >= Fork.BYZANTIUM)
OPENS_FRAME = (0xF0, 0xF1, 0xF2, 0xF4, 0xF5, 0xFA)
COUNTDOWN = "5 JUMPDEST 1 SWAP1 SUB DUP1 2 JUMPI 7 0 MSTORE 32 0 RETURN"
EVERYTHING = (
    "5 0 SSTORE 0 0 SSTORE 7 64 MSTORE 0 SLOAD 1 SLOAD ADD 96 32 KECCAK256 96 MSTORE "
    "GAS 0 SSTORE 1 2 64 0 LOG2 3 300 EXP POP 50 BALANCE POP 32 0 64 CODECOPY "
    "32 0 32 0 1 0xcc 0 CALL GAS 2 SSTORE 32 0 32 0 4 9000 STATICCALL "
    "3 0 0 CREATE DUP1 ISZERO 4 SSTORE 170 SELFDESTRUCT"
)


def _call(executor, code, gas, fork=Fork.LONDON, data=b"", interrupted=None):
    view = world(code=code)
    view.put(CONTRACT, balance=100, nonce=1, code=assemble(code) if isinstance(code, str) else code)
    call = Call(sender=KEY.address, to=CONTRACT, data=data, gas_limit=gas)
    return executor.call(context(fork), view, call, interrupted=interrupted)


def _outcome(executor, code, gas, fork=Fork.LONDON):
    view = world()
    view.put(CONTRACT, balance=100, nonce=1, code=assemble(code))
    session = executor.begin(context(fork), view)
    session.apply(signed(to=CONTRACT, gas=gas, fee=1))
    return session.finish()


@pytest.mark.parametrize("fork", FORKS)
def test_instruction_set_is_that_of_the_reference(fork):
    ours, theirs = instruction_set(fork), _TABLES[fork][0]
    assert {code for code in ours if code != 0xFE} == {code for code in theirs if code != 0xFE}
    for code, opcode in ours.items():
        assert opcode.name in (name_of(code), "DIFFICULTY"), hex(code)
        assert opcode.pops == _ITEMS.get(code, 0), opcode.name
        if code not in (0x55, 0xFE, *OPENS_FRAME):
            assert opcode.gas == _static_gas(theirs[code].gas_cost, code, fork), opcode.name


def _static_gas(gas, code, fork):
    """The reference charges for topics, and for warm and cold, inside the instruction."""
    if 0xA0 <= code <= 0xA4:
        return gas + 375 * (code - 0xA0)
    if fork >= Fork.BERLIN and code in (0x31, 0x3B, 0x3C, 0x3F, 0x54):
        return 100
    return gas


@pytest.mark.parametrize("fork", FORKS)
def test_interpreter_has_a_function_for_every_opcode_and_no_other(fork):
    assert {c for c, operation in enumerate(interpreter_of(fork)) if operation} == set(instruction_set(fork))


def test_push_data_is_no_jump_destination():
    destinations = jump_destinations(bytes.fromhex("605b5b615b5b5b7f5b"))
    assert [pc for pc in range(40) if is_destination(destinations, pc)] == [2, 6]


def test_blocks_end_before_a_jumpdest_after_a_jump_and_at_their_limit():
    opcodes = instruction_set(Fork.LONDON)
    code = assemble("1 JUMPDEST 4 JUMP")
    assert (basic_block(code, 0, opcodes).following, basic_block(code, 0, opcodes).falls_through) == (2, True)
    assert basic_block(code, 2, opcodes).instructions[-1].opcode.name == "JUMP"
    assert len(basic_block(b"\x58" * 1000, 0, opcodes).instructions) == BLOCK_INSTRUCTIONS_MAX
    assert not basic_block(b"\x58\x0c", 0, opcodes).valid
    assert basic_block(b"\x58", 0, opcodes).instructions[-1].opcode.kind is Kind.END  # STOP behind the end


def test_translation_of_a_small_contract():
    code = assemble("4 JUMPDEST 1 SWAP1 SUB DUP1 2 JUMPI 2 3 ADD SLOAD GAS SSTORE")
    assert FastExecutor(REFERENCE).listing(code, Fork.LONDON) == GOLDEN


GOLDEN = """\
def b0(S,F):
 F.gas=g=F.gas-3
 if g<0:raise OutOfGas
 S.append(0x4)
 return b2

def b2(S,F):
 if len(S)<1:raise StackUnderflow
 if len(S)>1022:raise StackOverflow
 i1=S[-1]
 t1=(i1-0x1)&M
 F.gas=g=F.gas-26
 if g<0:raise OutOfGas
 S[-1]=t1
 return b2 if t1 else b11

def b11(S,F):
 if len(S)>1022:raise StackOverflow
 t1=sload(F,0x5)
 F.gas=g=F.gas-111
 if g<0:raise OutOfGas
 t2=F.gas
 sstore_london(F,t2,t1)
 return None
"""


def test_blocks_that_follow_one_another_become_one_function():
    """A call inside a contract and its return are straight code; the unlikely way out leaves the function."""
    called = "JUMPDEST CALLER ORIGIN LT ISZERO 7 JUMPI 5 SWAP1 JUMP"
    code = assemble(f"7 12 JUMP STOP STOP JUMPDEST 0 SSTORE STOP {called}")
    assert ProgramCache(Fork.LONDON).once(code).translated(0, 100).source == JOINED


JOINED = """\
def b0(S,F):
 t1=word_of(F.caller)
 t2=word_of(F.tx.origin)
 if not(t2<t1):
  F.gas=g=F.gas-38
  if g<0:raise OutOfGas
  S.append(0x7)
  return b7
 F.gas=g=F.gas-56
 if g<0:raise OutOfGas
 sstore_london(F,0x0,0x5)
 return None
"""


def test_words_that_are_stored_to_be_hashed_reach_memory_only_where_the_function_is_left():
    """Where a mapping keeps a value, twice: the second hash is the first; memory is paid for."""
    hashed = "CALLER 0 MSTORE 7 32 MSTORE 64 0 KECCAK256"
    code = assemble(f"{hashed} {hashed} SLOAD CALLVALUE 31 JUMPI SSTORE STOP JUMPDEST")
    assert ProgramCache(Fork.LONDON).once(code).translated(0, 100).source == HASHED


HASHED = """\
def b0(S,F):
 m=F.memory
 t1=word_of(F.caller)
 t2=hash_of(t1,0x7)
 t3=sload(F,t2)
 t4=F.value
 if t4:
  F.gas=g=F.gas-251
  if g<0:raise OutOfGas
  m.extend(bytes(64))
  m[0x0:0x20]=bytes_of(t1)
  m[0x20:0x40]=bytes_of(0x7)
  S.extend((t2,t3))
  return bad_jump()
 F.gas=g=F.gas-251
 if g<0:raise OutOfGas
 sstore_london(F,t3,t2)
 return None
"""


def test_a_contract_is_not_translated_again_and_again(monkeypatch):
    """Whoever enters long code at every place gets each block once more, not all that follows it."""
    monkeypatch.setattr(program, "HOT_RUNS", 0)
    places = 2_000
    once = ProgramCache(Fork.LONDON).once(b"\x5b" * places + assemble("STOP"))
    for pc in range(places):
        once.compile(pc)
    assert once._translated < 2 * places + program.TRANSLATION_LEAST + 2 * INSTRUCTIONS_MAX


@pytest.mark.parametrize("hot_runs", [0, 1, 3])
def test_cold_and_hot_code_do_the_same(hot_runs, monkeypatch):
    monkeypatch.setattr(program, "HOT_RUNS", hot_runs)
    fast = FastExecutor(REFERENCE)
    for _ in range(3):
        assert _call(fast, COUNTDOWN, 50_000) == _call(REFERENCE, COUNTDOWN, 50_000)


@pytest.mark.parametrize("hot_runs", [0, 10_000])
@pytest.mark.parametrize(
    "fork", [Fork.BYZANTIUM, Fork.CONSTANTINOPLE, Fork.ISTANBUL, Fork.BERLIN, Fork.CANCUN]
)
def test_every_gas_limit_from_nothing_to_enough(fork, hot_runs, monkeypatch):
    """Out of gas at each instruction, in and between blocks: gas, receipts and state as the reference has."""
    monkeypatch.setattr(program, "HOT_RUNS", hot_runs)
    fast = FastExecutor(REFERENCE)
    step = 331 if fork is not Fork.BERLIN else 97
    for gas in range(21_000, 190_000, step):
        assert _outcome(fast, EVERYTHING, gas, fork) == _outcome(REFERENCE, EVERYTHING, gas, fork), gas


@pytest.mark.parametrize("hot_runs", [0, 10_000])
def test_every_single_gas_limit_within_a_block(hot_runs, monkeypatch):
    monkeypatch.setattr(program, "HOT_RUNS", hot_runs)
    fast, code = (
        FastExecutor(REFERENCE),
        "GAS 0 MSTORE 7 64 MSTORE 3 300 EXP POP 64 0 KECCAK256 POP GAS 1 SSTORE STOP",
    )
    for gas in range(21_000, 21_700):
        assert _outcome(fast, code, gas) == _outcome(REFERENCE, code, gas), gas
    for gas in range(43_100, 46_000, 7):
        assert _outcome(fast, code, gas) == _outcome(REFERENCE, code, gas), gas


@pytest.mark.parametrize("items", [1022, 1023, 1024])
@pytest.mark.parametrize("last", ["", "1", "DUP1", "GAS", "PC"])
@pytest.mark.parametrize("hot_runs", [0, 10_000])
def test_stack_holds_1024_items(items, last, hot_runs, monkeypatch):
    monkeypatch.setattr(program, "HOT_RUNS", hot_runs)
    code = assemble("1 " * items + last + " STOP")
    ours, theirs = (_call(executor, code, 100_000) for executor in (FastExecutor(REFERENCE), REFERENCE))
    assert ours == theirs
    assert (ours.error is None) == (items + bool(last) <= 1024)


@pytest.mark.parametrize("opcode", sorted(instruction_set(Fork.CANCUN)))
@pytest.mark.parametrize("hot_runs", [0, 10_000])
def test_each_opcode_with_too_few_and_just_enough_items(opcode, hot_runs, monkeypatch):
    monkeypatch.setattr(program, "HOT_RUNS", hot_runs)
    pops = instruction_set(Fork.CANCUN)[opcode].pops
    for items in range(max(0, pops - 1), pops + 1):
        code = assemble("0 " * items) + bytes((opcode,))
        ours, theirs = (_call(e, code, 200_000, Fork.CANCUN) for e in (FastExecutor(REFERENCE), REFERENCE))
        assert ours == theirs, (name_of(opcode), items)


@pytest.mark.parametrize(
    "code",
    [
        "1 0 MSTORE 0xffffffffffffffff MLOAD",
        f"{2**256 - 1} MLOAD",
        f"1 {2**255} {2**255} KECCAK256",
        f"0 {2**256 - 1} RETURN",
        f"{2**64} 0 0 CALLDATACOPY",
        f"0 {2**256 - 1} {2**256 - 1} CALLDATACOPY MSIZE 0 MSTORE 32 0 RETURN",
        f"32 {2**256 - 1} 0 CALLDATACOPY 32 0 RETURN",
        "1 0 0 RETURNDATACOPY",
        f"0 {2**256 - 1} 0 RETURNDATACOPY",
        "0 0 0 RETURNDATACOPY 0 0 0 0 4 5000 STATICCALL 1 RETURNDATASIZE 0 RETURNDATACOPY",
        f"0 {2**256 - 1} 0 0 0 0xdd 5000 CALL 0 MSTORE 32 0 RETURN",
        "2 JUMP",
        f"{2**256 - 1} JUMP",
        "4 JUMP raw:605b",
        "raw:5f",
        "raw:fe",
        "raw:7f",
    ],
)
@pytest.mark.parametrize("hot_runs", [0, 10_000])
def test_edges_of_memory_return_data_and_jumps(code, hot_runs, monkeypatch):
    monkeypatch.setattr(program, "HOT_RUNS", hot_runs)
    ours, theirs = (_call(executor, code, 100_000) for executor in (FastExecutor(REFERENCE), REFERENCE))
    assert replace(ours, error=theirs.error) == theirs
    assert (ours.error is None) == (theirs.error is None)


@pytest.mark.parametrize(
    "action",
    [
        "1 0 SSTORE",
        "0 0 LOG0",
        "0 0 0 CREATE",
        "0 0 0 0 CREATE2",
        "0 SELFDESTRUCT",
        "0 0 0 0 1 2 0 CALL",
        "1 0 TSTORE",
    ],
)
def test_a_static_call_changes_nothing(action):
    word = int.from_bytes(CONTRACT, "big")
    # With calldata the contract acts; without, it calls itself with a byte of it.
    outer = assemble(f"0 0 1 0 {word} 50000 STATICCALL 0 MSTORE 32 0 RETURN")
    code = assemble(f"CALLDATASIZE {4 + len(outer)} JUMPI") + outer + assemble(f"JUMPDEST {action}")
    ours, theirs = (_call(e, code, 300_000, Fork.CANCUN) for e in (FastExecutor(REFERENCE), REFERENCE))
    assert ours == theirs
    assert int.from_bytes(ours.output, "big") == 0


def test_calls_nest_1024_deep_without_python_calls():
    word = int.from_bytes(CONTRACT, "big")
    code = f"0 0 0 0 0 {word} GAS CALL 0 MSTORE 1 0 MLOAD ADD 32 0 RETURN"
    gas = 10**12  # the 64th that stays behind leaves something at every depth
    deep = f"0 SLOAD 1 ADD 0 SSTORE 0 0 0 0 0 {word} GAS CALL STOP"
    for each in (code, deep):
        view = world()
        view.put(CONTRACT, nonce=1, code=assemble(each))
        call = Call(sender=KEY.address, to=CONTRACT, gas_limit=gas)
        ours, theirs = (e.call(context(), view, call) for e in (FastExecutor(REFERENCE), REFERENCE))
        assert ours == theirs
        assert ours.error is None


@pytest.mark.parametrize(
    ("number", "data"),
    [
        (8, bytes(192) * 3),
        (9, (2**20).to_bytes(4, "big") + bytes(208) + b"\x01"),
    ],
)
def test_slow_precompiled_contracts_can_be_interrupted(number, data):
    asked = []

    def interrupted():
        asked.append(None)
        return len(asked) > 3

    copying = f"{len(data)} 0 0 CALLDATACOPY 0 0 {len(data)} 0 {number} GAS STATICCALL"
    with pytest.raises(ExecutionInterrupted):
        _call(FastExecutor(REFERENCE), copying, 10**8, data=data, interrupted=interrupted)
    assert len(asked) == 4


def test_an_endless_loop_can_be_interrupted():
    asked = []

    def interrupted():
        asked.append(None)
        return len(asked) > 5

    with pytest.raises(ExecutionInterrupted):
        _call(FastExecutor(REFERENCE), "JUMPDEST 0 JUMP", 10**9, interrupted=interrupted)


def test_cache_keeps_what_was_used_last_within_its_bytes():
    codes = {keccak256(bytes((n,)) * 1000): bytes((n,)) * 1000 for n in range(10)}
    cache, loaded = ProgramCache(Fork.LONDON, bytes_max=13_500), []

    def load(code_hash):
        loaded.append(code_hash)
        return codes[code_hash]

    first, *others = codes
    for code_hash in others[:4]:
        assert cache.get(code_hash, load).code == codes[code_hash]
        cache.get(first, load)
    assert loaded.count(first) == 1
    assert len(cache) == 3
    assert cache.size == 3 * (4_000 + program.COLD_BLOCK_BYTES)


def test_cache_counts_what_programs_grow_by():
    cache, code = ProgramCache(Fork.LONDON, bytes_max=16_500), b"\x5b" * 1000
    held = cache.get(keccak256(code), lambda _: code)
    before = cache.size
    held.block_at(3)
    assert cache.size == before + program.COLD_BLOCK_BYTES == held.size
    cache.once(code).block_at(0)
    assert cache.size == held.size
    cache.get(keccak256(b"other"), lambda _: b"\x5b" * 4000)
    evicted = cache.size
    held.block_at(4)  # no longer cached: its growth is no longer counted
    assert cache.size == evicted


def test_threads_share_a_cache_that_is_too_small():
    codes = {keccak256(bytes((n,))): bytes((n,)) * 600 for n in range(8)}
    cache, failures = ProgramCache(Fork.LONDON, bytes_max=4_500), []

    def use():
        try:
            for code_hash in list(codes) * 200:
                assert cache.get(code_hash, codes.__getitem__).code == codes[code_hash]
        except BaseException as error:
            failures.append(error)

    threads = [Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert cache.size == len(cache) * (4 * 600 + program.COLD_BLOCK_BYTES) <= 4_500


def test_creations_of_every_kind_cost_the_same():
    runtime = assemble("1 0 SSTORE")
    init = deploying(runtime)
    for fork in FORKS:
        for data in (init, deploying(b"\xef\x00"), deploying(bytes(24_577)), b"\xfe", assemble("0 0 REVERT")):
            answers = []
            for executor in (FastExecutor(REFERENCE), REFERENCE):
                session = executor.begin(context(fork), world())
                answers.append(
                    (session.apply(signed(to=None, data=data, gas=8_000_000, fee=1)), session.finish())
                )
            assert answers[0] == answers[1], fork
