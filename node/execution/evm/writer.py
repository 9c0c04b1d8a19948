"""The body of a generated function while it is being written: a stack of symbols, lines, and gas owed.

EVM stack items live in Python locals: `i1` is what was on top at entry, `t1` the first computed value, and a
known constant is written as itself. The outcome of a comparison stays an expression until somebody needs the
number, because mostly it only decides a jump. The real stack is brought up to date where the function is
left.
"""

from collections.abc import Mapping
from typing import Any, Final

from node.execution.evm.blocks import STACK_ITEMS_MAX, Instruction
from node.execution.evm.opcodes import GROW_WORD, Kind, Opcode

OPERANDS: Final = "abcdefg"


class Symbol(str):
    """A Python expression for one stack item.

    `{x:word}` formats it as 32 bytes, `{x:truth}` as whatever is as true as it is.
    """

    truth: str
    """Of a comparison that is not computed yet; empty for names and numbers."""

    def __new__(cls, text: str, truth: str = "") -> "Symbol":
        """See `truth`."""
        symbol = super().__new__(cls, text)
        symbol.truth = truth
        return symbol

    @property
    def known(self) -> bool:
        """Whether it is a number."""
        return self[0] == "0"

    def __format__(self, spec: str) -> str:
        if spec == "word":
            return repr(int(self, 16).to_bytes(32, "big")) if self.known else f"{self}.to_bytes(32,'big')"
        return self.truth or str(self) if spec == "truth" else str(self)


