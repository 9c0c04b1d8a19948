"""What the swarm is made of: random programs as lists of parts, so that they can be shrunk.

Every opcode comes up, mostly with operands that let it do something: calls among the programs of a batch, to
precompiled contracts and to nobody, creations whose init code does the same and whose fruit is called, jumps.
"""

from collections.abc import Callable
from random import Random

from node.execution.evm.opcodes import instruction_set
from node.primitives.chain_spec import Fork

PROGRAMS = 64
"""In a batch; they lie at 0x1000 and after."""
EDGES = (0, 1, 2, 31, 32, 33, 255, 256, 2**31, 2**64 - 1, 2**255 - 1, 2**255, 2**256 - 1)
FIELD = 21888242871839275222246405745257275088696311157297823662689037894645226208583
"""Of the curve bn128."""
SIGNED = (
    0x456E9AEA5E197A1F1AF7A3E85A3212FA4049A3BA34C2289B4C860FC0B0C64EF3,
    28,
    0x9242685BF161793CC25603C231BC2F568EB630EA16AA137D2664AC8038825608,
    0x4F8AE3BD7535248D0BD448298CC2E2071E56992D0774DC340C368AE950852ADA,
)
"""A digest, v, r and s from which somebody can be recovered."""

Part = bytes
"""Some instructions that stay together when a program is shrunk; a jump names the number of a part."""


