"""May this transaction enter the pool? Pure: values in, PoolRejection or nothing out; the words are geth's.

Replacing at price zero
-----------------------
A replacement must raise both the fee cap and the tip by `replacement_percent`. Where gas is free nothing can
be raised, and a transaction that got stuck could never be replaced. When both transactions cost nothing, age
stands in for price:

- a pooled transaction that has waited `FREE_REPLACEMENT_AGE_S` gives way to a new one;
- before that, of two the one with the lower hash stays, so that two conflicting transactions sent at the same
  moment to different nodes end up as the same one everywhere, whoever saw which first;
- a local client is told to wait (`FREE_REPLACEMENT_LOCAL_AGE_S`, longer by more than a transaction takes to
  travel), so that what the first node accepts every other node accepts too;
- what lost once is remembered by the pool and not let in again, and each nonce can be replaced like this
  `FREE_REPLACEMENTS_MAX` times: gossip cannot be made to go round in circles.
"""

from dataclasses import dataclass
from typing import Final

from node.execution.intrinsic import INIT_CODE_BYTES_MAX, NONCE_MAX, upfront_cost
from node.primitives.chain_spec import Fork
from node.primitives.crypto import EMPTY_HASH
from node.primitives.errors import RequestError
from node.primitives.ids import hex_of
from node.primitives.state import EMPTY_ACCOUNT, Account
from node.primitives.transaction import Transaction, TransactionType

FREE_REPLACEMENT_AGE_S: Final = 10.0
FREE_REPLACEMENT_LOCAL_AGE_S: Final = 15.0
FREE_REPLACEMENTS_MAX: Final = 8

_FIRST_FORK: Final = {TransactionType.ACCESS_LIST: Fork.BERLIN, TransactionType.FEE_MARKET: Fork.LONDON}


class PoolRejection(RequestError):
    """The pool does not take this transaction now; the text is for whoever sent it."""


class NeverValid(PoolRejection):
    """No block of this chain could hold this transaction: a peer that passes it on is at fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockRules:
    """What the next block allows."""

    chain_id: int
    fork: Fork
    gas_limit: int


def is_free(tx: Transaction) -> bool:
    """Whether the transaction offers nothing for its gas."""
    return tx.max_fee_per_gas == 0


def check_transaction(
    tx: Transaction,
    rules: BlockRules,
    *,
    intrinsic_gas: int,
    bytes_max: int,
    tip_min: int,
    unprotected_allowed: bool,
) -> None:
    """All that can be told without the sender's account; `tip_min` in wei per gas."""
    if len(tx.encoded) > bytes_max:
        raise NeverValid(f"oversized data: transaction size {len(tx.encoded)}, limit {bytes_max}")
    _check_kind(tx, rules, unprotected_allowed)
    if tx.max_priority_fee_per_gas > tx.max_fee_per_gas:
        raise NeverValid(
            "max priority fee per gas higher than max fee per gas: "
            f"maxPriorityFeePerGas: {tx.max_priority_fee_per_gas}, maxFeePerGas: {tx.max_fee_per_gas}"
        )
    if tx.gas_limit < intrinsic_gas:
        raise NeverValid(f"intrinsic gas too low: gas {tx.gas_limit}, minimum needed {intrinsic_gas}")
    if tx.nonce == NONCE_MAX:
        raise NeverValid("nonce has max value")
    if tx.gas_limit > rules.gas_limit:
        raise PoolRejection("exceeds block gas limit")
    if tx.max_priority_fee_per_gas < tip_min:
        raise PoolRejection(
            f"transaction underpriced: gas tip cap {tx.max_priority_fee_per_gas}, minimum needed {tip_min}"
        )


def check_sender(
    tx: Transaction, account: Account | None, *, others_cost: int, nonces_ahead_max: int
) -> None:
    """What the sender's account says; `others_cost` (wei): its other pooled transactions, at most."""
    account = account or EMPTY_ACCOUNT
    if account.code_hash != EMPTY_HASH:
        raise PoolRejection(
            f"sender not an eoa: address {hex_of(tx.sender)}, codehash: {hex_of(account.code_hash)}"
        )
    if tx.nonce < account.nonce:
        raise PoolRejection(f"nonce too low: next nonce {account.nonce}, tx nonce {tx.nonce}")
    if tx.nonce >= account.nonce + nonces_ahead_max:
        raise PoolRejection(f"nonce too high: next nonce {account.nonce}, tx nonce {tx.nonce}")
    cost = upfront_cost(tx)
    if cost > account.balance:
        raise PoolRejection(
            f"insufficient funds for gas * price + value: balance {account.balance}, tx cost {cost}, "
            f"overshot {cost - account.balance}"
        )
    if cost + others_cost > account.balance:
        raise PoolRejection(
            f"insufficient funds for gas * price + value: balance {account.balance}, "
            f"queued cost {others_cost}, tx cost {cost}, overshot {cost + others_cost - account.balance}"
        )


def check_replacement(
    old: Transaction, new: Transaction, *, percent: int, age_s: float, times: int, local: bool
) -> None:
    """May `new` take the place of `old`, which waited `age_s` and was itself put there `times` times?"""
    if is_free(old) and is_free(new):
        _check_free_replacement(old, new, age_s, times, local)
        return
    for old_price, new_price in (
        (old.max_fee_per_gas, new.max_fee_per_gas),
        (old.max_priority_fee_per_gas, new.max_priority_fee_per_gas),
    ):
        if new_price <= old_price or new_price * 100 < old_price * (100 + percent):
            raise PoolRejection("replacement transaction underpriced")


def _check_free_replacement(
    old: Transaction, new: Transaction, age_s: float, times: int, local: bool
) -> None:
    if times >= FREE_REPLACEMENTS_MAX:
        raise PoolRejection(f"replacement transaction underpriced: replaced {times} times at price zero")
    if local and age_s < FREE_REPLACEMENT_LOCAL_AGE_S:
        raise PoolRejection(
            "replacement transaction underpriced: at price zero a transaction can be replaced "
            f"{FREE_REPLACEMENT_LOCAL_AGE_S:.0f} s after it came, this one came {age_s:.0f} s ago"
        )
    if age_s < FREE_REPLACEMENT_AGE_S and new.hash > old.hash:
        raise PoolRejection("replacement transaction underpriced")


def _check_kind(tx: Transaction, rules: BlockRules, unprotected_allowed: bool) -> None:
    first_fork = _FIRST_FORK.get(tx.type, Fork.FRONTIER)
    if rules.fork < first_fork:
        raise PoolRejection(
            f"transaction type not supported: type {tx.type:d} rejected, pool not yet in "
            f"{first_fork.name.capitalize()}"
        )
    if tx.chain_id is None:
        if not unprotected_allowed and rules.fork >= Fork.SPURIOUS_DRAGON:
            raise PoolRejection("only replay-protected (EIP-155) transactions allowed over RPC")
    elif rules.fork < Fork.SPURIOUS_DRAGON:
        raise PoolRejection("transaction type not supported: replay protection (EIP-155) is not in force yet")
    elif tx.chain_id != rules.chain_id:
        raise NeverValid(f"invalid chain id for signer: have {tx.chain_id} want {rules.chain_id}")
    if rules.fork >= Fork.SHANGHAI and tx.to is None and len(tx.data) > INIT_CODE_BYTES_MAX:
        raise NeverValid(f"max initcode size exceeded: code size {len(tx.data)}, limit {INIT_CODE_BYTES_MAX}")
