"""Accounts and slots as they stand now: dicts that ask the parent for what they lack, once."""

from collections.abc import Callable
from typing import TypeVar

from node.native import kernel_or
from node.primitives.ids import Address
from node.primitives.state import Account

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class Accounts(dict[Address, Account | None]):
    """Accounts as they stand now."""

    __slots__ = ("_read", "before")

    def __init__(self, read: Callable[[Address], Account | None]) -> None:
        super().__init__()
        self._read = read
        self.before: dict[Address, Account | None] = {}
        """The same as the parent has them."""

    def __missing__(self, address: Address) -> Account | None:
        account = self[address] = self.before[address] = self._read(address)
        return account


class Slots(dict[int, int]):
    """One account's slots as they stand now."""

    __slots__ = ("_read", "before")

    def __init__(self, read: Callable[[int], int]) -> None:
        super().__init__()
        self._read = read
        self.before: dict[int, int] = {}
        """The same as the parent has them; zeros once they were wiped."""

    def __missing__(self, slot: int) -> int:
        value = self[slot] = self.before[slot] = self._read(slot)
        return value


class Storage(dict[Address, Slots]):
    """Every account's slots."""

    __slots__ = ("_slots_of",)

    def __init__(self, slots_of: Callable[[Address], Callable[[int], int]]) -> None:
        super().__init__()
        self._slots_of = slots_of

    def __missing__(self, address: Address) -> Slots:
        slots = self[address] = Slots(self._slots_of(address))
        return slots


def grow_in_python(
    accounts: dict[Address, Account | None], address: Address, nonces: int, wei: int, empty: Account
) -> Account | None:
    """Add to an account's nonce and balance; the account before, None where `empty` stood for it."""
    before = accounts[address]
    nonce, balance, code_hash = before or empty
    accounts[address] = Account(nonce + nonces, balance + wei, code_hash)
    return before


grow = kernel_or(grow_in_python, "grow_account")


def nothing_stored(slot: int) -> int:
    """What a wiped account's slots hold."""
    return 0


def differing_in_python(now: dict[_Key, _Value], before: dict[_Key, _Value]) -> dict[_Key, _Value]:
    """See `differing`."""
    return {key: value for key, value in now.items() if value != before[key]}


differing = kernel_or(differing_in_python, "differing")
"""What stands now and is not what it was before, of dicts that were filled together."""
