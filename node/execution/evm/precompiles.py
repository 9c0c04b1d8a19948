"""The precompiled contracts 0x01 to 0x09 (Yellow Paper appendix E; EIP-152, 196, 197, 198, 1108, 2565).

The elliptic curve bn128 comes from py_ecc; RIPEMD-160, which OpenSSL no longer offers by default, from
pycryptodome. Invalid input halts with all gas, except in ECRECOVER, which then returns nothing.
"""

import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final, NamedTuple, TypeAlias

from py_ecc import optimized_bn128 as bn128

from node.execution.evm.halts import Halt
from node.execution.recursion import limit_recursion
from node.primitives.chain_spec import Fork
from node.primitives.crypto import SECP256K1_N, InvalidSignature, recover_address
from node.primitives.ids import Address, Hash32

limit_recursion()


class InvalidInput(Halt):
    """A precompiled contract does not accept its input."""

    reason = "invalid input to a precompiled contract"


Poll: TypeAlias = Callable[[], None]
"""Raises when the execution is to stop; slow contracts call it as they go."""


class Precompile(NamedTuple):
    """Price and work of one contract."""

    gas: Callable[[bytes], int]
    run: Callable[[bytes, Poll], bytes]


def find(address: Address, fork: Fork) -> Precompile | None:
    """The contract at an address, if the fork has one there."""
    return precompiles_of(fork).get(address)


@cache
def precompiles_of(fork: Fork) -> dict[Address, Precompile]:
    """All contracts of a fork, Byzantium or later."""
    cheap_curve = fork >= Fork.ISTANBUL
    table = {
        1: Precompile(lambda _: 3000, _ecrecover),
        2: Precompile(lambda data: 60 + 12 * _words(data), lambda data, _: hashlib.sha256(data).digest()),
        3: Precompile(lambda data: 600 + 120 * _words(data), _ripemd160),
        4: Precompile(lambda data: 15 + 3 * _words(data), lambda data, _: data),
        5: Precompile(_modexp_gas_berlin if fork >= Fork.BERLIN else _modexp_gas_byzantium, _modexp),
        6: Precompile(lambda _: 150 if cheap_curve else 500, _ecadd),
        7: Precompile(lambda _: 6000 if cheap_curve else 40_000, _ecmul),
        8: Precompile(_pairing_gas_istanbul if cheap_curve else _pairing_gas_byzantium, _pairing),
    }
    if fork >= Fork.ISTANBUL:
        table[9] = Precompile(_blake2f_gas, _blake2f)
    return {Address(number.to_bytes(20, "big")): contract for number, contract in table.items()}


def _words(data: bytes) -> int:
    return (len(data) + 31) >> 5


def _word(data: bytes, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 32].ljust(32, b"\0"), "big")


def _ecrecover(data: bytes, _: Poll) -> bytes:
    digest = Hash32(data[:32].ljust(32, b"\0"))
    v, r, s = (_word(data, offset) for offset in (32, 64, 96))
    if v not in (27, 28) or not 0 < r < SECP256K1_N or not 0 < s < SECP256K1_N:
        return b""
    try:
        signer = recover_address(digest, r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes((v - 27,)))
    except InvalidSignature:
        return b""
    return signer.rjust(32, b"\0")


def _ripemd160(data: bytes, _: Poll) -> bytes:
    # Next to nobody calls this contract, and the import is a tenth of a node's start.
    from Crypto.Hash import RIPEMD160

    return RIPEMD160.new(data).digest().rjust(32, b"\0")


# --- modular exponentiation


def _modexp_sizes(data: bytes) -> tuple[int, int, int]:
    return _word(data, 0), _word(data, 32), _word(data, 64)


def _exponent_head(data: bytes, base_size: int, exponent_size: int) -> int:
    """The first (up to) 32 bytes of the exponent, zero-extended as the input is."""
    start, size = 96 + base_size, min(exponent_size, 32)
    return int.from_bytes(data[start : start + size].ljust(size, b"\0"), "big")


