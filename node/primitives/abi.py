"""Contract ABI values as bytes, strictly: what Solidity's own encoder writes, and nothing else, is decoded.

Kinds are the canonical texts of signatures: `uint64`, `bytes32[]`, `(address,string)[2]`. Numbers are int,
bytes are bytes, an address is 0x text in lower case, arrays and structs are tuples. Light clients and
replicas decode with this: eth_abi takes 12 MB of memory, most of it for other things.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any, Final

from node.primitives.errors import ChainError

WORD: Final = 32
KINDS_REMEMBERED: Final = 1_024
_PLAIN: Final = re.compile(r"(uint|int|bytes)(\d+)|address|bool|bytes|string")
_ARRAY: Final = re.compile(r"(.+)\[(\d*)\]", re.DOTALL)


class AbiError(ChainError):
    """Bytes that are no encoding of what was expected, or a value that its kind does not hold."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """A parsed kind."""

    name: str
    """uint, int, bytes (some), blob (any number of bytes), string, address, bool, array or struct."""
    size: int
    """Bits, bytes, or elements; -1: any number of elements."""
    parts: tuple["_Kind", ...]
    is_dynamic: bool
    """Its place holds where it stands."""
    words: int
    """Of a static kind."""


def encode(kinds: Sequence[str], values: Sequence[Any]) -> bytes:
    """Values as the arguments of a call; AbiError for one that its kind does not hold."""
    return _encode_all(tuple(map(_parsed, kinds)), values)


def decode(kinds: Sequence[str], data: bytes) -> tuple[Any, ...]:
    """Inverse of encode, whatever stands behind the values; AbiError for anything else."""
    return _Reader(data).all(tuple(map(_parsed, kinds)), 0)


@lru_cache(KINDS_REMEMBERED)
def _parsed(text: str) -> _Kind:
    array = _ARRAY.fullmatch(text)
    if array is not None:
        part, size = _parsed(array[1]), int(array[2]) if array[2] else -1
        return _Kind("array", size, (part,), size < 0 or part.is_dynamic, max(0, size) * part.words)
    if text.startswith("(") and text.endswith(")"):
        parts = tuple(map(_parsed, _members(text[1:-1])))
        return _Kind(
            "struct", len(parts), parts, any(p.is_dynamic for p in parts), sum(p.words for p in parts)
        )
    plain = _PLAIN.fullmatch(text)
    size = int(plain[2]) if plain and plain[1] else 0
    if plain is None or (plain[1] and not 0 < size <= (32 if plain[1] == "bytes" else 256)):
        raise AbiError(f"{text[:60]!r} is no kind of value")
    if text == "bytes":
        return _Kind("blob", 0, (), True, 1)
    return _Kind(plain[1] or text, size, (), text == "string", 1)


def _members(text: str) -> list[str]:
    """Split at the commas that stand in no inner struct."""
    depths = accumulate((char == "(") - (char == ")") for char in text)
    marked = "".join(
        "\n" if char == "," and not depth else char for char, depth in zip(text, depths, strict=True)
    )
    return marked.split("\n") if marked else []


# --- encoding


def _encode_all(kinds: Sequence[_Kind], values: Sequence[Any]) -> bytes:
    if len(values) != len(kinds):
        raise AbiError(f"{len(values)} values where {len(kinds)} are needed")
    behind = sum(WORD if kind.is_dynamic else WORD * kind.words for kind in kinds)
    head, tail = bytearray(), bytearray()
    for kind, value in zip(kinds, values, strict=True):
        encoded = _encode(kind, value)
        if kind.is_dynamic:
            head += (behind + len(tail)).to_bytes(WORD, "big")
            tail += encoded
        else:
            head += encoded
    return bytes(head + tail)


def _encode(kind: _Kind, value: Any) -> bytes:
    try:
        match kind.name:
            case "array":
                count = len(value).to_bytes(WORD, "big") if kind.size < 0 else b""
                return count + _encode_all(kind.parts * (len(value) if kind.size < 0 else kind.size), value)
            case "struct":
                return _encode_all(kind.parts, value)
            case "blob" | "string":
                raw = value.encode() if kind.name == "string" else bytes(value)
                return len(raw).to_bytes(WORD, "big") + raw + bytes(-len(raw) % WORD)
            case _:
                return _encode_word(kind, value)
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise AbiError(f"{str(value)[:60]!r} is no {kind.name}{kind.size or ''}: {error}") from error


def _encode_word(kind: _Kind, value: Any) -> bytes:
    match kind.name:
        case "bytes":
            raw = bytes(value)
            if len(raw) > kind.size:
                raise ValueError(f"{len(raw)} bytes")
            return raw.ljust(WORD, b"\0")
        case "address":
            raw = value if isinstance(value, bytes) else bytes.fromhex(value.removeprefix("0x"))
            if len(raw) != 20:
                raise ValueError(f"{len(raw)} bytes")
            return bytes(raw).rjust(WORD, b"\0")
        case "bool":
            if not isinstance(value, bool):
                raise ValueError("neither True nor False")
            return value.to_bytes(WORD, "big")
        case name:
            bits = kind.size - (name == "int")
            if not -(1 << bits if name == "int" else 0) <= value < 1 << bits:
                raise ValueError("out of its range")
            return int(value).to_bytes(WORD, "big", signed=True) if value < 0 else value.to_bytes(WORD, "big")


# --- decoding


class _Reader:
    """Bytes of a stranger. An encoder shares no word between values: more reads than words are a trap."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._left = len(data) // WORD

    def all(self, kinds: Sequence[_Kind], start: int) -> tuple[Any, ...]:
        """The values whose places begin at `start`."""
        values, at = [], start
        for kind in kinds:
            if kind.is_dynamic:
                values.append(self._value(kind, start + self._number(at)))
                at += WORD
            else:
                values.append(self._value(kind, at))
                at += WORD * kind.words
        return tuple(values)

    def _value(self, kind: _Kind, at: int) -> Any:
        match kind.name:
            case "array" if kind.size < 0:
                count = self._number(at)
                if count > self._left:
                    raise AbiError(f"{count} elements in the {self._left} words that are left")
                return self.all(kind.parts * count, at + WORD)
            case "array":
                return self.all(kind.parts * kind.size, at)
            case "struct":
                return self.all(kind.parts, at)
            case "blob" | "string":
                return self._text(kind, at)
            case _:
                return _decode_word(kind, self._word(at))

    def _text(self, kind: _Kind, at: int) -> bytes | str:
        size = self._number(at)
        words = -(-size // WORD)
        raw = self._take(at + WORD, words)
        if any(raw[size:]):
            raise AbiError("bytes behind the end of a text")
        if kind.name == "blob":
            return raw[:size]
        try:
            return raw[:size].decode()
        except UnicodeDecodeError as error:
            raise AbiError(f"a text that is no UTF-8: {error}") from error

    def _number(self, at: int) -> int:
        return int.from_bytes(self._word(at), "big")

    def _word(self, at: int) -> bytes:
        return self._take(at, 1)

    def _take(self, at: int, words: int) -> bytes:
        self._left -= words
        end = at + WORD * words
        if self._left < 0 or end > len(self._data):
            raise AbiError(f"{len(self._data)} bytes, and more are needed")
        return self._data[at:end]


def _decode_word(kind: _Kind, word: bytes) -> Any:
    match kind.name:
        case "bytes":
            if any(word[kind.size :]):
                raise AbiError(f"bytes{kind.size} with more bytes than that")
            return word[: kind.size]
        case "address":
            if any(word[:12]):
                raise AbiError("an address of more than 20 bytes")
            return "0x" + word[12:].hex()
        case "bool":
            if any(word[:31]) or word[31] > 1:
                raise AbiError("a bool that is neither 0 nor 1")
            return word[31] == 1
        case name:
            is_signed = name == "int"
            value = int.from_bytes(word, "big", signed=is_signed)
            bits = kind.size - is_signed
            if not -(1 << bits) <= value < 1 << bits:
                raise AbiError(f"{name}{kind.size} out of its range")
            return value
