"""The state of a block in the making: pending changes over the parent's view, undone to any point.

Current values (`current`) ask the parent for what they lack, once per block; every change leaves an entry in
one undo list, so that a snapshot is a length and a revert pops entries.
"""

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple, TypeAlias

from node.execution.evm.current import Accounts, Slots, Storage, differing, grow, nothing_stored
from node.native import maker
from node.primitives.crypto import EMPTY_HASH, keccak256
from node.primitives.ids import Address, Hash32
from node.primitives.receipt import Log
from node.primitives.state import EMPTY_ACCOUNT, Account, StateChanges, StateView, made_account

RIPEMD160_ADDRESS: Final = Address(bytes(19) + b"\x03")
"""Touching it survives a revert: a fault of block 2,675,119 that became a rule (EIP-161, note)."""

WarmKey: TypeAlias = Address | tuple[Address, int]
"""An account, or one of its slots."""
_ACCOUNT, SLOT, WARM, _TOUCHED, _DESTROYED, _CREATED, _TRANSIENT, _WIPED = range(8)
"""Kinds of undo entries."""


class Snapshot(NamedTuple):
    """A point to which the world can go back within a transaction."""

    undo: int
    logs: int
    refund: int


_snapshot = maker(Snapshot)
START: Final = Snapshot(0, 0, 0)
"""Where every transaction begins."""
PURCHASED: Final = Snapshot(1, 0, 0)
"""Where it stands once its gas is bought, which no failure of its code undoes."""


