"""Why a call failed, as an answer: the code and text that web3.py, ethers and cast make exceptions of."""

from node.execution.executor import CallResult
from node.execution.reverts import revert_reason
from node.rpc.jsonrpc import ExecutionReverted, RpcError


def call_error(result: CallResult) -> RpcError:
    """Code 3 with the revert data for a revert, -32000 for anything else that the EVM stops at."""
    assert result.error is not None
    if not result.reverted:
        return RpcError(result.error)
    reason = revert_reason(result.output)
    message = result.error if reason is None else f"{result.error}: {reason}"
    return ExecutionReverted(message, result.output)
