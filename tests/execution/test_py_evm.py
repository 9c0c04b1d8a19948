"""Blocks through the reference executor: what a transaction leaves behind, and what it must not."""

import threading

import pytest

from node.execution.executor import BlockContext, Executor, InvalidTransaction, execute_block
from node.execution.intrinsic import GasLimitReached, NonceTooHigh
from node.execution.py_evm import PyEvmExecutor, ReceiptsNeedStateRoots
from node.execution.py_evm_transaction import created_address
from node.primitives.chain_spec import Fork
from node.primitives.crypto import EMPTY_HASH, keccak256
from node.primitives.ids import Address, Hash32
from node.primitives.receipt import Log, logs_bloom
from node.primitives.state import Account, StateChanges
from node.primitives.transaction import TransactionType
from tests.execution.builders import (
    AUTHOR,
    CONTRACT,
    ETHER,
    GWEI,
    KEY,
    NOBODY,
    assemble,
    context,
    deploying,
    key_of,
    signed,
    world,
)

EXECUTOR = PyEvmExecutor()
OTHER = key_of(1)
RIPEMD160 = Address(bytes(19) + b"\x03")


def run(view, *transactions, at: BlockContext | None = None, executor: Executor = EXECUTOR):
    """The outcome of a block, and the state after it; changes are checked to be minimal."""
    outcome = execute_block(executor, at or context(), view, transactions)
    return outcome, view.after(outcome.changes)


def test_a_transfer_moves_value_and_pays_tip_to_the_author_and_burns_the_base_fee():
    at = context(base_fee_per_gas=10 * GWEI)
    tx = signed(value=5, gas=30_000, fee=20 * GWEI, tip=3 * GWEI, kind=TransactionType.FEE_MARKET)
    outcome, after = run(world(), tx, at=at)
    assert outcome.gas_used == 21_000
    assert outcome.receipts[0].outcome == 1
    assert outcome.changes == StateChanges(
        accounts={
            KEY.address: Account(1, ETHER - 5 - 21_000 * 13 * GWEI, EMPTY_HASH),
            NOBODY: Account(0, 5, EMPTY_HASH),
            AUTHOR: Account(0, 21_000 * 3 * GWEI, EMPTY_HASH),
        }
    )
    assert after.account(NOBODY) == Account(0, 5, EMPTY_HASH)


def test_a_transfer_of_nothing_to_nobody_for_nothing_changes_the_sender_only():
    outcome, _ = run(world(), signed())
    assert outcome.changes.accounts == {KEY.address: Account(1, ETHER, EMPTY_HASH)}


def test_an_empty_account_that_is_reached_goes_away_and_stays_before_that_rule():
    view = world()
    view.put(NOBODY)
    outcome, after = run(view, signed())
    assert outcome.changes.accounts[NOBODY] is None
    assert outcome.changes.wiped == {NOBODY}
    early = PyEvmExecutor(root_of=lambda view, changes: Hash32(bytes(32)))
    outcome, after = run(world(), signed(chain_id=None), at=context(Fork.HOMESTEAD), executor=early)
    assert after.account(NOBODY) == Account(0, 0, EMPTY_HASH)


def test_an_invalid_transaction_leaves_the_session_as_it_was():
    view = world()
    session = EXECUTOR.begin(context(), view)
    session.apply(signed(nonce=0, value=1))
    with pytest.raises(NonceTooHigh):
        session.apply(signed(nonce=2))
    session.apply(signed(nonce=1, value=1))
    outcome = session.finish()
    assert outcome == execute_block(EXECUTOR, context(), view, [signed(nonce=n, value=1) for n in (0, 1)])


def test_a_block_is_filled_to_its_gas_limit_and_not_beyond():
    session = EXECUTOR.begin(context(gas_limit=60_000), world())
    session.apply(signed(nonce=0, gas=60_000))
    assert session.gas_used == 21_000
    with pytest.raises(GasLimitReached):
        session.apply(signed(nonce=1, gas=39_001))
    session.apply(signed(nonce=1, gas=39_000))


