"""What the engine knows after each block (Clique: signers, recents, votes): recent ones, disk, or recomputed.

A state follows from its parent's state and the header alone, so losing one costs time, never truth: it is
recomputed from the nearest earlier block whose state is at hand, genesis at worst.
"""

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from consensus.rules import SealRules
from node.chain.cache import RecentlyUsed
from node.primitives.block import Header
from node.primitives.errors import ChainError, StorageError
from node.primitives.ids import Hash32
from node.storage.kv import Batch, Reader
from node.storage.locks import put_engine_state, read_engine_state

STATE_INTERVAL_BLOCKS: Final = 1_024
"""A state reaches the disk every so many blocks, which bounds how many headers are walked for one."""
STATES_IN_MEMORY: Final = 2_048
"""Above a whole run of headers, so that a run is verified once."""

State = TypeVar("State")


class EngineStates(Generic[State]):
    """States by block; safe from any thread."""

    def __init__(
        self, rules: SealRules[State], kv: Reader, genesis: Header, epoch_blocks: int = STATE_INTERVAL_BLOCKS
    ) -> None:
        self.rules = rules
        self._kv = kv
        self._genesis_hash = genesis.hash
        self._genesis_state = rules.initial(genesis)
        self._epoch_blocks = epoch_blocks
        self._recent: RecentlyUsed[Hash32, State] = RecentlyUsed(STATES_IN_MEMORY)

    def after(self, header: Header, header_of: Callable[[Hash32], Header | None]) -> State:
        """The state after a header whose ancestors `header_of` finds; StorageError where one is missing."""
        missing: list[Header] = []
        state = self._at_hand(header.hash)
        while state is None:
            missing.append(header)
            parent = header_of(header.parent_hash)
            if parent is None:
                raise StorageError(f"the parent of block {header.ref} is missing")
            header = parent
            state = self._at_hand(header.hash)
        for child in reversed(missing):
            try:
                state = self.rules.advance(state, header, child)
            except ChainError as error:
                raise StorageError(f"stored block {child.ref} breaks its engine's rules: {error}") from error
            self._recent.put(child.hash, state)
            header = child
        return state

    def advance(self, state: State, parent: Header, header: Header) -> State:
        """Verify the header on its parent's state and remember the state after it; InvalidSeal otherwise."""
        after = self.rules.advance(state, parent, header)
        self._recent.put(header.hash, after)
        return after

    def put_if_due(self, batch: Batch, header: Header, state: State) -> None:
        """Add the state's row where the interval or the engine's epoch asks for one."""
        if header.number % STATE_INTERVAL_BLOCKS == 0 or header.number % self._epoch_blocks == 0:
            self.put(batch, header, state)

    def put(self, batch: Batch, header: Header, state: State) -> None:
        """Add the state's row."""
        put_engine_state(batch, header.hash, self.rules.encode_state(state))

    def _at_hand(self, block_hash: Hash32) -> State | None:
        if block_hash == self._genesis_hash:
            return self._genesis_state
        state = self._recent.get(block_hash)
        if state is not None:
            return state
        row = read_engine_state(self._kv, block_hash)
        if row is None:
            return None
        try:
            state = self.rules.decode_state(row)
        except ChainError as error:
            raise StorageError(
                f"engine state of 0x{block_hash.hex()} cannot be read back: {error}"
            ) from error
        self._recent.put(block_hash, state)
        return state
