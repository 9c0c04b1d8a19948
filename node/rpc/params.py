"""Reading what clients send: every parameter is checked before anything is looked up.

The rules are the specification's (hex quantities without leading zeros, data of whole bytes,
ethereum/execution-apis) with the liberties that geth takes and clients rely on: upper-case digits, `0X`,
storage keys of odd or short length, numbers or strings where a count is expected. A `BadValue` becomes
"invalid argument N: ..." (code -32602).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from node.primitives.ids import Address, Hash32
from node.primitives.transaction import AccessList
from node.rpc.jsonrpc import InvalidParams

T = TypeVar("T")

_DIGITS: Final = re.compile(r"[0-9a-fA-F]*", re.ASCII)
_SHOWN_CHARACTERS_MAX: Final = 80

STORAGE_KEYS_MAX: Final = 1024
"""Slots that one eth_getProof may ask for (geth: 1024)."""
ACCESS_LIST_ENTRIES_MAX: Final = 10_000


class BadValue(ValueError):
    """The parameter is not what it must be; the text says what it must be."""


REQUIRED: Final = object()
"""The default of a parameter that has none."""


@dataclass(frozen=True, slots=True)
class Param:
    """One positional parameter of a method."""

    read: Callable[[Any], Any]
    """JSON value -> value; BadValue when it cannot be."""
    default: Any = REQUIRED


def bind(params: Sequence[Param], given: list[Any]) -> list[Any]:
    """The arguments for a call, in geth's words where they do not fit (InvalidParams)."""
    if len(given) > len(params):
        raise InvalidParams(f"too many arguments, want at most {len(params)}")
    arguments = []
    for index, param in enumerate(params):
        value = given[index] if index < len(given) else None
        if value is None:
            if param.default is REQUIRED:
                raise InvalidParams(f"missing value for required argument {index}")
            arguments.append(param.default)
            continue
        try:
            arguments.append(param.read(value))
        except BadValue as error:
            raise InvalidParams(f"invalid argument {index}: {error}") from None
    return arguments


# --- scalars


def read_quantity(value: Any, bits: int = 256) -> int:
    """A hex number: "0x0", no leading zeros, below 2**bits."""
    digits = _hex_digits(value)
    if not digits:
        raise BadValue('hex string "0x"; zero is "0x0"')
    if digits[0] == "0" and len(digits) > 1:
        raise BadValue(f"hex number with leading zero digits: {_shown(value)}")
    if (len(digits) - 1) * 4 >= bits or (number := int(digits, 16)) >> bits:
        raise BadValue(f"hex number > {bits} bits")
    return number


def read_uint64(value: Any) -> int:
    """A hex number below 2**64: gas, nonces, indexes."""
    return read_quantity(value, 64)


def read_count(value: Any) -> int:
    """A number that clients send as hex, as decimal text or as a JSON number (a count of blocks)."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        number = value
    elif isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 20:
        number = int(value)
    else:
        number = read_quantity(value, 64)
    if number >> 64:
        raise BadValue("number > 64 bits")
    return number


def read_data(value: Any) -> bytes:
    """Hex bytes of any length, "0x" being none."""
    digits = _hex_digits(value)
    if len(digits) % 2:
        raise BadValue(f"hex string of odd length: {_shown(value)}")
    return bytes.fromhex(digits)


def read_address(value: Any) -> Address:
    """20 hex bytes in any case; a checksum is not checked, as geth does not."""
    return Address(_read_fixed(value, 20, "an address"))


def read_hash(value: Any) -> Hash32:
    """32 hex bytes."""
    return Hash32(_read_fixed(value, 32, "a hash"))


def read_bool(value: Any) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise BadValue(f"expected true or false, got {_shown(value)}")
    return value


def read_text(value: Any) -> str:
    """A string."""
    if not isinstance(value, str):
        raise BadValue(f"expected a string, got {_shown(value)}")
    return value


@dataclass(frozen=True, slots=True)
class StorageKey:
    """A storage slot as asked for."""

    slot: int
    whole: bool
    """Given as 32 bytes, and to be repeated so; shorter keys are repeated as quantities (as geth does)."""


def read_storage_key(value: Any) -> StorageKey:
    """A slot: up to 32 bytes, whole or not, with 0x or without; "0x0" is slot 0."""
    text = read_text(value)
    digits = text[2:] if text[:2] in ("0x", "0X") else text
    if not _DIGITS.fullmatch(digits):
        raise BadValue(f"unable to decode storage key: hex string invalid: {_shown(text)}")
    if len(digits) > 64:
        raise BadValue("unable to decode storage key: hex string too long, want at most 32 bytes")
    return StorageKey(int(digits or "0", 16), len(digits) > 62)


def read_storage_keys(value: Any) -> tuple[StorageKey, ...]:
    """The slots of eth_getProof."""
    keys = read_list(value)
    if len(keys) > STORAGE_KEYS_MAX:
        raise BadValue(f"{len(keys)} storage keys where at most {STORAGE_KEYS_MAX} are allowed")
    return tuple(map(read_storage_key, keys))


def read_word(value: Any) -> int:
    """32 bytes as a number: keys and values of state overrides, which some clients shorten."""
    return read_storage_key(value).slot


# --- composites


def read_list(value: Any) -> list[Any]:
    """A JSON array."""
    if not isinstance(value, list):
        raise BadValue(f"expected an array, got {_shown(value)}")
    return value


def read_object(value: Any) -> dict[str, Any]:
    """A JSON object."""
    if not isinstance(value, dict):
        raise BadValue(f"expected an object, got {_shown(value)}")
    return value


def read_member(value: dict[str, Any], name: str, read: Callable[[Any], T]) -> T | None:
    """A member of an object, None where it is absent or null; errors name the member."""
    member = value.get(name)
    if member is None:
        return None
    try:
        return read(member)
    except BadValue as error:
        raise BadValue(f"{name}: {error}") from None


def read_access_list(value: Any) -> AccessList:
    """`[{"address", "storageKeys"}]` (EIP-2930)."""
    entries = read_list(value)
    if len(entries) > ACCESS_LIST_ENTRIES_MAX:
        raise BadValue(f"{len(entries)} entries where at most {ACCESS_LIST_ENTRIES_MAX} are allowed")
    return tuple(map(_read_access_entry, entries))


def _read_access_entry(value: Any) -> tuple[Address, tuple[Hash32, ...]]:
    entry = read_object(value)
    keys = read_member(entry, "storageKeys", read_list) or []
    return read_address(entry.get("address")), tuple(map(read_hash, keys))


# --- private


def _hex_digits(value: Any) -> str:
    if not isinstance(value, str):
        raise BadValue(f"expected a hex string, got {_shown(value)}")
    if value[:2] not in ("0x", "0X"):
        raise BadValue(f"hex string without 0x prefix: {_shown(value)}" if value else "empty hex string")
    digits = value[2:]
    # int() and bytes.fromhex() take blanks and underscores; the specification does not.
    if not _DIGITS.fullmatch(digits):
        raise BadValue(f"invalid hex string: {_shown(value)}")
    return digits


def _read_fixed(value: Any, size: int, what: str) -> bytes:
    digits = _hex_digits(value)
    if len(digits) != 2 * size:
        raise BadValue(f"hex string has length {len(digits)}, want {2 * size} for {what}: {_shown(value)}")
    return bytes.fromhex(digits)


def _shown(value: Any) -> str:
    """The value, short enough for an error message."""
    text = f'"{value}"' if isinstance(value, str) else type(value).__name__
    return text if len(text) <= _SHOWN_CHARACTERS_MAX else text[:_SHOWN_CHARACTERS_MAX] + "…"
