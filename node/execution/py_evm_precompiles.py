"""Where py-evm's precompiled contracts are wrong, or far too slow for a block full of them.

MODEXP: with an empty base py-evm answers 0; the base is 0 then, and 0 to the power of 0 is 1 (EIP-198).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from eth.precompiles.modexp import extract_lengths

if TYPE_CHECKING:
    from node.execution.py_evm_frame import Frame


def modexp(gas_of: Callable[[bytes], int]) -> Callable[["Frame"], None]:
    """The contract at address 5, with the gas rule of a fork."""

    def run(frame: "Frame") -> None:
        data = frame.msg.data
        frame.consume_gas(gas_of(data))
        frame.output = _power(data)

    return run


def _power(data: bytes) -> bytes:
    """base ** exponent % modulus in as many bytes as the modulus; 0 where the modulus is 0."""
    base_size, exponent_size, modulus_size = extract_lengths(data)
    if not modulus_size:
        return b""
    # Only lengths that have been paid for get here: what follows is bounded by the gas.
    base_end = 96 + base_size
    exponent_end = base_end + exponent_size
    modulus = _number(data, exponent_end, modulus_size)
    if not modulus:
        return bytes(modulus_size)
    result = pow(_number(data, 96, base_size), _number(data, base_end, exponent_size), modulus)
    return result.to_bytes(modulus_size, "big")


def _number(data: bytes, start: int, size: int) -> int:
    return int.from_bytes(data[start : start + size].ljust(size, b"\0"), "big")
