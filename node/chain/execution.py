"""Running a block's transactions and holding the outcome against its header."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from node.chain.errors import InvalidBlock
from node.execution.executor import BlockContext, BlockOutcome, Executor
from node.primitives.block import Block, Header, header_fields
from node.primitives.errors import ChainError
from node.primitives.ids import Address, hex_of
from node.primitives.state import StateView
from node.primitives.transaction import Transaction
from node.state.commit import PreparedState


@dataclass(frozen=True, slots=True)
class BuiltBlock:
    """A block that was executed while it was built, complete but for its seal."""

    block: Block
    author: Address
    outcome: BlockOutcome
    prepared: PreparedState

    def is_sealed_as(self, header: Header, author: Address) -> bool:
        """Whether `header` is this block's, sealed by the author it was built for.

        Only the extra data, which holds the seal, may differ: all else is input or outcome of the execution.
        """
        return author == self.author and header_fields(header, b"") == header_fields(self.block.header, b"")


Permit: TypeAlias = Callable[[Header, StateView, Transaction], None]
"""(parent, its state, transaction): a ChainError when it may not stand in a child of the parent."""


def check_permits(permit: Permit, parent: Header, view: StateView, block: Block) -> None:
    """InvalidBlock names the first transaction that the chain's rules forbid, and who sent it.

    All are asked for at the parent's state, before the first is executed: no transaction of a block can give
    itself, or the next, a right.
    """
    for index, tx in enumerate(block.transactions):
        try:
            permit(parent, view, tx)
        except ChainError as error:
            raise InvalidBlock(f"transaction {index}, {hex_of(tx.hash)}: {error}") from error


def run_block(executor: Executor, context: BlockContext, parent: StateView, block: Block) -> BlockOutcome:
    """Execute all transactions of a block; InvalidBlock names the one that may not be there."""
    session = executor.begin(context, parent)
    for index, tx in enumerate(block.transactions):
        try:
            session.apply(tx)
        except ChainError as error:
            raise InvalidBlock(f"transaction {index}, {hex_of(tx.hash)}: {error}") from error
    return session.finish()
