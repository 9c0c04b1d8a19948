"""Header and body rules that no engine changes: each rule, broken alone."""

import dataclasses
from typing import Any

import pytest

from consensus.headers import verify_header, verify_not_future
from node.chain.errors import FutureBlock, InvalidBody, InvalidHeader, WrongOutcome
from node.chain.genesis import genesis_block
from node.chain.validation import verify_body, verify_outcome
from node.execution.executor import BlockOutcome
from node.primitives.block import Body, Header
from node.primitives.chain_spec import Fork
from node.primitives.ids import Hash32
from node.primitives.receipt import EMPTY_BLOOM, Receipt
from node.primitives.state import StateChanges
from node.primitives.transaction import TransactionType
from tests.chain.harness import ACCOUNTS, ChainMaker, make_spec, transfer

SPEC = make_spec(gas_limit=30_000_000)
PARENT = genesis_block(SPEC).header
OTHER = Hash32(b"\x77" * 32)
GOOD = dataclasses.replace(
    PARENT,
    number=1,
    parent_hash=PARENT.hash,
    timestamp=PARENT.timestamp + 2,
    base_fee_per_gas=875_000_000,
)


def changed(**fields: Any) -> Header:
    return dataclasses.replace(GOOD, **fields)


def test_a_good_header_passes() -> None:
    verify_header(SPEC, PARENT, GOOD)
    verify_header(SPEC, PARENT, changed(timestamp=PARENT.timestamp))  # how much later is the engine's rule
    verify_header(SPEC, PARENT, changed(gas_limit=30_000_000 + 29_295))
    verify_header(SPEC, PARENT, changed(gas_limit=30_000_000 - 29_295, gas_used=29_970_705))


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"number": 2}, "number 2 after 0"),
        ({"parent_hash": OTHER}, f"parent hash 0x{OTHER.hex()} where 0x{PARENT.hash.hex()} is expected"),
        ({"timestamp": PARENT.timestamp - 1}, "is before the parent's"),
        ({"ommers_hash": OTHER}, "blocks have no ommers here"),
        ({"gas_limit": 30_029_296}, "gas limit 30029296 is not less than 29296 away from 30000000"),
        ({"gas_limit": 29_970_704}, "gas limit 29970704 is not less than 29296 away from 30000000"),
        ({"gas_limit": 4_999}, "gas limit 4999 is not between 5000 and 9223372036854775807"),
        ({"gas_limit": 1 << 63}, "is not between 5000 and 9223372036854775807"),
        ({"gas_used": 30_000_001}, "gas used 30000001 is above the gas limit 30000000"),
        ({"base_fee_per_gas": 875_000_001}, "base fee 875000001 where 875000000 is expected"),
        ({"base_fee_per_gas": None}, "base fee None where 875000000 is expected"),
    ],
)
def test_a_header_that_contradicts_its_parent_is_refused(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidHeader) as caught:
        verify_header(SPEC, PARENT, changed(**fields))
    assert text in str(caught.value)


def test_there_is_no_base_fee_before_london_and_the_limit_doubles_with_it() -> None:
    spec = dataclasses.replace(SPEC, forks=((0, Fork.BERLIN), (2, Fork.LONDON)))
    genesis = dataclasses.replace(PARENT, base_fee_per_gas=None)
    berlin = changed(parent_hash=genesis.hash, base_fee_per_gas=None)
    verify_header(spec, genesis, berlin)
    with pytest.raises(InvalidHeader, match="base fee 0 where None is expected"):
        verify_header(spec, genesis, changed(parent_hash=genesis.hash, base_fee_per_gas=0))
    london = dataclasses.replace(
        berlin, number=2, parent_hash=berlin.hash, base_fee_per_gas=10**9, gas_limit=60_000_000
    )
    verify_header(spec, berlin, london)
    with pytest.raises(InvalidHeader, match="gas limit 30000000 is not less than 58593 away from 60000000"):
        verify_header(spec, berlin, dataclasses.replace(london, gas_limit=30_000_000))


def test_a_block_from_the_future_is_told_apart_from_a_bad_one() -> None:
    verify_not_future(GOOD, GOOD.timestamp - 1.0)
    with pytest.raises(FutureBlock) as caught:
        verify_not_future(GOOD, GOOD.timestamp - 1.5)
    assert caught.value.ahead_s == 1.5


def test_the_body_is_the_one_the_header_commits_to() -> None:
    maker = ChainMaker()
    block = maker.extend([transfer(ACCOUNTS[0], 0), transfer(ACCOUNTS[0], 1)])
    verify_body(block.header, block.body)
    with pytest.raises(InvalidBody, match="transactions root"):
        verify_body(block.header, Body(block.transactions[:1]))
    with pytest.raises(InvalidBody, match="1 ommers; blocks have none here"):
        verify_body(block.header, Body(block.transactions, (PARENT,)))


def test_all_that_execution_contradicts_is_named() -> None:
    receipt = Receipt(TransactionType.LEGACY, 1, 21_000, EMPTY_BLOOM, ())
    outcome = BlockOutcome((receipt,), StateChanges(), 21_000, b"\x01" + bytes(255))
    with pytest.raises(WrongOutcome) as caught:
        verify_outcome(GOOD, outcome, OTHER)
    text = str(caught.value)
    assert "gas used 21000 where the header has 0" in text
    assert f"state root 0x{OTHER.hex()} where the header has 0x{GOOD.state_root.hex()}" in text
    assert "receipts root" in text
    assert "another logs bloom" in text
    verify_outcome(GOOD, BlockOutcome((), StateChanges(), 0, EMPTY_BLOOM), GOOD.state_root)
