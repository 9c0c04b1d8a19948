"""A basic block -> the source of one Python function.

The function takes the stack S and the frame F and returns the function of the next block, or None when the
frame stops or waits for a callee. EVM stack items live in Python locals inside a block: `i1` is what was on
top at entry, `t1` the first computed value, and a known constant is written as itself. The real stack is
brought up to date once, before the block is left.

Static gas is charged once, at the top. That is exact: inside a block a frame can only fail, and failure takes
all gas and undoes all effects, so nobody can see how far it got. The two instructions that look at the gas
left (GAS, SSTORE) are given back what later instructions of the block were charged already (REST).
"""

from collections.abc import Mapping
from typing import Any, Final

from node.execution.evm.blocks import STACK_ITEMS_MAX, BasicBlock, Instruction, is_destination
from node.execution.evm.opcodes import Kind, Opcode

_OPERANDS: Final = "abcdefg"


class _Symbol(str):
    """A Python expression for one stack item; `{x:word}` formats it as 32 bytes."""

    __slots__ = ()

    @property
    def known(self) -> bool:
        """Whether it is a number."""
        return self[0] == "0"

    def __format__(self, spec: str) -> str:
        if spec != "word":
            return str(self)
        return repr(int(self, 16).to_bytes(32, "big")) if self.known else f"{self}.to_bytes(32,'big')"


class _BlockWriter:
    """Symbolic stack and lines of one block while it is being translated."""

    def __init__(self, folding: Mapping[str, Any]) -> None:
        self.lines: list[str] = []
        self.stack: list[_Symbol] = []
        self.inputs = 0
        """How many items of the real stack the block has looked at."""
        self.growth = 0
        """Most items above the height at entry."""
        self.gas = 0
        self._temporaries = 0
        self._folding = folding
        self._rest_marks: list[tuple[int, int]] = []

    def need(self, count: int) -> None:
        """Have at least `count` items on the symbolic stack, taking them from the real one."""
        while len(self.stack) < count:
            self.inputs += 1
            self.stack.insert(0, _Symbol(f"i{self.inputs}"))

    def push(self, symbol: str) -> None:
        """Put an item on the symbolic stack."""
        self.stack.append(_Symbol(symbol))
        self.growth = max(self.growth, len(self.stack) - self.inputs)

    def emit(self, line: str) -> None:
        """Write a line; remember how much gas was counted when it needs REST."""
        if "REST" in line:
            self._rest_marks.append((len(self.lines), self.gas))
        self.lines.append(line)

    def operands(self, opcode: Opcode) -> dict[str, _Symbol]:
        """Pop what the opcode takes, named a, b, c, ... from the top."""
        self.need(opcode.pops)
        return {name: self.stack.pop() for name in _OPERANDS[: opcode.pops]}

    def add(self, instruction: Instruction) -> None:
        """Translate one instruction that does not leave the block."""
        opcode = instruction.opcode
        self.gas += opcode.gas
        match opcode.kind:
            case Kind.PUSH:
                self.push(hex(instruction.immediate))
            case Kind.DUP:
                self.need(opcode.pops)
                self.push(self.stack[-opcode.pops])
            case Kind.SWAP:
                self.need(opcode.pops)
                top, other = self.stack[-1], self.stack[-opcode.pops]
                self.stack[-1], self.stack[-opcode.pops] = other, top
            case Kind.PURE | Kind.READ:
                self._value(opcode, self.operands(opcode), instruction.pc)
            case _:
                operands = self.operands(opcode)
                for text in (opcode.before, opcode.text):
                    if text:
                        self.emit(text.format(**operands))

    def _value(self, opcode: Opcode, operands: dict[str, _Symbol], pc: int) -> None:
        if opcode.name == "PC":
            self.push(hex(pc))
            return
        if opcode.kind is Kind.PURE and all(symbol.known for symbol in operands.values()):
            # The text is a row of our own table and its operands are numbers.
            self.push(hex(eval(opcode.text.format(**operands), dict(self._folding))))
            return
        if opcode.before:
            self.emit(opcode.before.format(**operands))
        self._temporaries += 1
        name = f"t{self._temporaries}"
        self.emit(f"{name}={opcode.text.format(**operands)}")
        self.push(name)

    def settle(self) -> None:
        """Bring the real stack up to date: replace the items looked at by those on the symbolic stack."""
        items, replaced = list(self.stack), self.inputs
        while items and items[0] == f"i{replaced}":
            items.pop(0)
            replaced -= 1
        if not replaced:
            if len(items) == 1:
                self.emit(f"S.append({items[0]})")
            elif items:
                self.emit(f"S.extend(({','.join(items)}))")
        elif not items:
            self.emit(f"del S[-{replaced}:]")
        elif len(items) == replaced == 1:
            self.emit(f"S[-1]={items[0]}")
        else:
            self.emit(f"S[-{replaced}:]=({','.join(items)},)")

    def finish(self) -> list[str]:
        """The body: checks, inputs, then the lines, with REST filled in."""
        for index, gas in self._rest_marks:
            self.lines[index] = self.lines[index].replace("REST", str(self.gas - gas))
        head = []
        if self.gas:
            head += [f"F.gas=g=F.gas-{self.gas}", "if g<0:raise OutOfGas"]
        if self.inputs:
            head.append(f"if len(S)<{self.inputs}:raise StackUnderflow")
        if self.growth > 0:
            head.append(f"if len(S)>{STACK_ITEMS_MAX - self.growth}:raise StackOverflow")
        text = "\n".join(self.lines)
        words = _words(text)
        head += [f"i{n}=S[-{n}]" for n in range(1, self.inputs + 1) if f"i{n}" in words]
        if "m" in words:
            head.append("m=F.memory")
        return head + self.lines