def test_a_failed_transaction_pays_and_changes_nothing_else():
    view = world(code="1 0 SSTORE 0 0 LOG0 0 0 REVERT")
    outcome, after = run(view, signed(to=CONTRACT, value=7, fee=GWEI))
    receipt = outcome.receipts[0]
    assert (receipt.outcome, receipt.logs) == (0, ())
    assert outcome.changes.storage == {}
    assert after.account(KEY.address) == Account(1, ETHER - outcome.gas_used * GWEI, EMPTY_HASH)
    assert after.account(CONTRACT) == view.account(CONTRACT)


def test_out_of_gas_takes_all_of_it():
    outcome, _ = run(world(code="JUMPDEST 0 JUMP"), signed(to=CONTRACT, gas=50_000))
    assert (outcome.receipts[0].outcome, outcome.gas_used) == (0, 50_000)


def test_logs_are_in_the_receipt_and_in_both_blooms():
    view = world(code="42 0 MSTORE 7 32 0 LOG1")
    outcome, _ = run(view, signed(), signed(nonce=1, to=CONTRACT))
    log = Log(CONTRACT, (Hash32((7).to_bytes(32, "big")),), (42).to_bytes(32, "big"))
    assert [receipt.logs for receipt in outcome.receipts] == [(), (log,)]
    assert outcome.receipts[1].cumulative_gas_used == outcome.gas_used
    assert outcome.bloom == outcome.receipts[1].bloom == logs_bloom([log])


def test_storage_that_comes_back_to_its_value_is_no_change():
    view = world()
    view.put(CONTRACT, code=assemble("0 CALLDATALOAD 0 SSTORE"), storage={0: 5})
    there, back = (n.to_bytes(32, "big") for n in (6, 5))
    outcome, _ = run(view, signed(to=CONTRACT, data=there))
    assert outcome.changes.storage == {CONTRACT: {0: 6}}
    assert CONTRACT in outcome.changes.accounts
    outcome, _ = run(view, signed(to=CONTRACT, data=there), signed(nonce=1, to=CONTRACT, data=back))
    assert outcome.changes.accounts.keys() == {KEY.address}


def test_a_contract_is_created_with_nonce_one_and_its_code():
    runtime = assemble("1 0 MSTORE 32 0 RETURN")
    outcome, after = run(world(), signed(to=None, data=deploying(runtime), gas=200_000, value=3))
    address = created_address(KEY.address, 0)
    assert after.account(address) == Account(1, 3, keccak256(runtime))
    assert outcome.changes.codes == {keccak256(runtime): runtime}
    assert outcome.changes.wiped == frozenset()


def test_a_contract_keeps_what_its_address_owned_and_none_of_its_storage():
    view = world()
    address = created_address(KEY.address, 0)
    view.put(address, balance=9)
    outcome, after = run(view, signed(to=None, data=deploying(b"\0"), gas=200_000))
    assert after.account(address) == Account(1, 9, keccak256(b"\0"))
    assert outcome.changes.wiped == {address}


def test_creating_where_a_contract_stands_fails_and_takes_all_gas():
    view = world()
    view.put(created_address(KEY.address, 0), nonce=1)
    outcome, _ = run(view, signed(to=None, data=deploying(b"\0"), gas=200_000))
    assert (outcome.receipts[0].outcome, outcome.gas_used) == (0, 200_000)


def test_a_destroyed_contract_is_gone_with_its_storage():
    view = world()
    view.put(CONTRACT, balance=4, code=assemble("CALLER SELFDESTRUCT"), storage={1: 1})
    outcome, after = run(view, signed(to=CONTRACT))
    assert after.account(CONTRACT) is None
    assert outcome.changes.accounts[CONTRACT] is None
    assert outcome.changes.wiped == {CONTRACT}
    assert after.account(KEY.address) == Account(1, ETHER + 4, EMPTY_HASH)


