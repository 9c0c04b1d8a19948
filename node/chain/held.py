"""Blocks at hand while blocks are taken in: those of the running operation first, then those on disk."""

from collections.abc import Iterable
from dataclasses import dataclass

from node.chain.reader import ChainReader
from node.primitives.block import Block, Header
from node.primitives.errors import StorageError
from node.primitives.ids import Hash32
from node.primitives.receipt import Receipt


@dataclass(frozen=True, slots=True)
class Accepted:
    """A block that the running operation accepted and has not written yet."""

    block: Block
    receipts: tuple[Receipt, ...] | None
    """None: not executed."""
    total_difficulty: int


class HeldBlocks:
    """Look-ups that see what is not written yet. What must be there and is not is a StorageError."""

    def __init__(self, reader: ChainReader) -> None:
        self._reader = reader
        self._accepted: dict[Hash32, Accepted] = {}

    def accept(self, accepted: Accepted) -> None:
        """Hold a block until it is written."""
        self._accepted[accepted.block.hash] = accepted

    def accepted(self) -> Iterable[Accepted]:
        """What is to be written, parents before children."""
        return self._accepted.values()

    def written(self) -> None:
        """All that was accepted is on disk now."""
        for accepted in self._accepted.values():
            self._reader.remember(accepted.block, accepted.receipts)
        self._accepted.clear()

    def forget(self, hashes: Iterable[Hash32]) -> None:
        """Blocks have been removed from the database, and those held never get there."""
        for block_hash in hashes:
            self._accepted.pop(block_hash, None)
            self._reader.forget(block_hash)

    def header(self, block_hash: Hash32) -> Header | None:
        """A header by its hash; None for an unknown block."""
        accepted = self._accepted.get(block_hash)
        return self._reader.header(block_hash) if accepted is None else accepted.block.header

    def block(self, header: Header) -> Block:
        """A known block."""
        accepted = self._accepted.get(header.hash)
        block = self._reader.block(header.hash) if accepted is None else accepted.block
        if block is None:
            raise StorageError(f"the body of block {header.ref} is missing")
        return block

    def receipts(self, header: Header) -> tuple[Receipt, ...] | None:
        """What a known block caused; None when it has not been executed."""
        accepted = self._accepted.get(header.hash)
        receipts = None if accepted is None else accepted.receipts
        return self._reader.receipts(header.hash) if receipts is None else receipts

    def total_difficulty(self, block_hash: Hash32) -> int:
        """Of a known block and all before it."""
        accepted = self._accepted.get(block_hash)
        if accepted is not None:
            return accepted.total_difficulty
        total = self._reader.total_difficulty(block_hash)
        if total is None:
            raise StorageError(f"the total difficulty of block 0x{block_hash.hex()} is missing")
        return total
