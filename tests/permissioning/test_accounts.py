"""Accounts' permissions as a rule of the chain: what builder and importer refuse, and who is always heard."""

from typing import Any

import pytest

from node.chain.errors import InvalidBlock
from node.execution.evm.executor import FastExecutor
from node.execution.py_evm import PyEvmExecutor
from node.permissioning.policy import Right, sending_of
from node.primitives.errors import ConfigError
from node.primitives.ids import Address, hex_of
from node.primitives.transaction import Transaction
from tests.chain.harness import ACCOUNTS, ChainMaker, make_spec, sign, take, transfer
from tests.permissioning.rules_contract import (
    ANSWERS,
    CALL,
    DEPLOY,
    LONG,
    LOOPS,
    MODE,
    REPAIR_SLOT,
    REVERTS,
    RULES,
    SEAT,
    TRANSFER,
    TWO,
    alloc,
    number,
    set_slot,
)

OWNER, PAYER, CALLER, BUILDER, NOBODY, SEATED = ACCOUNTS[:6]
SOMEWHERE = Address(b"\x77" * 20)


def address(account: Any) -> Address:
    return Address(bytes.fromhex(account.address[2:]))


def rights() -> dict[bytes, int]:
    return {
        address(OWNER): TRANSFER | CALL | DEPLOY,
        address(PAYER): TRANSFER,
        address(CALLER): CALL,
        address(BUILDER): DEPLOY,
    }


def permissioned(block: int = 1, sees: str = "whole", executor: Any = None, **slots: int) -> ChainMaker:
    """A chain whose rules are the small contract's."""
    section = {"ingress": hex_of(RULES), "block": block, "sees": sees}
    entries = alloc(rights(), **{f"slot_{SEAT + number(address(SEATED))}": 1, **slots})
    spec = make_spec(alloc=entries, phoenix={"accountPermissioning": section})
    return ChainMaker(spec, executor=executor or FastExecutor(PyEvmExecutor()))


def deploy(account: Any, nonce: int) -> Transaction:
    return sign(account, nonce=nonce, gas=100_000, data=b"\x00")


def call(account: Any, nonce: int, data: bytes = b"\x01\x02\x03\x04", to: Address = SOMEWHERE) -> Transaction:
    return sign(account, nonce=nonce, to=to, gas=100_000, data=data)


def govern(maker: ChainMaker, nonce: int, slot: int, value: int) -> None:
    maker.extend([call(OWNER, nonce, set_slot(slot, value), RULES)])


def refused(maker: ChainMaker, tx: Transaction) -> str:
    """Why a block with it is refused by others; the honest builder leaves it out too."""
    with pytest.raises(AssertionError, match="does not fit"):
        maker.unimported(maker.head, [tx])
    block = maker.unimported(maker.head, [tx], permitted=False)
    with pytest.raises(InvalidBlock) as error:
        take(maker.chain, [block])
    return str(error.value)


@pytest.mark.parametrize("sees", ["whole", "kind"])
def test_transfer_call_and_deployment_are_separate_rights(sees: str) -> None:
    maker = permissioned(sees=sees)
    allowed = {Right.TRANSFER: PAYER, Right.CALL: CALLER, Right.DEPLOY: BUILDER}
    for account in (PAYER, CALLER, BUILDER, NOBODY):
        for tx in (transfer(account, 0), call(account, 0), deploy(account, 0)):
            may = account is allowed[sending_of(tx).kind]
            decision = maker.chain.account_rules.decide(
                maker.head, maker.reader.state_at(maker.head.hash), sending_of(tx)
            )
            assert decision.allowed is may
            assert decision.rule == "contract"
            assert decision.block == 0
    maker.extend([transfer(PAYER, 0), call(CALLER, 0), deploy(BUILDER, 0)])


def test_a_block_with_a_forbidden_transaction_is_refused_with_transaction_sender_and_rule() -> None:
    maker = permissioned()
    tx = transfer(NOBODY, 0)
    words = refused(maker, tx)
    assert hex_of(tx.hash) in words
    assert hex_of(tx.sender) in words
    assert "rule contract, after block 0" in words


def test_rules_begin_with_their_block() -> None:
    maker = permissioned(block=2)
    maker.extend([transfer(NOBODY, 0)])
    assert "rule contract, after block 1" in refused(maker, transfer(NOBODY, 1))


def test_the_parents_state_decides_so_no_transaction_gives_rights_within_its_block() -> None:
    maker = permissioned()
    grant = call(OWNER, 0, set_slot(number(address(NOBODY)), TRANSFER), RULES)
    use = transfer(NOBODY, 0)
    block = maker.unimported(maker.head, [grant, use], permitted=False)
    with pytest.raises(InvalidBlock, match="transaction 1"):
        take(maker.chain, [block])
    maker.extend([grant])
    maker.extend([use])


