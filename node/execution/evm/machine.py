"""The loop: runs the innermost frame until it calls, stops or halts, then whoever waits for it."""

from collections.abc import Callable
from typing import Final, NamedTuple

from node.execution.evm.frame import Frame, Step
from node.execution.evm.halts import CodeTooLarge, Halt, InvalidCodePrefix, OutOfGas
from node.execution.evm.operations import word_of
from node.execution.executor import ExecutionInterrupted, Interrupted
from node.native import maker

REVERTED: Final = "execution reverted"
CODE_BYTES_MAX: Final = 24_576
"""EIP-170."""
BLOCKS_BETWEEN_QUESTIONS: Final = 512
"""Functions of blocks that run before `interrupted` is asked again: some milliseconds."""
CODE_DEPOSIT_GAS: Final = 200
"""Per byte of deployed code."""


class Ending(NamedTuple):
    """How the outermost frame ended."""

    output: bytes
    gas_left: int
    error: str | None
    """None on success; "execution reverted", or the halt's reason."""


ending = maker(Ending)
"""Ending(...), quicker."""


def run(outermost: Frame, interrupted: Interrupted | None = None) -> Ending:
    """Run a message to its end; the world holds its effects, or none when it failed."""
    waiting: list[Frame] = []
    frame = outermost
    step: Step | None = frame.program.entry
    while True:
        error: str | None = None
        try:
            if interrupted is None:
                stack = frame.stack
                while step is not None:
                    step = step(stack, frame)
            else:
                _run_asking(frame, step, interrupted)
            if frame.child is not None:
                waiting.append(frame)
                callee, frame.child = frame.child, None
                frame = callee
                step = frame.program.entry
                continue
            if frame.reverted:
                error = REVERTED
            elif frame.creates:
                _deploy(frame)
        except Halt as halt:
            error = halt.reason
            frame.gas = 0
            frame.output = b""
        if error is not None:
            frame.world.revert(frame.snapshot)
        if not waiting:
            return ending(frame.output, frame.gas, error)
        callee, frame = frame, waiting.pop()
        _resume(frame, callee, succeeded=error is None)
        step = frame.following


def polled(interrupted: Interrupted | None) -> Callable[[], None]:
    """A function that raises ExecutionInterrupted once `interrupted` says so."""
    if interrupted is None:
        return _nobody_asks

    def poll() -> None:
        if interrupted():
            raise ExecutionInterrupted

    return poll


def _nobody_asks() -> None:
    """Block import: nothing may stop it."""


def _run_asking(frame: Frame, step: "Step | None", interrupted: Interrupted) -> None:
    """Run a frame until it calls, stops or halts; ask now and then whether to go on."""
    stack = frame.stack
    while step is not None:
        if interrupted():
            raise ExecutionInterrupted
        for _ in range(BLOCKS_BETWEEN_QUESTIONS):
            step = step(stack, frame)
            if step is None:
                return


def _deploy(frame: Frame) -> None:
    code = frame.output
    if len(code) > CODE_BYTES_MAX:
        raise CodeTooLarge
    if frame.schedule.reserve_ef_prefix and code[:1] == b"\xef":
        raise InvalidCodePrefix
    frame.gas -= CODE_DEPOSIT_GAS * len(code)
    if frame.gas < 0:
        raise OutOfGas
    if code:
        frame.world.set_code(frame.address, code)


def _resume(frame: Frame, callee: Frame, *, succeeded: bool) -> None:
    """Give the caller back its gas, and the callee's result."""
    frame.gas += callee.gas
    if callee.creates:
        # Return data of a creation is seen only when it reverted (EIP-211).
        frame.returned = b"" if succeeded else callee.output
        frame.stack.append(word_of(callee.address) if succeeded else 0)
        return
    frame.returned = output = callee.output
    size = min(callee.output_size, len(output))
    if size:
        frame.memory[callee.output_offset : callee.output_offset + size] = output[:size]
    frame.stack.append(1 if succeeded else 0)
