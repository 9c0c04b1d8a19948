"""Who may enter the pool, in geth's words, and who may take whose place."""

from dataclasses import replace

import pytest

from node.primitives.chain_spec import Fork
from node.primitives.crypto import keccak256
from node.primitives.state import Account
from node.primitives.transaction import TransactionType
from node.txpool.admission import (
    FREE_REPLACEMENT_AGE_S,
    FREE_REPLACEMENT_LOCAL_AGE_S,
    FREE_REPLACEMENTS_MAX,
    BlockRules,
    NeverValid,
    PoolRejection,
    check_replacement,
    check_sender,
    check_transaction,
)
from tests.txpool.world import CHAIN_ID, ETHER, GWEI, key_of, signed

KEY = key_of(1)
RULES = BlockRules(chain_id=CHAIN_ID, fork=Fork.LONDON, gas_limit=30_000_000)
LEGACY, ACCESS_LIST = TransactionType.LEGACY, TransactionType.ACCESS_LIST


def check(
    tx, rules=RULES, *, bytes_max=128 * 1024, tip_min=0, unprotected_allowed=False, intrinsic_gas=21_000
):
    check_transaction(
        tx,
        rules,
        intrinsic_gas=intrinsic_gas,
        bytes_max=bytes_max,
        tip_min=tip_min,
        unprotected_allowed=unprotected_allowed,
    )


@pytest.mark.parametrize("kind", TransactionType)
def test_each_type_enters_from_its_fork_on(kind: TransactionType) -> None:
    tx = signed(KEY, 0, kind=kind)
    first = {LEGACY: Fork.SPURIOUS_DRAGON, ACCESS_LIST: Fork.BERLIN}.get(kind, Fork.LONDON)
    check(tx, replace(RULES, fork=first))
    with pytest.raises(PoolRejection, match="transaction type not supported"):
        check(tx, replace(RULES, fork=Fork(first - 1)))


@pytest.mark.parametrize(
    ("tx", "words"),
    [
        (signed(KEY, 0, chain_id=1), "invalid chain id for signer: have 1 want 1337"),
        (signed(KEY, 0, chain_id=1, kind=LEGACY), "invalid chain id for signer: have 1 want 1337"),
        (signed(KEY, 0, fee=5, tip=6), "max priority fee per gas higher than max fee per gas"),
        (signed(KEY, 0, gas=20_999), "intrinsic gas too low: gas 20999, minimum needed 21000"),
        (signed(KEY, 2**64 - 1), "nonce has max value"),
        (
            signed(KEY, 0, data=bytes(200_000), gas=10**6),
            "oversized data: transaction size 2001.., limit 131072",
        ),
    ],
)
def test_what_no_block_could_hold_is_the_fault_of_whoever_sends_it(tx, words) -> None:
    with pytest.raises(NeverValid, match=words):
        check(tx)


def test_what_another_block_could_hold_is_refused_without_fault() -> None:
    for tx, words, options in [
        (signed(KEY, 0, gas=30_000_001), "exceeds block gas limit", {}),
        (signed(KEY, 0, fee=4), "transaction underpriced: gas tip cap 4, minimum needed 5", {"tip_min": 5}),
        (
            signed(KEY, 0, chain_id=None, kind=LEGACY),
            r"only replay-protected \(EIP-155\) transactions allowed",
            {},
        ),
    ]:
        with pytest.raises(PoolRejection, match=words) as caught:
            check(tx, **options)
        assert not isinstance(caught.value, NeverValid)


def test_peers_may_send_what_has_no_replay_protection() -> None:
    check(signed(KEY, 0, chain_id=None, kind=LEGACY), unprotected_allowed=True)


def test_init_code_is_bounded_from_shanghai_on() -> None:
    tx = signed(KEY, 0, to=None, data=bytes(49_153), gas=10**6)
    check(tx)
    with pytest.raises(NeverValid, match="max initcode size exceeded: code size 49153, limit 49152"):
        check(tx, replace(RULES, fork=Fork.SHANGHAI))