def test_a_right_that_is_taken_away_ends_with_the_next_block() -> None:
    maker = permissioned()
    govern(maker, 0, number(address(PAYER)), 0)
    assert "after block 1" in refused(maker, transfer(PAYER, 0))


@pytest.mark.parametrize("mode", [REVERTS, LOOPS, LONG, TWO])
def test_rules_that_give_no_answer_close_the_chain_but_not_for_the_board(mode: int) -> None:
    maker = permissioned(slot_2=number(RULES))
    govern(maker, 0, MODE, mode)
    assert "rule no-answer" in refused(maker, transfer(OWNER, 1))
    # Neither a stranger at the board's door, nor a member anywhere else.
    assert "rule no-answer" in refused(maker, call(NOBODY, 0, set_slot(MODE, ANSWERS), RULES))
    assert "rule no-answer" in refused(maker, transfer(SEATED, 0))
    maker.extend([call(SEATED, 0, set_slot(MODE, ANSWERS), RULES)])
    maker.extend([transfer(OWNER, 1)])


def test_rules_that_refuse_everybody_do_not_lock_out_the_board() -> None:
    maker = permissioned()
    govern(maker, 0, REPAIR_SLOT, number(RULES))
    govern(maker, 1, number(address(OWNER)), 0)
    assert "rule contract" in refused(maker, transfer(OWNER, 2))
    maker.extend([call(SEATED, 0, set_slot(number(address(OWNER)), TRANSFER), RULES)])
    maker.extend([transfer(OWNER, 2)])


def test_without_a_name_for_repair_nobody_is_above_the_rules() -> None:
    maker = permissioned()
    assert "rule contract" in refused(maker, call(SEATED, 0, set_slot(MODE, ANSWERS), RULES))


def test_both_executors_give_the_same_verdicts() -> None:
    for mode in (ANSWERS, REVERTS, LOOPS, LONG, TWO):
        verdicts = []
        for executor in (FastExecutor(PyEvmExecutor()), PyEvmExecutor()):
            maker = permissioned(executor=executor, slot_1=mode)
            view, decide = maker.reader.state_at(maker.head.hash), maker.chain.account_rules.decide
            sent = (transfer(PAYER, 0), transfer(NOBODY, 0), call(CALLER, 0), deploy(PAYER, 0))
            verdicts.append([decide(maker.head, view, sending_of(tx)) for tx in sent])
        assert verdicts[0] == verdicts[1]


def test_an_answer_is_given_again_until_what_it_was_read_from_changes() -> None:
    maker = permissioned(sees="kind")
    caller = maker.chain.caller
    for nonce in range(4):
        maker.extend([transfer(PAYER, nonce), call(CALLER, nonce, b"\x01\x02\x03\x04" + bytes([nonce]))])
    assert caller.executed == 2
    govern(maker, 0, number(address(NOBODY)), TRANSFER)  # somebody else's right
    executed = caller.executed
    maker.extend([transfer(PAYER, 4), call(CALLER, 4)])
    assert caller.executed == executed
    govern(maker, 1, number(address(PAYER)), TRANSFER | CALL)
    executed = caller.executed
    maker.extend([transfer(PAYER, 5), call(CALLER, 5)])
    assert caller.executed == executed + 1


def test_the_check_costs_the_sender_no_gas() -> None:
    maker = permissioned()
    block = maker.extend([transfer(PAYER, 0)])
    assert block.header.gas_used == 21_000


def test_a_rule_that_is_not_understood_or_cannot_be_asked_is_a_bad_genesis() -> None:
    good = {"ingress": hex_of(RULES), "block": 1, "sees": "kind"}
    for change, words in (
        ({"block": 0}, "1 or more"),
        ({"sees": "some"}, "'some' is none"),
        ({"from": 7}, "not known here"),
        ({"ingress": hex_of(SOMEWHERE)}, "has no code"),
        ({"ingress": None}, "is missing"),
    ):
        with pytest.raises(ConfigError, match=words):
            make_spec(alloc=alloc({}), phoenix={"accountPermissioning": good | change})


def test_a_node_without_the_rule_is_no_peer() -> None:
    section = {"ingress": hex_of(RULES), "block": 3}
    ours = make_spec(alloc=alloc({}), phoenix={"accountPermissioning": section})
    theirs = make_spec(alloc=alloc({}), phoenix={})
    assert ours.fork_id_blocks == (3,)
    assert theirs.fork_id_blocks == ()


def test_blocks_made_by_other_rules_are_not_opened() -> None:
    from node.storage.memory import MemoryKV

    kv = MemoryKV()
    section = {"ingress": hex_of(RULES), "block": 1}
    maker = ChainMaker(make_spec(alloc=alloc({}), phoenix={"accountPermissioning": section}), kv=kv)
    maker.extend()
    with pytest.raises(ConfigError, match="accountPermissioning"):
        ChainMaker(make_spec(alloc=alloc({}), phoenix={}), kv=kv)
