"""A view of the state with what eth_call is asked to pretend."""

from collections.abc import Mapping

from node.execution.executor import AccountOverride
from node.primitives.crypto import keccak256
from node.primitives.ids import Address, Hash32
from node.primitives.state import EMPTY_ACCOUNT, Account, StateView


class OverriddenView:
    """A StateView that answers from the overrides first."""

    def __init__(self, view: StateView, overrides: Mapping[Address, AccountOverride]) -> None:
        self._view = view
        self._overrides = overrides
        codes = {
            address: override.code for address, override in overrides.items() if override.code is not None
        }
        self._code_hashes = {address: keccak256(code) for address, code in codes.items()}
        self._codes = {self._code_hashes[address]: code for address, code in codes.items()}

    def account(self, address: Address) -> Account | None:
        """The account, pretended fields instead of real ones; an override makes it exist."""
        account = self._view.account(address)
        override = self._overrides.get(address)
        if override is None:
            return account
        nonce, balance, code_hash = account or EMPTY_ACCOUNT
        return Account(
            nonce if override.nonce is None else override.nonce,
            balance if override.balance is None else override.balance,
            self._code_hashes.get(address, code_hash),
        )

    def storage(self, address: Address, slot: int) -> int:
        """The pretended value where there is one."""
        override = self._overrides.get(address)
        if override is None:
            return self._view.storage(address, slot)
        if slot in override.storage_diff:
            return override.storage_diff[slot]
        if override.storage is not None:
            return override.storage.get(slot, 0)
        return self._view.storage(address, slot)

    def code(self, code_hash: Hash32) -> bytes:
        """Code by hash, pretended code included."""
        code = self._codes.get(code_hash)
        return self._view.code(code_hash) if code is None else code
