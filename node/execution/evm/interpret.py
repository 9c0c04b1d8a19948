"""Cold code, instruction by instruction, straight from its bytes: nothing is prepared that runs only once.

Stack instructions and jumps are done here, because they are two thirds of what contracts execute; all others
are the functions generated from the opcode table (`program.interpreter_of`). A taken jump ends the run, so
that the machine can ask whether to stop, and so that a jump's target can become hot.
"""

from typing import TYPE_CHECKING

from node.execution.evm.blocks import STACK_ITEMS_MAX
from node.execution.evm.halts import InvalidOpcode, OutOfGas, StackOverflow, StackUnderflow

if TYPE_CHECKING:
    from node.execution.evm.frame import Frame, Step
    from node.execution.evm.program import Program


def interpret(program: "Program", pc: int, stack: list[int], frame: "Frame") -> "Step | None":
    """Run from `pc` to the next taken jump, call or end of the frame.

    One function on purpose: a call per instruction would double its cost. Gas may run below zero in here
    between two looks, because only the stack changes in between.
    """
    code, operations = program.padded, program.operations
    gas = frame.gas
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
                return program.jumps[target]
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
