"""A message call in progress (Yellow Paper section 9: the machine state and execution environment)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from node.execution.evm.halts import OutOfGas
from node.primitives.ids import Address

if TYPE_CHECKING:
    from collections.abc import Callable

    from node.execution.evm.program import Program
    from node.execution.evm.schedule import Schedule
    from node.execution.evm.world import Snapshot, World
    from node.primitives.ids import BlockNumber, Hash32

Step: TypeAlias = "Callable[[list[int], Frame], Step | None]"
"""A block's function: runs it and names the next one; None when the frame stops or waits for a callee."""

MEMORY_BYTES_MAX: Final = 1 << 30
"""Beyond this an expansion costs over 2**41 gas; no block limit comes near it."""


@dataclass(frozen=True, slots=True)
class BlockEnvironment:
    """What instructions read of the block."""

    number: "BlockNumber"
    timestamp: int
    author_word: int
    gas_limit: int
    base_fee: int
    difficulty: int
    chain_id: int
    block_hash: "Callable[[BlockNumber], Hash32 | None]"


class WatchedBlock:
    """A BlockEnvironment that notes whether anything was read that differs from block to block."""

    __slots__ = ("_block", "was_read")

    def __init__(self, block: BlockEnvironment) -> None:
        self._block = block
        self.was_read = False

    def __getattr__(self, name: str) -> object:
        if name != "chain_id":
            self.was_read = True
        return getattr(self._block, name)


class TransactionEnvironment(NamedTuple):
    """What instructions read of the transaction."""

    origin_word: int
    gas_price: int
    poll: "Callable[[], None]"
    """Raises ExecutionInterrupted when somebody wants the execution to stop."""


class Frame:
    """One message call or creation: its gas, stack and memory, and who waits for it."""

    __slots__ = (
        "address",
        "address_word",
        "block",
        "caller",
        "caller_word",
        "child",
        "code",
        "creates",
        "data",
        "depth",
        "following",
        "gas",
        "memory",
        "output",
        "output_offset",
        "output_size",
        "program",
        "returned",
        "reverted",
        "schedule",
        "snapshot",
        "stack",
        "static",
        "tx",
        "value",
        "world",
    )

    def __init__(
        self,
        world: "World",
        schedule: "Schedule",
        block: BlockEnvironment,
        tx: TransactionEnvironment,
        program: "Program",
        address: Address,
        caller: Address,
        value: int,
        data: bytes,
        gas: int,
        depth: int,
        static: bool,
        snapshot: "Snapshot",
        creates: bool = False,
        output_offset: int = 0,
        output_size: int = 0,
    ) -> None:
        self.world = world
        self.schedule = schedule
        self.block = block
        self.tx = tx
        self.program = program
        self.code = program.code
        self.address = address
        self.address_word = int.from_bytes(address, "big")
        self.caller = caller
        self.caller_word = int.from_bytes(caller, "big")
        self.value = value
        self.data = data
        self.gas = gas
        self.depth = depth
        self.static = static
        self.snapshot = snapshot
        self.creates = creates
        self.output_offset = output_offset
        self.output_size = output_size
        self.stack: list[int] = []
        self.memory = bytearray()
        self.returned = b""
        """Return data of the last callee."""
        self.output = b""
        self.reverted = False
        self.child: Frame | None = None
        """A callee that must run before this frame goes on at `following`."""
        self.following: Any = None
        """The block after the one that runs, where an instruction has to name it."""


def charge(frame: Frame, gas: int) -> None:
    """Take dynamic gas; OutOfGas when there is less."""
    frame.gas -= gas
    if frame.gas < 0:
        raise OutOfGas


def expand(frame: Frame, end: int) -> None:
    """Grow memory to `end` bytes, rounded up to words, and charge for it (Yellow Paper 9.1, C_mem)."""
    memory = frame.memory
    old_words, new_words = len(memory) >> 5, (end + 31) >> 5
    if new_words <= old_words:
        return
    frame.gas -= 3 * (new_words - old_words) + (new_words * new_words >> 9) - (old_words * old_words >> 9)
    if frame.gas < 0 or end > MEMORY_BYTES_MAX:
        raise OutOfGas
    memory.extend(bytes((new_words - old_words) << 5))


def touch_memory(frame: Frame, offset: int, size: int) -> None:
    """Grow memory to cover a range; an empty range covers nothing, wherever it is."""
    if size and offset + size > len(frame.memory):
        expand(frame, offset + size)


def read(frame: Frame, offset: int, size: int) -> bytes:
    """A range of memory, grown to cover it."""
    if not size:
        return b""
    end = offset + size
    if end > len(frame.memory):
        expand(frame, end)
    return bytes(frame.memory[offset:end])
