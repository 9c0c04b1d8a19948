"""The state of a block in the making, as py-evm's instructions ask for it.

Values read from the parent view and pending changes lie in plain dicts. Every change leaves an entry in one
undo list, so that a snapshot is a length and a revert pops entries; logs, the refund counter, warm sets and
destroyed accounts go through the same list, so that whatever a failed frame did is gone.

The get_/set_ names are py-evm's StateAPI: its instructions call them. The rest is for our transaction loop.
"""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from node.execution.executor import BlockContext, ExecutionInterrupted, Interrupted
from node.primitives.chain_spec import Fork
from node.primitives.crypto import EMPTY_HASH, keccak256
from node.primitives.ids import Address, Hash32
from node.primitives.receipt import Log
from node.primitives.state import EMPTY_ACCOUNT, Account, StateChanges, StateView

ANCESTORS_MAX: Final = 256
"""How many blocks back BLOCKHASH sees."""
RIPEMD160_ADDRESS: Final = Address(bytes(19) + b"\x03")
"""Touching it outlives a revert: a fault in block 2,675,119 of the main network became a rule."""

StorageKey: TypeAlias = tuple[Address, int]

_Undo: TypeAlias = tuple[Any, ...]
# (kind, what, ... what it was), of these kinds:
_ACCOUNT, _TOUCH, _SLOT, _WIPE, _WARM_ADDRESS, _WARM_SLOT, _LOG, _REFUND, _DESTROY, _CREATE, _TRANSIENT = (
    range(11)
)


