"""The loops that run a frame's code: a fast one, and one that shows every step to a tracer.

The fast loop does stack instructions and jumps itself, because they are two thirds of what contracts execute.
The traced loop leaves everything to py-evm; both are held to the same vectors.
"""

from typing import TYPE_CHECKING, Final, NamedTuple

from eth.exceptions import FullStack, Halt, InvalidJumpDestination, VMError

from node.execution.executor import StepTracer
from node.execution.py_evm_faults import GasExhausted, StackUnderflow, words

if TYPE_CHECKING:
    from node.execution.py_evm_frame import Frame
    from node.execution.py_evm_message import Message

JUMPS_PER_POLL: Final = 1024
"""How often a loop asks whether to stop; a jump needs a JUMPDEST or the end, so loops cannot avoid it."""
_SLOAD, _SSTORE = 0x54, 0x55


def run(frame: "Frame") -> None:
    """Run until the code ends; VMError when the frame fails.

    One function on purpose: a call per instruction would double its cost. Gas may run below zero in here
    between two looks, because only the stack changes in between; `frame` never sees that.
    """
    code, targets = frame.code.padded, frame.code.jump_targets
    instructions, stack = frame.rules.instructions, frame.stack
    size, gas, jumps, pc = len(targets), frame.gas_remaining, JUMPS_PER_POLL, 0
    try:
        while True:
            opcode = code[pc]
            pc += 1
            if 0x60 <= opcode < 0xA0:
                gas -= 3
                if opcode < 0x80:
                    if len(stack) > 1023:
                        raise FullStack
                    if opcode == 0x60:
                        stack.append(code[pc])
                        pc += 1
                        continue
                    end = pc + opcode - 0x5F
                    stack.append(int.from_bytes(code[pc:end]))
                    pc = end
                elif opcode < 0x90:
                    if len(stack) > 1023:
                        raise FullStack
                    stack.append(stack[0x7F - opcode])
                else:
                    depth = 0x8E - opcode
                    stack[-1], stack[depth] = stack[depth], stack[-1]
            elif opcode == 0x5B:
                gas -= 1
            elif opcode == 0x50:
                gas -= 2
                stack.pop()
            elif opcode == 0x58:
                gas -= 2
                if len(stack) > 1023:
                    raise FullStack
                stack.append(pc - 1)
            elif opcode == 0x57 or opcode == 0x56:
                gas -= 10 if opcode == 0x57 else 8
                if gas < 0:
                    raise GasExhausted(10 if opcode == 0x57 else 8)
                if opcode == 0x57:
                    if not stack[-2]:
                        del stack[-2:]
                        continue
                    pc = stack.pop()
                    del stack[-1]
                else:
                    pc = stack.pop()
                if pc >= size or not targets[pc]:
                    raise InvalidJumpDestination
                jumps -= 1
                if not jumps:
                    jumps = JUMPS_PER_POLL
                    frame.state.poll()
            else:
                static_gas, needed, handler = instructions[opcode]
                gas -= static_gas
                if gas < 0:
                    raise GasExhausted(static_gas)
                if len(stack) < needed:
                    raise StackUnderflow(len(stack), needed)
                frame.gas_remaining = gas
                handler(frame)
                gas = frame.gas_remaining
    except Halt:
        return
    except IndexError as error:
        if error.__traceback__ is None or error.__traceback__.tb_next is not None:
            raise  # from below this loop: a fault of the program, not of the contract
        raise StackUnderflow(len(stack), instructions[opcode].stack_items) from None


def run_traced(frame: "Frame", tracer: StepTracer) -> None:
    """As `run`, with py-evm's own handlers for all instructions and a report of each to the tracer."""
    code, instructions, stack = frame.code, frame.rules.instructions, frame.stack
    wants_memory, steps = tracer.wants_memory, 0
    while True:
        pc = code.program_counter
        opcode = code.padded[pc] if pc < code.size else 0
        code.program_counter = pc + 1
        memory = frame.memory_read_bytes(0, len(frame._memory)) if wants_memory else b""
        refund = frame.state.refund
        frame.step = Step(pc, opcode, frame.gas_remaining, tuple(stack), memory, frame.return_data, refund)
        try:
            static_gas, needed, handler = instructions[opcode]
            if len(stack) < needed:
                raise StackUnderflow(len(stack), needed)
            frame.consume_gas(static_gas)
            handler(frame)
        except Halt:
            report_step(frame, tracer)
            return
        except VMError as error:
            report_step(frame, tracer, error=error)
            raise
        report_step(frame, tracer)
        steps += 1
        if steps % JUMPS_PER_POLL == 0:
            frame.state.poll()


class Step(NamedTuple):
    """What a frame held before its current instruction."""

    pc: int
    opcode: int
    gas: int
    stack: tuple[int, ...]
    memory: bytes
    return_data: bytes
    refund: int


def report_step(
    frame: "Frame", tracer: StepTracer, child: "Message | None" = None, error: VMError | None = None
) -> None:
    """Show the current instruction to the tracer, once: when it has run, or when it opens `child`."""
    step, frame.step = frame.step, None
    if step is None:
        return
    cost = step.gas - frame.gas_remaining
    if child is not None and child.is_create:
        cost -= child.gas
    if isinstance(error, GasExhausted):
        cost += error.needed
    elif isinstance(error, StackUnderflow):
        cost = frame.rules.instructions[step.opcode].gas
    change = None
    if error is None and step.opcode == _SLOAD:
        change = (step.stack[-1], frame.stack[-1])
    elif error is None and step.opcode == _SSTORE:
        change = (step.stack[-1], step.stack[-2])
    tracer.on_step(
        pc=step.pc,
        opcode=step.opcode,
        gas=step.gas,
        gas_cost=cost,
        depth=frame.msg.depth,
        stack=step.stack,
        memory=step.memory,
        storage_change=change,
        return_data=step.return_data,
        refund=step.refund,
        error=words(error),
    )
