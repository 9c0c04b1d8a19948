"""What executor, trie and light client all speak of: accounts, a view of them, and changes to them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from node.native import maker
from node.primitives.crypto import EMPTY_HASH
from node.primitives.ids import Address, Hash32


class Account(NamedTuple):
    """An account as the EVM sees it; its storage root is the trie's business."""

    nonce: int
    balance: int
    """wei."""
    code_hash: Hash32

    @property
    def is_empty(self) -> bool:
        """No nonce, balance or code (EIP-161): such an account is not kept."""
        return self.nonce == 0 and self.balance == 0 and self.code_hash == EMPTY_HASH


EMPTY_ACCOUNT: Final = Account(0, 0, EMPTY_HASH)
made_account = maker(Account)
"""Account(...), quicker: a block makes some five for each transaction."""


class StateView(Protocol):
    """The state after one block, fixed for as long as the view lives."""

    def account(self, address: Address) -> Account | None:
        """The account, or None where there is none."""
        ...

    def storage(self, address: Address, slot: int) -> int:
        """The value of a slot; 0 where nothing is stored."""
        ...

    def code(self, code_hash: Hash32) -> bytes:
        """The code with this hash, which some account of the view has; b"" for EMPTY_HASH."""
        ...


@dataclass(frozen=True, slots=True)
class StateChanges:
    """The difference between two states, final values only."""

    accounts: Mapping[Address, Account | None] = field(default_factory=dict)
    """None: the account is gone. An account whose storage alone changed is listed too."""
    storage: Mapping[Address, Mapping[int, int]] = field(default_factory=dict)
    """New values by slot; 0 clears a slot. Applied after `wiped`."""
    wiped: frozenset[Address] = frozenset()
    """Accounts whose storage is emptied first: destroyed, or destroyed and created again."""
    codes: Mapping[Hash32, bytes] = field(default_factory=dict)
    """New code by hash."""


@dataclass(frozen=True, slots=True)
class StorageProof:
    """One slot under the account's storage root."""

    slot: int
    value: int
    nodes: tuple[bytes, ...]
    """From the storage root towards keccak256(slot); none when the storage is empty."""


@dataclass(frozen=True, slots=True)
class AccountProof:
    """An account under the state root (EIP-1186). An absent one has zeros and the hashes of nothing."""

    address: Address
    nonce: int
    balance: int
    """wei."""
    code_hash: Hash32
    storage_root: Hash32
    nodes: tuple[bytes, ...]
    """From the state root towards keccak256(address)."""
    storage: tuple[StorageProof, ...]
    """In the order they were asked for."""
