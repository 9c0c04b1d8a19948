"""The precompiled contracts 0x01 to 0x09 (Yellow Paper appendix E; EIP-152, 196, 197, 198, 1108, 2565).

The arithmetic of bn128 and of BLAKE2 stands in `curve` and `blake2`; RIPEMD-160, which OpenSSL no longer
offers by default, comes from pycryptodome. Invalid input halts with all gas, except in ECRECOVER, which then
returns nothing.
"""

import hashlib
from collections.abc import Callable
from functools import cache
from typing import NamedTuple, TypeAlias

from node.execution.evm import blake2, curve
from node.execution.evm.halts import Halt
from node.primitives.chain_spec import Fork
from node.primitives.crypto import SECP256K1_N, InvalidSignature, recover_address
from node.primitives.ids import Address, Hash32


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


def _point_or_halt(point: bytes | None) -> bytes:
    if point is None:
        raise InvalidInput
    return point


def _ecadd(data: bytes, _: Poll) -> bytes:
    return _point_or_halt(curve.add(data[:128].ljust(128, b"\0")))


def _ecmul(data: bytes, _: Poll) -> bytes:
    return _point_or_halt(curve.multiply(data[:96].ljust(96, b"\0")))


def _pairing_gas_byzantium(data: bytes) -> int:
    return 100_000 + 80_000 * (len(data) // curve.PAIR_BYTES)


def _pairing_gas_istanbul(data: bytes) -> int:
    return 45_000 + 34_000 * (len(data) // curve.PAIR_BYTES)


def _pairing(data: bytes, poll: Poll) -> bytes:
    if len(data) % curve.PAIR_BYTES:
        raise InvalidInput
    one = curve.is_product_one(data, poll)
    if one is None:
        raise InvalidInput
    return one.to_bytes(32, "big")


# --- BLAKE2b compression (EIP-152)


def _blake2f_gas(data: bytes) -> int:
    return int.from_bytes(data[:4], "big") if len(data) == blake2.INPUT_BYTES else 0


def _blake2f(data: bytes, poll: Poll) -> bytes:
    if len(data) != blake2.INPUT_BYTES or data[-1] > 1:
        raise InvalidInput
    return blake2.compress(data, poll)
