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
_unary = st.builds(_run, st.sampled_from((0x15, 0x19, 0x31, 0x35, 0x3B, 0x3F, 0x40, 0x54, 0x5C)), words)
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


_ends = st.one_of(
    st.builds(lambda o, n: _run(0xF3, o, n), _small, _small),
    st.builds(lambda o, n: _run(0xFD, o, n), _small, _small),
    st.builds(lambda to: _run(0xFF, int.from_bytes(to, "big")), _addresses),
    st.sampled_from((b"\x00", b"\xfe", b"\x0c", b"")),
)
_simple = st.one_of(
    _arithmetic, _unary, _bare, _stack, _store, _load, _transient, _memory, _copies, _code_copy, _logs, _calls
)
_init_codes = st.builds(lambda parts, end: b"".join(parts) + end, st.lists(_simple, max_size=5), _ends)
_creates = st.builds(_create, _init_codes, _values, st.one_of(st.none(), st.integers(0, 3)))
_noise = st.binary(max_size=4)
_parts = st.lists(st.one_of(_simple, _simple, _simple, _creates, _noise), max_size=12)


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
