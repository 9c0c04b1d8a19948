"""StateStore: which states there are, and the deeds that bring the base forward and back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from node.config.settings import StorageSettings
from node.native import kernel_or
from node.primitives.block import BlockRef
from node.primitives.errors import RequestError, StorageError
from node.primitives.ids import Address, BlockNumber, Hash32
from node.primitives.state import AccountProof, StateChanges, StateView
from node.state import history
from node.state.commit import PreparedState, commit
from node.state.flat import FlatView, PastView, RowReader, held_rows
from node.state.proofs import account_proof
from node.storage import schema
from node.storage.blocks import decode_ref, encode_ref, read_number
from node.storage.kv import Batch, KeyValue, Snapshot
from node.trie.nodes import EMPTY_ROOT

PRUNE_BLOCKS_MAX: Final = 64
"""Blocks whose before-images one batch deletes: an archive that becomes a full node does it bit by bit."""
PAST_BLOCKS_MAX: Final = 1_024
"""Blocks below the base whose number and root are remembered."""


class StateUnavailable(RequestError):
    """The state after a block is not kept: never known, on another branch, or pruned."""

    def __init__(
        self,
        block_hash: Hash32,
        number: BlockNumber | None,
        oldest: BlockNumber,
        elsewhere: str | None = None,
    ) -> None:
        """`elsewhere` is the URL of a node that has what was pruned, where the operator named one."""
        block = f"block #{number} 0x{block_hash.hex()}" if number is not None else f"0x{block_hash.hex()}"
        text = f"the state of {block} is not kept; the oldest state kept is that of block #{oldest}"
        if number is not None and number < oldest:
            where = f", such as {elsewhere}" if elsewhere else ""
            text += f"; an archive node has earlier ones{where}"
        super().__init__(text)
        self.block_hash = block_hash
        self.number = number
        """None when no block with this hash is known."""
        self.oldest = oldest


@dataclass(frozen=True, slots=True)
class _Layer:
    """A block above the base."""

    ref: BlockRef
    parent_hash: Hash32
    state: PreparedState


@dataclass(frozen=True, slots=True)
class _Moment:
    """Base, disk and layers that belong together. Replaced whole, so that any thread may take one."""

    base: BlockRef
    root: Hash32
    oldest: BlockNumber
    rows: Snapshot
    layers: Mapping[Hash32, _Layer]
    past: dict[Hash32, tuple[BlockNumber, Hash32]]
    """Number and state root of blocks below the base that were asked for: a cache that ends with the base."""

    def branch(self, block_hash: Hash32) -> list[_Layer]:
        """Layers from a block down to the base, newest first; none for the base itself."""
        found = []
        while block_hash != self.base.hash:
            layer = self.layers[block_hash]
            found.append(layer)
            block_hash = layer.parent_hash
        return found


class StateStore:
    """All kept states of a chain. The package docstring says which calls belong to which thread."""

    def __init__(self, kv: KeyValue, settings: StorageSettings) -> None:
        """Open what the database holds; it may hold no state yet, and then waits for `initialise`."""
        self._kv = kv
        self._settings = settings
        self._moment = self._read_moment()

    def close(self) -> None:
        """Let go of the database: no call may follow, and no view may outlive the database."""
        if self._moment is not None:
            self._moment.rows.close()
        self._moment = None

    @property
    def base(self) -> BlockRef:
        """The block whose state is durable. StorageError in a database without a state."""
        return self._now().base

    @property
    def oldest(self) -> BlockNumber:
        """The first block whose state can still be read (on the base's branch)."""
        return self._now().oldest

    # --- reading

    def has(self, block_hash: Hash32) -> bool:
        """Whether `view` would answer."""
        try:
            self._reader(block_hash)
        except StateUnavailable:
            return False
        return True

    def view(self, block_hash: Hash32) -> StateView:
        """The state after a block, fixed for as long as the view lives; StateUnavailable when not kept."""
        now = self._now()
        read, number, root = self._reader(block_hash, now)
        if number < now.base.number:
            return PastView(read, root, now.rows.get, number)
        return FlatView(read, root)

    def proof(self, block_hash: Hash32, address: Address, slots: Sequence[int]) -> AccountProof:
        """What proves an account and its slots under the block's state root (eth_getProof)."""
        now = self._now()
        read, number, _ = self._reader(block_hash, now)
        return account_proof(read, address, slots, now.rows.get if number < now.base.number else None)

    def look_again(self) -> None:
        """For who only reads: take up the base that somebody else has written. There are no layers."""
        self._moment = self._read_moment()

    # --- blocks above the base

    def view_once(self, block_hash: Hash32) -> StateView:
        """The same as `view`, for one block on top: a row that was read once is held until the view is gone.

        An execution reads what it changes, `prepare` then asks for it again.
        """
        read, _, root = self._reader(block_hash)
        return FlatView(held_rows(read), root)

    def prepare(
        self, parent_hash: Hash32, changes: StateChanges, view: StateView | None = None
    ) -> PreparedState:
        """Rows and root of a block on top of a kept state; changes nothing. Heavy: belongs in a worker.

        `view`: the parent's `view_once`, through which the block was executed.
        """
        read, parent, root = self._reader(parent_hash)
        return commit(read, root, changes, parent + 1, view.rows if isinstance(view, FlatView) else None)

    def add(self, ref: BlockRef, parent_hash: Hash32, prepared: PreparedState) -> None:
        """Make a prepared state readable under its block's hash, on top of the base or another layer."""
        now = self._now()
        assert parent_hash == now.base.hash or parent_hash in now.layers, (
            "a layer lies on the base or a layer"
        )
        layer = _Layer(ref, parent_hash, prepared)
        self._moment = _with_layers(now, {**now.layers, ref.hash: layer})

    def drop(self, block_hash: Hash32) -> None:
        """Forget a layer and all that lie on it; nothing happens where there is none."""
        now = self._now()
        gone = {block_hash, *_layers_on(now, block_hash)}
        self._moment = _with_layers(now, {key: now.layers[key] for key in now.layers if key not in gone})

    def overdue(self, head_hash: Hash32) -> BlockRef | None:
        """Where the base must go because more than `state_layers_max` layers carry the head; None: stay.

        It goes over a quarter of them at once: a row that each of these blocks changed is written once.
        """
        branch = self._now().branch(head_hash)
        most = self._settings.state_layers_max
        return branch[most - most // 4].ref if len(branch) > most else None

    # --- moving the base

    def initialise(self, batch: Batch, ref: BlockRef, changes: StateChanges) -> Hash32:
        """The state of the first block, in an empty database; its root. `flattened(ref)` ends it."""
        assert self._moment is None, "the database has a state already"
        state = commit(self._kv.get, EMPTY_ROOT, changes, ref.number)
        batch.rows.update(state.rows)
        batch.rows.update(state.codes)
        history.put_state_block(batch, ref, state.root)
        batch.put(schema.STATE_OLDEST_KEY, schema.number_bytes(ref.number))
        batch.put(schema.STATE_BASE_KEY, encode_ref(ref))
        return state.root

    def flatten(self, batch: Batch, ref: BlockRef) -> None:
        """Bring the base forward to a layer: its rows and all below it, each block with its before-images."""
        branch = reversed(self._now().branch(ref.hash))
        history.put_states(batch, [(layer.ref, layer.state) for layer in branch])
        batch.put(schema.STATE_BASE_KEY, encode_ref(ref))

    def flattened(self, ref: BlockRef) -> None:
        """The batch is written: layers that do not lie on the new base are gone."""
        old, new = self._moment, self._written_moment(ref)
        if old is not None:
            new = _with_layers(new, old.layers if old.base == ref else _layers_on(old, ref.hash))
        self._moment = new

    def unwind(self, batch: Batch, ref: BlockRef) -> None:
        """Take the base back to an ancestor of it; StateUnavailable when that is not kept."""
        base = self._now().base
        _, kept_number, _ = self._reader(ref.hash)
        assert kept_number == ref.number <= base.number, f"{ref} is not below the base {base}"
        rows: dict[bytes, bytes | None] = {}
        for number in range(base.number, ref.number, -1):
            history.take_back(self._kv, batch, rows, number, ref.number)
        batch.rows.update(rows)
        batch.put(schema.STATE_BASE_KEY, encode_ref(ref))

    def unwound(self, ref: BlockRef) -> None:
        """The batch is written: all layers are gone, for they lay on what was taken back."""
        self._moment = self._written_moment(ref)

    def prune(self, batch: Batch, oldest: BlockNumber) -> None:
        """Forget the states before block `oldest`; PRUNE_BLOCKS_MAX blocks in one call, the rest in the next.

        The batch may be the one that `flatten` fills. What was pruned stays readable until the next
        `flattened`.
        """
        now = self._now()
        oldest = min(oldest, now.base.number, now.oldest + PRUNE_BLOCKS_MAX)
        for number in range(now.oldest + 1, oldest + 1):
            history.forget(self._kv, batch, number)
        if oldest > now.oldest:
            batch.put(schema.STATE_OLDEST_KEY, schema.number_bytes(oldest))
            history.sweep(self._kv, batch, oldest)

    # --- private

    def _now(self) -> _Moment:
        if self._moment is None:
            raise StorageError("the database holds no state yet")
        return self._moment

    def _written_moment(self, ref: BlockRef) -> _Moment:
        moment = self._read_moment()
        if moment is None or moment.base != ref:
            raise StorageError(f"the state's base is {moment and moment.base}, where {ref} was written")
        return moment

    def _read_moment(self) -> _Moment | None:
        rows = self._kv.snapshot()
        base_row, oldest_row = rows.get(schema.STATE_BASE_KEY), rows.get(schema.STATE_OLDEST_KEY)
        if base_row is None or oldest_row is None:
            return None
        base = decode_ref(base_row)
        block = history.read_state_block(rows, base.number)
        if block is None or block[0] != base.hash:
            raise StorageError(f"the state's base is {base}, but the state kept at its number is another's")
        return _Moment(base, block[1], int.from_bytes(oldest_row, "big"), rows, {}, {})

    def _reader(
        self, block_hash: Hash32, now: _Moment | None = None
    ) -> tuple[RowReader, BlockNumber, Hash32]:
        """Rows after a block, its number and its state root."""
        now = now or self._now()
        if block_hash == now.base.hash:
            return now.rows.get, now.base.number, now.root
        if block_hash in now.layers:
            branch = now.branch(block_hash)
            layers = tuple(layer.state for layer in branch)
            return _layered(layers, now.rows), branch[0].ref.number, layers[0].root
        known = now.past.get(block_hash)
        if known is not None:
            return _past(now.rows, known[0]), *known
        number = read_number(now.rows, block_hash)
        if number is not None and now.oldest <= number < now.base.number:
            block = history.read_state_block(now.rows, number)
            if block is not None and block[0] == block_hash:
                if len(now.past) >= PAST_BLOCKS_MAX:
                    now.past.clear()
                now.past[block_hash] = number, block[1]
                return _past(now.rows, number), number, block[1]
        if number is None:
            number = read_number(self._kv, block_hash)
        raise StateUnavailable(block_hash, number, now.oldest, self._settings.history_url)


def _with_layers(moment: _Moment, layers: Mapping[Hash32, _Layer]) -> _Moment:
    return replace(moment, layers=layers)


def _layers_on(moment: _Moment, block_hash: Hash32) -> dict[Hash32, _Layer]:
    """The layers that lie on another one, near or far."""
    return {
        key: layer
        for key, layer in moment.layers.items()
        if any(lower.parent_hash == block_hash for lower in moment.branch(key))
    }


def _layered(layers: Sequence[PreparedState], base: Snapshot) -> RowReader:
    rows = (*(layer.rows for layer in layers), *(layer.codes for layer in layers if layer.codes))
    return partial(_row_of_layers, rows, base.get)


def _layered_row_in_python(
    layers: tuple[Mapping[bytes, bytes | None], ...], beneath: RowReader, key: bytes
) -> bytes | None:
    for rows in layers:
        if key in rows:
            return rows[key]
    return beneath(key)


_row_of_layers = kernel_or(_layered_row_in_python, "layered_row")


def _past(base: Snapshot, number: BlockNumber) -> RowReader:
    return lambda key: history.row_after(base, key, number)
