"""The reference executor: py-evm's instructions over our StateView, with our own transaction loop.

Every rule of every fork from Frontier on. Blocks before Byzantium with transactions need `root_of`, because
their receipts carry the state root after each transaction, which only the state's keeper can compute.

Importing this module sets the interpreter's recursion limit to what the EVM needs (`recursion`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from node.execution.executor import (
    AccountOverride,
    BlockContext,
    BlockOutcome,
    Call,
    CallResult,
    Interrupted,
    StepTracer,
)
from node.execution.intrinsic import (
    check_call,
    check_gas_left,
    check_transaction,
    effective_gas_price,
)
from node.execution.overrides import OverriddenView
from node.execution.py_evm_rules import frame_class
from node.execution.py_evm_state import PyEvmState
from node.execution.py_evm_transaction import Envelope, Execution, accessed, execute
from node.execution.recursion import limit_recursion
from node.primitives.chain_spec import Fork
from node.primitives.errors import PhoenixError
from node.primitives.ids import Address, Hash32
from node.primitives.receipt import EMPTY_BLOOM, Receipt, logs_bloom, merge_blooms
from node.primitives.state import StateChanges, StateView
from node.primitives.transaction import Transaction

limit_recursion()

RootOf: TypeAlias = Callable[[StateView, StateChanges], Hash32]
"""The state root after these changes to the view."""


class ReceiptsNeedStateRoots(PhoenixError):
    """A transaction before Byzantium, and nothing to compute its receipt's state root with."""

    def __init__(self, fork: Fork) -> None:
        super().__init__(
            f"{fork.name.title()} receipts carry state roots; this executor was made without a way to "
            "compute them. Networks begin at Byzantium or later."
        )


class PyEvmExecutor:
    """Implements node.execution.executor.Executor. Holds nothing: threads may share it."""

    name = "py-evm"

    def __init__(self, root_of: RootOf | None = None) -> None:
        """`root_of` is only needed for transactions before Byzantium."""
        self._root_of = root_of

    def begin(self, context: BlockContext, parent: StateView) -> "PyEvmSession":
        """Start a block on top of `parent`."""
        return PyEvmSession(context, parent, self._root_of)

    def call(
        self,
        context: BlockContext,
        view: StateView,
        call: Call,
        overrides: Mapping[Address, AccountOverride] | None = None,
        tracer: StepTracer | None = None,
        interrupted: Interrupted | None = None,
    ) -> CallResult:
        """Run a message and forget its effects; InvalidTransaction when it could not even start."""
        if call.max_fee_per_gas == 0 and context.base_fee_per_gas:
            # As geth does: who pays nothing sees a base fee of nothing, so that price >= base fee holds.
            context = replace(context, base_fee_per_gas=0)
        state = PyEvmState(context, OverriddenView(view, overrides) if overrides else view)
        state.interrupted = interrupted
        frames = frame_class(context.fork)
        intrinsic_gas = check_call(call, context, state.account(call.sender))
        envelope = _envelope(call, context, intrinsic_gas)
        execution = execute(state, frames, envelope, tracer)
        return CallResult(
            output=execution.output,
            gas_used=execution.gas_used,
            error=execution.error,
            logs=tuple(state.logs),
            touched=accessed(state, frames, envelope, execution.recipient),
            gas_refunded=execution.gas_refunded,
        )

    def begin_traced(self, context: BlockContext, parent: StateView) -> "PyEvmSession":
        """Start a block on top of `parent`, in which any transaction may be looked at."""
        return self.begin(context, parent)

    def trace_transaction(
        self,
        context: BlockContext,
        view: StateView,
        before: Sequence[Transaction],
        tx: Transaction,
        tracer: StepTracer,
        interrupted: Interrupted | None = None,
    ) -> Receipt:
        """Run the block's earlier transactions silently, then `tx` under the tracer."""
        session = self.begin(context, view)
        for earlier in before:
            session.apply(earlier, interrupted)
        return session.apply(tx, interrupted, tracer)


class PyEvmSession:
    """One block in the making (implements BlockSession)."""

    def __init__(self, context: BlockContext, parent: StateView, root_of: RootOf | None) -> None:
        self._context = context
        self._parent = parent
        self._root_of = root_of
        self._state = PyEvmState(context, parent)
        self._frame_class = frame_class(context.fork)
        self._receipts: list[Receipt] = []
        self._gas_used = 0

    @property
    def gas_used(self) -> int:
        """Gas of the transactions applied so far."""
        return self._gas_used

    def apply(
        self, tx: Transaction, interrupted: Interrupted | None = None, tracer: StepTracer | None = None
    ) -> Receipt:
        """Execute one transaction; InvalidTransaction, ExecutionInterrupted leave the session as it was."""
        context, state = self._context, self._state
        if context.fork < Fork.BYZANTIUM and self._root_of is None:
            raise ReceiptsNeedStateRoots(context.fork)
        intrinsic_gas = check_transaction(tx, context, state.account(tx.sender))
        check_gas_left(tx.gas_limit, context.gas_limit - self._gas_used)
        state.interrupted = interrupted
        execution = execute(state, self._frame_class, _envelope(tx, context, intrinsic_gas), tracer)
        self._gas_used += execution.gas_used
        receipt = self._receipt(tx, execution)
        self._receipts.append(receipt)
        return receipt

    def finish(self) -> BlockOutcome:
        """Close the session: no transaction can follow."""
        receipts = tuple(self._receipts)
        bloom = merge_blooms(receipt.bloom for receipt in receipts if receipt.logs)
        return BlockOutcome(receipts, self._state.changes(), self._gas_used, bloom)

    def _receipt(self, tx: Transaction, execution: Execution) -> Receipt:
        logs = tuple(self._state.logs)
        outcome: int | Hash32 = 1 if execution.error is None else 0
        if self._context.fork < Fork.BYZANTIUM:
            assert self._root_of is not None
            outcome = self._root_of(self._parent, self._state.changes())
        return Receipt(tx.type, outcome, self._gas_used, logs_bloom(logs) if logs else EMPTY_BLOOM, logs)


def _envelope(tx: Transaction | Call, context: BlockContext, intrinsic_gas: int) -> Envelope:
    base_fee = context.base_fee_per_gas
    price = effective_gas_price(tx.max_fee_per_gas, tx.max_priority_fee_per_gas, base_fee)
    return Envelope(
        sender=tx.sender,
        to=tx.to,
        value=tx.value,
        data=tx.data,
        access_list=tx.access_list,
        gas_limit=tx.gas_limit,
        intrinsic_gas=intrinsic_gas,
        gas_price=price,
        tip=price - (base_fee or 0),
    )
