"""Code ready to run: cold blocks are interpreted, hot ones are compiled, each when it is first needed.

A block is discovered when execution reaches it, so a large contract costs only what it uses. Compiling a
block takes as long as interpreting it some hundred times; a block that has run that often will pay it back,
and no code can make us compile what it has not paid gas for.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from node.execution.evm import frame as frames
from node.execution.evm import halts, messages, operations
from node.execution.evm.blocks import STACK_ITEMS_MAX, BasicBlock, basic_block, jump_destinations
from node.execution.evm.halts import InvalidJump, InvalidOpcode, OutOfGas, StackOverflow
from node.execution.evm.opcodes import Kind, Opcode, instruction_set
from node.execution.evm.translate import function_of_block, function_of_opcode
from node.primitives.chain_spec import Fork
from node.primitives.ids import Hash32

if TYPE_CHECKING:
    from node.execution.evm.frame import Frame, Step

HOT_RUNS: Final = 192
"""Runs after which a block is compiled."""
CACHE_CODE_BYTES_MAX: Final = 8 << 20
"""Code kept translated; a compiled byte takes some hundred bytes of memory."""

_NAMES: Final[dict[str, Any]] = {
    "M": operations.WORD_MASK,
    "M1": operations.WORD_MASK + 1,
    "H": operations.SIGN_BIT,
    "Z": b"\0",
    "ib": int.from_bytes,
    **{
        name: value
        for module in (halts, frames, operations, messages)
        for name, value in vars(module).items()
        if callable(value)
    },
    **{function.__name__: function for function in (len, pow)},
}
"""All that generated code can see; it stands where Python's builtins would, shared by all programs."""


class ColdBlock:
    """A block in the interpreter: one prepared function per instruction."""

    __slots__ = ("_block", "_body", "_following", "_leave", "_program", "_runs", "hot")

    def __init__(self, program: "Program", block: BasicBlock) -> None:
        self._program = program
        self._block = block
        self._runs = 0
        self.hot: Step | None = None
        instructions = block.instructions
        self._leave: Step | None = None
        if block.valid and not block.falls_through:
            self._leave = program.operations[instructions[-1].opcode.code]
            instructions = instructions[:-1]
        self._body = [_prepared(program, item.opcode, item.immediate, item.pc) for item in instructions]
        self._following: Step | None = None

    def __call__(self, stack: list[int], frame: "Frame") -> "Step | None":
        """Run the block once."""
        if self.hot is not None:
            return self.hot(stack, frame)
        self._runs += 1
        if self._runs > HOT_RUNS:
            self.hot = self._program.compile(self._block)
            return self.hot(stack, frame)
        for operation, gas, immediate in self._body:
            if operation is not None:
                operation(stack, frame)
                continue
            frame.gas -= gas
            if frame.gas < 0:
                raise OutOfGas
            if len(stack) >= STACK_ITEMS_MAX:
                raise StackOverflow
            stack.append(immediate)
        if not self._block.valid:
            raise InvalidOpcode
        if self._following is None:
            self._following = self._program.block_at(self._block.following)
        if self._leave is None:
            return self._following
        frame.following = self._following
        return self._leave(stack, frame)


class _JumpTable(dict[int, "Step"]):
    """JUMPDEST -> block, filled as jumps happen; anything else is an invalid jump."""

    __slots__ = ("_program",)

    def __init__(self, program: "Program") -> None:
        super().__init__()
        self._program = program

    def __missing__(self, pc: int) -> "Step":
        if pc not in self._program.destinations:
            raise InvalidJump
        step = self[pc] = self._program.block_at(pc)
        return step


class Program:
    """One contract's code under one fork's rules."""

    __slots__ = ("_destinations", "_names", "_opcodes", "cache", "code", "jumps", "operations")

    def __init__(self, code: bytes, cache: "ProgramCache") -> None:
        self.code = code
        self.cache = cache
        self.operations = interpreter_of(cache.fork)
        self._opcodes = instruction_set(cache.fork)
        self._destinations: frozenset[int] | None = None
        self.jumps = _JumpTable(self)
        self._names: dict[str, Any] = {"__builtins__": _NAMES, "JUMPS": self.jumps}

    @property
    def destinations(self) -> frozenset[int]:
        """Valid jump targets, found at the first jump."""
        if self._destinations is None:
            self._destinations = jump_destinations(self.code)
        return self._destinations

    @property
    def entry(self) -> "Step":
        """The first block."""
        return self.block_at(0)

    def block_at(self, pc: int) -> "Step":
        """The block that starts at `pc`, cold when it was never seen."""
        name = f"b{pc}"
        step: Step | None = self._names.get(name)
        if step is None:
            step = self._names[name] = ColdBlock(self, basic_block(self.code, pc, self._opcodes))
        return step

    def compile(self, block: BasicBlock) -> "Step":
        """Translate a block and put it where the cold one was."""
        source, named = function_of_block(block, self.destinations, _NAMES)
        for pc in named:
            self.block_at(pc)
        exec(compile(source, f"<evm block {block.start}>", "exec"), self._names)
        step: Step = self._names[f"b{block.start}"]
        if block.start in self.jumps:
            self.jumps[block.start] = step
        return step

    def listing(self) -> str:
        """Python source of every block that straight-line reading finds: for people."""
        parts, pc = [], 0
        while pc < len(self.code):
            block = basic_block(self.code, pc, self._opcodes)
            parts.append(function_of_block(block, self.destinations, _NAMES)[0])
            pc = max(block.following, pc + 1)
        return "\n".join(parts)


class ProgramCache:
    """Programs by code hash, least recently used out first, bounded by the bytes of their code."""

    def __init__(self, fork: Fork, code_bytes_max: int = CACHE_CODE_BYTES_MAX) -> None:
        self.fork = fork
        self._bytes_max = code_bytes_max
        self._bytes = 0
        self._programs: OrderedDict[Hash32, Program] = OrderedDict()

    def once(self, init_code: bytes) -> Program:
        """A program that runs once: init code is not worth a place."""
        return Program(init_code, self)

    def get(self, code_hash: Hash32, load: Callable[[Hash32], bytes]) -> Program:
        """The program of deployed code, translated at most once while it stays cached."""
        program = self._programs.get(code_hash)
        if program is not None:
            self._programs.move_to_end(code_hash)
            return program
        program = self._programs[code_hash] = Program(load(code_hash), self)
        self._bytes += len(program.code)
        while self._bytes > self._bytes_max and len(self._programs) > 1:
            _, oldest = self._programs.popitem(last=False)
            self._bytes -= len(oldest.code)
        return program


_INTERPRETERS: Final[dict[Fork, dict[int, "Step"]]] = {}


def interpreter_of(fork: Fork) -> dict[int, "Step"]:
    """One function per opcode of a fork, generated from the same table as compiled blocks."""
    functions = _INTERPRETERS.get(fork)
    if functions is None:
        functions = {}
        for code, opcode in instruction_set(fork).items():
            names: dict[str, Any] = {"__builtins__": _NAMES}
            exec(compile(function_of_opcode(opcode, _NAMES), f"<evm {opcode.name}>", "exec"), names)
            functions[code] = names["op"]
        _INTERPRETERS[fork] = functions
    return functions


def _prepared(program: Program, opcode: Opcode, immediate: int, pc: int) -> "tuple[Step | None, int, int]":
    if opcode.kind is Kind.PUSH:
        return None, opcode.gas, immediate
    if opcode.name == "PC":
        return None, opcode.gas, pc
    return program.operations[opcode.code], 0, 0
