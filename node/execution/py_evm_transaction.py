"""A transaction from buying its gas to paying the author: what happens around the first frame.

Ours, not py-evm's: its own loop recovers every sender twice, prepares debug texts that nobody reads, and
accepts five kinds of invalid transaction. Callers have done the checks of `intrinsic`.
"""

from typing import Final, NamedTuple

from node.execution import py_evm_faults as faults
from node.execution.executor import StepTracer
from node.execution.intrinsic import refund_cap
from node.execution.py_evm_frame import Frame
from node.execution.py_evm_message import Message, Origin
from node.execution.py_evm_state import PyEvmState, StorageKey
from node.primitives import rlp
from node.primitives.chain_spec import Fork
from node.primitives.crypto import keccak256
from node.primitives.ids import Address, Hash32
from node.primitives.state import EMPTY_ACCOUNT, Account
from node.primitives.transaction import AccessList

DESTRUCTION_REFUND: Final = 24_000
"""Gas given back for each destroyed account, before London (EIP-3529)."""


class Envelope(NamedTuple):
    """A checked transaction or call, with its prices in this block."""

    sender: Address
    to: Address | None
    value: int
    data: bytes
    access_list: AccessList
    gas_limit: int
    intrinsic_gas: int
    gas_price: int
    """wei per gas that the sender pays; what GASPRICE shows."""
    tip: int
    """wei per gas of it that reach the author; the rest is burnt."""


class Execution(NamedTuple):
    """How it ended."""

    gas_used: int
    gas_refunded: int
    output: bytes
    error: str | None
    """None on success; geth's words otherwise."""
    recipient: Address
    """Whom the message reached: the contract, for a creation."""


def execute(
    state: PyEvmState, frame_class: type[Frame], envelope: Envelope, tracer: StepTracer | None = None
) -> Execution:
    """Run it against the state. Whatever is raised in between leaves the state as it was."""
    sender = state.account(envelope.sender) or EMPTY_ACCOUNT
    recipient = envelope.to or created_address(envelope.sender, sender.nonce)
    state.begin_transaction(*_warm(state, frame_class, envelope, recipient))
    try:
        prepaid = envelope.gas_limit * envelope.gas_price
        bought = Account(sender.nonce + 1, sender.balance - prepaid, sender.code_hash)
        state.put(envelope.sender, bought)
        if tracer is not None:
            _report_enter(tracer, envelope, recipient)
        outcome = _run(state, frame_class, envelope, recipient, tracer)
        execution = _settle(state, frame_class.rules.fork, envelope, recipient, outcome)
    except BaseException:
        state.revert(0)
        raise
    if tracer is not None:
        tracer.on_exit(
            output=execution.output,
            gas_used=execution.gas_used,
            error=execution.error,
            created=recipient if envelope.to is None and execution.error is None else None,
            depth=0,
        )
    return execution


def created_address(sender: Address, nonce: int) -> Address:
    """Where a creation by this account at this nonce puts its contract."""
    return Address(keccak256(rlp.encode([sender, nonce]))[12:])


class _Outcome(NamedTuple):
    gas_left: int
    output: bytes = b""
    error: str | None = None


def _run(
    state: PyEvmState,
    frame_class: type[Frame],
    envelope: Envelope,
    recipient: Address,
    tracer: StepTracer | None,
) -> _Outcome:
    gas = envelope.gas_limit - envelope.intrinsic_gas
    if envelope.to is None:
        if state.has_code_or_nonce(recipient):
            return _Outcome(0, error=faults.COLLISION)
        message = Message(
            gas, recipient, envelope.value, b"", envelope.data, 0, envelope.sender, create_address=recipient
        )
    else:
        code = state.get_code(recipient)
        if not code and recipient not in frame_class.rules.precompiles:
            # A plain transfer, which is most of what some chains do: no frame is needed.
            if envelope.value:
                state.delta_balance(envelope.sender, -envelope.value)
                state.delta_balance(recipient, envelope.value)
            else:
                state.touch_account(recipient)
            return _Outcome(gas)
        message = Message(gas, recipient, envelope.value, envelope.data, code, 0, envelope.sender)
    frame = frame_class(state, message, Origin(envelope.sender, envelope.gas_price, tracer))
    frame.execute()
    return _Outcome(frame.gas_remaining, frame.output, faults.words(frame.error))


def _settle(
    state: PyEvmState, fork: Fork, envelope: Envelope, recipient: Address, outcome: _Outcome
) -> Execution:
    used = envelope.gas_limit - outcome.gas_left
    refund = state.refund
    if fork < Fork.LONDON:
        refund += DESTRUCTION_REFUND * len(state.destroyed)
    refund = min(refund, refund_cap(used, fork))
    used -= refund
    unused = (envelope.gas_limit - used) * envelope.gas_price
    if unused:
        state.delta_balance(envelope.sender, unused)
    fee = used * envelope.tip
    if fee:
        state.delta_balance(state.coinbase, fee)
    else:
        state.touch_account(state.coinbase)
    state.end_transaction()
    return Execution(used, refund, outcome.output, outcome.error, recipient)


def _warm(
    state: PyEvmState, frame_class: type[Frame], envelope: Envelope, recipient: Address
) -> tuple[set[Address], set[StorageKey]]:
    """What is paid for before the first instruction (EIP-2929, EIP-2930, EIP-3651)."""
    rules = frame_class.rules
    if rules.fork < Fork.BERLIN:
        return set(), set()
    warm = set(rules.precompiles)
    warm.add(envelope.sender)
    warm.add(recipient)
    if rules.fork >= Fork.SHANGHAI:
        warm.add(state.coinbase)
    slots: set[StorageKey] = set()
    for address, keys in envelope.access_list:
        warm.add(address)
        slots.update((address, int.from_bytes(key, "big")) for key in keys)
    return warm, slots


def accessed(
    state: PyEvmState, frame_class: type[Frame], envelope: Envelope, recipient: Address
) -> AccessList:
    """The access list that would have paid for all the last transaction reached, in ascending order."""
    addresses, slots = state.accessed()
    given = {*frame_class.rules.precompiles, envelope.sender, recipient}
    if frame_class.rules.fork >= Fork.SHANGHAI:
        given.add(state.coinbase)
    by_address: dict[Address, list[int]] = {address: [] for address in addresses - given}
    for address, slot in slots:
        by_address.setdefault(address, []).append(slot)
    return tuple(
        (address, tuple(Hash32(slot.to_bytes(32, "big")) for slot in sorted(by_address[address])))
        for address in sorted(by_address)
    )


def _report_enter(tracer: StepTracer, envelope: Envelope, recipient: Address) -> None:
    tracer.on_enter(
        kind="CREATE" if envelope.to is None else "CALL",
        sender=envelope.sender,
        to=recipient,
        value=envelope.value,
        gas=envelope.gas_limit,
        data=envelope.data,
        depth=0,
    )
