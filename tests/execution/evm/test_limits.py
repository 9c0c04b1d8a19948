"""How deep, how large, how far: the limits of calls, return data and code, on both executors."""

import pytest

from node.execution.evm.executor import FastExecutor
from node.execution.executor import Call, InvalidTransaction
from node.primitives.chain_spec import Fork
from node.primitives.ids import Address
from tests.execution.builders import CONTRACT, KEY, assemble, context, signed
from tests.execution.evm.swarm import FORKS, REFERENCE
from tests.execution.worlds import MemoryView

EXECUTORS = (FastExecutor(REFERENCE), REFERENCE)
WORD = int.from_bytes(CONTRACT, "big")
OTHER = Address(b"\xdd" * 20)
CODE_MAX, INIT_MAX = 24_576, 49_152
SUCCESS = "0 MSTORE 32 0 RETURN"


def agreed(code: str | bytes, *, fork=Fork.LONDON, gas=10_000_000, other: str | bytes = b"", data=b""):
    """What a call of CONTRACT comes to; both executors say the same."""
    view = MemoryView()
    for address, each in ((CONTRACT, code), (OTHER, other)):
        view.put(address, balance=9, nonce=1, code=assemble(each) if isinstance(each, str) else each)
    call = Call(sender=KEY.address, to=CONTRACT, data=data, gas_limit=gas)
    ours, theirs = (each.call(context(fork), view, call) for each in EXECUTORS)
    assert ours == theirs
    return ours


@pytest.mark.parametrize(
    "opcode", ["0 {} GAS CALL", "0 {} GAS CALLCODE", "{} GAS DELEGATECALL", "{} GAS STATICCALL"]
)
def test_every_way_to_call_nests_1024_deep(opcode):
    """Each frame adds one to what the frame below counted; the frame at depth 1024 cannot call."""
    code = f"32 0 0 0 {opcode.format(WORD)} POP 0 MLOAD 1 ADD {SUCCESS}"
    result = agreed(code, gas=10**12)  # the 64th that stays behind leaves something at every depth
    assert int.from_bytes(result.output, "big") == 1 + 1024


@pytest.mark.parametrize("opcode", ["CODESIZE 0 0 CREATE", "7 CODESIZE 0 0 CREATE2"])
def test_creations_nest_1024_deep(opcode):
    """Init code that creates with itself; every frame but the last leaves an account."""
    code = assemble(f"CODESIZE 0 0 CODECOPY {opcode} STOP")
    outcomes = []
    for executor in EXECUTORS:
        view = MemoryView()
        view.put(KEY.address, balance=1)
        session = executor.begin(context(gas_limit=10**14), view)
        session.apply(signed(to=None, data=code, gas=10**14))
        outcomes.append(session.finish())
    assert outcomes[0] == outcomes[1]
    assert len(outcomes[0].changes.accounts) - 1 == 1 + 1024  # the sender is none of them


RETURNING = {
    "a call": ("0 0 0 0 0 {} 50000 CALL", "{} 0 RETURN", True),
    "a call that reverts": ("0 0 0 0 0 {} 50000 CALL", "{} 0 REVERT", True),
    "a static call": ("0 0 0 0 {} 50000 STATICCALL", "{} 0 RETURN", True),
    "a delegated call": ("0 0 0 0 {} 50000 DELEGATECALL", "{} 0 RETURN", True),
    "a call that fails": ("0 0 0 0 0 {} 50000 CALL", "INVALID {} 0 RETURN", False),
    "a call without funds": ("0 0 0 0 100 {} 50000 CALL", "{} 0 RETURN", False),
}


@pytest.mark.parametrize("size", [0, 1, 32, 33])
@pytest.mark.parametrize("kind", RETURNING)
def test_return_data_ends_where_it_ends(kind, size):
    calling, called, returns = RETURNING[kind]
    calling, there = calling.format(int.from_bytes(OTHER, "big")), size if returns else 0
    told = agreed(f"{calling} POP RETURNDATASIZE {SUCCESS}", other=called.format(size))
    assert int.from_bytes(told.output, "big") == there
    for start, length in (
        (0, there),
        (0, there + 1),
        (there, 0),
        (there + 1, 0),
        (2**256 - 1, 1),
        (1, there),
    ):
        result = agreed(f"{calling} POP {length} {start} 7 RETURNDATACOPY STOP", other=called.format(size))
        assert (result.error is None) == (start + length <= there), (start, length)


