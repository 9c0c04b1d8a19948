"""The curve alt_bn128 (EIP-196, EIP-197): in C where node.native has it, else by py_ecc and our own integers.

Points are 64 bytes, zeros for the neutral element; None is the answer to bytes that are no point. Both forms
are here at once, so that tests can hold them against each other.
"""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from node import native
from node.execution.recursion import limit_recursion

# From the start, and not only where py_ecc comes in: how deep calls nest must not depend on what ran before.
limit_recursion()

PAIR_BYTES: Final = 192
"""A point of G1 and one of G2."""
_P: Final = 0x30644E72E131A029B85045B68181585D97816A916871CA8D3C208C16D87CFD47
_ORDER: Final = 0x30644E72E131A029B85045B68181585D2833E84879B9709143E1F593F0000001


def add(points: bytes) -> bytes | None:
    """The sum of two points."""
    return native.kernels.bn128_add(points) if _IN_C else add_in_python(points)  # type: ignore[union-attr]


def multiply(data: bytes) -> bytes | None:
    """A point times a factor of 32 bytes, which follows it."""
    return native.kernels.bn128_multiply(data) if _IN_C else multiply_in_python(data)  # type: ignore[union-attr]


def is_product_one(pairs: bytes, poll: Callable[[], None]) -> bool | None:
    """Whether the product of the pairings is one; `poll` is called before each pair and may raise."""
    if not _IN_C:
        return is_product_one_in_python(pairs, poll)
    kernels = native.kernels
    assert kernels is not None
    product: bytes | None = b""
    for offset in range(0, len(pairs), PAIR_BYTES):
        poll()
        product = kernels.bn128_pair(pairs[offset : offset + PAIR_BYTES], product or b"")
        if product is None:
            return None
    return not product or kernels.bn128_is_one(product)


# --- the same in Python


def add_in_python(points: bytes) -> bytes | None:
    """See `add`."""
    one, two = _g1(points, 0), _g1(points, 64)
    return None if one is None or two is None else _encoded(_added(one, two))


def multiply_in_python(data: bytes) -> bytes | None:
    """See `multiply`."""
    point = _g1(data, 0)
    return None if point is None else _encoded(_multiplied(point, _word(data, 64) % _ORDER))


def is_product_one_in_python(pairs: bytes, poll: Callable[[], None]) -> bool | None:
    """See `is_product_one`; a quarter of a second for each pair."""
    bn128 = _py_ecc()
    product = bn128.FQ12.one()
    for offset in range(0, len(pairs), PAIR_BYTES):
        poll()
        g1, g2 = _g1(pairs, offset), _g2(pairs, offset + 64)
        if g1 is None or g2 is None:
            return None
        point = (bn128.FQ(g1[0]), bn128.FQ(g1[1]), bn128.FQ(1)) if g1[2] else bn128.Z1
        product *= bn128.pairing(g2, point, final_exponentiate=False)
    return bool(bn128.final_exponentiate(product) == bn128.FQ12.one())


def _py_ecc() -> Any:
    """Imported at the first need: it is slow to import, and raises the recursion limit."""
    from py_ecc import optimized_bn128

    limit_recursion()
    return optimized_bn128


def _word(data: bytes, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 32], "big")


def _g1(data: bytes, offset: int) -> "_Point | None":
    x, y = _word(data, offset), _word(data, offset + 32)
    if x >= _P or y >= _P:
        return None
    if not x and not y:
        return _NEUTRAL
    return (x, y, 1) if (y * y - x * x * x - 3) % _P == 0 else None


def _g2(data: bytes, offset: int) -> Any:
    bn128 = _py_ecc()
    x_i, x_r, y_i, y_r = (_word(data, offset + 32 * n) for n in range(4))
    if max(x_i, x_r, y_i, y_r) >= _P:
        return None
    x, y = bn128.FQ2([x_r, x_i]), bn128.FQ2([y_r, y_i])
    if x == bn128.FQ2.zero() and y == bn128.FQ2.zero():
        return bn128.Z2
    point = (x, y, bn128.FQ2.one())
    in_group = bn128.is_on_curve(point, bn128.b2) and bn128.is_inf(bn128.multiply(point, bn128.curve_order))
    return point if in_group else None


_Point: TypeAlias = tuple[int, int, int]
"""Jacobian coordinates: (x / z**2, y / z**3); z = 0 is the neutral element."""
_NEUTRAL: Final[_Point] = (0, 1, 0)
_WINDOW_BITS: Final = 4


def _multiplied(point: _Point, factor: int) -> _Point:
    """On plain integers: a tenth of the time that py_ecc takes."""
    multiples = [_NEUTRAL, point]
    while len(multiples) < 1 << _WINDOW_BITS:
        multiples.append(_added(multiples[-1], point))
    total = _NEUTRAL
    for shift in range(256 - _WINDOW_BITS, -1, -_WINDOW_BITS):
        for _ in range(_WINDOW_BITS):
            total = _doubled(total)
        total = _added(total, multiples[factor >> shift & ((1 << _WINDOW_BITS) - 1)])
    return total


def _encoded(point: _Point) -> bytes:
    if not point[2]:
        return bytes(64)
    inverse = pow(point[2], -1, _P)
    square = inverse * inverse % _P
    affine = point[0] * square % _P, point[1] * square % _P * inverse % _P
    return b"".join(coordinate.to_bytes(32, "big") for coordinate in affine)


def _doubled(point: _Point) -> _Point:
    """Explicit-Formulas Database, dbl-2009-l."""
    x, y, z = point
    if not z:
        return point
    p = _P
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
    p = _P
    z1z1, z2z2 = one[2] * one[2] % p, two[2] * two[2] % p
    u1, u2 = one[0] * z2z2 % p, two[0] * z1z1 % p
    s1, s2 = one[1] * two[2] * z2z2 % p, two[1] * one[2] * z1z1 % p
    h, r = (u2 - u1) % p, (s2 - s1) % p
    if not h:
        return _NEUTRAL if r else _doubled(one)
    hh = h * h % p
    hhh, v = h * hh % p, u1 * hh % p
    x3 = (r * r - hhh - 2 * v) % p
    return x3, (r * (v - x3) - s1 * hhh) % p, h * one[2] * two[2] % p


_IN_C: Final = native.has("bn128_pair")
