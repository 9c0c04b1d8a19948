"""The compression function of BLAKE2b with any number of rounds (EIP-152, RFC 7693): in C or in Python.

Both forms are here at once, so that tests can hold them against each other.
"""

from collections.abc import Callable, Sequence
from struct import pack, unpack
from typing import Final, TypeAlias

from node.native import kernels

INPUT_BYTES: Final = 213
"""Rounds (4), state (64), message block (128), offset counters (16), final flag (1)."""
IV: Final = (
    0x6A09E667F3BCC908,
    0xBB67AE8584CAA73B,
    0x3C6EF372FE94F82B,
    0xA54FF53A5F1D36F1,
    0x510E527FADE682D1,
    0x9B05688C2B3E6C1F,
    0x1F83D9ABFB41BD6B,
    0x5BE0CD19137E2179,
)
_SIGMA: Final = tuple(
    bytes.fromhex(row)
    for row in (
        "000102030405060708090a0b0c0d0e0f",
        "0e0a0408090f0d06010c00020b070503",
        "0b080c0005020f0d0a0e030607010904",
        "070903010d0c0b0e0206050a04000f08",
        "0900050702040a0f0e010b0c0608030d",
        "020c060a000b0803040d07050f0e0109",
        "0c05010f0e0d040a000706030902080b",
        "0d0b070e0c01030905000f040806020a",
        "060f0e090b0300080c020d0701040a05",
        "0a020804070601050f0b090e030c0d00",
    )
)
_U64: Final = (1 << 64) - 1
ROUNDS_PER_POLL: Final = 1024
ROUNDS_PER_POLL_IN_C: Final = 1 << 18
"""Some milliseconds, as the other."""
_FOUR: Final = sum(_U64 << shift for shift in (0, 128, 256, 384))
"""Four 64-bit words in one integer, 64 bits apart from each other: a round mixes its four columns, then its
four diagonals, at once. The gaps take carries and what a rotation pushes out."""

Poll: TypeAlias = Callable[[], None]
"""Raises when the execution is to stop."""


def compress(data: bytes, poll: Poll) -> bytes:
    """The state after compressing what 213 bytes of input say."""
    if kernels is None:
        return compress_in_python(data, poll)
    rounds, first, last = int.from_bytes(data[:4], "big"), unpack("<8Q", data[4:68]), data[212]
    t0, t1 = unpack("<2Q", data[196:212])
    below = (*IV[:4], IV[4] ^ t0, IV[5] ^ t1, IV[6] ^ (_U64 if last else 0), IV[7])
    state, done = pack("<16Q", *first, *below), 0
    while done < rounds:
        poll()
        count = min(ROUNDS_PER_POLL_IN_C, rounds - done)
        state = kernels.blake2_rounds(state, data[68:196], done % 10, count)
        done += count
    v = unpack("<16Q", state)
    return pack("<8Q", *(h ^ v[i] ^ v[i + 8] for i, h in enumerate(first)))


def compress_in_python(data: bytes, poll: Poll) -> bytes:
    """See `compress`; some two microseconds a round."""
    rounds = int.from_bytes(data[:4], "big")
    numbers = unpack("<26Q", data[4:212])
    h, m, t = numbers[:8], numbers[8:24], numbers[24:]
    below = (IV[4] ^ t[0], IV[5] ^ t[1], IV[6] ^ (_U64 if data[212] else 0), IV[7])
    first, second = _four(h[:4]), _four(h[4:])
    rows = _compress(rounds, m, (first, second, _four(IV[:4]), _four(below)), poll)
    low, high = first ^ rows[0] ^ rows[2], second ^ rows[1] ^ rows[3]
    return pack("<8Q", *(row >> shift & _U64 for row in (low, high) for shift in (0, 128, 256, 384)))


def _four(words: Sequence[int]) -> int:
    return sum(word << 128 * place for place, word in enumerate(words))


_Rows: TypeAlias = tuple[int, int, int, int]


def _compress(rounds: int, m: Sequence[int], rows: _Rows, poll: Poll) -> _Rows:
    """The rounds. In a diagonal step row r is turned r words to the left, and back afterwards."""
    picked = [[_four([m[i] for i in s[k : k + 8 : 2]]) for k in (0, 1, 8, 9)] for s in _SIGMA]
    a, b, c, d = rows
    for n in range(rounds):
        if n % ROUNDS_PER_POLL == 0:
            poll()
        x0, y0, x1, y1 = picked[n % 10]
        a, b, c, d = _mix(a, b, c, d, x0, y0)
        b = b >> 128 | (b & _U64) << 384
        c = c >> 256 | (c << 256) & _FOUR
        d = (d << 128) & _FOUR | d >> 384
        a, b, c, d = _mix(a, b, c, d, x1, y1)
        b = (b << 128) & _FOUR | b >> 384
        c = c >> 256 | (c << 256) & _FOUR
        d = d >> 128 | (d & _U64) << 384
    return a, b, c, d


def _mix(a: int, b: int, c: int, d: int, x: int, y: int) -> _Rows:
    a = a + b + x & _FOUR
    d ^= a
    d = d >> 32 & _FOUR | d << 32 & _FOUR
    c = c + d & _FOUR
    b ^= c
    b = b >> 24 & _FOUR | b << 40 & _FOUR
    a = a + b + y & _FOUR
    d ^= a
    d = d >> 16 & _FOUR | d << 48 & _FOUR
    c = c + d & _FOUR
    b ^= c
    return a, b >> 63 & _FOUR | b << 1 & _FOUR, c, d
