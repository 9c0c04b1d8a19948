"""Which transactions may stand in a block, and what they cost before their first instruction."""

import pytest

from node.execution import intrinsic
from node.execution.executor import InvalidTransaction
from node.execution.intrinsic import (
    check_gas_left,
    check_transaction,
    effective_gas_price,
    intrinsic_gas,
    refund_cap,
)
from node.primitives.chain_spec import Fork
from node.primitives.crypto import EMPTY_HASH, keccak256
from node.primitives.ids import Hash32
from node.primitives.state import Account
from node.primitives.transaction import TransactionType
from tests.execution.builders import CHAIN_ID, KEY, NOBODY, context, signed

LEGACY, LISTED, FEE_MARKET = TransactionType
RICH = Account(5, 10**18, EMPTY_HASH)
SENDER = "0x" + KEY.address.hex()


def refusal(tx, fork=Fork.LONDON, account=RICH, **block):
    """What is said against a transaction."""
    with pytest.raises(InvalidTransaction) as caught:
        check_transaction(tx, context(fork, **block), account)
    return caught.value


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"nonce": 4}, f"nonce too low: address {SENDER}, tx: 4 state: 5"),
        ({"nonce": 6}, f"nonce too high: address {SENDER}, tx: 6 state: 5"),
        ({"chain_id": 7}, f"invalid chain id for signer: have 7 want {CHAIN_ID}"),
        ({"gas": 20_999}, "intrinsic gas too low: have 20999, want 21000"),
        (
            {"gas": 21_000, "fee": 10, "value": 10**18},
            f"insufficient funds for gas * price + value: address {SENDER} "
            "have 1000000000000000000 want 1000000000000210000",
        ),
        (
            {"kind": FEE_MARKET, "fee": 6, "tip": 0},
            f"max fee per gas less than block base fee: address {SENDER}, maxFeePerGas: 6, baseFee: 7",
        ),
        (
            {"kind": FEE_MARKET, "fee": 9, "tip": 10},
            f"max priority fee per gas higher than max fee per gas: address {SENDER}, "
            "maxPriorityFeePerGas: 10, maxFeePerGas: 9",
        ),
    ],
)
def test_what_is_wrong_is_said_in_geths_words(fields, words):
    tx = signed(**{"nonce": 5, "fee": 10} | fields)
    assert str(refusal(tx, base_fee_per_gas=7)) == words


def test_a_sender_with_code_is_refused():
    account = RICH._replace(code_hash=keccak256(b"\0"))
    words = f"sender not an eoa: address {SENDER}, codehash: 0x{keccak256(bytes(1)).hex()}"
    assert str(refusal(signed(nonce=5), account=account)) == words


def test_the_last_nonce_is_refused():
    last = (1 << 64) - 1
    error = refusal(signed(nonce=last), account=RICH._replace(nonce=last))
    assert str(error) == f"nonce has max value: address {SENDER}, nonce: {last}"


def test_the_balance_must_cover_the_cap_and_not_only_what_is_paid():
    tx = signed(nonce=5, kind=FEE_MARKET, fee=100, tip=1, gas=21_000)
    assert refusal(tx, account=RICH._replace(balance=2_099_999)).cost == 2_100_000
    assert check_transaction(tx, context(), RICH._replace(balance=2_100_000)) == 21_000


def test_nobody_has_nothing_and_nonce_zero():
    assert check_transaction(signed(nonce=0), context(), None) == 21_000
    assert refusal(signed(nonce=0, value=1), account=None).balance == 0


@pytest.mark.parametrize(
    ("kind", "since"),
    [(LEGACY, Fork.SPURIOUS_DRAGON), (LISTED, Fork.BERLIN), (FEE_MARKET, Fork.LONDON)],
)
@pytest.mark.parametrize("fork", Fork)
def test_types_of_transaction_come_with_their_fork(kind, since, fork):
    tx = signed(nonce=5, kind=kind)
    if fork >= since:
        assert check_transaction(tx, context(fork), RICH) == 21_000
    else:
        assert str(refusal(tx, fork)).startswith("transaction type not supported: ")


@pytest.mark.parametrize("fork", Fork)
def test_transactions_without_replay_protection_stay_valid(fork):
    assert check_transaction(signed(nonce=5, chain_id=None), context(fork), RICH) == 21_000


def test_what_a_transaction_costs_before_it_runs():
    data = bytes(3) + b"\1" * 2
    keys = (Hash32(bytes(32)), Hash32(b"\1" * 32))
    assert intrinsic_gas(signed(data=data), Fork.PETERSBURG) == 21_000 + 3 * 4 + 2 * 68
    assert intrinsic_gas(signed(data=data), Fork.ISTANBUL) == 21_000 + 3 * 4 + 2 * 16
    assert intrinsic_gas(signed(to=None), Fork.FRONTIER) == 21_000
    assert intrinsic_gas(signed(to=None), Fork.HOMESTEAD) == 53_000
    assert intrinsic_gas(signed(to=None, data=bytes(33)), Fork.SHANGHAI) == 53_000 + 33 * 4 + 2 * 2
    listed = signed(kind=LISTED, access_list=((NOBODY, keys), (KEY.address, ())))
    assert intrinsic_gas(listed, Fork.BERLIN) == 21_000 + 2 * 2_400 + 2 * 1_900


def test_init_code_has_a_limit_from_shanghai_on():
    tx = signed(nonce=5, to=None, data=bytes(49_153), gas=1_000_000)
    assert check_transaction(tx, context(Fork.LONDON), RICH) == 53_000 + 49_153 * 4
    words = "max initcode size exceeded: code size 49153 limit 49152"
    assert str(refusal(tx, Fork.SHANGHAI)) == words
    assert check_transaction(signed(nonce=5, data=bytes(49_153), gas=300_000), context(Fork.CANCUN), RICH)


def test_a_block_has_only_so_much_room():
    check_gas_left(21_000, 21_000)
    with pytest.raises(intrinsic.GasLimitReached, match=r"^gas limit reached"):
        check_gas_left(21_001, 21_000)


def test_price_and_refund():
    assert effective_gas_price(10, 2, None) == 10
    assert effective_gas_price(10, 2, 7) == 9
    assert effective_gas_price(10, 5, 7) == 10
    assert [refund_cap(100, fork) for fork in (Fork.BERLIN, Fork.LONDON)] == [50, 20]
