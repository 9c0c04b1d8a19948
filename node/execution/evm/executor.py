"""The fast executor behind the port: what it cannot do better, it leaves to the reference executor.

A light client has no reference, which would double its memory: there, a call that ends by an unusual
exception says so in fewer words, and traces are refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from node.execution.evm.halts import OutOfGas
from node.execution.evm.machine import REVERTED
from node.execution.evm.program import ProgramCache
from node.execution.evm.session import FastSession
from node.execution.evm.watching import Move, WatchedWorld
from node.execution.executor import (
    AccountOverride,
    BlockContext,
    BlockSession,
    Call,
    CallResult,
    Executor,
    Interrupted,
    StepTracer,
    TracedSession,
)
from node.execution.intrinsic import check_call
from node.execution.overrides import OverriddenView
from node.primitives.chain_spec import Fork
from node.primitives.errors import RequestError
from node.primitives.ids import Address
from node.primitives.receipt import Receipt
from node.primitives.state import StateView
from node.primitives.transaction import Transaction

_WORDS_WITHOUT_NUMBERS: Final = (None, REVERTED, OutOfGas.reason)


class FastExecutor:
    """Implements node.execution.executor.Executor. Traces and forks before Byzantium run on `reference`."""

    name = "fast"

    def __init__(self, reference: Executor | None) -> None:
        self._given = reference
        self._programs: dict[Fork, ProgramCache] = {}

    def begin(self, context: BlockContext, parent: StateView) -> BlockSession:
        """Start a block on top of `parent`."""
        if context.fork < Fork.BYZANTIUM:
            return self._reference.begin(context, parent)
        return FastSession(context, parent, self._programs_of(context.fork))

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
        if tracer is not None or context.fork < Fork.BYZANTIUM:
            return self._reference.call(context, view, call, overrides, tracer, interrupted)
        if call.max_fee_per_gas == 0 and context.base_fee_per_gas:
            # As geth does: who pays nothing sees a base fee of nothing, so that price >= base fee holds.
            context = replace(context, base_fee_per_gas=0)
        seen = OverriddenView(view, overrides) if overrides else view
        intrinsic_gas = check_call(call, context, seen.account(call.sender))
        session = FastSession(context, seen, self._programs_of(context.fork))
        result = session.call(call, intrinsic_gas, interrupted)
        if result.error in _WORDS_WITHOUT_NUMBERS or self._given is None:
            return result
        # Which opcode, how many items: the words of such an ending need the instruction itself.
        return self._reference.call(context, view, call, overrides, interrupted=interrupted)

    def begin_traced(self, context: BlockContext, parent: StateView) -> TracedSession:
        """Start a block on top of `parent`, in which any transaction may be looked at."""
        return self._reference.begin_traced(context, parent)

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
        return self._reference.trace_transaction(context, view, before, tx, tracer, interrupted)

    def moves(
        self, context: BlockContext, parent: StateView, transactions: Sequence[Transaction]
    ) -> list[tuple[Move, ...]]:
        """What moved inside each transaction of a block, that of the transaction itself left out.

        From Byzantium on; failed transactions moved nothing.
        """
        assert context.fork >= Fork.BYZANTIUM, "blocks before Byzantium run on the reference executor"
        world = WatchedWorld(parent)
        session = FastSession(context, parent, self._programs_of(context.fork), world)
        found = []
        for tx in transactions:
            session.apply(tx)
            found.append(tuple(world.moves))
        return found

    def listing(self, code: bytes, fork: Fork) -> str:
        """The Python that this code becomes under a fork's rules: for people."""
        return self._programs_of(fork).once(code).listing()

    @property
    def _reference(self) -> Executor:
        if self._given is None:
            raise RequestError(
                "this node has no reference executor: traces and rules before Byzantium need one; ask others"
            )
        return self._given

    def _programs_of(self, fork: Fork) -> ProgramCache:
        programs = self._programs.get(fork)
        if programs is None:
            programs = self._programs[fork] = ProgramCache(fork)
        return programs
