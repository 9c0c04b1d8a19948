"""What things cost by the EIPs' own numbers, on both executors."""

import pytest

from node.execution.evm.executor import FastExecutor
from node.execution.executor import Call
from node.primitives.chain_spec import Fork
from node.primitives.ids import Address, Hash32
from node.primitives.transaction import TransactionType
from tests.execution.builders import AUTHOR, CONTRACT, KEY, assemble, context, signed
from tests.execution.evm.swarm import FORKS, REFERENCE
from tests.execution.worlds import MemoryView

EXECUTORS = (FastExecutor(REFERENCE), REFERENCE)
SINCE_BERLIN = [fork for fork in FORKS if fork >= Fork.BERLIN]
COLD_ACCOUNT, COLD_SLOT, WARM = 2600, 2100, 100
OTHER = Address(b"\x77" * 20)
WORD = int.from_bytes(OTHER, "big")
TOUCHING = {
    "BALANCE": "{} BALANCE POP",
    "EXTCODESIZE": "{} EXTCODESIZE POP",
    "EXTCODEHASH": "{} EXTCODEHASH POP",
    "EXTCODECOPY": "0 0 0 {} EXTCODECOPY",
    "CALL": "0 0 0 0 0 {} 0 CALL POP",
    "CALLCODE": "0 0 0 0 0 {} 0 CALLCODE POP",
    "DELEGATECALL": "0 0 0 0 {} 0 DELEGATECALL POP",
    "STATICCALL": "0 0 0 0 {} 0 STATICCALL POP",
}


def world(code: str) -> MemoryView:
    view = MemoryView()
    view.put(KEY.address, balance=10**18)
    view.put(CONTRACT, balance=9, nonce=1, code=assemble(code), storage=dict.fromkeys(range(1, 40), 1))
    view.put(OTHER, balance=1)
    return view


def cost(fork: Fork, code: str, access_list=()) -> int:
    """Gas of the code's instructions alone, without what its pushes and POPs cost."""
    call = Call(sender=KEY.address, to=CONTRACT, gas_limit=1_000_000, access_list=access_list)
    ours, theirs = (each.call(context(fork), world(code), call) for each in EXECUTORS)
    assert (ours.gas_used, ours.error) == (theirs.gas_used, None)
    paid = sum(2400 + 1900 * len(keys) for _, keys in access_list)
    pops = code.split().count("POP")
    pushes = sum(word[0].isdigit() for word in code.split())
    return ours.gas_used + ours.gas_refunded - 21_000 - paid - 2 * pops - 3 * pushes


@pytest.mark.parametrize("fork", SINCE_BERLIN)
def test_what_is_cold_and_what_is_warm(fork):
    """EIP-2929: the first touch of a transaction costs more; EIP-2930: what is listed is warm."""
    slot = Hash32((50).to_bytes(32, "big"))
    warm_already = [1, 9, int.from_bytes(CONTRACT, "big"), int.from_bytes(KEY.address, "big")]
    for name, text in TOUCHING.items():
        once = text.format(WORD)
        assert cost(fork, once) == COLD_ACCOUNT, name
        assert cost(fork, f"{once} {once}") == COLD_ACCOUNT + WARM, name
        assert cost(fork, once, ((OTHER, ()),)) == WARM, name
        for address in warm_already:
            if "CALL" not in name:  # contracts that compute have a price of their own
                assert cost(fork, text.format(address)) == WARM, (name, address)
    assert cost(fork, "50 SLOAD POP") == COLD_SLOT
    assert cost(fork, "50 SLOAD POP 50 SLOAD POP") == COLD_SLOT + WARM
    assert cost(fork, "50 SLOAD POP", ((CONTRACT, (slot,)),)) == WARM
    assert cost(fork, "7 50 SSTORE") == COLD_SLOT + 20_000
    assert cost(fork, "7 50 SSTORE", ((CONTRACT, (slot,)),)) == 20_000
    assert cost(fork, "7 1 SSTORE") == 5_000
    assert cost(fork, "7 1 SSTORE 8 1 SSTORE") == 5_000 + WARM
    assert cost(fork, f"{WORD} SELFDESTRUCT") == 5_000 + COLD_ACCOUNT
    assert cost(fork, f"{WORD} SELFDESTRUCT", ((OTHER, ()),)) == 5_000
    assert cost(fork, f"{WORD + 1} SELFDESTRUCT") == 5_000 + COLD_ACCOUNT + 25_000


