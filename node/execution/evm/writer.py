"""The body of a generated function while it is being written: a stack of symbols, lines, and gas owed.

EVM stack items live in Python locals: `i1` is what was on top at entry, `t1` the first computed value, and a
known constant is written as itself. The outcome of a comparison stays an expression until somebody needs the
number, because mostly it only decides a jump. What was computed once is not computed again. The real stack is
brought up to date where the function is left, and so is memory (`memory`).
"""

import re
from collections.abc import Mapping
from functools import cache
from types import CodeType
from typing import Any, Final

from node.execution.evm.blocks import STACK_ITEMS_MAX, Instruction
from node.execution.evm.memory import KnownMemory
from node.execution.evm.opcodes import WORD_BYTES, Kind, Memory, Opcode

OPERANDS: Final = "abcdefg"
KNOWN_SIZE_MAX: Final = 1 << 16
"""Memory beyond this grows by `expand`, which asks whether it can be paid for at all."""
UNWRITTEN_MAX: Final = 6
"""Words of memory that are kept back: each is written wherever the function is left."""
LATE_STORES_MAX: Final = 64
"""Such lines of one function; then memory is written at once, so that translating it stays short."""
_WORDS: Final = re.compile(r"\w+")


class Symbol(str):
    """A Python expression for one stack item.

    `{x:word}` formats it as 32 bytes, `{x:late}` the same in few characters for where execution rarely comes,
    `{x:truth}` as whatever is as true as it is.
    """

    truth: str
    """Of a comparison that is not computed yet; empty for names and numbers."""
    bits: int
    """The item is below 2**bits."""

    def __new__(cls, text: str, truth: str = "", bits: int = 256) -> "Symbol":
        """See `truth` and `bits`."""
        symbol = super().__new__(cls, text)
        symbol.truth = truth
        symbol.bits = bits
        return symbol

    @property
    def known(self) -> bool:
        """Whether it is a number."""
        return self[0] == "0"

    def __format__(self, spec: str) -> str:
        if spec == "late" or (spec == "word" and not self.known):
            return f"bytes_of({self})"
        if spec == "word":
            return repr(int(self, 16).to_bytes(32, "big"))
        return self.truth or str(self) if spec == "truth" else str(self)


