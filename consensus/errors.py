"""Why a header, a seal, a consensus message or an operator's proposal is refused."""

from node.primitives.block import BlockRef
from node.primitives.errors import ChainError, RequestError


class InvalidSeal(ChainError):
    """A header breaks a rule of its consensus engine."""


class InvalidMessage(ChainError):
    """A consensus message breaks a rule of its engine."""


class ProposalRefused(RequestError):
    """A proposed change of the validator set would do nothing, or would end the chain."""


class InvalidBlock(ChainError):
    """The block breaks a rule and never becomes part of the chain, whoever sends it again."""


class InvalidHeader(InvalidBlock):
    """A header field contradicts its parent or the chain's rules."""


class FutureBlock(ChainError):
    """The block's time lies ahead of our clock; it may be valid later."""

    def __init__(self, ref: BlockRef, timestamp: int, now: float) -> None:
        super().__init__(f"block {ref} is of second {timestamp}, {timestamp - now:.1f} s ahead of our clock")
        self.ref = ref
        self.ahead_s = timestamp - now