def test_a_contract_destroyed_and_made_again_starts_with_empty_storage():
    # The factory deploys, by CREATE2, a contract that keeps the call's first word in slot 0, or dies at 0.
    child = assemble("0 CALLDATALOAD DUP1 9 JUMPI CALLER SELFDESTRUCT JUMPDEST 0 SSTORE")
    factory = assemble("CALLDATASIZE 0 0 CALLDATACOPY 0 CALLDATASIZE 0 0 CREATE2 0 MSTORE 32 0 RETURN")
    view = world(code=factory)
    init = deploying(child)
    address = Address(keccak256(b"\xff" + CONTRACT + bytes(32) + keccak256(init))[12:])
    five = (5).to_bytes(32, "big")
    deploy = [signed(nonce=0, to=CONTRACT, data=init, gas=300_000), signed(nonce=1, to=address, data=five)]
    outcome, after = run(view, *deploy)
    assert [receipt.outcome for receipt in outcome.receipts] == [1, 1]
    assert after.slots[address] == {0: 5}
    again = [
        signed(nonce=2, to=address, data=bytes(32)),
        signed(nonce=3, to=CONTRACT, data=init, gas=300_000),
    ]
    outcome, later = run(after, *again)
    assert [receipt.outcome for receipt in outcome.receipts] == [1, 1]
    assert outcome.changes.wiped == {address}
    assert (later.account(address), later.slots.get(address, {})) == (after.account(address), {})


def test_a_contract_made_and_destroyed_within_a_block_leaves_no_trace():
    made = created_address(KEY.address, 0)
    outcome, _ = run(
        world(),
        signed(to=None, data=deploying(assemble("CALLER SELFDESTRUCT")), gas=200_000),
        signed(nonce=1, to=made),
    )
    assert [receipt.outcome for receipt in outcome.receipts] == [1, 1]
    assert outcome.changes.accounts.keys() == {KEY.address}
    assert outcome.changes.codes == {}
    assert outcome.changes.wiped == frozenset()


@pytest.mark.parametrize(("fork", "gone"), [(Fork.SHANGHAI, True), (Fork.CANCUN, False)])
def test_cancun_destroys_only_what_the_same_transaction_made(fork, gone):
    view = world()
    view.put(CONTRACT, balance=4, code=assemble("CALLER SELFDESTRUCT"), storage={1: 1})
    _, after = run(view, signed(to=CONTRACT), at=context(fork))
    assert (after.account(CONTRACT) is None) == gone
    assert after.account(KEY.address).balance == ETHER + 4


def test_transient_storage_lives_for_one_transaction():
    code = "0 TLOAD 0 SSTORE 1 0 TSTORE 0 TLOAD 1 SSTORE"
    _, after = run(
        world(code=code), signed(to=CONTRACT), signed(nonce=1, to=CONTRACT), at=context(Fork.CANCUN)
    )
    assert after.slots[CONTRACT] == {1: 1}


@pytest.mark.parametrize("fork", [Fork.LONDON, Fork.SHANGHAI, Fork.CANCUN])
def test_opcode_44_is_the_difficulty_under_every_fork(fork):
    _, after = run(world(code="DIFFICULTY 0 SSTORE"), signed(to=CONTRACT), at=context(fork, difficulty=2))
    assert after.slots[CONTRACT] == {0: 2}


def test_without_blobs_there_is_no_blob_hash_and_the_least_blob_fee():
    code = "0 BLOBHASH 0 SSTORE BLOBBASEFEE 1 SSTORE"
    _, after = run(world(code=code), signed(to=CONTRACT), at=context(Fork.CANCUN))
    assert after.slots[CONTRACT] == {1: 1}


