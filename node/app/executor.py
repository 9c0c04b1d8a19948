"""Which EVM runs what: the choice of the settings, for the node and for its worker processes."""

from node.config.settings import Settings
from node.execution.evm.executor import FastExecutor
from node.execution.executor import Executor
from node.execution.on_demand import OnDemandExecutor
from node.state.commit import root_after


def make_executor(settings: Settings) -> Executor:
    """The one that the settings name."""
    reference = OnDemandExecutor("py-evm", py_evm)
    return FastExecutor(reference) if settings.execution.executor == "fast" else reference


def py_evm() -> Executor:
    """The reference; imported by who needs it, which takes a second."""
    from node.execution.py_evm import PyEvmExecutor

    return PyEvmExecutor(root_of=root_after)