def test_a_creation_leaves_return_data_only_when_it_reverts():
    for end, left in (("RETURN", 0), ("REVERT", 3)):
        init = int.from_bytes(assemble(f"3 0 {end}").ljust(32, b"\0"), "big")
        told = agreed(f"{init} 0 MSTORE 32 0 0 CREATE POP RETURNDATASIZE {SUCCESS}")
        assert int.from_bytes(told.output, "big") == left


def returning(size: int, first: int = 0) -> bytes:
    """Init code of 32 bytes or less that deploys so many bytes, the first of them this one."""
    return assemble(f"{first} 0 MSTORE8 {size} 0 RETURN")


def creating(init: bytes, opcode: str) -> str:
    """A program that creates with this init code and returns the address."""
    word = int.from_bytes(init.ljust(32, b"\0"), "big")
    salt = "5 " if opcode == "CREATE2" else ""
    return f"{word} 0 MSTORE {salt}{len(init)} 0 0 {opcode} {SUCCESS}"


@pytest.mark.parametrize(
    ("size", "first", "since"),
    [(CODE_MAX, 0, None), (CODE_MAX + 1, 0, Fork.BYZANTIUM), (1, 0xEF, Fork.LONDON), (0, 0, None)],
    ids=["the largest", "one byte more", "begins with EF", "empty"],
)
@pytest.mark.parametrize("fork", FORKS)
def test_code_that_may_not_be_deployed(fork, size, first, since):
    """EIP-170 and EIP-3541, by transaction and by both opcodes: all gas of the creation is gone."""
    refused = since is not None and fork >= since
    init = returning(size, first)
    for opcode in ("CREATE", *(("CREATE2",) if fork >= Fork.CONSTANTINOPLE else ())):
        result = agreed(creating(init, opcode), fork=fork)
        assert (int.from_bytes(result.output, "big") == 0) == refused
        assert (result.gas_used > 9_000_000) == refused
    receipts = []
    for executor in EXECUTORS:
        view = MemoryView()
        view.put(KEY.address, balance=1)
        session = executor.begin(context(fork), view)
        receipts.append((session.apply(signed(to=None, data=init, gas=10_000_000)), session.finish()))
    assert receipts[0] == receipts[1]
    assert receipts[0][0].succeeded == (not refused)


@pytest.mark.parametrize("opcode", ["CREATE", "CREATE2"])
def test_init_code_has_a_size_and_a_price_from_shanghai_on(opcode):
    """EIP-3860: two gas for a word, and one byte too many halts the creator or refuses the transaction."""
    salt = "5 " if opcode == "CREATE2" else ""

    def used(fork: Fork, size: int) -> int | None:
        result = agreed(f"{salt}{size} 0 0 {opcode} {SUCCESS}", fork=fork)
        return result.gas_used if result.error is None else None

    before, largest = used(Fork.LONDON, INIT_MAX), used(Fork.SHANGHAI, INIT_MAX)
    assert before is not None
    assert largest is not None
    assert largest - before == 2 * INIT_MAX // 32
    assert used(Fork.LONDON, INIT_MAX + 1) is not None
    assert used(Fork.SHANGHAI, INIT_MAX + 1) is None
    for fork, size, fine in (
        (Fork.SHANGHAI, INIT_MAX, True),
        (Fork.SHANGHAI, INIT_MAX + 1, False),
        (Fork.LONDON, INIT_MAX + 1, True),
    ):
        for executor in EXECUTORS:
            view = MemoryView()
            view.put(KEY.address, balance=1)
            session = executor.begin(context(fork), view)
            tx = signed(to=None, data=bytes(size), gas=1_000_000)
            if fine:
                assert session.apply(tx).succeeded
            else:
                with pytest.raises(InvalidTransaction, match="initcode"):
                    session.apply(tx)
