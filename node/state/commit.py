"""StateChanges -> changed rows and the new state root. Pure: reads the parent's rows, writes nothing.

Destroyed storage is not deleted slot by slot, which a contract of a million slots could use to stop every
node: the account merely forgets its birth, and what comes later is stored under a new one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from node.native import has, kernel_or, kernels
from node.primitives import rlp
from node.primitives.crypto import keccak256
from node.primitives.ids import Address, BlockNumber, Hash32
from node.primitives.state import Account, StateChanges, StateView
from node.state.flat import (
    NO_BIRTH,
    AccountRow,
    FlatView,
    RowReader,
    decode_account,
    encode_account,
    encode_slot,
)
from node.storage import schema
from node.trie.nodes import EMPTY_ROOT
from node.trie.rows import update_rows

_IN_C: Final = has("account_leaves")
_NUMBER_OF_NO_BLOCK: Final = (1 << 64) - 1
"""Rows that are made for their root alone are born in no block, and so never mistaken for a block's."""


@dataclass(frozen=True, slots=True)
class PreparedState:
    """A block's effect on the state, as rows."""

    root: Hash32
    """The state root after the block."""
    rows: dict[bytes, bytes | None] = field(repr=False)
    """New row by state key, changed rows only; None: there is none any more."""
    before: dict[bytes, bytes | None] = field(repr=False)
    """The same keys in the parent's state."""
    codes: dict[bytes, bytes | None] = field(repr=False)
    """New code by state key; code is never taken back."""
    dead: tuple[tuple[Address, BlockNumber], ...]
    """Storage (address, birth) that was destroyed as a whole."""


def commit(
    read: RowReader,
    root: Hash32,
    changes: StateChanges,
    number: BlockNumber,
    held: RowReader | None = None,
) -> PreparedState:
    """Apply a block's changes to the state with `root` that `read` answers for; `number` is the block's.

    `held` answers the same and has accounts and slots at hand, because an execution has read them.
    Keccak and RLP of every touched trie node: about 25 us per changed account or slot.
    BrokenTrie when the rows do not have that root.
    """
    run = _Commit(read, held or read, number)
    leaves: dict[bytes, bytes | None] = {}
    left = run.change_plain_accounts(changes, leaves)
    for address in changes.storage.keys() | changes.wiped | left:
        run.change_account(address, changes, leaves)
    new_root = run.change_trie(schema.ACCOUNT_NODE_PREFIX, root, leaves)
    codes: dict[bytes, bytes | None] = {
        schema.code_key(code_hash): code for code_hash, code in changes.codes.items() if code
    }
    return PreparedState(new_root, run.rows, run.before, codes, tuple(sorted(run.dead)))


def state_root_of(changes: StateChanges) -> Hash32:
    """Root of a state that consists of `changes` alone, as a genesis does."""
    return commit(lambda key: None, EMPTY_ROOT, changes, 0).root


def root_after(view: StateView, changes: StateChanges) -> Hash32:
    """Root of a StateStore's view with these changes: what receipts before Byzantium carry."""
    assert isinstance(view, FlatView), "only a store's own view has rows"
    assert view.root is not None, "only a store's own view knows its root"
    return commit(view.rows, view.root, changes, _NUMBER_OF_NO_BLOCK).root


class _Commit:
    """The rows of one block in the making."""

    def __init__(self, read: RowReader, held: RowReader, number: BlockNumber) -> None:
        self._read = read
        self._held = held
        self._number = number
        self.rows: dict[bytes, bytes | None] = {}
        self.before: dict[bytes, bytes | None] = {}
        self.dead: list[tuple[Address, BlockNumber]] = []

    def change_plain_accounts(self, changes: StateChanges, leaves: dict[bytes, bytes | None]) -> set[Address]:
        """Accounts whose storage stays, nearly all of a block's; those left to `change_account`."""
        accounts = changes.accounts
        if kernels is None or not _IN_C or not isinstance(accounts, dict):
            return set(accounts)
        return set(
            kernels.account_leaves(
                accounts, changes.storage, changes.wiped, self._held, self.rows, self.before, leaves
            )
        )

    def change_account(
        self, address: Address, changes: StateChanges, leaves: dict[bytes, bytes | None]
    ) -> None:
        """Storage first, because the account's leaf holds its root."""
        key = schema.account_key(address)
        old_row = self._held(key)
        old = None if old_row is None else decode_account(old_row)
        account = _account_after(address, changes, old)
        new = None if account is None else self._with_storage(address, account, old, changes)
        if old is not None and old.has_storage and (account is None or address in changes.wiped):
            self.dead.append((address, old.birth))
        if new != old:
            self._put(key, old_row, None if new is None else encode_account(new))
            leaves[keccak256(address)] = None if new is None else new.leaf

    def change_trie(self, prefix: bytes, root: Hash32, leaves: dict[bytes, bytes | None]) -> Hash32:
        """Update the trie whose node rows begin with `prefix`; its new root."""
        done = update_rows(self._read, prefix, leaves, root)
        self.rows.update(done.rows)
        self.before.update(done.before)
        return done.root

    def _with_storage(
        self, address: Address, account: Account, old: AccountRow | None, changes: StateChanges
    ) -> AccountRow:
        slots = changes.storage.get(address, {})
        if old is not None and old.has_storage and address not in changes.wiped:
            root, birth = old.storage_root, old.birth
        else:
            root, birth = EMPTY_ROOT, self._number
        if slots:
            root = self._change_slots(address, birth, root, slots)
        return AccountRow(*account, root, NO_BIRTH if root == EMPTY_ROOT else birth)

    def _change_slots(
        self, address: Address, birth: BlockNumber, root: Hash32, slots: Mapping[int, int]
    ) -> Hash32:
        prefix = schema.slot_prefix(address, birth)
        leaves: dict[bytes, bytes | None] = {}
        _slot_leaves(dict(slots), prefix, self._held, self.rows, self.before, leaves)
        return self.change_trie(schema.storage_node_prefix(address, birth), root, leaves) if leaves else root

    def _put(self, key: bytes, old: bytes | None, new: bytes | None) -> None:
        self.before[key] = old
        self.rows[key] = new


def slot_leaves_in_python(
    slots: Mapping[int, int],
    prefix: bytes,
    held: RowReader,
    rows: dict[bytes, bytes | None],
    before: dict[bytes, bytes | None],
    leaves: dict[bytes, bytes | None],
) -> None:
    """Note slots that differ from their rows: new and old row by key, and the trie's leaf."""
    for slot, value in slots.items():
        slot_bytes = slot.to_bytes(32, "big")
        key = prefix + slot_bytes
        old, new = held(key), encode_slot(value)
        if old != new:
            before[key], rows[key] = old, new
            leaves[keccak256(slot_bytes)] = None if new is None else rlp.encode_bytes(new)


_slot_leaves = kernel_or(slot_leaves_in_python, "slot_leaves")


def _account_after(address: Address, changes: StateChanges, old: AccountRow | None) -> Account | None:
    if address in changes.accounts:
        return changes.accounts[address]
    return None if old is None else old.account
