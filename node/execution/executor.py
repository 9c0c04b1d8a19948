"""The port between the chain and whatever executes transactions.

A session is one block in the making: `apply` transactions in order, then `finish`. The importer, the block
builder, eth_call and the tracer all use the same port, so that they cannot disagree.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from node.primitives.chain_spec import Fork
from node.primitives.errors import ChainError, RequestError
from node.primitives.ids import Address, BlockNumber, Hash32
from node.primitives.receipt import Log, Receipt
from node.primitives.state import StateChanges, StateView
from node.primitives.transaction import AccessList, Transaction


class InvalidTransaction(ChainError):
    """The transaction may not stand in this block at this place; the session is as it was before."""


class ExecutionInterrupted(RequestError):
    """The caller's `Interrupted` said stop; nothing of the transaction or call remains."""

    def __init__(self) -> None:
        super().__init__("execution aborted: it ran longer than allowed")


Interrupted: TypeAlias = Callable[[], bool]
"""Asked now and then during an execution, from its thread; true abandons it with ExecutionInterrupted.

It is asked at every frame, every thousand jumps and inside the slow precompiled contracts.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockContext:
    """What the EVM may know of the block it runs in."""

    chain_id: int
    fork: Fork
    number: BlockNumber
    timestamp: int
    """Seconds since the Unix epoch."""
    author: Address
    """COINBASE and the receiver of fees. Clique: the signer, never header.beneficiary."""
    gas_limit: int
    base_fee_per_gas: int | None
    """wei; None before London."""
    difficulty: int
    block_hash: Callable[[BlockNumber], Hash32 | None]
    """Hash of an ancestor by number (BLOCKHASH asks for the last 256); None where there is none."""


@dataclass(frozen=True, slots=True)
class BlockOutcome:
    """All that a block's transactions caused."""

    receipts: tuple[Receipt, ...]
    changes: StateChanges
    gas_used: int
    bloom: bytes
    """256 bytes: union of the receipts' blooms."""


class BlockSession(Protocol):
    """One block in the making."""

    @property
    def gas_used(self) -> int:
        """Gas of the transactions applied so far."""
        ...

    def apply(self, tx: Transaction, interrupted: Interrupted | None = None) -> Receipt:
        """Execute one transaction; InvalidTransaction, ExecutionInterrupted leave the session as it was."""
        ...

    def finish(self) -> BlockOutcome:
        """Close the session: no transaction can follow."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A message that leaves no trace: eth_call and its relatives. Price 0 skips balance and fee checks."""

    sender: Address
    to: Address | None
    """None runs `data` as init code."""
    data: bytes = b""
    value: int = 0
    gas_limit: int
    max_fee_per_gas: int = 0
    """wei; what GASPRICE shows, at least the base fee when not 0."""
    max_priority_fee_per_gas: int = 0
    access_list: AccessList = ()


@dataclass(frozen=True, slots=True)
class AccountOverride:
    """What eth_call pretends about an account; None keeps what the view says."""

    balance: int | None = None
    nonce: int | None = None
    code: bytes | None = None
    storage: Mapping[int, int] | None = None
    """Replaces the whole storage (geth: `state`)."""
    storage_diff: Mapping[int, int] = field(default_factory=dict)
    """Replaces single slots (geth: `stateDiff`)."""


@dataclass(frozen=True, slots=True)
class CallResult:
    """How a call ended."""

    output: bytes
    """Return data, or revert data."""
    gas_used: int
    """Intrinsic gas included, refund deducted."""
    error: str | None
    """None on success; otherwise geth's words ("execution reverted", "out of gas", ...)."""
    logs: tuple[Log, ...] = ()
    touched: AccessList = ()
    """All that was accessed, reverted frames included; sender, recipient and precompiles only for slots."""
    gas_refunded: int = 0
    """The refund that `gas_used` has been lowered by."""
    saw_block: bool = field(default=True, compare=False)
    """Whether the call may have read of the block what another block would answer differently; true from an
    executor that does not know."""

    @property
    def reverted(self) -> bool:
        """Whether the code ran REVERT, so that `output` carries a reason."""
        return self.error == "execution reverted"


class StepTracer(Protocol):
    """Sees every instruction of a traced execution (struct logger) and every call frame (call tracer).

    `depth` is 0 for the transaction's own frame. There `on_enter` gives the transaction's whole gas limit
    and `on_exit` all the gas it paid for: intrinsic gas included, refund deducted.
    """

    @property
    def wants_steps(self) -> bool:
        """False: on_step is never called, and execution is nearly as fast as without a tracer."""
        ...

    @property
    def wants_memory(self) -> bool:
        """False: on_step gets no memory; copying it is what makes tracing slow."""
        ...

    def on_step(
        self,
        *,
        pc: int,
        opcode: int,
        gas: int,
        gas_cost: int,
        depth: int,
        stack: Sequence[int],
        memory: bytes,
        storage_change: tuple[int, int] | None,
        return_data: bytes,
        refund: int,
        error: str | None,
    ) -> None:
        """One instruction: what the machine held before it ran, `gas_cost` and `error` as known after it.

        An instruction that opens a frame is seen before that frame's first. As geth counts, the cost of a
        CALL includes the gas it hands on, that of a CREATE does not. `storage_change` is the slot and value
        that SLOAD read or SSTORE wrote.
        """
        ...

    def on_log(self, log: Log, *, depth: int) -> None:
        """A contract says something; forgotten when its frame, or one around it, fails."""
        ...

    def on_enter(
        self, *, kind: str, sender: Address, to: Address | None, value: int, gas: int, data: bytes, depth: int
    ) -> None:
        """A call or create begins; `kind` is the opcode that began it: CALL, CREATE2, SELFDESTRUCT, ..."""
        ...

    def on_exit(
        self, *, output: bytes, gas_used: int, error: str | None, created: Address | None, depth: int
    ) -> None:
        """The innermost open call ends."""
        ...


class TracedSession(Protocol):
    """A block whose transactions run in their order, with somebody looking on or not."""

    def apply(
        self, tx: Transaction, interrupted: Interrupted | None = None, tracer: StepTracer | None = None
    ) -> Receipt:
        """Execute one transaction; InvalidTransaction, ExecutionInterrupted leave the session as it was."""
        ...


class Executor(Protocol):
    """One implementation of the EVM and of what surrounds it."""

    @property
    def name(self) -> str:
        """What settings and reports call it."""
        ...

    def begin(self, context: BlockContext, parent: StateView) -> BlockSession:
        """Start a block on top of `parent`."""
        ...

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
        ...

    def begin_traced(self, context: BlockContext, parent: StateView) -> TracedSession:
        """Start a block on top of `parent`, in which any transaction may be looked at."""
        ...

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
        ...


def execute_block(
    executor: Executor, context: BlockContext, parent: StateView, transactions: Sequence[Transaction]
) -> BlockOutcome:
    """The whole of a block; InvalidTransaction names the first transaction that may not be there."""
    session = executor.begin(context, parent)
    for tx in transactions:
        session.apply(tx)
    return session.finish()
