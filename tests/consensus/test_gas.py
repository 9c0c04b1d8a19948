"""Gas limit and base fee from one block to the next."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.gas import GAS_LIMIT_MAX, GAS_LIMIT_MIN, base_fee_after, gas_limit_after, gas_limit_basis
from node.chain.genesis import genesis_block
from node.primitives.block import Header
from node.primitives.chain_spec import Fork
from tests.chain.harness import make_spec

LONDON = make_spec()
BEFORE_LONDON = dataclasses.replace(LONDON, forks=((0, Fork.BERLIN), (6, Fork.LONDON)))
GENESIS = genesis_block(LONDON).header


def header(**fields: int | None) -> Header:
    return dataclasses.replace(GENESIS, **fields)


# EIP-1559's reference code (base_fee_per_gas_delta), worked by hand.
@pytest.mark.parametrize(
    ("gas_used", "gas_limit", "base_fee", "expected"),
    [
        (10_000_000, 20_000_000, 1_000_000_000, 1_000_000_000),
        (20_000_000, 20_000_000, 1_000_000_000, 1_125_000_000),
        (0, 20_000_000, 1_000_000_000, 875_000_000),
        (9_000_000, 20_000_000, 1_000_000_000, 987_500_000),
        (11_000_000, 20_000_000, 1_000_000_000, 1_012_500_000),
        (10_000_001, 20_000_000, 7, 8),  # at least 1 wei upwards
        (0, 20_000_000, 7, 7),  # and no rounding up downwards
        (20_000_000, 20_000_000, 0, 1),
        (0, 20_000_001, 10**18, 875_000_000_000_000_000),
    ],
)
def test_base_fee_follows_the_gas_used(gas_used: int, gas_limit: int, base_fee: int, expected: int) -> None:
    parent = header(gas_used=gas_used, gas_limit=gas_limit, base_fee_per_gas=base_fee)
    assert base_fee_after(LONDON, parent) == expected


def test_base_fee_begins_at_london() -> None:
    parent = header(base_fee_per_gas=None, number=4)
    assert base_fee_after(BEFORE_LONDON, parent) is None
    assert base_fee_after(BEFORE_LONDON, header(base_fee_per_gas=None, number=5)) == 1_000_000_000


def test_zero_base_fee_rules_every_block_but_genesis() -> None:
    free = make_spec(zeroBaseFee=True)
    assert free.genesis.base_fee_per_gas == 1_000_000_000
    full = header(gas_used=20_000_000, gas_limit=20_000_000, base_fee_per_gas=1_000_000_000)
    assert base_fee_after(free, full) == 0
    assert base_fee_after(free, header(gas_used=20_000_000, gas_limit=20_000_000, base_fee_per_gas=0)) == 0


def test_the_gas_limit_doubles_where_london_begins() -> None:
    assert gas_limit_basis(BEFORE_LONDON, header(base_fee_per_gas=None, number=5, gas_limit=10_000)) == 20_000
    assert gas_limit_basis(BEFORE_LONDON, header(base_fee_per_gas=None, number=4, gas_limit=10_000)) == 10_000
    assert gas_limit_basis(BEFORE_LONDON, header(number=6, gas_limit=10_000)) == 10_000


# go-ethereum v1.13.15, core/block_validator_test.go TestCalcGasLimit: from 20,000,000 and so on.
@pytest.mark.parametrize(
    ("parent", "highest", "lowest"),
    [
        (20_000_000, 20_019_530, 19_980_470),
        (40_000_000, 40_039_061, 39_960_939),
    ],
)
def test_the_limit_moves_to_its_target_by_less_than_a_1024th(parent: int, highest: int, lowest: int) -> None:
    after = header(gas_limit=parent)
    assert gas_limit_after(LONDON, after, 2 * parent) == highest
    assert gas_limit_after(LONDON, after, 0) == lowest
    assert gas_limit_after(LONDON, after, parent + 1) == parent + 1
    assert gas_limit_after(LONDON, after, parent - 1) == parent - 1
    assert gas_limit_after(LONDON, after, parent) == parent


@given(st.integers(GAS_LIMIT_MIN, GAS_LIMIT_MAX), st.integers(0, 1 << 64))
def test_every_limit_a_builder_chooses_is_allowed(parent_limit: int, target: int) -> None:
    limit = gas_limit_after(LONDON, header(gas_limit=parent_limit), target)
    assert GAS_LIMIT_MIN <= limit <= GAS_LIMIT_MAX
    assert abs(limit - parent_limit) < parent_limit // 1024