@pytest.mark.parametrize(
    ("nonce", "account", "others", "words"),
    [
        (4, Account(5, ETHER, keccak256(b"")), 0, "nonce too low: next nonce 5, tx nonce 4"),
        (15, Account(5, ETHER, keccak256(b"")), 0, "nonce too high: next nonce 5, tx nonce 15"),
        (0, None, 0, "balance 0, tx cost 21000000000007, overshot 21000000000007"),
        (0, Account(0, 21_000 * GWEI + 6, keccak256(b"")), 0, "insufficient funds .* overshot 1$"),
        (
            0,
            Account(0, 21_000 * GWEI + 8, keccak256(b"")),
            2,
            "queued cost 2, tx cost 21000000000007, overshot 1",
        ),
        (0, Account(0, ETHER, keccak256(b"code")), 0, "sender not an eoa: address 0x"),
    ],
)
def test_the_senders_account_has_its_say(nonce, account, others, words) -> None:
    with pytest.raises(PoolRejection, match=words):
        check_sender(signed(KEY, nonce, value=7), account, others_cost=others, nonces_ahead_max=10)


def test_an_account_may_spend_its_last_wei() -> None:
    account = Account(5, 21_000 * GWEI + 9, keccak256(b""))
    check_sender(signed(KEY, 14, value=7), account, others_cost=2, nonces_ahead_max=10)


@pytest.mark.parametrize(
    ("old", "new", "enters"),
    [
        ((100, 10), (110, 11), True),
        ((100, 10), (109, 11), False),
        ((100, 10), (110, 10), False),
        ((100, 0), (110, 0), False),
        ((100, 0), (110, 1), True),
        ((0, 0), (1, 1), True),
        ((1, 1), (2, 2), True),
        ((1, 1), (1, 1), False),
    ],
)
def test_a_replacement_raises_both_prices(old, new, enters) -> None:
    pair = [signed(KEY, 0, fee=fee, tip=tip, value=place) for place, (fee, tip) in enumerate([old, new])]
    arguments = {"percent": 10, "age_s": 10_000.0, "times": 0, "local": True}
    if enters:
        check_replacement(*pair, **arguments)
    else:
        with pytest.raises(PoolRejection, match=r"replacement transaction underpriced$"):
            check_replacement(*pair, **arguments)


def free_pair():
    return sorted((signed(KEY, 0, fee=0, value=value) for value in range(2)), key=lambda tx: tx.hash)


def test_at_price_zero_a_transaction_that_has_waited_gives_way() -> None:
    low, high = free_pair()
    for old, new in [(low, high), (high, low)]:
        check_replacement(old, new, percent=10, age_s=FREE_REPLACEMENT_AGE_S, times=0, local=False)


def test_at_price_zero_of_two_young_ones_the_lower_hash_stays() -> None:
    low, high = free_pair()
    check_replacement(high, low, percent=10, age_s=0.0, times=0, local=False)
    with pytest.raises(PoolRejection, match="underpriced"):
        check_replacement(low, high, percent=10, age_s=0.0, times=0, local=False)


def test_at_price_zero_a_local_client_is_told_how_long_to_wait() -> None:
    low, high = free_pair()
    with pytest.raises(PoolRejection, match=r"replaced 15 s after it came, this one came 12 s ago"):
        check_replacement(high, low, percent=10, age_s=12.0, times=0, local=True)
    check_replacement(low, high, percent=10, age_s=FREE_REPLACEMENT_LOCAL_AGE_S, times=0, local=True)


def test_at_price_zero_a_nonce_is_not_replaced_for_ever() -> None:
    low, high = free_pair()
    with pytest.raises(PoolRejection, match="replaced 8 times at price zero"):
        check_replacement(high, low, percent=10, age_s=1e6, times=FREE_REPLACEMENTS_MAX, local=True)
