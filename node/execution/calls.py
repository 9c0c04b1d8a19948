"""Questions about a call that no single execution answers: what gas, and which access list, does it need?

Executor-agnostic and without side effects; each runs the call several times. All may be long: give them an
`interrupted`, and keep them off the event loop.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from node.execution.executor import (
    AccountOverride,
    BlockContext,
    Call,
    CallResult,
    Executor,
    Interrupted,
)
from node.execution.intrinsic import TRANSACTION_GAS, IntrinsicGasTooLow
from node.execution.overrides import OverriddenView
from node.execution.reverts import revert_reason
from node.primitives.crypto import EMPTY_HASH
from node.primitives.errors import RequestError
from node.primitives.ids import Address
from node.primitives.state import StateView
from node.primitives.transaction import AccessList

ESTIMATE_ERROR: Final = 0.015
"""How far an estimate may lie above the least gas that works: geth's ratio. Wallets add more on top."""
CALL_STIPEND: Final = 2_300
"""Gas that a value transfer hands on for free, and that is missing when a limit is set too close."""
ACCESS_LIST_ROUNDS_MAX: Final = 16
"""A list that grows each time it is declared is a contract that plays games."""

Overrides = Mapping[Address, AccountOverride] | None


class CallFailed(RequestError):
    """The call fails, with the most gas it may have and for another reason than gas."""

    def __init__(self, result: CallResult) -> None:
        assert result.error is not None
        reason = revert_reason(result.output) if result.reverted else None
        super().__init__(result.error if reason is None else f"{result.error}: {reason}")
        self.result = result


class GasAboveAllowance(RequestError):
    """No gas limit that the caller can have is enough."""

    def __init__(self, allowance: int) -> None:
        super().__init__(f"gas required exceeds allowance ({allowance})")
        self.allowance = allowance


class InsufficientFundsForTransfer(RequestError):
    """The sender does not own the value, let alone any gas."""

    def __init__(self) -> None:
        super().__init__("insufficient funds for transfer")


@dataclass(frozen=True, slots=True)
class AccessListResult:
    """An access list that, declared, leads to itself."""

    access_list: AccessList
    gas_used: int
    """With the list declared."""
    error: str | None
    """How the call ends with it; None on success."""


def estimate_gas(
    executor: Executor,
    context: BlockContext,
    view: StateView,
    call: Call,
    overrides: Overrides = None,
    cap: int = 0,
    interrupted: Interrupted | None = None,
) -> int:
    """A gas limit with which the call succeeds, at most ESTIMATE_ERROR above the least one.

    `call.gas_limit` is the most to be tried when it could pay for any transaction, otherwise the block's is;
    `cap` lowers it (0: no cap). CallFailed, GasAboveAllowance or InsufficientFundsForTransfer when no limit
    helps; InvalidTransaction when the call cannot start for other reasons.
    """

    def run(gas_limit: int) -> CallResult | None:
        """None when the limit does not even pay for the call's own bytes."""
        attempt = replace(call, gas_limit=gas_limit)
        try:
            return executor.call(context, view, attempt, overrides, interrupted=interrupted)
        except IntrinsicGasTooLow:
            return None

    def works(gas_limit: int) -> bool:
        result = run(gas_limit)
        return result is not None and result.error is None

    pretended = OverriddenView(view, overrides) if overrides else view
    high = _most_gas(context, pretended, call, cap)
    if _is_plain_transfer(pretended, call) and works(TRANSACTION_GAS):
        return TRANSACTION_GAS
    best = run(high)
    if best is None or best.error == "out of gas":
        raise GasAboveAllowance(high)
    if best.error is not None:
        raise CallFailed(best)
    low = best.gas_used - 1
    # All but a 64th of the gas is handed on at each call: this much is nearly always enough.
    likely = (best.gas_used + best.gas_refunded + CALL_STIPEND) * 64 // 63
    if likely < high:
        low, high = (low, likely) if works(likely) else (likely, high)
    while low + 1 < high and (high - low) / high >= ESTIMATE_ERROR:
        # Most need little more than they use, so the search leans to the low side.
        middle = min((low + high) // 2, low * 2)
        low, high = (low, middle) if works(middle) else (middle, high)
    return high


def create_access_list(
    executor: Executor,
    context: BlockContext,
    view: StateView,
    call: Call,
    overrides: Overrides = None,
    interrupted: Interrupted | None = None,
) -> AccessListResult:
    """All that the call reaches beside sender, recipient and precompiled contracts.

    A declared list changes gas, and gas may change what is reached: the call is run until the list it is
    given is the list it leads to. InvalidTransaction when the call cannot start.
    """
    declared = call.access_list
    for _ in range(ACCESS_LIST_ROUNDS_MAX):
        attempt = replace(call, access_list=declared)
        result = executor.call(context, view, attempt, overrides, interrupted=interrupted)
        if result.touched == declared:
            break
        declared = result.touched
    return AccessListResult(declared, result.gas_used, result.error)


def _most_gas(context: BlockContext, view: StateView, call: Call, cap: int) -> int:
    """The highest limit to try: what is asked for, what the sender can pay, what the node allows."""
    high = call.gas_limit if call.gas_limit >= TRANSACTION_GAS else context.gas_limit
    if call.max_fee_per_gas:
        account = view.account(call.sender)
        balance = account.balance if account is not None else 0
        if call.value and call.value >= balance:
            raise InsufficientFundsForTransfer
        high = min(high, (balance - call.value) // call.max_fee_per_gas)
    return min(high, cap) if cap else high


def _is_plain_transfer(view: StateView, call: Call) -> bool:
    if call.data or call.to is None:
        return False
    account = view.account(call.to)
    return account is None or account.code_hash == EMPTY_HASH
