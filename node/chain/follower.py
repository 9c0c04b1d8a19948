"""The chain as a process sees it that only reads: another one writes, and this one looks again.

What is looked at is one moment of the store, and only a moment at which the head's own state is the durable
one: the writer is then between two blocks, never within a reorganisation. Until there is a newer such moment
the old one stays, whole. The writer therefore keeps no layers (storage.state_layers_max = 0).
"""

from collections.abc import Iterator, Sequence
from threading import Lock
from typing import Any, Final, Protocol

from consensus.rules import SealRules
from node.chain.engine_states import EngineStates
from node.chain.events import ExecutedBlock, HeadChanged
from node.chain.reader import ChainReader
from node.chain.reorg import route
from node.config.settings import StorageSettings
from node.primitives.block import Header
from node.primitives.chain_spec import ChainSpec
from node.primitives.errors import StorageError
from node.state.store import StateStore
from node.storage import blocks, schema
from node.storage.kv import Batch, Snapshot

TOLD_BLOCKS_MAX: Final = 128
"""Blocks that are told of at once; of more, the newest."""


class Store(Protocol):
    """Where snapshots come from."""

    def snapshot(self) -> Snapshot:
        """All rows as they are now."""
        ...


class NoWholeMoment(Exception):
    """The writer is within a reorganisation; look again in a moment."""


class ChainFollower:
    """A ChainReader that moves when it is told to look."""

    def __init__(
        self, store: Store, spec: ChainSpec, rules: SealRules[Any], settings: StorageSettings
    ) -> None:
        """NoWholeMoment; StorageError for a store without a chain."""
        self._store = store
        self._turn = Lock()
        moment = _whole_moment(store)
        if moment is None:
            raise NoWholeMoment
        rows, head = moment
        self._rows = _NewestRows(rows)
        genesis_hash = blocks.read_genesis_hash(rows)
        genesis = None if genesis_hash is None else blocks.read_header(rows, genesis_hash)
        if genesis is None:
            raise StorageError("the genesis header is missing from the database")
        self.state = StateStore(self._rows, settings)
        self.reader = ChainReader(
            spec=spec,
            kv=self._rows,
            state=self.state,
            engine_states=EngineStates(rules, self._rows, genesis, spec.engine.epoch_blocks),
            genesis=genesis,
            head=head,
        )
        self._told = head

    def look(self) -> bool:
        """Take up the newest whole moment. Any thread; whether the head is another one now."""
        with self._turn:
            moment = _whole_moment(self._store)
            if moment is None or moment[1].hash == self.reader.head.hash:
                return False
            rows, head = moment
            # As in the writer: rows first, then the state, then the head that needs both.
            self._rows.rows = rows
            self.state.look_again()
            self.reader.move_head(head)
            return True

    def tell(self) -> None:
        """Tell the reader's subscribers of what has happened since the last time. Event loop."""
        head = self.reader.head
        if head.hash == self._told.hash:
            return
        way = route(self._told, head, self.reader.header)
        self._told = head
        if way.added:
            added = way.added[-TOLD_BLOCKS_MAX:]
            self.reader.events.publish(HeadChanged(self._executed(way.removed), self._executed(added)))

    def _executed(self, headers: Sequence[Header]) -> tuple[ExecutedBlock, ...]:
        found = []
        for header in headers:
            block = self.reader.block(header.hash)
            if block is None:
                raise StorageError(f"the body of block {header.ref} is missing")
            found.append(ExecutedBlock(block, self.reader.receipts(header.hash) or ()))
        return tuple(found)


def _whole_moment(store: Store) -> tuple[Snapshot, Header] | None:
    rows = store.snapshot()
    head = blocks.read_head(rows)
    header = None if head is None else blocks.read_header(rows, head.hash)
    if head is None or header is None:
        raise StorageError(f"the head {head} is missing from the database")
    if rows.get(schema.STATE_BASE_KEY) != blocks.encode_ref(head):
        rows.close()
        return None
    return rows, header


class _NewestRows:
    """KeyValue over whichever moment is the newest; an older one lives for as long as somebody holds it."""

    def __init__(self, rows: Snapshot) -> None:
        self.rows = rows

    def get(self, key: bytes) -> bytes | None:
        return self.rows.get(key)

    def iterate(
        self, start: bytes, stop: bytes | None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        return self.rows.iterate(start, stop, reverse=reverse)

    def snapshot(self) -> Snapshot:
        return self.rows

    def write(self, batch: Batch, *, sync: bool) -> None:
        raise AssertionError("another process writes")

    def close(self) -> None:
        """The store's owner closes it."""