class Writer:
    """Symbolic stack and lines of one function."""

    def __init__(self, folding: Mapping[str, Any]) -> None:
        """`folding` holds the names that the text of an opcode may use, to compute constants."""
        self.lines: list[str] = []
        self.owed = 0
        """Static gas of instructions that were written, not taken from the frame yet."""
        self._stack: list[Symbol] = []
        self._inputs = 0
        """How many items of the real stack were looked at."""
        self._growth = 0
        """Most items above the height at entry."""
        self._temporaries = 0
        self._memory = 0
        """Bytes that memory has at least where the next line stands: it never shrinks."""
        self._folding = folding
        self._blocks: list[tuple[int, int, int]] = []
        """For each block: its first line, and inputs and growth before it."""

    def begin_block(self) -> None:
        """Another basic block follows: what it needs of the stack is checked when it is reached."""
        self._blocks.append((len(self.lines), self._inputs, self._growth))

    def operands(self, opcode: Opcode, *, computed: bool = True) -> dict[str, Symbol]:
        """Pop what the opcode takes, named a, b, c, ... from the top."""
        self._need(opcode.pops)
        popped = [self._stack.pop() for _ in range(opcode.pops)]
        return dict(zip(OPERANDS, map(self._computed, popped) if computed else popped, strict=False))

    def add(self, instruction: Instruction) -> None:
        """Translate one instruction that does not leave the function."""
        opcode = instruction.opcode
        self.owed += opcode.gas
        match opcode.kind:
            case Kind.PUSH:
                self._push(Symbol(hex(instruction.immediate)))
            case Kind.DUP:
                self._need(opcode.pops)
                self._stack[-opcode.pops] = symbol = self._computed(self._stack[-opcode.pops])
                self._push(symbol)
            case Kind.SWAP:
                self._need(opcode.pops)
                top, other = self._stack[-1], self._stack[-opcode.pops]
                self._stack[-1], self._stack[-opcode.pops] = other, top
            case Kind.PURE | Kind.READ:
                self._value(opcode, instruction.pc)
            case _:
                operands = self.operands(opcode, computed=bool(opcode.text))
                self._prepare(opcode, operands)
                if opcode.text:
                    self.emit(opcode.text.format(**operands))

    def emit(self, line: str) -> None:
        """Write a line. One that asks for the gas left finds nothing owed."""
        if "F.gas" in line or "sstore" in line:
            self.pay()
        self.lines.append(line)

    def pay(self, indent: str = "") -> None:
        """Take what is owed from the frame. Until then only what the frame's failure undoes has happened."""
        if self.owed:
            self.lines += [f"{indent}F.gas=g=F.gas-{self.owed}", f"{indent}if g<0:raise OutOfGas"]
        if not indent:
            self.owed = 0

    def settle(self, indent: str = "") -> None:
        """Bring the real stack up to date: replace the items looked at by those on the symbolic stack."""
        items, replaced = list(self._stack), self._inputs
        while items and items[0] == f"i{replaced}":
            items.pop(0)
            replaced -= 1
        if not replaced:
            if len(items) == 1:
                self.lines.append(f"{indent}S.append({items[0]})")
            elif items:
                self.lines.append(f"{indent}S.extend(({','.join(items)}))")
        elif not items:
            self.lines.append(f"{indent}del S[-{replaced}:]")
        elif len(items) == replaced == 1:
            self.lines.append(f"{indent}S[-1]={items[0]}")
        else:
            self.lines.append(f"{indent}S[-{replaced}:]=({','.join(items)},)")

    def finish(self) -> list[str]:
        """The body: before the lines of each block its checks of the stack, and the items it looks at."""
        used = words_of("\n".join(self.lines))
        body = ["m=F.memory"] if "m" in used else []
        ends = [*self._blocks[1:], (len(self.lines), self._inputs, self._growth)]
        inputs = growth = 0
        for (start, _, _), (end, inputs_after, growth_after) in zip(self._blocks, ends, strict=True):
            if start == end:
                continue  # nothing happens in this block that the checks of the next would come too late for
            if inputs_after > inputs:
                body.append(f"if len(S)<{inputs_after}:raise StackUnderflow")
            if growth_after > growth:
                body.append(f"if len(S)>{STACK_ITEMS_MAX - growth_after}:raise StackOverflow")
            body += [f"i{n}=S[-{n}]" for n in range(inputs + 1, inputs_after + 1) if f"i{n}" in used]
            body += self.lines[start:end]
            inputs, growth = inputs_after, growth_after
        return body

    def _need(self, count: int) -> None:
        """Have at least `count` items on the symbolic stack, taking them from the real one."""
        while len(self._stack) < count:
            self._inputs += 1
            self._stack.insert(0, Symbol(f"i{self._inputs}"))

    def _push(self, symbol: Symbol) -> None:
        self._stack.append(symbol)
        self._growth = max(self._growth, len(self._stack) - self._inputs)

    def _computed(self, symbol: Symbol) -> Symbol:
        """The symbol as a name or a number."""
        if not symbol.truth:
            return symbol
        self._temporaries += 1
        self.lines.append(f"t{self._temporaries}={symbol}")
        return Symbol(f"t{self._temporaries}")

    def _prepare(self, opcode: Opcode, operands: dict[str, Symbol]) -> None:
        """Write what comes before the instruction; memory that was grown already is not asked for again."""
        if opcode.before == GROW_WORD and operands["a"].known:
            end = int(operands["a"], 16) + 32
            if end <= self._memory:
                return
            self._memory = end
        if opcode.before:
            self.emit(opcode.before.format(**operands))

    def _value(self, opcode: Opcode, pc: int) -> None:
        operands = self.operands(opcode, computed="truth" not in opcode.text)
        if opcode.name == "PC":
            self._push(Symbol(hex(pc)))
        elif opcode.kind is Kind.PURE and all(symbol.known for symbol in operands.values()):
            # The text is a row of our own table and its operands are numbers.
            self._push(Symbol(hex(eval(opcode.text.format(**operands), dict(self._folding)))))
        elif opcode.truth:
            self._push(Symbol(opcode.text.format(**operands), opcode.truth.format(**operands)))
        else:
            self._prepare(opcode, operands)
            self._temporaries += 1
            name = f"t{self._temporaries}"
            self.emit(f"{name}={opcode.text.format(**operands)}")
            self._push(Symbol(name))


def words_of(text: str) -> set[str]:
    """Identifiers of generated code: enough to see which names it uses."""
    return set("".join(c if c.isalnum() or c == "_" else " " for c in text).split())
