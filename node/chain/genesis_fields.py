"""Reading a JSON object field by field: every problem is noted with its JSON path, none stops the reading.

Knows how geth and Besu write numbers, byte strings and addresses; knows nothing of what they mean. Keys are
matched without regard to case, as both do.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from node.primitives.ids import Address, Hash32

Json: TypeAlias = "bool | int | float | str | list[Json] | Object | None"

_HEX_DIGITS: Final = frozenset("0123456789abcdefABCDEF")


class Object(dict[str, "Json"]):
    """A JSON object that remembers the keys that it held more than once, whatever their case."""

    def __init__(self, pairs: Sequence[tuple[str, Json]]) -> None:
        super().__init__(pairs)
        self.repeated: list[str] = []
        seen: set[str] = set()
        for key, _ in pairs:
            if key.lower() in seen:
                self.repeated.append(key)
            seen.add(key.lower())


def from_mapping(mapping: Mapping[str, object]) -> Object:
    """The same for a structure made in Python; TypeError for what JSON does not have."""
    return Object([(key, _from_python(value)) for key, value in mapping.items()])


def _from_python(value: object) -> Json:
    if isinstance(value, Mapping):
        return from_mapping(value)
    if isinstance(value, list | tuple):
        return [_from_python(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{type(value).__name__} is not a JSON value")


class Fields:
    """The fields of one object of the file, and the list that its problems go to."""

    def __init__(self, entries: Object, path: str, problems: list[str]) -> None:
        self.path = path
        self.problems = problems
        self._entries = {key.lower(): (key, value) for key, value in entries.items()}
        for key in entries.repeated:
            self.problem(key, "stands there twice")

    def problem(self, key: str, text: str) -> None:
        """Note a problem of one field."""
        self.problems.append(f"{self._place(key)}: {text}")

    def names(self) -> Iterator[str]:
        """The keys as the file spells them."""
        return (key for key, _ in self._entries.values())

    def has(self, key: str) -> bool:
        """Whether the field is there with a value; null counts as absent, as for geth."""
        return self.raw(key) is not None

    def raw(self, key: str) -> Json:
        """The value as JSON gave it; None when absent."""
        return self._entries.get(key.lower(), (key, None))[1]

    def object(self, key: str) -> "Fields | None":
        """The fields of an inner object; None when absent."""
        value = self.raw(key)
        if value is None:
            return None
        if not isinstance(value, Object):
            self.problem(key, f"an object is expected, not {_shown(value)}")
            return None
        return Fields(value, self._place(key), self.problems)

    def uint(self, key: str, bits: int = 64, default: int | None = None) -> int:
        """A non-negative number below 2**bits: JSON number, decimal text or 0x-prefixed text.

        Without a default the field must be there; 0 stands for a value that could not be read.
        """
        value = self.raw(key)
        if value is None:
            if default is None:
                self.problem(key, "is missing")
            return default or 0
        number = _number(value)
        if number is None:
            self.problem(key, f"a decimal or 0x-prefixed number is expected, not {_shown(value)}")
            return default or 0
        if not 0 <= number < 1 << bits:
            self.problem(key, f"{number} is out of range; it has at most {bits} bits and no sign")
            return default or 0
        return number

    def boolean(self, key: str, default: bool = False) -> bool:
        """true or false."""
        value = self.raw(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.problem(key, f"true or false is expected, not {_shown(value)}")
            return default
        return value

    def data(self, key: str) -> bytes:
        """A byte string in hex, with or without 0x; empty when absent."""
        value = self.raw(key)
        if value is None:
            return b""
        decoded = _hex_bytes(value)
        if decoded is None:
            self.problem(key, f"an even number of hex digits is expected, not {_shown(value)}")
            return b""
        return decoded

    def address(self, key: str) -> Address:
        """20 bytes in hex; zero when absent."""
        return Address(self._sized(key, 20))

    def hash32(self, key: str) -> Hash32:
        """32 bytes in hex; zero when absent."""
        return Hash32(self._sized(key, 32))

    def _sized(self, key: str, size: int) -> bytes:
        decoded = self.data(key)
        if decoded and len(decoded) != size:
            self.problem(key, f"{len(decoded)} bytes where {size} are expected")
        return decoded if len(decoded) == size else bytes(size)

    def _place(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key


def address_of_key(key: str) -> Address | None:
    """The address that a key of `alloc` names, with or without 0x; None for anything else."""
    decoded = _hex_bytes(key)
    return Address(decoded) if decoded is not None and len(decoded) == 20 else None


def word(value: Json) -> int | None:
    """A storage key or value: up to 32 bytes in hex, with or without 0x, right-aligned; None otherwise."""
    if not isinstance(value, str):
        return None
    digits = _without_prefix(value)
    if len(digits) > 64 or not set(digits) <= _HEX_DIGITS:
        return None
    return int(digits, 16) if digits else 0


def _number(value: Json) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if not isinstance(value, str):
        return None
    if value[:2] in ("0x", "0X"):
        digits = value[2:]
        return int(digits, 16) if digits and set(digits) <= _HEX_DIGITS else None
    # int() alone would take signs, spaces, underscores and other scripts' digits; 78 digits hold 2**256.
    return int(value) if value.isascii() and value.isdigit() and len(value) <= 78 else None


def _hex_bytes(value: Json) -> bytes | None:
    if not isinstance(value, str):
        return None
    digits = _without_prefix(value)
    if len(digits) % 2 or not set(digits) <= _HEX_DIGITS:
        return None
    return bytes.fromhex(digits)


def _without_prefix(text: str) -> str:
    return text[2:] if text[:2] in ("0x", "0X") else text


def _shown(value: Json) -> str:
    text = "an object" if isinstance(value, Object) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
