"""Why a block is not taken in. All are ChainErrors: the fault is the sender's, or of its clock."""

from consensus.errors import FutureBlock as FutureBlock
from consensus.errors import InvalidBlock as InvalidBlock
from consensus.errors import InvalidHeader as InvalidHeader
from node.primitives.block import BlockRef
from node.primitives.errors import ChainError
from node.primitives.ids import BlockNumber, Hash32, hex_of


class InvalidBody(InvalidBlock):
    """The body is not the one its header commits to."""


class WrongOutcome(InvalidBlock):
    """Execution gives something other than the header claims."""


class KnownBadBlock(InvalidBlock):
    """The block, or one of its ancestors, was refused before."""

    def __init__(self, ref: BlockRef, reason: str) -> None:
        super().__init__(f"block {ref} was refused before: {reason}")
        self.ref = ref
        self.reason = reason


class UnknownParent(ChainError):
    """The parent is not here, so nothing can be said of the block yet."""

    def __init__(self, ref: BlockRef, parent_hash: Hash32) -> None:
        super().__init__(f"the parent {hex_of(parent_hash)} of block {ref} is not known here")
        self.ref = ref
        self.parent_hash = parent_hash


class BranchTooOld(ChainError):
    """A branch leaves the chain before the oldest state that is kept, so that it cannot be executed."""

    def __init__(self, ref: BlockRef, fork_number: BlockNumber, oldest: BlockNumber) -> None:
        super().__init__(
            f"block {ref} stands on a branch that leaves our chain at #{fork_number};"
            f" the oldest state kept is that of #{oldest}"
        )
        self.ref = ref
        self.fork_number = fork_number
        self.oldest = oldest
