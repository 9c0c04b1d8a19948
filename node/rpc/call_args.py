"""The transaction object of eth_call and its relatives, and what they may pretend about state and block."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from node.execution.executor import AccountOverride, Call
from node.primitives.ids import ZERO_ADDRESS, Address
from node.primitives.transaction import AccessList
from node.rpc.backend import BlockOverride
from node.rpc.params import (
    BadValue,
    read_access_list,
    read_address,
    read_data,
    read_member,
    read_object,
    read_quantity,
    read_uint64,
    read_word,
)

OVERRIDDEN_ACCOUNTS_MAX: Final = 1000
OVERRIDDEN_SLOTS_MAX: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CallArgs:
    """A transaction object as read; nonce and type mean nothing to a call and are ignored."""

    sender: Address = ZERO_ADDRESS
    to: Address | None = None
    gas: int | None = None
    gas_price: int | None = None
    max_fee_per_gas: int | None = None
    max_priority_fee_per_gas: int | None = None
    value: int = 0
    data: bytes = b""
    access_list: AccessList = ()
    chain_id: int | None = None

    def to_call(self, gas_max: int) -> Call:
        """The message, with at most `gas_max` gas, which is also what it gets when it names none."""
        price = self.gas_price
        return Call(
            sender=self.sender,
            to=self.to,
            data=self.data,
            value=self.value,
            gas_limit=gas_max if self.gas is None else min(self.gas, gas_max),
            max_fee_per_gas=(self.max_fee_per_gas or 0) if price is None else price,
            max_priority_fee_per_gas=(self.max_priority_fee_per_gas or 0) if price is None else price,
            access_list=self.access_list,
        )


def read_call_args(value: Any) -> CallArgs:
    """A transaction object; members this node does not know are ignored, as geth does."""
    fields = read_object(value)
    gas_price = read_member(fields, "gasPrice", read_quantity)
    max_fee = read_member(fields, "maxFeePerGas", read_quantity)
    max_priority_fee = read_member(fields, "maxPriorityFeePerGas", read_quantity)
    if gas_price is not None and (max_fee is not None or max_priority_fee is not None):
        raise BadValue("both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified")
    if max_fee is not None and max_priority_fee is not None and max_fee < max_priority_fee:
        raise BadValue(f"maxFeePerGas ({max_fee}) < maxPriorityFeePerGas ({max_priority_fee})")
    if fields.get("blobVersionedHashes") is not None or fields.get("authorizationList") is not None:
        raise BadValue("blob and set-code transactions are not supported on this chain")
    return CallArgs(
        sender=read_member(fields, "from", read_address) or ZERO_ADDRESS,
        to=read_member(fields, "to", read_address),
        gas=read_member(fields, "gas", read_uint64),
        gas_price=gas_price,
        max_fee_per_gas=max_fee,
        max_priority_fee_per_gas=max_priority_fee,
        value=read_member(fields, "value", read_quantity) or 0,
        data=_read_input(fields),
        access_list=read_member(fields, "accessList", read_access_list) or (),
        chain_id=read_member(fields, "chainId", read_quantity),
    )


def read_state_overrides(value: Any) -> Mapping[Address, AccountOverride]:
    """`{address: {balance, nonce, code, state | stateDiff}}` (geth's state override set)."""
    accounts = read_object(value)
    if len(accounts) > OVERRIDDEN_ACCOUNTS_MAX:
        raise BadValue(f"{len(accounts)} accounts where at most {OVERRIDDEN_ACCOUNTS_MAX} are allowed")
    overrides = {}
    for name, fields in accounts.items():
        address = read_address(name)
        try:
            overrides[address] = _read_account_override(read_object(fields))
        except BadValue as error:
            raise BadValue(f"account {name}: {error}") from None
    return overrides


def read_block_override(value: Any) -> BlockOverride:
    """geth's block override set, in its old and its new names."""
    fields = read_object(value)
    return BlockOverride(
        number=read_member(fields, "number", read_uint64),
        timestamp=read_member(fields, "time", read_uint64),
        gas_limit=read_member(fields, "gasLimit", read_uint64),
        author=_either(fields, "feeRecipient", "coinbase", read_address),
        difficulty=read_member(fields, "difficulty", read_quantity),
        base_fee_per_gas=_either(fields, "baseFeePerGas", "baseFee", read_quantity),
    )


def _either(fields: dict[str, Any], name: str, older_name: str, read: Any) -> Any:
    value = read_member(fields, name, read)
    return read_member(fields, older_name, read) if value is None else value


def _read_input(fields: dict[str, Any]) -> bytes:
    """`input`, or `data` as it was called before; both only when they agree."""
    data, new_data = read_member(fields, "data", read_data), read_member(fields, "input", read_data)
    if data is not None and new_data is not None and data != new_data:
        raise BadValue(
            'both "data" and "input" are set and not equal. Please use "input" to pass transaction call data'
        )
    return (data if new_data is None else new_data) or b""


def _read_account_override(fields: dict[str, Any]) -> AccountOverride:
    storage = read_member(fields, "state", _read_slots)
    storage_diff = read_member(fields, "stateDiff", _read_slots)
    if storage is not None and storage_diff is not None:
        raise BadValue("has both 'state' and 'stateDiff'")
    return AccountOverride(
        balance=read_member(fields, "balance", read_quantity),
        nonce=read_member(fields, "nonce", read_uint64),
        code=read_member(fields, "code", read_data),
        storage=storage,
        storage_diff=storage_diff or {},
    )


def _read_slots(value: Any) -> dict[int, int]:
    slots = read_object(value)
    if len(slots) > OVERRIDDEN_SLOTS_MAX:
        raise BadValue(f"{len(slots)} slots where at most {OVERRIDDEN_SLOTS_MAX} are allowed")
    return {read_word(slot): read_word(word) for slot, word in slots.items()}