def _iterations(data: bytes, base_size: int, exponent_size: int) -> int:
    head_bits = _exponent_head(data, base_size, exponent_size).bit_length()
    return 8 * max(0, exponent_size - 32) + max(0, head_bits - 1)


def _modexp_gas_byzantium(data: bytes) -> int:
    """EIP-198."""
    base_size, exponent_size, modulus_size = _modexp_sizes(data)
    size = max(base_size, modulus_size)
    if size <= 64:
        work = size * size
    elif size <= 1024:
        work = size * size // 4 + 96 * size - 3072
    else:
        work = size * size // 16 + 480 * size - 199_680
    return work * max(1, _iterations(data, base_size, exponent_size)) // 20


def _modexp_gas_berlin(data: bytes) -> int:
    """EIP-2565."""
    base_size, exponent_size, modulus_size = _modexp_sizes(data)
    work = ((max(base_size, modulus_size) + 7) // 8) ** 2
    return max(200, work * max(1, _iterations(data, base_size, exponent_size)) // 3)


def _modexp(data: bytes, _: Poll) -> bytes:
    base_size, exponent_size, modulus_size = _modexp_sizes(data)
    if not modulus_size:
        return b""
    parts, position = [], 96
    for size in (base_size, exponent_size, modulus_size):
        parts.append(int.from_bytes(data[position : position + size].ljust(size, b"\0"), "big"))
        position += size
    base, exponent, modulus = parts
    return (pow(base, exponent, modulus) if modulus else 0).to_bytes(modulus_size, "big")


# --- alt_bn128


def _g1(data: bytes, offset: int) -> Any:
    x, y = _word(data, offset), _word(data, offset + 32)
    if x >= bn128.field_modulus or y >= bn128.field_modulus:
        raise InvalidInput
    if not x and not y:
        return bn128.Z1
    point = (bn128.FQ(x), bn128.FQ(y), bn128.FQ(1))
    if not bn128.is_on_curve(point, bn128.b):
        raise InvalidInput
    return point


def _g2(data: bytes, offset: int) -> Any:
    x_i, x_r, y_i, y_r = (_word(data, offset + 32 * n) for n in range(4))
    if max(x_i, x_r, y_i, y_r) >= bn128.field_modulus:
        raise InvalidInput
    x, y = bn128.FQ2([x_r, x_i]), bn128.FQ2([y_r, y_i])
    if x == bn128.FQ2.zero() and y == bn128.FQ2.zero():
        return bn128.Z2
    point = (x, y, bn128.FQ2.one())
    in_group = bn128.is_on_curve(point, bn128.b2) and bn128.is_inf(bn128.multiply(point, bn128.curve_order))
    if not in_group:
        raise InvalidInput
    return point


def _encode_g1(point: Any) -> bytes:
    if bn128.is_inf(point):
        return bytes(64)
    x, y = bn128.normalize(point)
    return int(x).to_bytes(32, "big") + int(y).to_bytes(32, "big")


def _ecadd(data: bytes, _: Poll) -> bytes:
    return _encode_g1(bn128.add(_g1(data, 0), _g1(data, 64)))


def _ecmul(data: bytes, _: Poll) -> bytes:
    _g1(data, 0)  # refuses what is no point
    return _multiply(_word(data, 0), _word(data, 32), _word(data, 64) % bn128.curve_order)


_Point: TypeAlias = tuple[int, int, int]
"""Jacobian coordinates: (x / z**2, y / z**3); z = 0 is the neutral element."""
_WINDOW_BITS: Final = 4


def _multiply(x: int, y: int, factor: int) -> bytes:
    """factor * (x, y) on y**2 = x**3 + 3, on plain integers: a tenth of the time that py_ecc takes."""
    if (not x and not y) or not factor:
        return bytes(64)
    multiples: list[_Point] = [(0, 1, 0), (x, y, 1)]
    while len(multiples) < 1 << _WINDOW_BITS:
        multiples.append(_added(multiples[-1], multiples[1]))
    sum_: _Point = (0, 1, 0)
    for shift in range(256 - _WINDOW_BITS, -1, -_WINDOW_BITS):
        for _ in range(_WINDOW_BITS):
            sum_ = _doubled(sum_)
        digit = factor >> shift & ((1 << _WINDOW_BITS) - 1)
        if digit:
            sum_ = _added(sum_, multiples[digit])
    p = bn128.field_modulus
    inverse = pow(sum_[2], -1, p)
    square = inverse * inverse % p
    affine = sum_[0] * square % p, sum_[1] * square % p * inverse % p
    return b"".join(coordinate.to_bytes(32, "big") for coordinate in affine)


def _doubled(point: _Point) -> _Point:
    """Explicit-Formulas Database, dbl-2009-l."""
    x, y, z = point
    if not z:
        return point
    p: int = bn128.field_modulus
    a, b = x * x % p, y * y % p
    c = b * b % p
    d = 4 * x * b % p
    e = 3 * a
    x3 = (e * e - 2 * d) % p
    return x3, (e * (d - x3) - 8 * c) % p, 2 * y * z % p


def _added(one: _Point, two: _Point) -> _Point:
    """Explicit-Formulas Database, add-2007-bl without its tricks."""
    if not one[2]:
        return two
    if not two[2]:
        return one
    p: int = bn128.field_modulus
    z1z1, z2z2 = one[2] * one[2] % p, two[2] * two[2] % p
    u1, u2 = one[0] * z2z2 % p, two[0] * z1z1 % p
    s1, s2 = one[1] * two[2] * z2z2 % p, two[1] * one[2] * z1z1 % p
    h, r = (u2 - u1) % p, (s2 - s1) % p
    if not h:
        return (0, 1, 0) if r else _doubled(one)
    hh = h * h % p
    hhh, v = h * hh % p, u1 * hh % p
    x3 = (r * r - hhh - 2 * v) % p
    return x3, (r * (v - x3) - s1 * hhh) % p, h * one[2] * two[2] % p


def _pairing_gas_byzantium(data: bytes) -> int:
    return 100_000 + 80_000 * (len(data) // 192)


def _pairing_gas_istanbul(data: bytes) -> int:
    return 45_000 + 34_000 * (len(data) // 192)


def _pairing(data: bytes, poll: Poll) -> bytes:
    if len(data) % 192:
        raise InvalidInput
    product = bn128.FQ12.one()
    for offset in range(0, len(data), 192):
        poll()
        g1, g2 = _g1(data, offset), _g2(data, offset + 64)
        product *= bn128.pairing(g2, g1, final_exponentiate=False)
    return int(bn128.final_exponentiate(product) == bn128.FQ12.one()).to_bytes(32, "big")


# --- BLAKE2b compression (EIP-152, RFC 7693)

_BLAKE2_IV: Final = (
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
_FOUR: Final = sum(_U64 << shift for shift in (0, 128, 256, 384))
"""Four 64-bit words in one integer, 64 bits apart from each other: a round mixes its four columns, then its
four diagonals, at once. The gaps take carries and what a rotation pushes out."""


def _blake2f_gas(data: bytes) -> int:
    return int.from_bytes(data[:4], "big") if len(data) == 213 else 0


def _blake2f(data: bytes, poll: Poll) -> bytes:
    if len(data) != 213 or data[212] > 1:
        raise InvalidInput
    rounds = int.from_bytes(data[:4], "big")
    numbers = [int.from_bytes(data[i : i + 8], "little") for i in range(4, 212, 8)]
    h, m, t = numbers[:8], numbers[8:24], numbers[24:]
    v = [*_BLAKE2_IV]
    v[4] ^= t[0]
    v[5] ^= t[1]
    if data[212]:
        v[6] ^= _U64
    first, second = _four(h[:4]), _four(h[4:])
    rows = _compress(rounds, m, (first, second, _four(v[:4]), _four(v[4:])), poll)
    low, high = first ^ rows[0] ^ rows[2], second ^ rows[1] ^ rows[3]
    words = [row >> shift & _U64 for row in (low, high) for shift in (0, 128, 256, 384)]
    return b"".join(word.to_bytes(8, "little") for word in words)


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
