"""The exceptional ways in which a frame ends: all its gas is gone and all its effects are undone."""


class Halt(Exception):
    """Exceptional halting (Yellow Paper 9.4.2). The text is geth's word for it."""

    reason = "exceptional halt"

    def __init__(self) -> None:
        super().__init__(self.reason)


class OutOfGas(Halt):
    """Less gas left than an instruction costs."""

    reason = "out of gas"


class StackUnderflow(Halt):
    """An instruction needs more items than the stack has."""

    reason = "stack underflow"


class StackOverflow(Halt):
    """The stack would grow beyond 1024 items."""

    reason = "stack limit reached 1024 (1023)"


class InvalidJump(Halt):
    """A jump to somewhere that is not a JUMPDEST."""

    reason = "invalid jump destination"


class InvalidOpcode(Halt):
    """An instruction that this fork does not know, or INVALID itself."""

    reason = "invalid opcode"


class WriteProtection(Halt):
    """A state change inside a static call (EIP-214)."""

    reason = "write protection"


class ReturnDataOutOfBounds(Halt):
    """RETURNDATACOPY beyond what the last call returned (EIP-211)."""

    reason = "return data out of bounds"


class CodeTooLarge(Halt):
    """Deployed code over 24,576 bytes (EIP-170) or init code over 49,152 (EIP-3860)."""

    reason = "max code size exceeded"


class InvalidCodePrefix(Halt):
    """Deployed code that starts with 0xEF (EIP-3541)."""

    reason = "invalid code: must not begin with 0xef"


class AddressCollision(Halt):
    """A creation at an address that has code or a nonce already (EIP-684)."""

    reason = "contract address collision"
