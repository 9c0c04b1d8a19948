"""What the EVM may know of a block, made from headers: for import, for building and for calls alike."""

from collections.abc import Callable

from consensus.gas import base_fee_after
from node.execution.executor import BlockContext
from node.primitives.block import Header
from node.primitives.chain_spec import ChainSpec
from node.primitives.ids import Address, BlockNumber, Hash32


class Ancestors:
    """Hashes of the ancestors of one block by number; walks only as far as its branch leaves the chain."""

    def __init__(
        self,
        parent: Header,
        header_of: Callable[[Hash32], Header | None],
        canonical_hash: Callable[[BlockNumber], Hash32 | None],
    ) -> None:
        self._walked = {parent.number: parent.hash}
        self._lowest = parent
        self._header_of = header_of
        self._canonical_hash = canonical_hash

    def __call__(self, number: BlockNumber) -> Hash32 | None:
        """The hash, or None for a number that no ancestor has."""
        while number < self._lowest.number:
            found = self._canonical(number)
            if found is not None:
                return found
            parent = self._header_of(self._lowest.parent_hash)
            if parent is None:
                return None
            self._walked[parent.number] = parent.hash
            self._lowest = parent
        return self._walked.get(number)

    def _canonical(self, number: BlockNumber) -> Hash32 | None:
        low = self._lowest
        if number < 0 or self._canonical_hash(low.number) != low.hash:
            return None
        found = self._canonical_hash(number)
        # Asked again, because the chain may reorganise between two reads of another thread.
        return found if self._canonical_hash(low.number) == low.hash else None


def context_of(
    spec: ChainSpec, header: Header, author: Address, block_hash: Callable[[BlockNumber], Hash32 | None]
) -> BlockContext:
    """The context in which the transactions of `header` run."""
    return BlockContext(
        chain_id=spec.chain_id,
        fork=spec.fork_at(header.number),
        number=header.number,
        timestamp=header.timestamp,
        author=author,
        gas_limit=header.gas_limit,
        base_fee_per_gas=header.base_fee_per_gas,
        difficulty=header.difficulty,
        block_hash=block_hash,
    )


def context_after(
    spec: ChainSpec,
    parent: Header,
    *,
    timestamp: int,
    author: Address,
    gas_limit: int,
    difficulty: int,
    block_hash: Callable[[BlockNumber], Hash32 | None],
) -> BlockContext:
    """The context of a block that does not exist yet."""
    return BlockContext(
        chain_id=spec.chain_id,
        fork=spec.fork_at(parent.number + 1),
        number=parent.number + 1,
        timestamp=timestamp,
        author=author,
        gas_limit=gas_limit,
        base_fee_per_gas=base_fee_after(spec, parent),
        difficulty=difficulty,
        block_hash=block_hash,
    )
