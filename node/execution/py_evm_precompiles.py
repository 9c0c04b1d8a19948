"""Where py-evm's precompiled contracts are wrong, or could hold a thread for minutes without being asked.

MODEXP: with an empty base py-evm answers 0; the base is 0 then, and 0 to the power of 0 is 1 (EIP-198).
BLAKE2F: a round costs one gas and, in Python, microseconds; a PAIRING costs 34,000 gas and a quarter of a
second for each pair. Both ask as they go whether to stop. BLAKE2F does a round's four lanes as one integer.
"""

import struct
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from eth.precompiles.ecpairing import _process_point
from eth.precompiles.modexp import extract_lengths
from eth_utils.exceptions import ValidationError
from py_ecc import optimized_bn128

from node.execution.py_evm_faults import MalformedInput

if TYPE_CHECKING:
    from node.execution.py_evm_frame import Frame

BLAKE2F_INPUT_BYTES: Final = 213
"""Rounds (4), state (64), message block (128), offset counters (16), final flag (1); EIP-152."""
ROUNDS_PER_POLL: Final = 4096
PAIR_BYTES: Final = 192
"""A point of G1 and one of G2 (EIP-197)."""


# --- modular exponentiation


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


# --- pairing check


def ecpairing(base_gas: int, pair_gas: int) -> Callable[["Frame"], None]:
    """The contract at address 8: whether the product of the pairings is one."""

    def run(frame: "Frame") -> None:
        data = frame.msg.data
        if len(data) % PAIR_BYTES:
            raise MalformedInput
        frame.consume_gas(base_gas + len(data) // PAIR_BYTES * pair_gas)
        product: Any = optimized_bn128.FQ12.one()
        try:
            for start in range(0, len(data), PAIR_BYTES):
                frame.state.poll()
                product = _process_point(data[start : start + PAIR_BYTES], product)
        except ValidationError:
            raise MalformedInput from None
        one = optimized_bn128.final_exponentiate(product) == optimized_bn128.FQ12.one()
        frame.output = one.to_bytes(32, "big")

    return run


# --- BLAKE2b compression


_WORD: Final = (1 << 64) - 1
_LANE_BITS: Final = 128
"""Four 64-bit words stand in one integer, with room beside each for carries and rotated bits."""
_LANES: Final = sum(_WORD << _LANE_BITS * lane for lane in range(4))
_IV: Final = (
    0x6A09E667F3BCC908,
    0xBB67AE8584CAA73B,
    0x3C6EF372FE94F82B,
    0xA54FF53A5F1D36F1,
    0x510E527FADE682D1,
    0x9B05688C2B3E6C1F,
    0x1F83D9ABFB41BD6B,
    0x5BE0CD19137E2179,
)
_SIGMA: Final = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
    (14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3),
    (11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4),
    (7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8),
    (9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13),
    (2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9),
    (12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11),
    (13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10),
    (6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5),
    (10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0),
)
"""RFC 7693, sections 2.6 and 2.7."""


def blake2f(frame: "Frame") -> None:
    """The contract at address 9 (EIP-152)."""
    data = frame.msg.data
    if len(data) != BLAKE2F_INPUT_BYTES or data[-1] > 1:
        raise MalformedInput
    rounds = int.from_bytes(data[:4], "big")
    frame.consume_gas(rounds)
    words = struct.unpack("<26Q", data[4:212])
    state, block, offsets = words[:8], words[8:24], words[24:]
    a, b, c = _packed(state[:4]), _packed(state[4:]), _packed(_IV[:4])
    last = _WORD if data[-1] else 0
    d = _packed((_IV[4] ^ offsets[0], _IV[5] ^ offsets[1], _IV[6] ^ last, _IV[7]))
    before = a, b
    orders = [[_packed([block[i] for i in order[k : k + 8 : 2]]) for k in (0, 1, 8, 9)] for order in _SIGMA]
    for number in range(rounds):
        if number % ROUNDS_PER_POLL == 0:
            frame.state.poll()
        w, x, y, z = orders[number % 10]
        a, b, c, d = _mixed(a, b, c, d, w, x)
        a, b, c, d = _mixed(a, _turned(b, 1), _turned(c, 2), _turned(d, 3), y, z)
        b, c, d = _turned(b, 3), _turned(c, 2), _turned(d, 1)
    frame.output = _unpacked(before[0] ^ a ^ c) + _unpacked(before[1] ^ b ^ d)


def _mixed(a: int, b: int, c: int, d: int, x: int, y: int) -> tuple[int, int, int, int]:
    """The mixing function G on all four lanes (RFC 7693, section 3.1)."""
    a = (a + b + x) & _LANES
    d ^= a
    d = (d >> 32 | d << 32) & _LANES
    c = (c + d) & _LANES
    b ^= c
    b = (b >> 24 | b << 40) & _LANES
    a = (a + b + y) & _LANES
    d ^= a
    d = (d >> 16 | d << 48) & _LANES
    c = (c + d) & _LANES
    b ^= c
    return a, (b >> 63 | b << 1) & _LANES, c, d


def _turned(words: int, lanes: int) -> int:
    """Each word moved that many lanes down, around the end."""
    return (words >> _LANE_BITS * lanes | words << _LANE_BITS * (4 - lanes)) & _LANES


def _packed(words: Sequence[int]) -> int:
    return words[0] | words[1] << _LANE_BITS | words[2] << 2 * _LANE_BITS | words[3] << 3 * _LANE_BITS


def _unpacked(words: int) -> bytes:
    return struct.pack("<4Q", *(words >> _LANE_BITS * lane & _WORD for lane in range(4)))
