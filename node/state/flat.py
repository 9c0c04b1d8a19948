"""Account and slot rows, and the StateView over whatever answers for rows.

An account row is nonce(8) ‖ balance(32), then code_hash(32) when there is code, then storage_root(32) ‖
birth(8) when there is storage: 40, 72, 80 or 112 bytes, told apart by their length. Fixed widths cost a few
zero bytes and save the decoding of a list at every read of an account.
"""

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple, TypeAlias, TypeVar

from node.native import kernel_or
from node.primitives import rlp
from node.primitives.crypto import EMPTY_HASH
from node.primitives.errors import StorageError
from node.primitives.ids import Address, BlockNumber, Hash32
from node.primitives.state import Account, made_account
from node.storage import schema
from node.trie.nodes import EMPTY_ROOT

RowReader: TypeAlias = Callable[[bytes], bytes | None]
"""The row under a state key in one fixed state, or None where there is none."""

Key = TypeVar("Key")
Value = TypeVar("Value")

NO_BIRTH: Final = -1
PLAIN_ACCOUNT_BYTES: Final = 40
"""A row of nonce and balance alone."""


class AccountRow(NamedTuple):
    """An account with what the trie needs of it."""

    nonce: int
    balance: int
    """wei."""
    code_hash: Hash32
    storage_root: Hash32
    birth: BlockNumber
    """Block in which the storage last began to be non-empty; NO_BIRTH while it is empty."""

    @property
    def account(self) -> Account:
        """What the EVM sees."""
        return Account(self.nonce, self.balance, self.code_hash)

    @property
    def has_storage(self) -> bool:
        """Whether any slot is not zero."""
        return self.birth != NO_BIRTH

    @property
    def leaf(self) -> bytes:
        """The account's value in the account trie (Yellow Paper 4.1)."""
        return rlp.encode((self.nonce, self.balance, self.storage_root, self.code_hash))


def encode_account(row: AccountRow) -> bytes:
    """The row as bytes."""
    encoded = row.nonce.to_bytes(8, "big") + row.balance.to_bytes(32, "big")
    if row.code_hash != EMPTY_HASH:
        encoded += row.code_hash
    if row.has_storage:
        encoded += row.storage_root + schema.number_bytes(row.birth)
    return encoded


def decode_account(encoded: bytes) -> AccountRow:
    """Inverse of encode_account; StorageError for any other length."""
    size = len(encoded)
    if size not in (40, 72, 80, 112):
        raise StorageError(f"an account row of {size} bytes; it has 40, 72, 80 or 112")
    has_storage = size >= 80
    return AccountRow(
        int.from_bytes(encoded[:8], "big"),
        int.from_bytes(encoded[8:40], "big"),
        Hash32(encoded[40:72]) if size in (72, 112) else EMPTY_HASH,
        Hash32(encoded[-40:-8]) if has_storage else EMPTY_ROOT,
        int.from_bytes(encoded[-8:], "big") if has_storage else NO_BIRTH,
    )


def read_account(read: RowReader, address: Address) -> AccountRow | None:
    """An account's row, or None where there is no account."""
    encoded = read(schema.account_key(address))
    return None if encoded is None else decode_account(encoded)


def encode_slot(value: int) -> bytes | None:
    """A slot's row; None for zero, which has no row."""
    return value.to_bytes((value.bit_length() + 7) >> 3, "big") if value else None


def decode_slot(encoded: bytes | None) -> int:
    """Inverse of encode_slot."""
    return 0 if encoded is None else int.from_bytes(encoded, "big")


def held_rows(read: RowReader) -> RowReader:
    """The same reader, which remembers every row that it was asked for."""
    return partial(_held, {}, read)


def held_in_python(known: dict[Key, Value], read: Callable[[Key], Value], key: Key) -> Value:
    """What is known of a key; what is not is read."""
    if key not in known:
        known[key] = read(key)
    return known[key]


def slot_value_in_python(read: RowReader, prefix: bytes, slot: int) -> int:
    """The value of a slot whose row's key begins so."""
    row = read(prefix + slot.to_bytes(32, "big"))
    return 0 if row is None else int.from_bytes(row, "big")


_held = kernel_or(held_in_python, "held")
_slot_value = kernel_or(slot_value_in_python, "slot_value")
_word = kernel_or(partial(int.from_bytes, byteorder="big"), "word_of")


def _nothing(slot: int) -> int:
    """What an account without storage has in every slot."""
    return 0


class FlatView:
    """StateView over rows. May be used from any thread; `read` must answer for one fixed state."""

    def __init__(self, read: RowReader, root: Hash32 | None = None) -> None:
        """`root`: the state root, where whoever makes the view knows it."""
        self.root = root
        self._read = read
        # Where each account's slots lie: an execution that reads many slots of a contract asks once.
        self._slots: dict[Address, Callable[[int], int]] = {}

    @property
    def rows(self) -> RowReader:
        """What the view reads from."""
        return self._read

    def account(self, address: Address) -> Account | None:
        """See StateView."""
        encoded = self._read(schema.account_key(address))
        if encoded is None:
            return None
        if len(encoded) == PLAIN_ACCOUNT_BYTES:
            # Without code and storage: nearly all accounts of a block.
            return made_account(_word(encoded[:8]), _word(encoded[8:]), EMPTY_HASH)
        row = decode_account(encoded)
        self._slots[address] = self._slots_since(address, row)
        return row.account

    def storage(self, address: Address, slot: int) -> int:
        """See StateView."""
        return self.slots_of(address)(slot)

    def slots_of(self, address: Address) -> Callable[[int], int]:
        """What reads one account's slots."""
        found = self._slots.get(address)
        if found is None:
            found = self._slots[address] = self._slots_since(address, self._row_at_birth(address))
        return found

    def code(self, code_hash: Hash32) -> bytes:
        """See StateView. StorageError when no code with this hash was ever stored."""
        if code_hash == EMPTY_HASH:
            return b""
        code = self._read(schema.code_key(code_hash))
        if code is None:
            raise StorageError(f"the code 0x{code_hash.hex()} is missing")
        return code

    def _slots_since(self, address: Address, row: AccountRow | None) -> Callable[[int], int]:
        if row is None or not row.has_storage:
            return _nothing
        return partial(_slot_value, self._read, schema.slot_prefix(address, row.birth))

    def _row_at_birth(self, address: Address) -> AccountRow | None:
        """A row that says where the account's slots lie."""
        return read_account(self._read, address)


class PastView(FlatView):
    """FlatView of an earlier block than the one whose rows are at hand.

    Most storage that there is was there then: the row at hand says so, and is cheaper to read than the old.
    """

    def __init__(self, read: RowReader, root: Hash32, at_hand: RowReader, number: BlockNumber) -> None:
        super().__init__(read, root)
        self._at_hand = at_hand
        self._number = number

    def _row_at_birth(self, address: Address) -> AccountRow | None:
        row = read_account(self._at_hand, address)
        if row is not None and row.has_storage and row.birth <= self._number:
            # Not empty since that block, so its life goes on from there to here.
            return row
        return super()._row_at_birth(address)
