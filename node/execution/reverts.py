"""Why a contract reverted, as far as its return data says (Solidity's Error(string) and Panic(uint256))."""

from typing import Final

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
"""Solidity's panic codes in geth's words."""


def revert_reason(output: bytes) -> str | None:
    """The reason in revert data; None where there is none, as with custom errors."""
    selector, body = output[:4], output[4:]
    if selector == PANIC_SELECTOR and len(body) >= 32:
        code = int.from_bytes(body[:32], "big")
        return PANICS.get(code, f"unknown panic code: {code:#x}")
    if selector != ERROR_SELECTOR or len(body) < 64:
        return None
    start = int.from_bytes(body[:32], "big") + 32
    size = int.from_bytes(body[start - 32 : start], "big")
    if start + size > len(body):
        return None
    return body[start : start + size].decode("utf-8", "replace")
