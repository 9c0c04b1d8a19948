"""A message call in progress (Yellow Paper section 9: the machine state and execution environment)."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from node.execution.evm.halts import OutOfGas
from node.native import maker
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

    origin: Address
    gas_price: int
    poll: "Callable[[], None]"
    """Raises ExecutionInterrupted when somebody wants the execution to stop."""


@dataclass(slots=True, eq=False)
class Frame:
    """One message call or creation: its gas, stack and memory, and who waits for it."""

    world: "World"
    schedule: "Schedule"
    block: BlockEnvironment
    tx: TransactionEnvironment
    program: "Program"
    address: Address
    caller: Address
    value: int
    data: bytes
    gas: int
    depth: int
    static: bool
    snapshot: "Snapshot"
    """Where the world stood before it."""
    creates: bool = False
    output_offset: int = 0
    output_size: int = 0
    stack: list[int] = field(default_factory=list)
    memory: bytearray = field(default_factory=bytearray)
    returned: bytes = b""
    """Return data of the last callee."""
    output: bytes = b""
    reverted: bool = False
    child: "Frame | None" = None
    """A callee that must run before this frame goes on at `following`."""
    following: Any = None
    """The block after the one that runs, where an instruction has to name it."""


made_frame = maker(Frame)
"""Frame(...), quicker."""


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
