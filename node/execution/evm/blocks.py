"""Bytecode -> basic blocks: runs of instructions that are entered at the top and left at the bottom only."""

import re
from typing import Final, NamedTuple

from node.execution.evm.opcodes import Kind, Opcode

STACK_ITEMS_MAX: Final = 1024
BLOCK_INSTRUCTIONS_MAX: Final = 256
"""A longer straight run is cut into several blocks, so that compiling one block stays short."""

JUMPDEST: Final = 0x5B
_PUSHES: Final = re.compile(
    b"(" + b"|".join(b"\\x%02x.{0,%d}" % (0x5F + n, n) for n in range(1, 33)) + b")", re.DOTALL
)
_BLANKS: Final = tuple(bytes(n) for n in range(34))
_END: Final = Kind.END
"""Looked up once: an enumeration's member costs more than reading the byte."""


class Instruction(NamedTuple):
    """One instruction at its place."""

    pc: int
    opcode: Opcode
    immediate: int
    """What a PUSH pushes; 0 for all others."""


class BasicBlock(NamedTuple):
    """Instructions from `start` on, and where execution goes when the last one does not decide that."""

    start: int
    instructions: tuple[Instruction, ...]
    following: int
    """The pc after the last instruction."""
    valid: bool
    """False: the byte at `following - 1` is no instruction of this fork, and halts the frame."""

    @property
    def falls_through(self) -> bool:
        """Whether the block ends because another begins, not by an instruction that leaves it."""
        return self.valid and (not self.instructions or self.instructions[-1].opcode.kind is not Kind.END)


def jump_destinations(code: bytes) -> bytes:
    """The code with zeros for every PUSH and its data: what is still a JUMPDEST may be jumped to (YP 9.4.3).

    All of it is done by C code, because a creation makes us look at new code for little gas.
    """
    parts = _PUSHES.split(code)
    parts[1::2] = map(_BLANKS.__getitem__, map(len, parts[1::2]))
    return b"".join(parts)


def is_destination(destinations: bytes, pc: int) -> bool:
    """Whether a jump may go to `pc`."""
    return pc < len(destinations) and destinations[pc] == JUMPDEST


def basic_block(code: bytes, start: int, opcodes: dict[int, Opcode]) -> BasicBlock:
    """The block that begins at `start`. Past the end of the code stands STOP."""
    instructions: list[Instruction] = []
    pc = start
    while pc < len(code):
        byte = code[pc]
        if byte == JUMPDEST and pc != start:
            break
        opcode = opcodes.get(byte)
        if opcode is None:
            return BasicBlock(start, tuple(instructions), pc + 1, valid=False)
        size = byte - 0x5F if 0x60 <= byte < 0x80 else 0
        immediate = int.from_bytes(code[pc + 1 : pc + 1 + size].ljust(size, b"\0"), "big") if size else 0
        instructions.append(Instruction(pc, opcode, immediate))
        pc += 1 + size
        if opcode.kind is _END or len(instructions) == BLOCK_INSTRUCTIONS_MAX:
            return BasicBlock(start, tuple(instructions), pc, valid=True)
    if pc >= len(code):
        instructions.append(Instruction(pc, opcodes[0x00], 0))
    return BasicBlock(start, tuple(instructions), pc, valid=True)
