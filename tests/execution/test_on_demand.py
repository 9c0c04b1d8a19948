"""The reference executor is not there before somebody needs it."""

import subprocess
import sys

from node.execution.executor import Executor, execute_block
from node.execution.on_demand import OnDemandExecutor
from node.execution.py_evm import PyEvmExecutor
from node.execution.recursion import RECURSION_LIMIT
from tests.execution.builders import context, signed, world

LOOK = """
import sys, node.app.serve
print(sys.getrecursionlimit(), sorted({"eth", "py_ecc.bls", "eth_account"} & set(sys.modules)))
"""


def test_a_node_starts_without_the_reference_executor_and_with_its_recursion_limit():
    """py_ecc, which is imported, would set another limit; py-evm and its curves take a second to import."""
    seen = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=True)
    assert seen.stdout == f"{RECURSION_LIMIT} []\n"


def test_an_executor_is_made_once_at_the_first_need():
    made: list[Executor] = []

    def make() -> Executor:
        made.append(PyEvmExecutor())
        return made[-1]

    executor = OnDemandExecutor("py-evm", make)
    assert (executor.name, made) == ("py-evm", [])
    outcomes = [execute_block(executor, context(), world(), [signed(value=5)]) for _ in range(2)]
    assert len(made) == 1
    assert outcomes == [execute_block(made[0], context(), world(), [signed(value=5)])] * 2
