"""What the driver asks of others: importer and pool."""

from collections.abc import Mapping
from typing import Protocol

import trio

from node.chain.execution import BuiltBlock
from node.chain.importer import ImportResult
from node.primitives.block import Block
from node.primitives.ids import Address
from node.primitives.transaction import Transaction
from node.production.builder import Offered


class Door(Protocol):
    """What the driver asks of the importer."""

    async def import_block(self, block: Block) -> ImportResult:
        """Take the block in; it is durable on return."""
        ...

    async def remember_built(self, built: BuiltBlock) -> None:
        """Hand over what was executed while building."""
        ...


class Pool(Protocol):
    """What the driver asks of the transaction pool."""

    def select(self, base_fee: int | None, taken: Mapping[Address, int]) -> Offered:
        """What a block should take, best first, beyond the nonces that it has of each sender."""
        ...

    def subscribe(self) -> trio.MemoryReceiveChannel[tuple[Transaction, ...]]:
        """Batches of transactions that a block could take now."""
        ...
