"""What a py-evm frame is told to do, and the code it runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Final, NamedTuple, TypedDict

from node.execution.executor import StepTracer
from node.primitives.ids import Address, Hash32

CODES_ANALYSED_MAX: Final = 256
CODE_BYTES_ANALYSED_MAX: Final = 49_152
"""Longer code (init code before Shanghai) is analysed anew each time, so that the cache stays small."""


class Origin(NamedTuple):
    """What all frames of a transaction share."""

    origin: Address
    gas_price: int
    """wei per gas; what GASPRICE shows."""
    tracer: StepTracer | None = None
    blob_versioned_hashes: tuple[Hash32, ...] = ()
    """There are none; BLOBHASH asks."""


class MessageOptions(TypedDict, total=False):
    """What py-evm's instructions say of a message beside gas, recipient, value, data and code."""

    sender: Address
    create_address: Address | None
    code_address: Address | None
    should_transfer_value: bool
    is_static: bool
    is_delegation: bool


class Message:
    """What a frame is to do. The names are those that py-evm's instructions read."""

    __slots__ = (
        "code",
        "code_address",
        "data",
        "data_as_bytes",
        "depth",
        "gas",
        "is_create",
        "is_static",
        "sender",
        "should_transfer_value",
        "storage_address",
        "value",
    )

    def __init__(
        self,
        gas: int,
        to: Address,
        value: int,
        data: bytes,
        code: bytes,
        depth: int,
        sender: Address,
        create_address: Address | None = None,
        code_address: Address | None = None,
        should_transfer_value: bool = True,
        is_static: bool = False,
        is_delegation: bool = False,
    ) -> None:
        """`create_address` makes it a creation with `code` as init code; `is_delegation` is never true."""
        self.gas = gas
        self.sender = sender
        self.value = value
        self.data = self.data_as_bytes = data
        self.code = code
        self.depth = depth
        self.is_create = create_address is not None
        self.storage_address = create_address or to
        self.code_address = code_address or to
        self.should_transfer_value = should_transfer_value
        self.is_static = is_static


class Code:
    """The code of a frame, with the counter that py-evm's instructions move."""

    __slots__ = ("jump_targets", "padded", "program_counter", "size")

    def __init__(self, code: bytes) -> None:
        self.padded, self.jump_targets = analysed(code)
        self.size = len(code)
        self.program_counter = 0

    def __len__(self) -> int:
        return self.size

    def read(self, size: int) -> bytes:
        """Bytes from the counter on, which moves past them; fewer at the end of the code."""
        start = self.program_counter
        self.program_counter = start + size
        return self.padded[start : min(self.program_counter, self.size)]

    @contextmanager
    def seek(self, position: int) -> Iterator["Code"]:
        """Read elsewhere for a while."""
        before, self.program_counter = self.program_counter, position
        yield self
        self.program_counter = before

    def peek(self) -> int:
        """The opcode at the counter; STOP after the end."""
        return self.padded[self.program_counter] if self.program_counter < self.size else 0

    def is_valid_opcode(self, position: int) -> bool:
        """Whether a jump may go there."""
        return position < self.size and bool(self.jump_targets[position])


def analysed(code: bytes) -> tuple[bytes, bytes]:
    """The code with zeros behind it to read on, and for each of its positions 1 where a jump may go."""
    return _analysed(code) if len(code) <= CODE_BYTES_ANALYSED_MAX else _analysed.__wrapped__(code)


@lru_cache(CODES_ANALYSED_MAX)
def _analysed(code: bytes) -> tuple[bytes, bytes]:
    targets = bytearray(len(code))
    position, size = 0, len(code)
    while position < size:
        opcode = code[position]
        if opcode == 0x5B:
            targets[position] = 1
        elif 0x60 <= opcode < 0x80:
            position += opcode - 0x5F
        position += 1
    # A PUSH at the very end reads zeros, and running off the end meets STOP.
    return code + bytes(33), bytes(targets)
