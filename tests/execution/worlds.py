"""States that live in memory, for tests of execution."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from node.primitives import rlp
from node.primitives.crypto import EMPTY_HASH, keccak256
from node.primitives.ids import Address, Hash32
from node.primitives.state import Account, StateChanges
from node.trie.tree import update


@dataclass(slots=True)
class MemoryView:
    """A StateView over plain dicts."""

    accounts: dict[Address, Account] = field(default_factory=dict)
    slots: dict[Address, dict[int, int]] = field(default_factory=dict)
    codes: dict[Hash32, bytes] = field(default_factory=dict)

    def account(self, address: Address) -> Account | None:
        """The account, or None."""
        return self.accounts.get(address)

    def storage(self, address: Address, slot: int) -> int:
        """The slot's value."""
        return self.slots.get(address, {}).get(slot, 0)

    def code(self, code_hash: Hash32) -> bytes:
        """Code by hash."""
        return b"" if code_hash == EMPTY_HASH else self.codes[code_hash]

    def has_storage(self, address: Address) -> bool:
        """Whether any slot is set."""
        return bool(self.slots.get(address))

    def put(
        self,
        address: Address,
        balance: int = 0,
        nonce: int = 0,
        code: bytes = b"",
        storage: Mapping[int, int] | None = None,
    ) -> None:
        """Set an account."""
        code_hash = keccak256(code)
        self.codes[code_hash] = code
        self.accounts[address] = Account(nonce, balance, code_hash)
        self.slots[address] = {slot: value for slot, value in (storage or {}).items() if value}

    def after(self, changes: StateChanges) -> "MemoryView":
        """The state with the changes made; AssertionError when they are not minimal."""
        assert_minimal(self, changes)
        accounts, slots = dict(self.accounts), {a: dict(s) for a, s in self.slots.items()}
        for address, account in changes.accounts.items():
            if account is None:
                del accounts[address]
                slots.pop(address, None)
            else:
                accounts[address] = account
        for address in changes.wiped:
            slots.pop(address, None)
        for address, changed in changes.storage.items():
            slots[address] = {s: v for s, v in (slots.get(address, {}) | dict(changed)).items() if v}
        return MemoryView(accounts, slots, {**self.codes, **changes.codes})

    def root(self) -> Hash32:
        """The state root."""
        slots = self.slots
        leaves = {
            _key(address): _leaf(account, frozenset(slots.get(address, {}).items()))
            for address, account in self.accounts.items()
        }
        return update(_nothing, leaves).root


_key = lru_cache(1024)(keccak256)


@lru_cache(1024)  # most accounts of a state are those of the case before
def _leaf(account: Account, slots: frozenset[tuple[int, int]]) -> bytes:
    stored = {keccak256(slot.to_bytes(32, "big")): rlp.encode(value) for slot, value in slots}
    storage_root = update(_nothing, stored).root
    return rlp.encode([account.nonce, account.balance, storage_root, account.code_hash])


def assert_minimal(view: MemoryView, changes: StateChanges) -> None:
    """The changes name nothing that stays as it was, and hold together."""
    for address, account in changes.accounts.items():
        changed = account != view.account(address)
        assert changed or address in changes.storage or address in changes.wiped, address.hex()
        assert account is not None or address not in changes.storage, "storage of no account"
        assert account is not None or address in changes.wiped, "gone, yet not wiped"
    for address, slots in changes.storage.items():
        assert address in changes.accounts, "storage without its account"
        assert slots, "no slot changed"
        wiped = address in changes.wiped
        for slot, value in slots.items():
            assert value != (0 if wiped else view.storage(address, slot)), (address.hex(), slot)
    assert changes.wiped <= view.accounts.keys() & changes.accounts.keys()
    used = {account.code_hash for account in changes.accounts.values() if account is not None}
    assert changes.codes.keys() <= used
    assert all(keccak256(code) == digest for digest, code in changes.codes.items())


def _nothing(path: str) -> None:
    return None