class Writer:
    """Symbolic stack and lines of one function."""

    def __init__(self, folding: Mapping[str, Any], *, begins_frame: bool = False) -> None:
        """`folding` holds the names that the text of an opcode may use, to compute constants.

        `begins_frame`: whenever the function runs, stack and memory are empty.
        """
        self.lines: list[str] = []
        self.owed = 0
        """Static gas of instructions that were written, not taken from the frame yet."""
        self._stack: list[Symbol] = []
        self._inputs = 0
        """How many items of the real stack were looked at."""
        self._growth = 0
        """Most items above the height at entry."""
        self._temporaries = 0
        self._memory: KnownMemory[Symbol] = KnownMemory()
        self._begins_frame = begins_frame
        self._size_known = begins_frame
        """Whether the size of memory is known: then what it costs to grow is, too."""
        self._memory_size = 0
        """Bytes that memory has, or has at least, where the next line stands."""
        self._memory_paid = 0
        """Bytes up to which growth is paid for, if the size is known."""
        self._memory_wanted = 0
        """Bytes that it must have grown to, and been paid for, before anybody looks."""
        self._late_stores = 0
        self._computed_before: dict[str, Symbol] = {}
        """What expressions that never change were computed to."""
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
            case Kind.PURE | Kind.FIXED | Kind.READ:
                self._value(opcode, instruction.pc)
            case _:
                operands = self.operands(opcode, computed=bool(opcode.text))
                if opcode.memory is Memory.STORE:
                    self._store(opcode, operands)
                elif opcode.text:
                    self.emit(self.text_of(opcode, operands))

    def text_of(self, opcode: Opcode, operands: dict[str, Symbol]) -> str:
        """What the instruction means with these operands; memory is then as it needs it."""
        if opcode.memory is Memory.RANGE:
            words = self._words(operands["a"], operands["b"])
            if words is not None:
                self.owed += opcode.known.gas * len(words)
                data = "+".join(f"{word:word}" for word in words) or "b''"
                return opcode.known.text.format(words=",".join(words), data=data, **operands)
        if opcode.memory in (Memory.RANGE, Memory.ANY):
            self.write_memory()
            self._size_known = False
        if opcode.memory is Memory.ANY:
            self._memory.forget()
        if opcode.before:
            self.emit(opcode.before.format(**operands))
        return opcode.text.format(**operands)

    def emit(self, line: str) -> None:
        """Write a line. One that asks for the gas left finds nothing owed."""
        if "F.gas" in line or "sstore" in line:
            self.pay()
        self.lines.append(line)

    def pay(self, indent: str = "") -> None:
        """Take what is owed from the frame. Until then only what the frame's failure undoes has happened."""
        owed = self.owed
        if self._size_known:
            owed += memory_gas(self._memory_paid, self._memory_wanted)
        else:
            self._grow(indent)
        if owed:
            self.lines += [f"{indent}F.gas=g=F.gas-{owed}", f"{indent}if g<0:raise OutOfGas"]
        if not indent:
            self.owed, self._memory_paid = 0, self._memory_wanted

    def write_memory(self) -> None:
        """Bring memory up to date."""
        if self._size_known:
            self.pay()
        self._grow()
        self._write_words()
        self._memory.unwritten.clear()

    def leave(self, indent: str = "") -> None:
        """Bring gas, memory and stack up to date, because the function is left."""
        self.pay(indent)
        self._grow(indent)
        self._write_words(indent)
        self._late_stores += len(self._memory.unwritten)
        self.settle(indent)

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
            body += self._checks(max(inputs_after, inputs), max(growth_after, growth), inputs, growth)
            body += [f"i{n}=S[-{n}]" for n in range(inputs + 1, inputs_after + 1) if f"i{n}" in used]
            body += self.lines[start:end]
            inputs, growth = inputs_after, growth_after
        return body

    def _checks(self, inputs: int, growth: int, inputs_before: int, growth_before: int) -> list[str]:
        """Lines that hold the stack's limits, as far as those before do not."""
        if self._begins_frame:
            underflow = ["raise StackUnderflow"] if inputs else []
            return underflow or (["raise StackOverflow"] if growth > STACK_ITEMS_MAX else [])
        lines = []
        if inputs > inputs_before:
            lines.append(f"if len(S)<{inputs}:raise StackUnderflow")
        if growth > growth_before:
            lines.append(f"if len(S)>{STACK_ITEMS_MAX - growth}:raise StackOverflow")
        return lines

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
        return self._named(symbol, 1) if symbol.truth else symbol

    def _named(self, text: str, bits: int, *, fixed: bool = True) -> Symbol:
        """A name for what an expression gives here; `fixed`: wherever it stands it gives the same."""
        name = self._computed_before.get(text) if fixed else None
        if name is None:
            self._temporaries += 1
            name = Symbol(f"t{self._temporaries}", bits=bits)
            self.emit(f"{name}={text}")
            if fixed:
                self._computed_before[text] = name
        return name

    def _value(self, opcode: Opcode, pc: int) -> None:
        operands = self.operands(opcode, computed="truth" not in opcode.text)
        if opcode.name == "PC":
            self._push(Symbol(hex(pc)))
        elif opcode.kind is Kind.PURE and all(symbol.known for symbol in operands.values()):
            # The text is a row of our own table and its operands are numbers.
            numbers = {name: int(symbol, 16) for name, symbol in operands.items()}
            names = {"__builtins__": self._folding, **numbers}
            self._push(Symbol(hex(eval(_compiled(opcode.text), names))))
        elif opcode.truth:
            self._push(Symbol(opcode.text.format(**operands), opcode.truth.format(**operands)))
        elif opcode.name == "AND":
            self._push(self._masked(opcode, operands))
        elif opcode.memory is Memory.LOAD:
            self._push(self._load(opcode, operands))
        else:
            text = self.text_of(opcode, operands)
            fixed = opcode.kind is not Kind.READ or text.startswith("hash_of")
            self._push(self._named(text, opcode.bits, fixed=fixed))

    def _masked(self, opcode: Opcode, operands: dict[str, Symbol]) -> Symbol:
        """AND; with a mask of low bits, such as an address has, perhaps nothing is to be done."""
        bits = 256
        for mask, other in ((operands["a"], operands["b"]), (operands["b"], operands["a"])):
            if mask.known:
                ones = int(mask, 16)
                if not ones & (ones + 1) and other.bits <= ones.bit_length():
                    return other
                bits = ones.bit_length()
        return self._named(opcode.text.format(**operands), bits)

    # --- memory

    def _grow(self, indent: str = "") -> None:
        """Let memory have the size it must have; where that is known beforehand, it is paid for."""
        if self._memory_wanted > self._memory_size:
            if self._size_known:
                self.lines.append(f"{indent}m.extend(bytes({self._memory_wanted - self._memory_size}))")
            else:
                size = hex(self._memory_wanted)
                self.lines.append(f"{indent}if {size}>len(m):expand(F,{size})")
        if not indent:
            self._memory_size = self._memory_wanted

    def _write_words(self, indent: str = "") -> None:
        for offset, symbol in self._memory.unwritten.items():
            self.lines.append(f"{indent}m[{offset:#x}:{offset + WORD_BYTES:#x}]={symbol:late}")

    def _want(self, offset: int) -> None:
        end = offset + WORD_BYTES + 31 & ~31
        if end > KNOWN_SIZE_MAX and self._size_known:
            self.write_memory()
            self._size_known = False
        self._memory_wanted = max(self._memory_wanted, end)

    def _words(self, offset: Symbol, size: Symbol) -> list[Symbol] | None:
        """The words of a range, if all of it is known."""
        if offset.known and size.known:
            return self._memory.words(int(offset, 16), int(size, 16))
        return None

    def _load(self, opcode: Opcode, operands: dict[str, Symbol]) -> Symbol:
        """MLOAD."""
        place = operands["a"]
        if not place.known:
            self.write_memory()
            self._size_known = False
            self.emit(opcode.before.format(**operands))
            return self._named(opcode.text.format(**operands), 256, fixed=False)
        offset = int(place, 16)
        known = self._memory.word(offset)
        if known is not None:
            return known
        if self._memory.cuts_unwritten(offset):
            self.write_memory()
        self._want(offset)
        if self._size_known:
            self.pay()
        self._grow()
        name = self._named(opcode.text.format(**operands), 256, fixed=False)
        self._memory.learn(offset, name, written=True)
        return name

    def _store(self, opcode: Opcode, operands: dict[str, Symbol]) -> None:
        """MSTORE."""
        place, word = operands["a"], operands["b"]
        if not place.known:
            self.write_memory()
            self._size_known = False
            self._memory.forget()
            self.emit(opcode.before.format(**operands))
            self.emit(opcode.text.format(**operands))
            return
        offset = int(place, 16)
        if self._memory.cuts_unwritten(offset):
            self.write_memory()
        self._want(offset)
        late = self._late_stores < LATE_STORES_MAX and len(self._memory.unwritten) < UNWRITTEN_MAX
        if not late:
            self.write_memory()
            self.emit(opcode.text.format(**operands))
        self._memory.learn(offset, word, written=not late)


def memory_gas(old: int, new: int) -> int:
    """What it costs to let memory grow from `old` to `new` bytes (Yellow Paper 9.1, C_mem)."""
    old_words, new_words = (old + 31) >> 5, (new + 31) >> 5
    return 3 * (new_words - old_words) + (new_words * new_words >> 9) - (old_words * old_words >> 9)


def words_of(text: str) -> set[str]:
    """Identifiers of generated code: enough to see which names it uses."""
    return set(_WORDS.findall(text))


@cache
def _compiled(text: str) -> CodeType:
    """An expression of the opcode table, its operands named as in the table."""
    return compile(text.format(**{name: Symbol(name) for name in OPERANDS}), "<constants>", "eval")
