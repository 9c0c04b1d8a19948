"""Code ready to run: cold blocks are interpreted, hot ones are compiled, each when it is first needed.

A block is discovered when execution reaches it, so a large contract costs only what it uses. Compiling a
block takes as long as interpreting it some hundred times; a block that has run that often will pay it back,
and no code can make us compile what it has not paid gas for.
"""

from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from node.execution.evm import frame as frames
from node.execution.evm import halts, messages, operations
from node.execution.evm.blocks import JUMPDEST, BasicBlock, basic_block, is_destination, jump_destinations
from node.execution.evm.halts import InvalidJump
from node.execution.evm.interpret import ColdBlock
from node.execution.evm.opcodes import Kind, Opcode, instruction_set
from node.execution.evm.translate import ALONE, INSTRUCTIONS_MAX, Function, function_of, function_of_opcode
from node.native import kernels
from node.primitives.chain_spec import Fork
from node.primitives.ids import Hash32

if TYPE_CHECKING:
    from node.execution.evm.frame import Step

HOT_RUNS: Final = 512 if kernels is not None else 192
"""Runs after which a block is compiled: it takes so long, and saves less where the interpreter is quick."""
FEW_RUNS: Final = 4
"""Jumps to a place that are interpreted before anything is kept for it but this count."""
_NO_ARRIVALS: Final = bytes(0 if byte == JUMPDEST else 255 for byte in range(256))
CACHE_BYTES_MAX: Final = 128 << 20
"""Memory for programs of one fork."""
INIT_CODES_MAX: Final = 64
"""Pieces of init code kept apart from deployed code, so that creations cannot push contracts out."""
INIT_CODE_BYTES_KEPT: Final = 49_152
INIT_PROGRAM_BYTES_MAX: Final = 1 << 20
"""Begun anew when it has grown beyond this."""
TRANSLATIONS_MAX: Final = 1
TRANSLATION_LEAST: Final = 4096
"""Instructions of one contract that are translated, times its size and at least, before blocks are no longer
joined: what is reached in many ways is translated in each of them."""
COLD_BLOCK_BYTES: Final = 400
COMPILED_BYTES_PER_CHARACTER: Final = 6
"""What a block that was reached and a character of generated source take, roughly."""

_NAMES: Final[dict[str, Any]] = {
    "M": operations.WORD_MASK,
    "H": operations.SIGN_BIT,
    "Z": b"\0",
    **{
        name: value
        for module in (halts, frames, operations, messages)
        for name, value in vars(module).items()
        if callable(value)
    },
    **{function.__name__: function for function in (len, bytes)},
}
"""All that generated code can see; it stands where Python's builtins would, shared by all programs."""


class _JumpTable(dict[int, "Step"]):
    """JUMPDEST -> block, filled as jumps happen; anything else is an invalid jump."""

    __slots__ = ("_program",)

    def __init__(self, program: "Program") -> None:
        super().__init__()
        self._program = program

    def __missing__(self, pc: int) -> "Step":
        if not is_destination(self._program.destinations, pc):
            raise InvalidJump
        step = self[pc] = self._program.block_at(pc)
        return step


