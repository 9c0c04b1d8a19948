"""An executor that is made when it is first needed.

Importing py-evm takes a second of CPU time and 17 MB, and a node whose fast executor does all its work may
never need it. The first who asks, always a worker thread, waits for the import, and so do others meanwhile.
"""

import threading
from collections.abc import Callable, Mapping, Sequence

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
from node.primitives.ids import Address
from node.primitives.receipt import Receipt
from node.primitives.state import StateView
from node.primitives.transaction import Transaction


class OnDemandExecutor:
    """Implements node.execution.executor.Executor by whatever `make` returns."""

    def __init__(self, name: str, make: Callable[[], Executor]) -> None:
        self.name = name
        self._make = make
        self._made: Executor | None = None
        self._lock = threading.Lock()

    def begin(self, context: BlockContext, parent: StateView) -> BlockSession:
        """Start a block on top of `parent`."""
        return self._executor().begin(context, parent)

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
        return self._executor().call(context, view, call, overrides, tracer, interrupted)

    def begin_traced(self, context: BlockContext, parent: StateView) -> TracedSession:
        """Start a block on top of `parent`, in which any transaction may be looked at."""
        return self._executor().begin_traced(context, parent)

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
        return self._executor().trace_transaction(context, view, before, tx, tracer, interrupted)

    def _executor(self) -> Executor:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made
