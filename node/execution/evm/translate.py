"""Basic blocks that follow one another -> the source of one Python function.

The function takes the stack S and the frame F and returns the function that comes next, or None when the
frame stops or waits for a callee. It begins with one basic block and goes on, past the jump at its end, into
those that mostly follow it, so that a call inside a contract, whose return address is a constant here,
becomes straight code. Where execution rarely goes, the function is left.

Static gas is taken where the function is left or where somebody looks at the gas left, and not before. That
is exact: up to there a frame can only fail, and failure takes all gas and undoes all effects, so nobody can
see how far it got.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from node.execution.evm.blocks import BasicBlock, Instruction, is_destination
from node.execution.evm.opcodes import Kind, Opcode
from node.execution.evm.writer import Symbol, Writer

INSTRUCTIONS_MAX: Final = 384
"""No further block is taken in beyond this, so that translating one function stays short."""
ALONE: Final = 0
"""The same, for a block on its own."""


class Function(NamedTuple):
    """What became of a block and those taken in after it."""

    source: str
    named: frozenset[int]
    """Starts of the blocks whose functions it names."""
    instructions: int
    following: int
    """The pc after the first block."""


def function_of(
    start: int,
    block_at: Callable[[int], BasicBlock],
    is_likely: Callable[[int], bool],
    destinations: bytes,
    folding: Mapping[str, Any],
    instructions_max: int = INSTRUCTIONS_MAX,
) -> Function:
    """The function `b<start>`: of one block, and of those that follow it.

    After a conditional jump it goes on where the jump leads if that `is_likely`, and else behind it.
    """
    return _Translation(block_at, is_likely, destinations, folding, instructions_max).run(start)


def function_of_opcode(opcode: Opcode, folding: Mapping[str, Any]) -> str:
    """Source of a function `op` that runs one instruction wherever it stands: the interpreter's form."""
    writer = Writer(folding)
    writer.begin_block()
    if opcode.kind is not Kind.END:
        writer.add(Instruction(0, opcode, 0))
        writer.pay()
        writer.settle()
    else:
        writer.owed = opcode.gas
        operands = writer.operands(opcode)
        text = writer.text_of(opcode, operands)
        writer.pay()
        writer.settle()
        writer.emit(text.replace("NEXT", "F.following").replace("JUMPS", "F.program.jumps"))
    return "def op(S,F):\n" + "".join(f" {line}\n" for line in writer.finish() or ["pass"])


class _Translation:
    """One function in the making."""

    def __init__(
        self,
        block_at: Callable[[int], BasicBlock],
        is_likely: Callable[[int], bool],
        destinations: bytes,
        folding: Mapping[str, Any],
        instructions_max: int,
    ) -> None:
        self._block_at = block_at
        self._is_likely = is_likely
        self._instructions_max = instructions_max
        self._destinations = destinations
        self._folding = folding
        self._named: set[int] = set()
        self._taken: set[int] = set()
        self._instructions = 0

    def run(self, start: int) -> Function:
        """Translate from `start` as far as it makes sense."""
        # No jump leads to the beginning of most contracts: it is where their frames begin and nothing else.
        begins_frame = start == 0 and not is_destination(self._destinations, 0)
        self._writer = Writer(self._folding, begins_frame=begins_frame)
        first = self._block_at(start)
        goes_on: int | None = start
        while goes_on is not None:
            goes_on = self._take(self._block_at(goes_on))
        lines = "".join(f" {line}\n" for line in self._writer.finish())
        source = f"def b{start}(S,F):\n{lines}"
        return Function(source, frozenset(self._named), self._instructions, first.following)

    def _take(self, block: BasicBlock) -> int | None:
        """Write one block; where to go on inside the function, or None when it is left for good."""
        writer = self._writer
        self._taken.add(block.start)
        self._instructions += len(block.instructions)
        writer.begin_block()
        body, last = block.instructions, None
        if block.valid and not block.falls_through:
            body, last = body[:-1], body[-1]
        for instruction in body:
            writer.add(instruction)
        if not block.valid:
            writer.emit("raise InvalidOpcode")
            return None
        if last is None:
            return self._go(block.following)
        return self._leave(last.opcode, block.following)

    def _leave(self, opcode: Opcode, following: int) -> int | None:
        writer = self._writer
        writer.owed += opcode.gas
        match opcode.name:
            case "JUMP":
                target = writer.operands(opcode)["a"]
                return self._go(int(target, 16)) if self._is_block(target) else self._end(self._jump(target))
            case "JUMPI":
                operands = writer.operands(opcode, computed=False)
                return self._branch(operands["a"], operands["b"], following)
            case _:
                return self._finish(opcode, following)

    def _finish(self, opcode: Opcode, following: int) -> int | None:
        """An instruction that stops the frame or calls."""
        writer = self._writer
        operands = writer.operands(opcode)
        text = writer.text_of(opcode, operands)
        writer.pay()
        if "NEXT" in text:
            writer.settle()
            text = text.replace("NEXT", self._name(following))
        writer.emit(text)
        return None

    def _branch(self, target: Symbol, condition: Symbol, following: int) -> int | None:
        if condition.known:
            if not int(condition, 16):
                return self._go(following)
            return self._go(int(target, 16)) if self._is_block(target) else self._end(self._jump(target))
        if target.truth:
            # Nobody jumps to the outcome of a comparison.
            target = Symbol(f"({target})")
        if self._is_block(target) and self._is_likely(int(target, 16)) and self._may_take(int(target, 16)):
            return self._go_unless(f"not({condition:truth})", self._name(following), int(target, 16))
        if self._may_take(following):
            return self._go_unless(f"{condition:truth}", self._jump(target), following)
        return self._end(f"{self._jump(target)} if {condition:truth} else {self._name(following)}")

    def _go_unless(self, condition: str, other: str, following: int) -> int:
        """Leave where the condition holds, go on where it does not."""
        writer = self._writer
        writer.lines.append(f"if {condition}:")
        writer.leave(" ")
        writer.lines.append(f" return {other}")
        return following

    def _go(self, pc: int) -> int | None:
        return pc if self._may_take(pc) else self._end(self._name(pc))

    def _end(self, following: str) -> int | None:
        """Leave for good."""
        self._writer.leave()
        self._writer.lines.append(f"return {following}")
        return None

    def _may_take(self, pc: int) -> bool:
        """Whether a block may come next inside the function."""
        return pc not in self._taken and self._instructions < self._instructions_max

    def _is_block(self, target: Symbol) -> bool:
        return target.known and is_destination(self._destinations, int(target, 16))

    def _jump(self, target: Symbol) -> str:
        if not target.known:
            return f"JUMPS[{target}]"
        return self._name(int(target, 16)) if self._is_block(target) else "bad_jump()"

    def _name(self, pc: int) -> str:
        self._named.add(pc)
        return f"b{pc}"