class Program:
    """One contract's code under one fork's rules."""

    __slots__ = (
        "_destinations",
        "_names",
        "_opcodes",
        "_translated",
        "arrivals",
        "cache",
        "code",
        "entry",
        "few_runs",
        "hot_runs",
        "jumps",
        "operations",
        "padded",
        "prices",
        "size",
    )

    def __init__(self, code: bytes, cache: "ProgramCache") -> None:
        self.code = code
        self.padded = code + bytes(33)
        """A PUSH at the very end reads zeros, and running off the end meets STOP."""
        self.cache = cache
        self.size = 4 * len(code)
        """Bytes of memory it takes, roughly."""
        self.hot_runs = HOT_RUNS
        self.few_runs = min(FEW_RUNS, HOT_RUNS)
        self.arrivals = bytearray()
        """Jumps to each place, counted up to `few_runs`; 255 where none may go. Empty before the first."""
        self.operations = interpreter_of(cache.fork)
        self.prices = prices_of(cache.fork)
        self._opcodes = instruction_set(cache.fork)
        self._destinations: bytes | None = None
        self._translated = 0
        self.jumps = _JumpTable(self)
        self._names: dict[str, Any] = {"__builtins__": _NAMES, "JUMPS": self.jumps}
        self.entry = self.block_at(0)
        """The first block."""

    @property
    def destinations(self) -> bytes:
        """Where jumps may go (`is_destination`), found at the first jump."""
        if self._destinations is None:
            self._destinations = jump_destinations(self.code)
            self.arrivals = bytearray(self._destinations.translate(_NO_ARRIVALS))
        return self._destinations

    def block_at(self, pc: int) -> "Step":
        """The block that starts at `pc`, cold when it was never seen."""
        name = f"b{pc}"
        step: Step | None = self._names.get(name)
        if step is None:
            self.cache.grow(self, COLD_BLOCK_BYTES)
            step = self._names[name] = ColdBlock(self, pc)
        return step

    def compile(self, pc: int) -> "Step":
        """Translate the block at `pc` and put it where the cold one was."""
        left = TRANSLATIONS_MAX * len(self.code) + TRANSLATION_LEAST - self._translated
        function = self.translated(pc, INSTRUCTIONS_MAX if left > 0 else ALONE)
        source = function.source
        self._translated += function.instructions
        self.cache.grow(self, COMPILED_BYTES_PER_CHARACTER * len(source))
        for each in function.named:
            self.block_at(each)
        exec(compile(source, f"<evm block {pc}>", "exec"), self._names)
        step: Step = self._names[f"b{pc}"]
        if pc in self.jumps:
            self.jumps[pc] = step
        if pc == 0:
            self.entry = step
        return step

    def translated(self, pc: int, instructions_max: int) -> Function:
        """The function that begins with the block at `pc`, as things stand now."""
        return function_of(
            pc, self._basic_block, self._is_likely, self.destinations, _NAMES, instructions_max
        )

    def _basic_block(self, pc: int) -> BasicBlock:
        return basic_block(self.code, pc, self._opcodes)

    def _is_likely(self, pc: int) -> bool:
        """Whether jumps have led there often."""
        step = self._names.get(f"b{pc}")
        return step is not None and (not isinstance(step, ColdBlock) or step.runs > self.hot_runs // 2)

    def listing(self) -> str:
        """Python source of every block that straight-line reading finds, each on its own: for people."""
        parts, pc = [], 0
        while pc < len(self.code):
            function = self.translated(pc, ALONE)
            parts.append(function.source)
            pc = max(function.following, pc + 1)
        return "\n".join(parts)


class ProgramCache:
    """Programs by code hash, bounded by the memory they take: least recently used out first.

    Threads share it.
    """

    def __init__(self, fork: Fork, bytes_max: int = CACHE_BYTES_MAX) -> None:
        self.fork = fork
        self._bytes_max = bytes_max
        self._bytes = 0
        self._programs: OrderedDict[Hash32, Program] = OrderedDict()
        self._init: OrderedDict[bytes, Program] = OrderedDict()
        self._hashes: dict[int, Hash32] = {}
        """Where a cached program lies, by its identity: others may grow as they like."""
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._programs)

    @property
    def size(self) -> int:
        """Bytes that all programs in here take, roughly."""
        return self._bytes

    def once(self, init_code: bytes) -> Program:
        """The program of init code; factories send the same again and again."""
        with self._lock:
            program = self._init.get(init_code)
            if program is not None and program.size <= INIT_PROGRAM_BYTES_MAX:
                self._init.move_to_end(init_code)
                return program
        program = Program(init_code, self)
        if len(init_code) <= INIT_CODE_BYTES_KEPT:
            with self._lock:
                self._init[init_code] = program
                if len(self._init) > INIT_CODES_MAX:
                    self._init.popitem(last=False)
        return program

    def get(self, code_hash: Hash32, load: Callable[[Hash32], bytes]) -> Program:
        """The program of deployed code, translated at most once while it stays cached."""
        with self._lock:
            program = self._programs.get(code_hash)
            if program is not None:
                self._programs.move_to_end(code_hash)
                return program
        loaded = Program(load(code_hash), self)  # not under the lock: this may read the disk
        with self._lock:
            program = self._programs.setdefault(code_hash, loaded)
            if program is loaded:
                self._hashes[id(program)] = code_hash
                self._bytes += program.size
                self._evict()
        return program

    def grow(self, program: Program, size: int) -> None:
        """A program has come to take `size` bytes more."""
        with self._lock:
            program.size += size
            if id(program) in self._hashes:
                self._bytes += size
                self._evict()

    def _evict(self) -> None:
        while self._bytes > self._bytes_max and len(self._programs) > 1:
            _, oldest = self._programs.popitem(last=False)
            del self._hashes[id(oldest)]
            self._bytes -= oldest.size


Operation: TypeAlias = "tuple[Step, int] | None"
"""Function of one instruction; 1 when it leaves the block, 2 when it needs to know what follows."""
_INTERPRETERS: Final[dict[Fork, tuple[Operation, ...]]] = {}


def interpreter_of(fork: Fork) -> tuple[Operation, ...]:
    """A function for each byte that is an opcode of the fork, from the same table as compiled blocks."""
    functions = _INTERPRETERS.get(fork)
    if functions is None:
        opcodes = instruction_set(fork)
        functions = tuple(_operation(opcodes[code]) if code in opcodes else None for code in range(256))
        _INTERPRETERS[fork] = functions
    return functions


@cache
def prices_of(fork: Fork) -> bytes:
    """The static gas of each byte that is an opcode of the fork, as far as a byte holds it; 0 for others."""
    opcodes = instruction_set(fork)
    gas = (opcodes[code].gas if code in opcodes else 0 for code in range(256))
    return bytes(price if price < 256 else 0 for price in gas)


def _operation(opcode: Opcode) -> Operation:
    names: dict[str, Any] = {"__builtins__": _NAMES}
    exec(compile(function_of_opcode(opcode, _NAMES), f"<evm {opcode.name}>", "exec"), names)
    return names["op"], 0 if opcode.kind is not Kind.END else 2 if "NEXT" in opcode.text else 1
