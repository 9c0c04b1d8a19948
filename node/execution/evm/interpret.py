"""Cold code, instruction by instruction, straight from its bytes: nothing is prepared that runs only once.

Stack instructions and jumps are done here, because they are two thirds of what contracts execute; all others
are the functions generated from the opcode table (`program.interpreter_of`). A jump to code that is cold,
too, is counted and taken here; now and then a jump ends the run, so that the machine can ask whether to stop.
The kernel does the same, and the commonest of the table's functions besides, as long as nothing is unusual.
"""

import re
from typing import TYPE_CHECKING, Final

from node.execution.evm.blocks import STACK_ITEMS_MAX
from node.execution.evm.halts import InvalidOpcode, OutOfGas, StackOverflow, StackUnderflow
from node.native import kernels

if TYPE_CHECKING:
    from node.execution.evm.frame import Frame, Step
    from node.execution.evm.program import Program


JUMPS_MAX: Final = 64
"""Taken in one run."""
_MORE_JUMPDESTS: Final = re.compile(rb"\x5b+")


class ColdBlock:
    """A place where execution arrived: interpreted from here on until it has happened often."""

    __slots__ = ("_pc", "_program", "hot", "runs")

    def __init__(self, program: "Program", pc: int) -> None:
        self._program = program
        self._pc = pc
        self.runs = 0
        self.hot: Step | None = None

    def __call__(self, stack: list[int], frame: "Frame") -> "Step | None":
        """Run from here once."""
        if self.hot is not None:
            return self.hot(stack, frame)
        self.runs += 1
        if self.runs > self._program.hot_runs:
            self.hot = self._program.compile(self._pc)
            return self.hot(stack, frame)
        return interpret(self._program, self._pc, stack, frame)


def interpret_in_python(program: "Program", pc: int, stack: list[int], frame: "Frame") -> "Step | None":
    """Run from `pc` to a jump into compiled code, or the next call or end of the frame.

    One function on purpose: a call per instruction would double its cost. Gas may run below zero in here
    between two looks, because only the stack changes in between.
    """
    code, operations = program.padded, program.operations
    arrivals, few = program.arrivals, program.few_runs
    gas, jumps = frame.gas, JUMPS_MAX
    while True:
        byte = code[pc]
        pc += 1
        if 0x60 <= byte < 0xA0:
            gas -= 3
            if byte < 0x90:
                if len(stack) >= STACK_ITEMS_MAX:
                    raise StackOverflow
                if byte < 0x80:
                    end = pc + byte - 0x5F
                    stack.append(int.from_bytes(code[pc:end], "big"))
                    pc = end
                    continue
                if len(stack) < byte - 0x7F:
                    raise StackUnderflow
                stack.append(stack[0x7F - byte])
                continue
            depth = 0x8E - byte
            if len(stack) < -depth:
                raise StackUnderflow
            stack[-1], stack[depth] = stack[depth], stack[-1]
        elif byte == 0x5B:
            gas -= 1
            if code[pc] == 0x5B:
                # The cheapest instruction there is; nothing but gas changes in a row of them.
                row = _MORE_JUMPDESTS.match(code, pc)
                assert row is not None
                gas -= row.end() - pc
                pc = row.end()
        elif byte == 0x50:
            gas -= 2
            if not stack:
                raise StackUnderflow
            del stack[-1]
        elif byte == 0x56 or byte == 0x57:
            frame.gas = gas = gas - (8 if byte == 0x56 else 10)
            if gas < 0:
                raise OutOfGas
            if len(stack) < byte - 0x55:
                raise StackUnderflow
            target = stack.pop()
            if byte == 0x56 or stack.pop():
                jumps -= 1
                if target < len(arrivals) and arrivals[target] < few and jumps:
                    # Nothing is made yet for a place that most code reaches once. Its JUMPDEST is done here.
                    arrivals[target] += 1
                    gas -= 1
                    pc = target + 1
                    continue
                step = program.jumps[target]
                if step.__class__ is not ColdBlock or not jumps or step.runs >= program.hot_runs:
                    return step
                step.runs += 1
                gas -= 1
                pc = target + 1
        elif byte == 0x58:
            gas -= 2
            if len(stack) >= STACK_ITEMS_MAX:
                raise StackOverflow
            stack.append(pc - 1)
        else:
            operation = operations[byte]
            if operation is None:
                raise InvalidOpcode
            frame.gas = gas
            if gas < 0:
                raise OutOfGas
            run, leaves = operation
            if leaves:
                # Calls and creations name what comes after them.
                frame.following = program.block_at(pc) if leaves > 1 else None
                return run(stack, frame)
            run(stack, frame)
            gas = frame.gas


interpret = interpret_in_python
if kernels is not None:
    kernels.bind_interpreter(interpret_in_python, ColdBlock)
    interpret = kernels.interpret