@pytest.mark.parametrize("fork", SINCE_BERLIN)
def test_what_a_reverted_frame_touched_is_cold_again(fork):
    """With calldata the contract touches and reverts; without, it calls itself with a byte of it first."""
    touch = f"{WORD} BALANCE POP"
    me = int.from_bytes(CONTRACT, "big")
    for end, again in (("STOP", WARM), ("0 0 REVERT", COLD_ACCOUNT)):
        tail = f"JUMPDEST {touch} {end}"
        outer = f"0 0 1 0 0 {me} 100000 CALL POP GAS {touch} GAS SWAP1 SUB 0 MSTORE 32 0 RETURN"
        code = f"CALLDATASIZE {4 + len(assemble(outer))} JUMPI {outer} {tail}"
        call = Call(sender=KEY.address, to=CONTRACT, gas_limit=1_000_000)
        ours, theirs = (each.call(context(fork), world(code), call) for each in EXECUTORS)
        assert ours == theirs
        assert int.from_bytes(ours.output, "big") == again + 3 + 2 + 2, end  # PUSH, POP and GAS


def sent(fork: Fork, code: str, **fields):
    """The gas of a transaction to CONTRACT and what the block came to; both executors say the same."""
    outcomes = []
    for executor in EXECUTORS:
        session = executor.begin(context(fork, **fields.get("block", {})), world(code))
        session.apply(signed(to=CONTRACT, gas=2_000_000, **fields.get("tx", {})))
        outcomes.append(session.finish())
    assert outcomes[0] == outcomes[1]
    return outcomes[0]


@pytest.mark.parametrize("slots", [1, 2, 10, 30])
@pytest.mark.parametrize("fork", [Fork.BYZANTIUM, Fork.PETERSBURG, Fork.ISTANBUL, *SINCE_BERLIN])
def test_what_comes_back(fork, slots):
    """EIP-3529: 4,800 for a slot that is cleared, a fifth at most; before it 15,000, and half."""
    used = sum(3 + 3 + 5_000 for _ in range(slots)) + 21_000
    each, part = (4_800, 5) if fork >= Fork.LONDON else (15_000, 2)
    code = " ".join(f"0 {slot} SSTORE" for slot in range(1, slots + 1))
    assert sent(fork, code).gas_used == used - min(each * slots, used // part)


@pytest.mark.parametrize("fork", FORKS)
def test_nothing_comes_back_for_a_destroyed_contract_from_london_on(fork):
    used = 21_000 + 3 + 5_000 + (COLD_ACCOUNT if fork >= Fork.BERLIN else 0)
    back = min(24_000, used // 2) if fork < Fork.LONDON else 0
    assert sent(fork, f"{WORD} SELFDESTRUCT").gas_used == used - back


@pytest.mark.parametrize("fork", [fork for fork in FORKS if fork >= Fork.LONDON])
@pytest.mark.parametrize(("cap", "tip", "price"), [(10, 2, 9), (10, 5, 10), (7, 3, 7), (100, 0, 7)])
def test_who_is_paid_what(fork, cap, tip, price):
    """EIP-1559: the base fee is burnt, the author has the tip; EIP-3198: code sees the base fee."""
    kind = {"kind": TransactionType.FEE_MARKET, "fee": cap, "tip": tip}
    outcome = sent(fork, "BASEFEE 100 SSTORE GASPRICE 101 SSTORE", block={"base_fee_per_gas": 7}, tx=kind)
    changes = outcome.changes
    assert changes.storage[CONTRACT] == {100: 7, 101: price}
    sender = changes.accounts[KEY.address]
    assert sender is not None
    assert sender.balance == 10**18 - outcome.gas_used * price
    author = changes.accounts.get(AUTHOR)
    assert (author.balance if author else 0) == outcome.gas_used * (price - 7)
