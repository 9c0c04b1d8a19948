"""How a frame fails: faults that py-evm has no class for, and geth's words for all of them."""

from typing import Final

# First, before anything of py-evm: it decides which libraries py-evm hashes and recovers with.
from node.execution import py_evm_backends  # noqa: F401  # isort: skip

from eth import exceptions as py_evm
from eth.exceptions import VMError

from node.execution.intrinsic import INIT_CODE_BYTES_MAX

REVERTED: Final = "execution reverted"
COLLISION: Final = "contract address collision"

_WORDS: Final[dict[type[VMError], str]] = {
    py_evm.OutOfGas: "out of gas",
    py_evm.InsufficientStack: "stack underflow",
    py_evm.FullStack: "stack limit reached 1024 (1023)",
    py_evm.InvalidJumpDestination: "invalid jump destination",
    # What py-evm raises for a JUMPDEST byte inside a PUSH.
    py_evm.InvalidInstruction: "invalid jump destination",
    py_evm.Revert: REVERTED,
    py_evm.WriteProtection: "write protection",
    py_evm.OutOfBoundsRead: "return data out of bounds",
}


class Fault(VMError):
    """A failure that knows its words."""

    words = "execution failed"


class GasExhausted(py_evm.OutOfGas):
    """An instruction costs more than is left."""

    def __init__(self, needed: int) -> None:
        super().__init__(needed)
        self.needed = needed


class StackUnderflow(Fault):
    """An instruction takes more items than there are."""

    def __init__(self, items: int, needed: int) -> None:
        super().__init__(items, needed)
        self.words = f"stack underflow ({items} <=> {needed})"


class InvalidOpcode(Fault):
    """An opcode that the fork does not know."""

    def __init__(self, opcode: int) -> None:
        super().__init__(opcode)
        name = "INVALID" if opcode == 0xFE else f"opcode {opcode:#x} not defined"
        self.words = f"invalid opcode: {name}"


class CodeTooLong(Fault):
    """Deployed code above the limit (EIP-170)."""

    words = "max code size exceeded"


class InitCodeTooLong(Fault):
    """Init code above the limit (EIP-3860): the frame that tried to run it fails."""

    words = "max initcode size exceeded"


class ReservedCode(Fault):
    """Deployed code beginning with 0xEF (EIP-3541)."""

    words = "invalid code: must not begin with 0xef"


class CodeStorageOutOfGas(Fault):
    """Not enough gas left to store the code (EIP-2)."""

    words = "contract creation code storage out of gas"


class MalformedInput(Fault):
    """A precompiled contract got input it cannot read."""

    words = "invalid input"


def check_init_code(code: bytes) -> None:
    """Init code is within its limit."""
    if len(code) > INIT_CODE_BYTES_MAX:
        raise InitCodeTooLong(len(code))


def words(error: VMError | None) -> str | None:
    """geth's words for a failure; None for none."""
    if error is None:
        return None
    if isinstance(error, Fault):
        return error.words
    for kind in type(error).__mro__:
        if kind in _WORDS:
            return _WORDS[kind]
    return MalformedInput.words