def function_of_block(
    block: BasicBlock, destinations: bytes, folding: Mapping[str, Any]
) -> tuple[str, set[int]]:
    """Source of the block's function `b<start>`, and the starts of the blocks it names."""
    writer = _BlockWriter(folding)
    named: set[int] = set()
    body, last = block.instructions, None
    if block.valid and not block.falls_through:
        body, last = body[:-1], body[-1]
    for instruction in body:
        writer.add(instruction)
    if not block.valid:
        writer.emit("raise InvalidOpcode")
    elif last is None:
        writer.settle()
        named.add(block.following)
        writer.emit(f"return b{block.following}")
    else:
        writer.gas += last.opcode.gas
        operands = writer.operands(last.opcode)
        writer.settle()
        writer.emit(_leave(last.opcode, operands, block.following, destinations, named))
    lines = "".join(f" {line}\n" for line in writer.finish())
    return f"def b{block.start}(S,F):\n{lines}", named


def function_of_opcode(opcode: Opcode, folding: Mapping[str, Any]) -> str:
    """Source of a function `op` that runs one instruction wherever it stands: the interpreter's form."""
    writer = _BlockWriter(folding)
    if opcode.kind is not Kind.END:
        writer.add(Instruction(0, opcode, 0))
        writer.settle()
    else:
        writer.gas += opcode.gas
        operands = writer.operands(opcode)
        writer.settle()
        writer.emit(
            opcode.text.format(**operands).replace("NEXT", "F.following").replace("JUMPS", "F.program.jumps")
        )
    return "def op(S,F):\n" + "".join(f" {line}\n" for line in writer.finish() or ["pass"])


def _leave(
    opcode: Opcode,
    operands: dict[str, _Symbol],
    following: int,
    destinations: bytes,
    named: set[int],
) -> str:
    text = opcode.text
    if opcode.name in ("JUMP", "JUMPI") and operands["a"].known:
        target = int(operands["a"], 16)
        if is_destination(destinations, target):
            named.add(target)
            text = text.replace("JUMPS[{a}]", f"b{target}")
        else:
            text = text.replace("JUMPS[{a}]", "bad_jump()")
    if "NEXT" in text:
        named.add(following)
        text = text.replace("NEXT", f"b{following}")
    return text.format(**operands)


def _words(text: str) -> set[str]:
    """Identifiers of generated code: enough to see which names it uses."""
    return set("".join(c if c.isalnum() or c == "_" else " " for c in text).split())
