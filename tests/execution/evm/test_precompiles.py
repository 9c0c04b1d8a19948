"""Precompiled contracts of the fast executor whose arithmetic is our own."""

import hashlib
import struct
from random import Random

import pytest
from py_ecc import optimized_bn128 as bn128

from node.execution.evm import blake2, precompiles
from node.execution.evm.halts import Halt
from node.primitives.chain_spec import Fork
from node.primitives.ids import Address


def _ask(number: int, data: bytes) -> bytes:
    contract = precompiles.find(Address(number.to_bytes(20, "big")), Fork.LONDON)
    assert contract is not None
    return contract.run(data, lambda: None)


def _point(factor: int) -> bytes:
    return _ask(7, _encoded(1) + _encoded(2) + _encoded(factor))


def _encoded(number: int) -> bytes:
    return number.to_bytes(32, "big")


def _of_py_ecc(point) -> bytes:
    if bn128.is_inf(point):
        return bytes(64)
    return b"".join(_encoded(int(coordinate)) for coordinate in bn128.normalize(point))


@pytest.mark.parametrize(
    "factor",
    [0, 1, 2, 3, 15, 16, 17, bn128.curve_order - 1, bn128.curve_order, bn128.curve_order + 1, 2**256 - 1]
    + [Random(n).getrandbits(256) for n in range(20)],
)
def test_products_of_points_are_those_of_py_ecc(factor):
    assert _point(factor) == _of_py_ecc(bn128.multiply(bn128.G1, factor % bn128.curve_order))


def test_products_of_the_neutral_element_and_of_no_point():
    assert _ask(7, bytes(64) + _encoded(5)) == bytes(64)
    with pytest.raises(Halt):
        _ask(7, _encoded(1) + _encoded(3) + _encoded(5))
    with pytest.raises(Halt):
        _ask(7, _encoded(bn128.field_modulus + 1) + _encoded(2) + _encoded(5))


def test_sums_are_distributive():
    a, b = Random(1).getrandbits(250), Random(2).getrandbits(250)
    assert _ask(6, _point(a) + _point(b)) == _point(a + b)
    assert _ask(6, _point(a) + _point(bn128.curve_order - a)) == bytes(64)


@pytest.mark.parametrize("text", [b"", b"abc", bytes(range(128))])
def test_blake2_compression_makes_the_hash(text):
    state = [*blake2.IV]
    state[0] ^= 0x01010040  # no key, 64 bytes of digest
    data = (
        (12).to_bytes(4, "big")
        + struct.pack("<8Q", *state)
        + text.ljust(128, b"\0")
        + struct.pack("<2Q", len(text), 0)
        + b"\1"
    )
    assert _ask(9, data) == hashlib.blake2b(text).digest()
