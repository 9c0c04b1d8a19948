"""Why a call failed, in geth's words: the text that web3.py, ethers and cast show to people.

A revert is code 3 with the revert data (EIP-838's ABI encoding of Error(string) and Panic(uint256) is spelled
out); anything else the EVM stops at is code -32000.
"""

from typing import Final

from node.execution.executor import CallResult
from node.rpc.jsonrpc import ExecutionReverted, RpcError

ERROR_SELECTOR: Final = bytes.fromhex("08c379a0")
"""Error(string)."""
PANIC_SELECTOR: Final = bytes.fromhex("4e487b71")
"""Panic(uint256)."""
PANICS: Final = {
    0x00: "generic panic",
    0x01: "assert(false)",
    0x11: "arithmetic underflow or overflow",
    0x12: "division or modulo by zero",
    0x21: "enum overflow",
    0x22: "invalid encoded storage byte array accessed",
    0x31: "out-of-bounds array access; popping on an empty array",
    0x32: "out-of-bounds access of an array or bytesN",
    0x41: "out of memory",
    0x51: "uninitialized function",
}
"""Solidity documentation, "Panic via assert and Error via require"; geth's wording."""


def call_error(result: CallResult) -> RpcError:
    """The error for a call that did not succeed."""
    assert result.error is not None
    if not result.reverted:
        return RpcError(result.error)
    reason = revert_reason(result.output)
    return ExecutionReverted(result.error if reason is None else f"{result.error}: {reason}", result.output)


def revert_reason(output: bytes) -> str | None:
    """The text in revert data; None when there is none, as with custom errors."""
    selector, body = output[:4], output[4:]
    if selector == PANIC_SELECTOR and len(body) == 32:
        code = int.from_bytes(body, "big")
        return PANICS.get(code, f"unknown panic code: {code:#x}")
    if selector != ERROR_SELECTOR or len(body) < 64:
        return None
    offset = int.from_bytes(body[:32], "big")
    size = int.from_bytes(body[offset : offset + 32], "big")
    text = body[offset + 32 : offset + 32 + size]
    if offset > len(body) - 32 or len(text) != size:
        return None
    return text.decode("utf-8", "replace")
