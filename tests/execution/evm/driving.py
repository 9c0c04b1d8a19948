"""The contract that makes a batch's calls, and py-evm with those calls made for it.

Our executor runs the driver as it runs any contract. Its instructions are the same for every call, and py-evm
would take as long for them as for the program that is called. So it is told what they do and cost: its own
CALL is made with the same operands, gas and state, then what came back is logged. A mistake in here would
make every batch differ; and py-evm, where it runs the driver itself, says the same (`test_swarm`).
"""

from functools import cache
from itertools import count
from typing import Final

from node.execution.executor import BlockContext
from node.execution.py_evm import PyEvmExecutor, PyEvmSession
from node.execution.py_evm_frame import Frame, Instruction
from node.execution.py_evm_rules import frame_class
from node.primitives.chain_spec import Fork
from node.primitives.ids import Address, Hash32
from node.primitives.receipt import Log
from node.primitives.state import StateView
from tests.execution.evm.breeding import push, run

DRIVER: Final = Address(b"\xdd" * 20)
DATA_ROOM: Final = 256
"""Calldata of the driver: what it hands on parts of, in so many bytes, then a word for each call: gas, 8 bits
of size, 8 of value, 160 of address."""
CALL: Final = 0xF1
WORD_COPY_GAS: Final = 3
LOG_TOPIC_GAS, LOG_BYTE_GAS = 375, 8

# Between calls the stack holds where in the calldata it is, and the word from there.
BEGIN: Final = run(0x37, 0, 0, DATA_ROOM) + push(DATA_ROOM) + b"\x80\x35"
ARGUMENTS: Final = b"".join((
    b"\x5b" + push(0) + push(0) + b"\x82" + push(10) + b"\x1a\x80",  # the ranges of memory
    b"\x84" + push(11) + b"\x1a",  # value
    b"\x85",  # to: a call looks at the low 160 bits
    push(1 << 176) + b"\x87\x04",  # gas
))  # fmt: skip
COPY: Final = b"\x3d" + push(0) + push(DATA_ROOM) + b"\x3e\x5a"
"""What was returned; then the gas left."""
LOG: Final = b"\x3d" + push(DATA_ROOM) + b"\xa2"
"""What was returned, under the gas left and whether the call succeeded."""
NEXT: Final = b"\x50" + push(32) + b"\x01\x80\x35\x80" + push(len(BEGIN)) + b"\x57"


def driver() -> bytes:
    """Makes the calls of its calldata and logs what came of each."""
    return BEGIN + ARGUMENTS + bytes((CALL,)) + COPY + LOG + NEXT + b"\x00"


class DrivenPyEvm(PyEvmExecutor):
    """The reference executor for transactions that reach the driver, all of them."""

    def begin(self, context: BlockContext, parent: StateView) -> PyEvmSession:
        """Start a block on top of `parent`."""
        session = super().begin(context, parent)
        session._frame_class = _driven(context.fork)
        return session


@cache
def _driven(fork: Fork) -> type[Frame]:
    return type("DrivenFrame", (_DrivenFrame, frame_class(fork)), {"__slots__": ()})


class _DrivenFrame(Frame):
    __slots__ = ()

    def _call(self) -> None:
        if self.msg.depth:
            super()._call()
        else:
            _drive(self)


def _drive(frame: Frame) -> None:
    """What the driver's code does, instruction by instruction only where it calls."""
    instructions, stack, data = frame.rules.instructions, frame.stack, frame.msg.data
    begin, arguments, copy, log, following = (
        _static_gas(code, instructions) for code in (BEGIN, ARGUMENTS, COPY, LOG, NEXT)
    )
    log += 2 * LOG_TOPIC_GAS  # py-evm has it among what is charged as it goes
    frame.consume_gas(begin + WORD_COPY_GAS * (DATA_ROOM // 32))
    frame.extend_memory(0, DATA_ROOM)
    frame.memory_write(0, DATA_ROOM, data[:DATA_ROOM])
    for place in count(DATA_ROOM, 32):
        word = int.from_bytes(data[place : place + 32], "big")
        if not word:
            return
        size = word >> 168 & 255
        frame.consume_gas(arguments)
        stack += (0, 0, size, size, word >> 160 & 255, word, word >> 176)
        instructions[CALL].handler(frame)
        output = frame.return_data
        frame.consume_gas(copy + WORD_COPY_GAS * ((len(output) + 31) // 32))
        frame.extend_memory(DATA_ROOM, len(output))
        frame.memory_write(DATA_ROOM, len(output), output)
        topics = (Hash32(frame.gas_remaining.to_bytes(32, "big")), Hash32(stack.pop().to_bytes(32, "big")))
        frame.state.add_log(Log(DRIVER, topics, output))
        frame.consume_gas(log + LOG_BYTE_GAS * len(output) + following)


def _static_gas(code: bytes, instructions: tuple[Instruction, ...]) -> int:
    gas = place = 0
    while place < len(code):
        gas += instructions[code[place]].gas
        place += 1 + (code[place] - 0x5F if 0x60 <= code[place] < 0x80 else 0)
    return gas