class PyEvmState:
    """One block's accounts, storage and, within a transaction, all that is undone with it."""

    def __init__(self, context: BlockContext, parent: StateView) -> None:
        self.context = context
        self.coinbase = context.author
        self.timestamp = context.timestamp
        self.block_number = context.number
        self.difficulty = context.difficulty
        self.gas_limit = context.gas_limit
        self.base_fee = context.base_fee_per_gas or 0
        self.blob_base_fee = 1
        """wei; its least value, which is what a chain without blobs shows."""
        self.execution_context = context
        """CHAINID reads `chain_id` from it."""
        self.interrupted: Interrupted | None = None
        self._parent = parent
        self._has_storage: Callable[[Address], bool] | None = getattr(parent, "has_storage", None)
        self._keeps_empty = context.fork < Fork.SPURIOUS_DRAGON
        self._before: dict[Address, Account | None] = {}
        self._accounts: dict[Address, Account | None] = {}
        self._slots: dict[Address, dict[int, int]] = {}
        self._slots_before: dict[Address, dict[int, int]] = {}
        self._codes: dict[Hash32, bytes] = {}
        self._new_codes: dict[Hash32, bytes] = {}
        self._wiped: set[Address] = set()
        self.begin_transaction(set(), set())

    # --- transactions

    def begin_transaction(self, warm: set[Address], warm_slots: set[StorageKey]) -> None:
        """Forget the last transaction; `warm` are warm from its first instruction on."""
        self._undo: list[_Undo] = []
        self._warm = warm
        self._warm_slots = warm_slots
        self._cooled: set[Address] = set()
        self._cooled_slots: set[StorageKey] = set()
        self._original: dict[StorageKey, int] = {}
        self._transient: dict[StorageKey, bytes] = {}
        self._ripemd160_touched = False
        self.refund = 0
        self.logs: list[Log] = []
        self.destroyed: set[Address] = set()
        self.created: set[Address] = set()

    def end_transaction(self) -> None:
        """Remove what was destroyed, and touched accounts that are empty (EIP-161)."""
        for address in self.destroyed:
            self._remove(address)
        if self._keeps_empty:
            return
        for entry in self._undo:
            if entry[0] <= _TOUCH:
                account = self._accounts[entry[1]]
                if account is not None and account.is_empty:
                    self._remove(entry[1])
        if self._ripemd160_touched and self.is_empty(RIPEMD160_ADDRESS):
            self._remove(RIPEMD160_ADDRESS)

    def poll(self) -> None:
        """Give up when the caller wants it: ExecutionInterrupted."""
        if self.interrupted is not None and self.interrupted():
            raise ExecutionInterrupted

    def accessed(self) -> tuple[set[Address], set[StorageKey]]:
        """Every address and slot the transaction was given warm or made warm, reverted frames included."""
        return self._warm | self._cooled, self._warm_slots | self._cooled_slots

    def snapshot(self) -> int:
        """A point within the transaction to go back to."""
        return len(self._undo)

    def commit(self, snapshot: int) -> None:
        """Nothing to do: changes are pending until the block ends."""

    def revert(self, snapshot: int) -> None:
        """Undo everything since the snapshot."""
        undo = self._undo
        while len(undo) > snapshot:
            entry = undo.pop()
            kind = entry[0]
            if kind == _ACCOUNT:
                self._accounts[entry[1]] = entry[2]
            elif kind == _SLOT:
                self._slots[entry[1]][entry[2]] = entry[3]
            elif kind == _WARM_ADDRESS:
                self._warm.discard(entry[1])
                self._cooled.add(entry[1])
            elif kind == _WARM_SLOT:
                self._warm_slots.discard(entry[1])
                self._cooled_slots.add(entry[1])
            else:
                self._undo_rarely(entry)

    def _undo_rarely(self, entry: _Undo) -> None:
        kind = entry[0]
        if kind == _LOG:
            self.logs.pop()
        elif kind == _REFUND:
            self.refund = entry[1]
        elif kind == _TRANSIENT:
            self._transient[entry[1]] = entry[2]
        elif kind == _TOUCH:
            self._ripemd160_touched |= entry[1] == RIPEMD160_ADDRESS
        elif kind == _DESTROY:
            self.destroyed.discard(entry[1])
        elif kind == _CREATE:
            self.created.discard(entry[1])
        elif kind == _WIPE:
            self._slots[entry[1]] = entry[2]
            if not entry[3]:
                self._wiped.discard(entry[1])

    # --- accounts

    def account(self, address: Address) -> Account | None:
        """The account as it is now; None where there is none."""
        try:
            return self._accounts[address]
        except KeyError:
            account = self._parent.account(address)
            self._accounts[address] = self._before[address] = account
            return account

    def put(self, address: Address, account: Account | None) -> None:
        """Change an account, to be undone by a revert."""
        self._undo.append((_ACCOUNT, address, self.account(address)))
        self._accounts[address] = account

    def get_balance(self, address: Address) -> int:
        """wei."""
        account = self.account(address)
        return account.balance if account is not None else 0

    def set_balance(self, address: Address, balance: int) -> None:
        """Set wei; touches the account, and makes it when there is none."""
        nonce, _, code_hash = self.account(address) or EMPTY_ACCOUNT
        self.put(address, Account(nonce, balance, code_hash))

    def delta_balance(self, address: Address, delta: int) -> None:
        """Add wei, or take it when negative."""
        self.set_balance(address, self.get_balance(address) + delta)

    def get_nonce(self, address: Address) -> int:
        """How many transactions or creations the account has begun."""
        account = self.account(address)
        return account.nonce if account is not None else 0

    def increment_nonce(self, address: Address) -> None:
        """One more of them."""
        nonce, balance, code_hash = self.account(address) or EMPTY_ACCOUNT
        self.put(address, Account(nonce + 1, balance, code_hash))

    def get_code_hash(self, address: Address) -> Hash32:
        """Hash of the account's code."""
        account = self.account(address)
        return account.code_hash if account is not None else EMPTY_HASH

    def get_code(self, address: Address) -> bytes:
        """The account's code."""
        code_hash = self.get_code_hash(address)
        if code_hash == EMPTY_HASH:
            return b""
        code = self._codes.get(code_hash)
        if code is None:
            code = self._codes[code_hash] = self._parent.code(code_hash)
        return code

    def set_code(self, address: Address, code: bytes) -> None:
        """Give the account code."""
        code_hash = keccak256(code)
        self._codes[code_hash] = self._new_codes[code_hash] = code
        nonce, balance, _ = self.account(address) or EMPTY_ACCOUNT
        self.put(address, Account(nonce, balance, code_hash))

    def has_code_or_nonce(self, address: Address) -> bool:
        """Whether a contract cannot be created here (EIP-684; storage alone counts too, EIP-7610).

        An account with storage alone cannot come to be from Spurious Dragon on, except in a genesis: a view
        that can hold one says so by a method `has_storage(address)`; others have none.
        """
        account = self.account(address)
        if account is None:
            return False
        if account.nonce or account.code_hash != EMPTY_HASH or any(self._slots.get(address, {}).values()):
            return True
        return address not in self._wiped and self._has_storage is not None and self._has_storage(address)

    def account_exists(self, address: Address) -> bool:
        """Whether there is an account, be it empty."""
        return self.account(address) is not None

    def is_empty(self, address: Address) -> bool:
        """No account, or one without nonce, balance and code."""
        account = self.account(address)
        return account is None or account.is_empty

    account_is_empty = is_empty

    def touch_account(self, address: Address) -> None:
        """A message reached the account: if empty it goes (EIP-161), before that rule it comes into being."""
        account = self.account(address)
        if account is None:
            if self._keeps_empty:
                self.put(address, EMPTY_ACCOUNT)
        elif account.is_empty:
            self._undo.append((_TOUCH, address))

    def mark_created(self, address: Address) -> None:
        """A contract comes into being here in this transaction; storage left from before is not its own."""
        self.delete_storage(address)
        if address not in self.created:
            self._undo.append((_CREATE, address))
            self.created.add(address)

    def destroy(self, address: Address) -> None:
        """The account goes when the transaction ends."""
        if address not in self.destroyed:
            self._undo.append((_DESTROY, address))
            self.destroyed.add(address)

    def _remove(self, address: Address) -> None:
        self._accounts[address] = None
        self.delete_storage(address)

    # --- storage

    def get_storage(self, address: Address, slot: int, from_journal: bool = True) -> int:
        """A slot's value now, or at the start of the transaction (`from_journal` False; EIP-2200)."""
        if not from_journal:
            original = self._original.get((address, slot))
            if original is not None:
                return original
        slots = self._slots.get(address)
        if slots is None:
            slots = self._slots[address] = {}
        value = slots.get(slot)
        if value is None:
            value = slots[slot] = 0 if address in self._wiped else self._read_slot(address, slot)
        return value

    def _read_slot(self, address: Address, slot: int) -> int:
        self.account(address)
        if self._before[address] is None:
            return 0
        before = self._slots_before.get(address)
        if before is None:
            before = self._slots_before[address] = {}
        value = before[slot] = self._parent.storage(address, slot)
        return value

    def set_storage(self, address: Address, slot: int, value: int) -> None:
        """Store a value."""
        before = self.get_storage(address, slot)
        self._original.setdefault((address, slot), before)
        self._undo.append((_SLOT, address, slot, before))
        self._slots[address][slot] = value

    def delete_storage(self, address: Address) -> None:
        """Empty the account's storage; nothing to do where there never was any."""
        self.account(address)
        if self._before[address] is None and not self._slots.get(address):
            return
        self._undo.append((_WIPE, address, self._slots.get(address, {}), address in self._wiped))
        self._slots[address] = {}
        self._wiped.add(address)

    def get_transient_storage(self, address: Address, slot: int) -> bytes:
        """A value that lives for one transaction (EIP-1153)."""
        return self._transient.get((address, slot), b"")

    def set_transient_storage(self, address: Address, slot: int, value: bytes) -> None:
        """Store a transient value."""
        key = (address, slot)
        self._undo.append((_TRANSIENT, key, self._transient.get(key, b"")))
        self._transient[key] = value

    # --- warm sets (EIP-2929), logs, refund

    def is_address_warm(self, address: Address) -> bool:
        """Whether the transaction has paid for the address."""
        return address in self._warm

    def mark_address_warm(self, address: Address) -> None:
        """The address is paid for."""
        if address not in self._warm:
            self._undo.append((_WARM_ADDRESS, address))
            self._warm.add(address)

    def is_storage_warm(self, address: Address, slot: int) -> bool:
        """Whether the transaction has paid for the slot."""
        return (address, slot) in self._warm_slots

    def mark_storage_warm(self, address: Address, slot: int) -> None:
        """The slot is paid for."""
        key = (address, slot)
        if key not in self._warm_slots:
            self._undo.append((_WARM_SLOT, key))
            self._warm_slots.add(key)

    def add_log(self, log: Log) -> None:
        """A contract says something; forgotten if its frame fails."""
        self._undo.append((_LOG,))
        self.logs.append(log)

    def add_refund(self, gas: int) -> None:
        """Gas to be given back at the end; negative takes an earlier refund away."""
        self._undo.append((_REFUND, self.refund))
        self.refund += gas

    # --- the block

    def get_ancestor_hash(self, number: int) -> bytes:
        """What BLOCKHASH shows: one of the last 256 ancestors' hashes, or nothing."""
        if not self.block_number - ANCESTORS_MAX <= number < self.block_number or number < 0:
            return b""
        return self.context.block_hash(number) or b""

    def changes(self) -> StateChanges:
        """All that differs from the parent, final values only; nothing that is as it was."""
        before = self._before
        wiped = frozenset(address for address in self._wiped if before[address] is not None)
        storage = {}
        for address, slots in self._slots.items():
            changed = self._changed_slots(address, slots, address in wiped)
            if changed:
                storage[address] = changed
        accounts = {
            address: account
            for address, account in self._accounts.items()
            if (account is not before[address] and account != before[address])
            or address in storage
            or address in wiped
        }
        used = {account.code_hash for account in accounts.values() if account is not None}
        codes = {code_hash: code for code_hash, code in self._new_codes.items() if code_hash in used}
        return StateChanges(accounts, storage, wiped, codes)

    def _changed_slots(self, address: Address, slots: dict[int, int], wiped: bool) -> dict[int, int]:
        before = self._slots_before.get(address)
        if wiped or before is None:
            return {slot: value for slot, value in slots.items() if value}
        return {slot: value for slot, value in slots.items() if value != before.get(slot, 0)}
