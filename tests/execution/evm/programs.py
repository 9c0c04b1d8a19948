"""Random programs that live long enough to do something: hypothesis strategies for bytecode and call trees.

Bytes drawn at random die at the first instruction. Here most instructions find what they need on the stack,
jumps mostly lead somewhere, and calls mostly reach one of a few contracts; the rest is left to chance.
"""

from typing import Final

from hypothesis import strategies as st

from node.primitives.ids import Address

CONTRACTS: Final = tuple(Address(bytes(19) + bytes((0xC0 + n,))) for n in range(4))
"""Where the programs of a case lie."""
OTHERS: Final = (
    *(Address(bytes(19) + bytes((n,))) for n in range(11)),
    Address(b"\xee" * 20),
    Address(b"\xaa" * 20),
)
"""Precompiled contracts, an account without code, nobody."""

_EDGES: Final = (0, 1, 2, 31, 32, 33, 255, 256, 2**31, 2**64 - 1, 2**64, 2**255 - 1, 2**255, 2**256 - 1)
words = st.one_of(
    st.integers(0, 300),
    st.sampled_from(_EDGES),
    st.integers(0, 2**256 - 1),
    st.sampled_from([int.from_bytes(address, "big") for address in (*CONTRACTS, *OTHERS)]),
)
_small = st.integers(0, 96)
_slots = st.integers(0, 4)
_addresses = st.sampled_from((*CONTRACTS, *CONTRACTS, *OTHERS))
_values = st.sampled_from((0, 0, 0, 1, 10**6))
_call_gas = st.one_of(st.integers(0, 60_000), st.just(2**256 - 1))