def push(word: int) -> bytes:
    """The shortest PUSH."""
    raw = word.to_bytes(max(1, (word.bit_length() + 7) // 8), "big")
    return bytes((0x5F + len(raw),)) + raw


def word(random: Random) -> int:
    """Small, at an edge, or anything."""
    kind = random.random()
    if kind < 0.5:
        return random.randrange(300)
    return random.choice(EDGES) if kind < 0.8 else random.getrandbits(random.choice((64, 160, 256)))


def far(random: Random, near: int) -> int:
    """Mostly below `near`."""
    return word(random) if random.random() < 0.07 else random.randrange(near)


def run(opcode: int, *operands: int) -> bytes:
    """An instruction with its operands, the first of them on top."""
    return b"".join(push(each) for each in reversed(operands)) + bytes((opcode,))


def computed(random: Random, opcode: int) -> bytes:
    """Arithmetic; what counts bytes or bits is mostly told a number of them that a word has."""
    near = {0x0B: 33, 0x1A: 33, 0x1B: 260, 0x1C: 260, 0x1D: 260}.get(opcode)
    return run(opcode, far(random, near) if near else word(random), word(random), word(random))


def a_call(random: Random) -> bytes:
    """To another program of the batch, to a quick precompiled contract, or to nobody."""
    others = (1, 2, 3, 4, 5, 9, 0xEEEE)
    to = 0x1000 + random.randrange(PROGRAMS) if random.random() < 0.7 else random.choice(others)
    opcode = random.choice((0xF1, 0xF1, 0xF2, 0xF4, 0xFA))
    ranges = [random.randrange(100) for _ in range(4)]
    value = (random.choice((0, 0, 0, 1)),) if opcode in (0xF1, 0xF2) else ()
    return run(opcode, random.choice((0, 700, 5_000, 2**256 - 1)), to, *value, *ranges)


def in_memory(data: bytes) -> bytes:
    """Stores that lay bytes at the beginning of memory."""
    words = [data[place : place + 32].ljust(32, b"\0") for place in range(0, len(data), 32)]
    return b"".join(run(0x52, 32 * place, int.from_bytes(each, "big")) for place, each in enumerate(words))


def a_creation(random: Random) -> bytes:
    """With init code that does this and that and returns some of its memory; what comes out may be called."""
    doing = b"".join(
        make(random) for _, make in random.choices(MAKERS[:-1], WEIGHTS[:-1], k=random.randrange(4))
    )
    ends = (
        lambda: run(0xF3, 0, random.randrange(40)),
        lambda: in_memory(random.choice((b"\xef", b"\x33\xff", run(0x55, 1, 7)))) + run(0xF3, 0, 5),
        lambda: run(0xFF, 0x1000 + random.randrange(PROGRAMS)),
        lambda: run(0xFD, 0, random.randrange(40)),
        lambda: random.randbytes(random.randrange(8)),
    )
    init = doing + random.choice(ends)()
    salt = (random.randrange(3),) if random.random() < 0.5 else ()
    made = in_memory(init) + run(0xF5 if salt else 0xF0, random.choice((0, 0, 1)), 0, len(init), *salt)
    called = push(0) * 4 + push(1) + b"\x85" + push(random.choice((700, 30_000))) + b"\xf1"
    return made + called if random.random() < 0.4 else made


def a_precompiled(random: Random) -> bytes:
    """One of the contracts that compute, with input that it mostly takes."""
    number = random.choice((1, 2, 3, 4, 5, 5, 6, 7, 9))
    inputs = {
        1: lambda: (*(SIGNED if random.random() < 0.7 else (*SIGNED[:1], 27, *SIGNED[2:])),),
        5: lambda: (*random.choices((0, 1, 2, 31, 32, 33), k=3), *(word(random) for _ in range(3))),
        6: lambda: random.choice(((1, 2, 1, 2), (1, 2, 1, FIELD - 2), (0, 0, 1, 2), (1, 1, 1, 2))),
        7: lambda: (1, 2, random.choice((2**256 - 1, *EDGES[:9], random.randrange(300)))),
        9: lambda: (random.randrange(20) << 224 | word(random) >> 32, *(word(random) for _ in range(5))),
    }
    words = inputs.get(number, lambda: (word(random), word(random)))()
    size = 213 if number == 9 else 32 * len(words) + random.choice((0, 0, 0, 1, 31))
    stores = b"".join(run(0x52, 32 * place, each) for place, each in enumerate(words))
    opcode = random.choice((0xF1, 0xF4, 0xFA))
    value = (random.choice((0, 0, 1)),) if opcode == 0xF1 else ()
    return stores + run(opcode, random.choice((200, 7_000, 10**6)), number, *value, 0, size, 0x100, 64)


def some_words(random: Random) -> bytes:
    """Words side by side in memory, as compilers lay out keys of mappings, and what is made of them."""
    base = random.choice((0, 0, 0, 0x40, 1, 31))
    sources = (b"\x33", b"\x30\x80\x01", b"\x80", b"\x5a", push(0) + b"\x35", push(word(random)))
    masks = (
        b"",
        b"",
        push(2**160 - 1) + b"\x16",
        push(random.choice((0, 1, 0xFF, 0xF0, 2**200 - 1))) + b"\x16",
    )

    def use() -> bytes:
        place, size = base + 32 * random.randrange(3), 32 * random.randrange(4)
        opcode = random.choice((0x20, 0x20, 0x20, 0x51, 0x52, 0x59, *range(0xA0, 0xA5)))
        if opcode == 0x20:
            return run(opcode, place, size)
        if opcode == 0x51:
            return run(opcode, place + random.choice((0, 0, 0, 1, 32)))
        if opcode == 0x52:
            return push(place + random.choice((0, 0, 0, 1, 17))) + bytes((opcode,))
        return (
            run(opcode, place, size, *(word(random) for _ in range(4))) if opcode > 0x59 else bytes((opcode,))
        )

    parts = [
        random.choice(sources) + random.choice(masks) + push(base + 32 * random.randrange(4)) + b"\x52"
        for _ in range(random.randrange(2, 6))
    ]
    for _ in range(random.randrange(1, 4)):
        parts.insert(random.randrange(1, len(parts) + 1), use())
    return b"".join(parts)


MAKERS: tuple[tuple[int, Callable[[Random], bytes]], ...] = (
    (30, lambda r: computed(r, r.choice((*range(1, 12), *range(0x10, 0x1E))))),
    (12, lambda r: push(word(r))),
    (14, lambda r: bytes((r.choice((*range(0x80, 0x88), *range(0x90, 0x98), 0x50)),))),
    (10, lambda r: bytes((r.choice((1, 2, 3, 4, 0x10, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19)),))),
    (8, lambda r: bytes((r.choice((*range(0x30, 0x4B), 0x58, 0x59, 0x5A, 0x5F)),))),
    (6, lambda r: run(r.choice((0x51, 0x52, 0x53)), far(r, 200), word(r))),
    (5, lambda r: run(r.choice((0x54, 0x5C)), r.randrange(3))),
    (9, lambda r: run(r.choice((0x55, 0x55, 0x5D)), r.randrange(3), r.choice((0, 1, 2, 2**200)))),
    (4, lambda r: run(r.choice((0x37, 0x39, 0x5E)), r.randrange(99), far(r, 99), r.randrange(99))),
    (1, lambda r: run(0x3E, r.randrange(99), far(r, 5), r.randrange(3))),
    (8, some_words),
    (3, lambda r: run(0x20, r.randrange(99), r.randrange(99))),
    (2, lambda r: run(0xA0 + r.randrange(5), *(r.randrange(99) for _ in range(6)))),
    (2, lambda r: run(r.choice((0x31, 0x3B, 0x3F, 0x40)), r.choice((r.randrange(0x1040), word(r))))),
    (1, lambda r: run(0x3C, r.randrange(0x0FF0, 0x1040), r.randrange(99), far(r, 99), r.randrange(99))),
    (4, a_call),
    (1, a_precompiled),
    (1, lambda r: r.randbytes(r.randrange(3)) if r.random() < 0.5 else b""),
    (1, a_creation),
)  # fmt: skip
WEIGHTS = [weight for weight, _ in MAKERS]


def shown(random: Random) -> bytes:
    """Returns, or reverts with, what lies on top of the stack, and a stretch of memory."""
    count = random.randrange(1, 7)
    stores = b"".join(push(32 * place) + b"\x52" for place in range(count))
    return stores + run(random.choice((0xF3, 0xF3, 0xFD)), 0, 32 * count + random.randrange(64))


ENDS: tuple[Callable[[Random], bytes], ...] = (
    *(shown,) * 8,
    lambda r: b"",
    lambda r: b"\x00",
    lambda r: run(0xFF, 0x1000 + r.randrange(PROGRAMS)),
    lambda r: b"\xfe" if r.random() < 0.2 else b"",
)
JUMP = b"\xff\xffJUMP"
"""Begins a part that stands for a jump; then what comes before the PUSH of its target, the byte of JUMP or
JUMPI, and the number of a part."""
CONDITIONS = (b"\x36", b"\x36", b"\x5a", b"\x80", b"\x15")
"""CALLDATASIZE, GAS, DUP1 and ISZERO: mostly there is something to decide by."""


def a_program(random: Random, fork: Fork) -> tuple[Part, ...]:
    """Something on the stack, then parts; a jump leads to the beginning of one, seldom backwards."""
    known, count = instruction_set(fork), random.randrange(2, 14)
    parts = [make(random) for _, make in random.choices(MAKERS, WEIGHTS, k=count)]
    for place, part in enumerate(parts):
        if part and part[-1] not in known and random.random() < 0.95:
            parts[place] = b""
        elif random.random() < 0.15:
            first = 0 if random.random() < 0.1 else place + 2  # the part after this one: `filled` is before
            target = random.randrange(first, count + 2)
            condition = random.choice(CONDITIONS) if random.random() < 0.7 else b""
            parts[place] = JUMP + condition + bytes((0x57 if condition else 0x56, target))
    filled = b"".join(push(word(random)) for _ in range(random.choice((0, 8, 8, 10, 12))))
    return (filled, *parts, random.choice(ENDS)(random))


def circles(parts: tuple[Part, ...]) -> bool:
    """Whether a jump leads backwards."""
    return any(part.startswith(JUMP) and part[-1] <= place for place, part in enumerate(parts))


def code_of(parts: tuple[Part, ...]) -> bytes:
    """Every part after a JUMPDEST; jumps to a part that was shrunk away go to the last one."""
    sizes = [1 + (len(part) - len(JUMP) + 2 if part.startswith(JUMP) else len(part)) for part in parts]
    starts = [sum(sizes[:place]) for place in range(len(parts))]
    code = b""
    for part in parts:
        if part.startswith(JUMP):
            target = starts[min(part[-1], len(starts) - 1)]
            part = part[len(JUMP) : -2] + b"\x61" + target.to_bytes(2, "big") + part[-2:-1]
        code += b"\x5b" + part
    return code