class World:
    """Accounts, storage, logs, refunds and the transaction's warm sets."""

    __slots__ = (
        "_accessed",
        "_accounts",
        "_codes",
        "_created",
        "_destroyed",
        "_has_storage",
        "_originals",
        "_parent",
        "_slots",
        "_touched",
        "_transient",
        "_undo",
        "_wiped",
        "always_warm",
        "existing",
        "logs",
        "refund",
        "warm",
    )

    def __init__(self, parent: StateView) -> None:
        self._parent = parent
        self._has_storage: Callable[[Address], bool] | None = getattr(parent, "has_storage", None)
        self._accounts = Accounts(parent.account)
        self.existing: Callable[[Address], Account | None] = self._accounts.__getitem__
        """The account, or None where there is none."""
        # A view may have a quicker way to read many slots of one account.
        self._slots = Storage(getattr(parent, "slots_of", partial(partial, parent.storage)))
        self._codes: dict[Hash32, bytes] = {}
        self._wiped: set[Address] = set()
        self._undo: list[tuple] = []  # type: ignore[type-arg]
        self._accessed: set[WarmKey] | None = None
        self.always_warm: frozenset[WarmKey] = frozenset()
        """What is warm in every transaction."""
        # All that follows lives for one transaction.
        self.warm: set[WarmKey] = set()
        """Addresses, and (address, slot) pairs, beside what is always warm (EIP-2929)."""
        self.refund = 0
        self.logs: list[Log] = []
        self._originals: dict[tuple[Address, int], int] = {}
        self._touched: set[Address] = set()
        self._destroyed: set[Address] = set()
        self._created: set[Address] = set()
        self._transient: dict[tuple[Address, int], int] = {}

    # --- transactions and snapshots

    def begin_transaction(self) -> None:
        """Forget what lives for one transaction."""
        self._undo.clear()
        self.warm = set()
        self.refund = 0
        self.logs = []
        self._originals.clear()
        self._touched.clear()
        self._destroyed.clear()
        self._created.clear()
        self._transient.clear()

    def snapshot(self) -> Snapshot:
        """Now."""
        return _snapshot(len(self._undo), len(self.logs), self.refund)

    def revert(self, snapshot: Snapshot) -> None:
        """Undo all that happened since."""
        undo = self._undo
        while len(undo) > snapshot.undo:
            self._undo_one(undo.pop())
        del self.logs[snapshot.logs :]
        self.refund = snapshot.refund

    def _undo_one(self, entry: tuple) -> None:  # type: ignore[type-arg]
        kind = entry[0]
        if kind == _ACCOUNT:
            self._accounts[entry[1]] = entry[2]
        elif kind == SLOT:
            self._slots[entry[1]][entry[2]] = entry[3]
        elif kind == WARM:
            self.warm.discard(entry[1])
        elif kind == _TOUCHED:
            self._touched.discard(entry[1])
        elif kind == _DESTROYED:
            self._destroyed.discard(entry[1])
        elif kind == _CREATED:
            self._created.discard(entry[1])
        elif kind == _TRANSIENT:
            self._transient[entry[1]] = entry[2]
        else:
            self._slots[entry[1]] = entry[2]
            if entry[3]:
                self._wiped.discard(entry[1])

    def pay(
        self, sender: Address, recipient: Address, value: int, price: int, author: Address, fee: int
    ) -> None:
        """A whole transaction that runs no code: value for the recipient, the price of its gas, and the fee.

        The sender is known to have it; sender and recipient have been looked at. So nothing can fail.
        """
        accounts = self._accounts
        self.existing(author)
        self.logs = []
        grow(accounts, sender, 1, -value - price, EMPTY_ACCOUNT)
        self._receive(recipient, value)
        self._receive(author, fee)

    def _receive(self, address: Address, amount: int) -> None:
        """Add wei where nothing is undone any more; what is touched and empty goes at once (EIP-161)."""
        if amount:
            grow(self._accounts, address, 0, amount, EMPTY_ACCOUNT)
        elif self._accounts[address] == EMPTY_ACCOUNT:
            self._accounts[address] = None

    def settle(self, sender: Address, back: int, author: Address, fee: int) -> None:
        """A transaction ends: the sender gets back what the gas left over cost, the author gets its fee.

        Nothing can fail but to read the author's account.
        """
        self._receive(author, fee)
        self._receive(sender, back)
        for address in self._destroyed:
            self._set(address, None)
            self._wipe(address)
        for address in self._touched:
            account = self._accounts[address]
            if account is not None and account.is_empty:
                self._set(address, None)

    def changes(self) -> StateChanges:
        """All that differs from the parent, final values only; nothing that is as it was."""
        current = self._accounts
        storage: dict[Address, dict[int, int]] = {}
        for address, slots in self._slots.items():
            changed = differing(slots, slots.before)
            if changed and current[address] is not None:
                storage[address] = changed
        accounts = differing(current, current.before)
        wiped = {address for address, account in accounts.items() if account is None}
        wiped |= {address for address in self._wiped if current.before[address] is not None}
        for address in storage.keys() | wiped:
            accounts[address] = current[address]
        codes: dict[Hash32, bytes] = {}
        if self._codes:
            used = {account.code_hash for account in accounts.values() if account is not None}
            codes = {digest: code for digest, code in self._codes.items() if digest in used}
        return StateChanges(accounts, storage, frozenset(wiped), codes)

    # --- accounts

    def account(self, address: Address) -> Account:
        """The account; an empty one where there is none."""
        return self._accounts[address] or EMPTY_ACCOUNT

    def _set(self, address: Address, account: Account | None) -> None:
        self._undo.append((_ACCOUNT, address, self._accounts[address]))
        self._accounts[address] = account

    def _touch(self, address: Address) -> None:
        """Mark for removal at the end of the transaction if empty then (EIP-161)."""
        if address not in self._touched:
            self._touched.add(address)
            if address != RIPEMD160_ADDRESS:
                self._undo.append((_TOUCHED, address))

    def is_occupied(self, address: Address) -> bool:
        """Whether no contract can be created there (EIP-684; storage alone counts too, EIP-7610).

        Storage without code or nonce can only come from a genesis: a view that may hold such an account says
        so by a method `has_storage(address)`; others have none.
        """
        account = self._accounts[address]
        if account is None:
            return False
        if account.nonce or account.code_hash != EMPTY_HASH or any(self._slots[address].values()):
            return True
        return address not in self._wiped and self._has_storage is not None and self._has_storage(address)

    def is_empty(self, address: Address) -> bool:
        """No nonce, balance or code, or not there at all (EIP-161)."""
        account = self._accounts[address]
        return account is None or account.is_empty

    def balance(self, address: Address) -> int:
        """wei."""
        account = self._accounts[address]
        return account.balance if account is not None else 0

    def add_balance(self, address: Address, amount: int) -> None:
        """Add wei (negative takes)."""
        before = self._accounts[address]
        nonce, balance, code_hash = before or EMPTY_ACCOUNT
        balance += amount
        if amount:
            self._undo.append((_ACCOUNT, address, before))
            self._accounts[address] = made_account(nonce, balance, code_hash)
        # Whatever else touches an account leaves it with a nonce, and what is not empty need not be marked:
        # it comes by here again if it is emptied later. A touch that outlives its revert is always marked.
        if not nonce and ((not balance and code_hash == EMPTY_HASH) or address == RIPEMD160_ADDRESS):
            self._touch(address)

    def transfer(self, source: Address, target: Address, amount: int) -> None:
        """Move wei that the source is known to have."""
        if amount:
            self.add_balance(source, -amount)
        self.add_balance(target, amount)

    endow = transfer
    """The value of a transaction that runs code, moved before its first instruction: no news for watchers."""

    def increment_nonce(self, address: Address) -> None:
        """One more transaction or creation by this account."""
        account = self.account(address)
        self._set(address, Account(account.nonce + 1, account.balance, account.code_hash))

    def buy_gas(self, address: Address, price: int) -> int:
        """A transaction begins: the sender's nonce grows and all its gas is paid for; the nonce before."""
        before = grow(self._accounts, address, 1, -price, EMPTY_ACCOUNT)
        self._undo.append((_ACCOUNT, address, before))
        return before.nonce if before is not None else 0

    def code(self, address: Address) -> bytes:
        """The account's code."""
        account = self._accounts[address]
        return self.code_of(account.code_hash) if account is not None else b""

    def code_of(self, code_hash: Hash32) -> bytes:
        """Code by hash, new code included."""
        if code_hash == EMPTY_HASH:
            return b""
        code = self._codes.get(code_hash)
        return code if code is not None else self._parent.code(code_hash)

    def set_code(self, address: Address, code: bytes) -> None:
        """Give a new contract its code."""
        account, digest = self.account(address), keccak256(code)
        self._codes[digest] = code
        self._set(address, Account(account.nonce, account.balance, digest))

    def begin_contract(self, address: Address) -> None:
        """A new contract: nonce 1 (EIP-161), the balance that was sent before, empty storage."""
        self._wipe(address)
        self._set(address, Account(1, self.balance(address), EMPTY_HASH))
        if address not in self._created:
            self._created.add(address)
            self._undo.append((_CREATED, address))

    def was_created(self, address: Address) -> bool:
        """Whether this transaction created the contract."""
        return address in self._created

    def destroy(self, address: Address) -> bool:
        """Remove the account when the transaction ends; False when it was marked already."""
        if address in self._destroyed:
            return False
        self._destroyed.add(address)
        self._undo.append((_DESTROYED, address))
        return True

    # --- storage

    def storage(self, address: Address, slot: int) -> int:
        """The current value of a slot."""
        return self._slots[address][slot]

    def original(self, key: tuple[Address, int], current: int) -> int:
        """The value of (address, slot) at the start of the transaction (EIP-2200), given the current one."""
        return self._originals.get(key, current)

    def set_storage(self, key: tuple[Address, int], before: int, value: int) -> None:
        """Store a value in (address, slot), where `before` stood; the caller has priced it."""
        address, slot = key
        if key not in self._originals:
            self._originals[key] = before
        self._undo.append((SLOT, address, slot, before))
        self._slots[address][slot] = value

    def _wipe(self, address: Address) -> None:
        fresh = address not in self._wiped
        self._undo.append((_WIPED, address, self._slots[address], fresh))
        self._slots[address] = Slots(nothing_stored)
        self._wiped.add(address)

    def transient(self, address: Address, slot: int) -> int:
        """Storage that lives for one transaction (EIP-1153)."""
        return self._transient.get((address, slot), 0)

    def set_transient(self, address: Address, slot: int, value: int) -> None:
        """Store a transient value."""
        key = (address, slot)
        self._undo.append((_TRANSIENT, key, self._transient.get(key, 0)))
        self._transient[key] = value

    # --- warm sets

    def record_accesses(self) -> set[WarmKey]:
        """A set that will hold all that is ever warmed up from now on, undone or not."""
        self._accessed = set()
        return self._accessed

    def warm_up(self, key: WarmKey) -> bool:
        """Mark an address or an (address, slot) pair warm; True when it was cold."""
        if key in self.warm or key in self.always_warm:
            return False
        self.warm.add(key)
        if self._accessed is not None:
            self._accessed.add(key)
        self._undo.append((WARM, key))
        return True
