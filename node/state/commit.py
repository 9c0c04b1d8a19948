"""StateChanges -> changed rows and the new state root. Pure: reads the parent's rows, writes nothing.

Destroyed storage is not deleted slot by slot, which a contract of a million slots could use to stop every
node: the account merely forgets its birth, and what comes later is stored under a new one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from node.native import kernel_or, kernels
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
from node.trie.rows import Change, pack_change, update_tries

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
    packed, left = run.change_plain_accounts(changes)
    leaves = run.change_accounts(changes.storage.keys() | changes.wiped | left, changes)
    (new_root,) = run.change_tries([Change(schema.ACCOUNT_NODE_PREFIX, leaves, root, packed)])
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


@dataclass(frozen=True, slots=True)
class _Touched:
    """An account that changes, maybe in its storage."""

    address: Address
    key: bytes
    old_row: bytes | None
    old: AccountRow | None
    account: Account | None
    """After the block."""
    root: Hash32
    """Of its storage before the block, but after what the block destroyed of it."""
    birth: BlockNumber
    slots: bytes = b""
    """Leaves of its storage that change, packed."""

    def with_root(self, root: Hash32) -> AccountRow | None:
        """The account after the block, whose storage has this root then."""
        if self.account is None:
            return None
        return AccountRow(*self.account, root, NO_BIRTH if root == EMPTY_ROOT else self.birth)


class _Commit:
    """The rows of one block in the making."""

    def __init__(self, read: RowReader, held: RowReader, number: BlockNumber) -> None:
        self._read = read
        self._held = held
        self._number = number
        self.rows: dict[bytes, bytes | None] = {}
        self.before: dict[bytes, bytes | None] = {}
        self.dead: list[tuple[Address, BlockNumber]] = []

    def change_plain_accounts(self, changes: StateChanges) -> tuple[bytes, set[Address]]:
        """Accounts whose storage stays, nearly all of a block's: packed leaves, and those that are left."""
        accounts = changes.accounts
        if kernels is None or not isinstance(accounts, dict):
            return b"", set(accounts)
        packed, left = kernels.leaves_of_accounts(
            accounts, changes.storage, changes.wiped, self._held, self.rows, self.before
        )
        return packed, set(left)

    def change_accounts(
        self, addresses: Iterable[Address], changes: StateChanges
    ) -> dict[bytes, bytes | None]:
        """Their leaves; storage first, all of it together, because an account's leaf holds its root."""
        touched = [self._touched(address, changes) for address in addresses]
        roots = iter(
            self.change_tries(
                [
                    Change(schema.storage_node_prefix(each.address, each.birth), {}, each.root, each.slots)
                    for each in touched
                    if each.slots
                ]
            )
        )
        leaves: dict[bytes, bytes | None] = {}
        for each in touched:
            new = each.with_root(next(roots) if each.slots else each.root)
            if new != each.old:
                self._put(each.key, each.old_row, None if new is None else encode_account(new))
                leaves[keccak256(each.address)] = None if new is None else new.leaf
        return leaves

    def change_tries(self, tries: Sequence[Change]) -> list[Hash32]:
        """Update tries, each with rows of its own; their new roots."""
        return update_tries(self._read, tries, self.rows, self.before)

    def _touched(self, address: Address, changes: StateChanges) -> "_Touched":
        """An account before its storage is changed; rows of slots are noted."""
        key = schema.account_key(address)
        old_row = self._held(key)
        old = None if old_row is None else decode_account(old_row)
        account = _account_after(address, changes, old)
        is_wiped = address in changes.wiped
        if old is not None and old.has_storage and (account is None or is_wiped):
            self.dead.append((address, old.birth))
        if old is not None and old.has_storage and not is_wiped:
            root, birth = old.storage_root, old.birth
        else:
            root, birth = EMPTY_ROOT, self._number
        slots, packed = changes.storage.get(address), b""
        if account is not None and slots:
            prefix = schema.slot_prefix(address, birth)
            packed = _leaves_of_slots(dict(slots), prefix, self._held, self.rows, self.before)
        return _Touched(address, key, old_row, old, account, root, birth, packed)

    def _put(self, key: bytes, old: bytes | None, new: bytes | None) -> None:
        self.before[key] = old
        self.rows[key] = new


def leaves_of_slots_in_python(
    slots: Mapping[int, int],
    prefix: bytes,
    held: RowReader,
    rows: dict[bytes, bytes | None],
    before: dict[bytes, bytes | None],
) -> bytes:
    """Note slots that differ from their rows: new and old row by key; the trie's leaves, packed."""
    leaves = []
    for slot, value in slots.items():
        slot_bytes = slot.to_bytes(32, "big")
        key = prefix + slot_bytes
        old, new = held(key), encode_slot(value)
        if old != new:
            before[key], rows[key] = old, new
            leaves.append(pack_change(keccak256(slot_bytes), None if new is None else rlp.encode_bytes(new)))
    return b"".join(leaves)


_leaves_of_slots = kernel_or(leaves_of_slots_in_python, "leaves_of_slots")


def _account_after(address: Address, changes: StateChanges, old: AccountRow | None) -> Account | None:
    if address in changes.accounts:
        return changes.accounts[address]
    return None if old is None else old.account