def test_what_the_code_sees_of_its_block():
    code = (
        "COINBASE 0 SSTORE TIMESTAMP 1 SSTORE NUMBER 2 SSTORE GASLIMIT 3 SSTORE CHAINID 4 SSTORE "
        "BASEFEE 5 SSTORE GASPRICE 6 SSTORE ORIGIN 7 SSTORE 99 BLOCKHASH 8 SSTORE 100 BLOCKHASH 9 SSTORE"
    )
    at = context(base_fee_per_gas=3)
    tx = signed(to=CONTRACT, gas=400_000, fee=9, tip=1, kind=TransactionType.FEE_MARKET)
    _, after = run(world(code=code), tx, at=at)
    assert after.slots[CONTRACT] == {
        0: int.from_bytes(AUTHOR, "big"),
        1: at.timestamp,
        2: 100,
        3: 30_000_000,
        4: 1337,
        5: 3,
        6: 4,
        7: int.from_bytes(KEY.address, "big"),
        8: int.from_bytes(keccak256(b"block 99"), "big"),
    }


@pytest.mark.parametrize(("number", "seen"), [(0, False), (44, True), (43, False), (299, True), (300, False)])
def test_blockhash_sees_256_ancestors(number, seen):
    _, after = run(world(code=f"{number} BLOCKHASH 0 SSTORE"), signed(to=CONTRACT), at=context(number=300))
    assert (CONTRACT in after.slots and 0 in after.slots[CONTRACT]) == seen


def test_touching_address_three_outlives_a_revert():
    # All gas but a little goes to a frame that reaches the empty account 3 and fails.
    view = world(code="0 0 0 0 0 3 GAS CALL INVALID")
    view.put(RIPEMD160)
    outcome, after = run(view, signed(to=CONTRACT, gas=60_000))
    assert outcome.receipts[0].outcome == 0
    assert after.account(RIPEMD160) is None


def test_receipts_before_byzantium_carry_the_state_root():
    with pytest.raises(ReceiptsNeedStateRoots, match="Byzantium"):
        run(world(), signed(chain_id=None), at=context(Fork.HOMESTEAD))
    seen = []

    def root_of(view, changes):
        seen.append(view.after(changes).root())
        return seen[-1]

    executor = PyEvmExecutor(root_of)
    txs = [signed(nonce=n, chain_id=None, value=1) for n in (0, 1)]
    outcome, after = run(world(), *txs, at=context(Fork.HOMESTEAD), executor=executor)
    assert [receipt.outcome for receipt in outcome.receipts] == seen
    assert seen[-1] == after.root()
    assert EXECUTOR.begin(context(Fork.HOMESTEAD), world()).finish().receipts == ()


def on_a_small_stack(work):
    """Do the work in a thread whose C stack is far too small for recursion in C; what it returns."""
    result = []
    before = threading.stack_size(256 * 1024)
    try:
        thread = threading.Thread(target=lambda: result.append(work()))
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    return result[0]


def run_deep(view, tx):
    """Before EIP-150 a frame may hand on nearly all its gas: only the depth limit stops it."""
    executor = PyEvmExecutor(root_of=lambda view, changes: Hash32(bytes(32)))
    return run(view, tx, at=context(Fork.HOMESTEAD, gas_limit=10**12), executor=executor)


def test_calls_nest_1024_deep_on_a_small_stack():
    counts_frames = "0 0 0 0 0 ADDRESS 40000 GAS SUB CALL POP 1 0 SLOAD ADD 0 SSTORE"
    tx = signed(to=CONTRACT, gas=10**9, chain_id=None)
    _, after = on_a_small_stack(lambda: run_deep(world(code=counts_frames), tx))
    assert after.slots[CONTRACT] == {0: 1025}


def test_creations_nest_1024_deep_on_a_small_stack():
    creates_itself = assemble("CODESIZE 0 0 CODECOPY CODESIZE 0 0 CREATE")
    tx = signed(to=None, data=creates_itself, gas=10**9, chain_id=None)
    outcome, _ = on_a_small_stack(lambda: run_deep(world(), tx))
    assert len(outcome.changes.accounts.keys() - {KEY.address, AUTHOR}) == 1025


def test_every_invalid_transaction_is_the_same_kind_of_error():
    with pytest.raises(InvalidTransaction):
        run(world(), signed(key=OTHER, value=1))
