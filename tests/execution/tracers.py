"""Tracers for tests, and an executor that traces every transaction."""

from node.execution.executor import BlockContext, BlockOutcome, Interrupted, StepTracer
from node.execution.py_evm import PyEvmExecutor, PyEvmSession
from node.primitives.ids import ZERO_HASH
from node.primitives.receipt import Log, Receipt
from node.primitives.state import StateView
from node.primitives.transaction import Transaction


class SilentTracer:
    """Wants everything and keeps nothing."""

    wants_steps = True
    wants_memory = True

    def on_step(self, **step: object) -> None:
        """Forget it."""

    def on_log(self, log: Log, *, depth: int) -> None:
        """Forget it."""

    def on_enter(self, **frame: object) -> None:
        """Forget it."""

    def on_exit(self, **frame: object) -> None:
        """Forget it."""


class TracedSession:
    """A session that traces what it applies."""

    def __init__(self, session: PyEvmSession, tracer: StepTracer) -> None:
        self._session = session
        self._tracer = tracer

    @property
    def gas_used(self) -> int:
        """Gas of the transactions applied so far."""
        return self._session.gas_used

    def apply(self, tx: Transaction, interrupted: Interrupted | None = None) -> Receipt:
        """Execute one transaction under the tracer."""
        return self._session.apply(tx, interrupted, self._tracer)

    def finish(self) -> BlockOutcome:
        """Close the session."""
        return self._session.finish()


class TracedExecutor(PyEvmExecutor):
    """The reference executor with every transaction traced."""

    name = "py-evm traced"

    def __init__(self, tracer: StepTracer) -> None:
        super().__init__(root_of=lambda view, changes: ZERO_HASH)
        self._tracer = tracer

    def begin(self, context: BlockContext, parent: StateView) -> TracedSession:  # type: ignore[override]
        """Start a block on top of `parent`."""
        return TracedSession(super().begin(context, parent), self._tracer)
