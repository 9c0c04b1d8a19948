"""The events of our contracts' ABIs as tables: decoding logs into typed rows. Pure.

A table is called after contract and event (`billing_invoice_issued`), a column after its argument. Numbers of
more than 48 bits are UINT or INT, arrays and structs are JSON, everything else that is no number is text. An
argument whose name SQL keeps for itself gets an underscore behind it (`from_`).
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from contracts.artifacts import load, names
from contracts.generate import canonical, signature, snake
from node.primitives import abi
from node.primitives.crypto import keccak256
from node.primitives.ids import Hash32
from node.primitives.receipt import Log
from node.replica.tables import Column, Kind, Table

SMALL_BITS_MAX: Final = 48
_RESERVED: Final = frozenset(
    ("all", "and", "any", "as", "asc", "between", "by", "case", "check", "column", "constraint", "create",
     "cross", "current", "default", "delete", "desc", "distinct", "do", "drop", "else", "end", "except",
     "exists", "for", "foreign", "from", "full", "grant", "group", "having", "in", "index", "inner", "insert",
     "into", "is", "join", "key", "left", "like", "limit", "natural", "not", "null", "of", "offset", "on",
     "or", "order", "outer", "primary", "references", "right", "select", "set", "table", "then", "to",
     "transaction", "union", "unique", "update", "user", "using", "values", "view", "when", "where", "window",
     "with", "block_number", "block_time", "log_index", "tx_hash", "address")
)  # fmt: skip
_HEAD: Final = (
    Column("block_number"),
    Column("log_index"),
    Column("block_time"),
    Column("tx_hash", Kind.TEXT),
    Column("address", Kind.TEXT),
)
"""What stands in front of the arguments in every table of events."""


@dataclass(frozen=True, slots=True)
class EventType:
    """One event of one contract."""

    contract: str
    name: str
    topic: Hash32
    inputs: tuple[dict[str, Any], ...]
    table: Table


@dataclass(frozen=True, slots=True)
class DecodedEvent:
    """A log that was understood."""

    type: EventType
    arguments: dict[str, Any]
    """By the ABI's names: int, bool, str, bytes, addresses as 0x text; indexed arrays as their hash."""

    def values(self) -> tuple[Any, ...]:
        """As the table's columns want them, after the head."""
        return tuple(map(_sql_value, self.type.inputs, self.arguments.values()))

    def json(self) -> str:
        """All arguments as JSON; numbers as digits in quotes, since few readers hold 256 bits."""
        return json.dumps({name: _plain(value) for name, value in self.arguments.items()})

    def addresses(self) -> set[str]:
        """Accounts that are named in it, in lower case."""
        found: set[str] = set()
        for entry, value in zip(self.type.inputs, self.arguments.values(), strict=True):
            if entry["type"] == "address":
                found.add(value)
            elif entry["type"].startswith("address[") and not entry["indexed"]:
                found.update(_flat(value))
        return found


@cache
def catalog() -> Mapping[str, Mapping[Hash32, EventType]]:
    """Every event of every contract of the suite: by contract, by first topic."""
    return {name: {event.topic: event for event in _events_of(name)} for name in names()}


def event_tables() -> list[Table]:
    """The tables of all events."""
    return [event.table for events in catalog().values() for event in events.values()]


def decode_event(contract: str, log: Log) -> DecodedEvent | None:
    """A log of that contract; None for one that its ABI does not know, or that does not fit it."""
    event = catalog().get(contract, {}).get(log.topics[0]) if log.topics else None
    if event is None:
        return None
    indexed = [entry for entry in event.inputs if entry["indexed"]]
    if len(log.topics) != 1 + len(indexed):
        return None
    plain = [entry for entry in event.inputs if not entry["indexed"]]
    try:
        topics = iter([_from_topic(each, topic) for each, topic in zip(indexed, log.topics[1:], strict=True)])
        values = iter(abi.decode([canonical(entry) for entry in plain], log.data))
    except abi.AbiError:
        return None
    arguments = {entry["name"]: next(topics) if entry["indexed"] else next(values) for entry in event.inputs}
    return DecodedEvent(event, arguments)


# --- from the ABI


def _events_of(contract: str) -> Iterable[EventType]:
    for entry in load(contract).abi:
        if entry["type"] == "event" and not entry.get("anonymous"):
            inputs = tuple(entry["inputs"])
            name = f"{snake(contract)}_{snake(entry['name'])}"
            columns = tuple(_column(each, place) for place, each in enumerate(inputs))
            indexes = tuple(
                (column.name, "block_number", "log_index")
                for each, column in zip(inputs, columns, strict=True)
                if each["indexed"]
            )
            table = Table(name, (*_HEAD, *columns), ("block_number", "log_index"), indexes)
            topic = keccak256(signature(entry).encode())
            yield EventType(contract, entry["name"], topic, inputs, table)


def _column(entry: Mapping[str, Any], place: int) -> Column:
    name = snake(entry["name"]) if entry["name"] else f"value_{place}"
    if name.rstrip("_") in _RESERVED:
        name = name.rstrip("_") + "_"
    kind = entry["type"]
    if kind == "bool":
        return Column(name)
    if kind.startswith("uint") and not kind.endswith("]"):
        bits = int(kind[4:])
        return Column(name) if bits <= SMALL_BITS_MAX else Column(name, Kind.UINT, bits=bits)
    if kind.startswith("int") and not kind.endswith("]"):
        return Column(name) if int(kind[3:]) <= SMALL_BITS_MAX else Column(name, Kind.INT)
    return Column(name, Kind.TEXT)


# --- values


def _from_topic(entry: Mapping[str, Any], topic: Hash32) -> Any:
    kind = entry["type"]
    if kind.endswith("]") or kind in ("string", "bytes", "tuple"):
        return topic  # the chain has the hash only
    return abi.decode([kind], topic)[0]


def _sql_value(entry: Mapping[str, Any], value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return value
    plain = _plain(value)
    # PostgreSQL's text holds no NUL.
    return plain.replace("\0", "\ufffd") if isinstance(plain, str) else json.dumps(plain)


def _plain(value: Any) -> Any:
    """As JSON has it: bytes and addresses in hex, numbers as digits."""
    if isinstance(value, bool):
        return value
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value


def _flat(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Sequence):
        for each in value:
            yield from _flat(each)