def push(word: int) -> bytes:
    """The shortest PUSH of a word."""
    raw = word.to_bytes(max(1, (word.bit_length() + 7) // 8), "big")
    return bytes((0x5F + len(raw),)) + raw


def _run(opcode: int, *operands: int) -> bytes:
    """An instruction after its operands, the first of which is to lie on top."""
    return b"".join(push(word) for word in reversed(operands)) + bytes((opcode,))


_WITHOUT_OPERANDS: Final = (
    0x30,
    0x32,
    0x33,
    0x34,
    0x36,
    0x38,
    0x3A,
    0x3D,
    *range(0x41, 0x49),
    0x4A,
    0x58,
    0x59,
    0x5A,
)
_arithmetic = st.builds(
    lambda opcode, a, b, c: _run(opcode, a, b, c) if opcode in (8, 9) else _run(opcode, a, b),
    st.sampled_from((*range(1, 12), *range(0x10, 0x15), 0x16, 0x17, 0x18, *range(0x1A, 0x1E))),
    words,
    words,
    words,
)
_unary = st.builds(_run, st.sampled_from((0x15, 0x19, 0x31, 0x35, 0x3B, 0x3F, 0x40, 0x49, 0x54, 0x5C)), words)
_BLS = 21888242871839275222246405745257275088696311157297823662689037894645226208583
_P2 = (
    0x198E9393920D483A7260BFB731FB5D25F1AA493335A9E71297E485B7AEF312C2,
    0x1800DEEF121F1E76426A00665E5C4479674322D4F75EDADD46DEBD5CD992F6ED,
    0x090689D0585FF075EC9E99AD690C3395BC4B313370B38EF355ACDADCD122975B,
    0x12C85EA5DB8C6DEB4AAB71808DCB408FE3D1E7690C43D37B4CE6CC0166FA7DAA,
)
"""The generator of G2 (EIP-197)."""
_SIGNED = (
    0x456E9AEA5E197A1F1AF7A3E85A3212FA4049A3BA34C2289B4C860FC0B0C64EF3,
    28,
    0x9242685BF161793CC25603C231BC2F568EB630EA16AA137D2664AC8038825608,
    0x4F8AE3BD7535248D0BD448298CC2E2071E56992D0774DC340C368AE950852ADA,
)
"""A digest, v, r and s from which somebody can be recovered."""
_precompiled_inputs = st.one_of(
    st.tuples(st.just(1), st.sampled_from((_SIGNED, (*_SIGNED[:1], 27, *_SIGNED[2:]), (*_SIGNED[:3], 1)))),
    st.tuples(st.sampled_from((2, 3, 4)), st.tuples(words, words)),
    st.tuples(st.just(5), st.tuples(*[st.sampled_from((0, 1, 2, 31, 32, 33))] * 3, words, words, words)),
    st.tuples(st.just(6), st.sampled_from(((1, 2, 1, 2), (1, 2, 1, _BLS - 2), (0, 0, 1, 2), (1, 1, 1, 2)))),
    st.tuples(st.just(7), st.tuples(st.just(1), st.just(2), words)),
    st.tuples(st.just(8), st.sampled_from(((), (0,) * 6, (1, 2, *_P2), (1, 3, *_P2), (1, 2, *_P2[::-1])))),
    st.tuples(
        st.just(9), st.builds(lambda n, w: (n << 224 | w >> 32, w, w, w, w, w), st.integers(0, 20), words)
    ),
)


def _precompiled(chosen: tuple[int, tuple[int, ...]], size: int, gas: int, opcode: int) -> bytes:
    """Put words into memory, call a precompiled contract with them, and hash and store what it says."""
    number, inputs = chosen
    size = 213 if number == 9 else 32 * len(inputs) + size
    stores = b"".join(_run(0x52, 32 * place, word) for place, word in enumerate(inputs))
    value = (0,) if opcode == 0xF1 else ()
    asking = _run(opcode, gas, number, *value, 0, size, 0x100, 64)
    return stores + asking + _run(0x20, 0x100, 64) + push(3) + b"\x55" + b"\x3d" + push(4) + b"\x55"


_precompiles = st.builds(
    _precompiled,
    _precompiled_inputs,
    st.sampled_from((0, 0, 0, 1, 31)),
    st.sampled_from((200, 3_000, 6_000, 100_000, 200_000)),
    st.sampled_from((0xF1, 0xF4, 0xFA)),
)
_bare = st.builds(lambda opcode: bytes((opcode,)), st.sampled_from(_WITHOUT_OPERANDS))
_stack = st.builds(
    lambda opcode: bytes((opcode,)),
    st.one_of(
        st.integers(0x80, 0x84), st.integers(0x90, 0x93), st.sampled_from((0x50, 0x01, 0x03, 0x16, 0x14))
    ),
)
_store = st.builds(lambda slot, value: _run(0x55, slot, value), _slots, st.sampled_from((0, 1, 2, 2**255)))
_load = st.builds(lambda slot: _run(0x54, slot), _slots)
_transient = st.builds(lambda slot, value: _run(0x5D, slot, value) + _run(0x5C, slot), _slots, words)
_memory = st.one_of(
    st.builds(lambda offset, word: _run(0x52, offset, word), _small, words),
    st.builds(lambda offset, word: _run(0x53, offset, word), _small, words),
    st.builds(lambda offset: _run(0x51, offset), st.one_of(_small, words)),
    st.builds(lambda offset, size: _run(0x20, offset, size), _small, st.one_of(_small, words)),
)
_copies = st.builds(
    lambda opcode, target, offset, size: _run(opcode, target, offset, size),
    st.sampled_from((0x37, 0x39, 0x3E, 0x5E)),
    _small,
    st.one_of(_small, words),
    _small,
)
_code_copy = st.builds(
    lambda address, target, offset, size: _run(0x3C, int.from_bytes(address, "big"), target, offset, size),
    _addresses,
    _small,
    _small,
    _small,
)
_logs = st.builds(
    lambda count, offset, size, topics: _run(0xA0 + count, offset, size, *topics[:count]),
    st.integers(0, 4),
    _small,
    _small,
    st.lists(words, min_size=4, max_size=4),
)
_calls = st.one_of(
    st.builds(
        lambda opcode, gas, to, value, i, n, o, m: _run(
            opcode, gas, int.from_bytes(to, "big"), value, i, n, o, m
        ),
        st.sampled_from((0xF1, 0xF1, 0xF2)),
        _call_gas,
        _addresses,
        _values,
        _small,
        _small,
        _small,
        _small,
    ),
    st.builds(
        lambda opcode, gas, to, i, n, o, m: _run(opcode, gas, int.from_bytes(to, "big"), i, n, o, m),
        st.sampled_from((0xF4, 0xFA)),
        _call_gas,
        _addresses,
        _small,
        _small,
        _small,
        _small,
    ),
)


def _create(init_code: bytes, value: int, salt: int | None) -> bytes:
    """Put init code into memory, word by word, and create with it."""
    padded = init_code.ljust(-(-len(init_code) // 32) * 32, b"\0")
    stores = b"".join(
        _run(0x52, offset, int.from_bytes(padded[offset : offset + 32], "big"))
        for offset in range(0, len(padded), 32)
    )
    operands = (value, 0, len(init_code))
    return stores + (_run(0xF0, *operands) if salt is None else _run(0xF5, *operands, salt))


def _called_with_top() -> bytes:
    """CALL what lies on top of the stack with a wei and 50,000 gas; it stays there."""
    return push(0) * 4 + push(1) + bytes((0x85,)) + push(50_000) + b"\xf1\x50"


_ends = st.one_of(
    st.builds(lambda o, n: _run(0xF3, o, n), _small, _small),
    st.builds(lambda o, n: _run(0xFD, o, n), _small, _small),
    st.builds(lambda to: _run(0xFF, int.from_bytes(to, "big")), _addresses),
    st.sampled_from((b"\x00", b"\xfe", b"\x0c", b"")),
)
_simple = st.one_of(
    _arithmetic, _unary, _bare, _stack, _store, _load, _transient, _memory, _copies, _code_copy, _logs, _calls
)
_deploys = st.builds(
    # Code to be deployed, stored by MSTORE and returned: later calls may reach what it becomes.
    lambda code: _run(0x52, 0, int.from_bytes(code.ljust(32, b"\0"), "big")) + _run(0xF3, 0, len(code)),
    st.one_of(
        st.builds(lambda to: _run(0xFF, int.from_bytes(to, "big")), _addresses),
        st.builds(lambda slot: _run(0x55, slot, 1), _slots),
        st.sampled_from((b"\xef", b"\x30\xff", b"\x33\xff")),
    ),
)
_inner_init_codes = st.builds(
    lambda parts, end: b"".join(parts) + end, st.lists(_simple, max_size=3), st.one_of(_ends, _deploys)
)
_inner_creates = st.builds(_create, _inner_init_codes, _values, st.one_of(st.none(), st.integers(0, 3)))
_call_the_created = st.builds(
    # The address a creation left on the stack is called, or given all.
    lambda create, twice: create + _called_with_top() * (1 + twice),
    _inner_creates,
    st.booleans(),
)
_init_codes = st.builds(
    lambda parts, end: b"".join(parts) + end,
    st.lists(st.one_of(_simple, _simple, _inner_creates), max_size=5),
    st.one_of(_ends, _deploys),
)
_creates = st.builds(_create, _init_codes, _values, st.one_of(st.none(), st.integers(0, 3)))
_noise = st.binary(max_size=4)
_parts = st.lists(
    st.one_of(_simple, _simple, _simple, _creates, _call_the_created, _precompiles, _noise), max_size=12
)


def _loop(body: bytes, times: int, start: int) -> bytes:
    """Run a body a few times: a counter in memory at 0x200, and a jump back."""
    head = _run(0x52, 0x200, times) + b"\x5b"
    target = start + len(head) - 1
    count_down = push(1) + _run(0x51, 0x200) + b"\x03" + push(0x200) + b"\x52"
    return head + body + count_down + _run(0x51, 0x200) + push(target) + b"\x57"


def _assemble(sections: list[tuple[list[bytes], int]], end: bytes) -> bytes:
    code = b""
    for parts, times in sections:
        body = b"".join(parts)
        code += _loop(body, times, len(code)) if times > 1 else body
    return code + end


programs = st.builds(
    _assemble,
    st.lists(st.tuples(_parts, st.sampled_from((1, 1, 1, 3, 250))), min_size=1, max_size=3),
    _ends,
)
"""Code of one contract."""
