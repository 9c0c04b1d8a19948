"""Finding events without reading blocks: the port to an index of logs, and asking it together with the chain.

An index stands at some block and the chain may be a little further, or have turned meanwhile. A query is
answered from the index up to where it stands and from the chain's blocks after that, and only if the one is
the beginning of the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from node.execution.executor import Interrupted
from node.primitives.block import BlockRef
from node.primitives.ids import Address, BlockNumber, Hash32
from node.primitives.receipt import Log

WHOLE_BLOCK: Final = (1 << 31) - 1
"""As index of a log: after all events of the block."""


class LogBlock(NamedTuple):
    """What an event's JSON says of its block; a header will do, too."""

    number: BlockNumber
    hash: Hash32
    timestamp: int


class IndexedLog(NamedTuple):
    """An event as an index has it."""

    log: Log
    block: LogBlock
    tx_hash: Hash32
    tx_index: int
    log_index: int


class Position(NamedTuple):
    """Behind an event of a block, or with WHOLE_BLOCK behind all of them."""

    number: BlockNumber
    log_index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogQuery:
    """What is looked for, and how much of it may come at once."""

    addresses: frozenset[Address] = frozenset()
    """Any of these; empty for any at all."""
    topics: tuple[frozenset[Hash32], ...] = ()
    """By position, any of these; empty for any at all."""
    start: BlockNumber
    stop: BlockNumber
    """Inclusive."""
    after: Position | None = None
    """Only what comes behind this."""
    count_max: int
    bytes_max: int
    """As JSON, about."""


@dataclass(frozen=True, slots=True)
class LogPage:
    """What an index found."""

    logs: Sequence[IndexedLog]
    complete: bool
    """False: there is more behind the last one."""
    covered: BlockRef
    """The newest block of the index; events after it are not looked for."""


class LogIndex(Protocol):
    """An index of all events of the canonical chain. Worker threads."""

    def find(self, query: LogQuery, interrupted: Interrupted) -> LogPage | None:
        """Events in order; None while there is nothing in the index. RequestError when it costs too much."""
        ...

    def block_hash(self, number: BlockNumber) -> Hash32 | None:
        """The block at a height as the index knows it."""
        ...
