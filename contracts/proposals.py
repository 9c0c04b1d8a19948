"""What a proposal says: a document that people write -> calls, and calls -> words. Knows no chain.

    {"class": "ordinary",
     "description": "Site five brings a validator.",
     "actions": [{"contract": "Validators", "function": "add",
                  "arguments": ["0x51…", {"name": "operator five"}]}]}

An argument is a number, text, true or false, a list, hex for an address or bytes, {"name": TEXT} for the
keccak256 that the suite knows a name by, or {"address": CONTRACT} for a contract of the registry. An action
may also be {"target": ADDRESS, "data": HEX}.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeAlias

from eth_abi import abi as codec
from eth_utils.address import is_hex_address, to_checksum_address

from contracts.artifacts import Artifact, load
from contracts.binding import kinds_of
from contracts.generate import signature
from contracts.registry import Registry
from contracts.suite import name_id
from node.primitives.crypto import keccak256

Action: TypeAlias = tuple[str, bytes]
"""Target and calldata."""


class Class(IntEnum):
    """IBoard.Class."""

    ORDINARY = 0
    STRUCTURAL = 1
    EMERGENCY = 2


class Stage(IntEnum):
    """IBoard.Stage."""

    NONE = 0
    VOTING = 1
    DEFEATED = 2
    PASSED = 3
    QUEUED = 4
    EXECUTED = 5
    CANCELLED = 6


class Answer(IntEnum):
    """IBoard.Vote."""

    NONE = 0
    AGAINST = 1
    FOR = 2
    ABSTAIN = 3


class BadProposal(Exception):
    """The document is no proposal; the text says where and why."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A document, understood."""

    kind: Class
    actions: tuple[Action, ...]
    description: bytes
    """Hash of the text: the chain keeps no words."""


def draft_of(document: Any, registry: Registry) -> Draft:
    """The document as calls; BadProposal."""
    if not isinstance(document, Mapping):
        raise BadProposal("a proposal is a JSON object")
    unknown = document.keys() - {"class", "description", "actions"}
    if unknown:
        raise BadProposal(
            f"{', '.join(sorted(unknown))} is not known here; there are class, description, actions"
        )
    name, text = document.get("class"), document.get("description")
    kinds = [each.name.lower() for each in Class]
    if name not in kinds:
        raise BadProposal(f"class is {name!r}; there are {', '.join(kinds)}")
    if not isinstance(text, str) or not text:
        raise BadProposal("description is missing: the text whose hash the chain keeps")
    actions = document.get("actions")
    if not isinstance(actions, list) or not actions:
        raise BadProposal("actions is a list of one or more")
    made = tuple(_action(each, f"actions[{place}]", registry) for place, each in enumerate(actions))
    return Draft(Class(kinds.index(name)), made, keccak256(text.encode()))


def described(action: Action, registry: Registry) -> str:
    """A call in words: "Validators.add(0x51…, 0x8f…)"; target and data where nothing is known of it."""
    target, data = action
    for name, entry in registry.entries.items():
        if entry.address != target or name.endswith(IMPLEMENTATION):
            continue
        for each in _functions(load(_code_of(name))):
            if keccak256(signature(each).encode())[:4] == data[:4]:
                values = codec.decode(kinds_of(each), data[4:])
                return f"{name}.{each['name']}({', '.join(map(_shown, values))})"
        return f"{name}: 0x{data.hex()}"
    return f"{target}: 0x{data.hex()}"


IMPLEMENTATION = ".implementation"
"""How the registry names the code behind a proxy."""


def moved_members(before: Mapping[str, Sequence[str]], after: Mapping[str, Sequence[str]]) -> list[str]:
    """What an upgrade would misread: storage may grow at the end of each namespace and nowhere else."""
    return [
        f"{namespace}: {', '.join(members)} is not how {', '.join(after.get(namespace, ()))} begins"
        for namespace, members in before.items()
        if list(after.get(namespace, ()))[: len(members)] != list(members)
    ]


def namespaces(artifact: Artifact) -> dict[str, list[str]]:
    """Where a contract keeps its state: namespace -> members in order."""
    found: dict[str, list[str]] = artifact.storage_layout["namespaces"]
    return found


def _action(given: Any, at: str, registry: Registry) -> Action:
    if not isinstance(given, Mapping):
        raise BadProposal(f"{at} is no JSON object")
    if given.keys() == {"target", "data"}:
        return _address(given["target"], at, registry), _bytes(given["data"], f"{at}.data")
    if given.keys() - {"arguments"} != {"contract", "function"}:
        raise BadProposal(
            f"{at} has {', '.join(given)}; contract, function, arguments (or target, data) are needed"
        )
    contract, function = str(given["contract"]), str(given["function"])
    if contract not in registry.entries:
        raise BadProposal(f"{at}: the registry has no contract {contract!r}; there are {_known(registry)}")
    entries = [e for e in _functions(load(_code_of(contract))) if function in (e["name"], signature(e))]
    if not entries:
        raise BadProposal(f"{at}: {contract} has no function {function!r} that changes anything")
    if len(entries) > 1:
        raise BadProposal(f"{at}: {function} is overloaded; write {' or '.join(map(signature, entries))}")
    inputs, arguments = entries[0]["inputs"], given.get("arguments", [])
    if not isinstance(arguments, list) or len(arguments) != len(inputs):
        raise BadProposal(f"{at}: {signature(entries[0])} takes {len(inputs)} arguments")
    values = [
        _value(each, value, f"{at}.{each['name'] or place}", registry)
        for place, (each, value) in enumerate(zip(inputs, arguments, strict=True))
    ]
    try:
        encoded = codec.encode(kinds_of(entries[0]), values)
    except Exception as error:  # eth-abi's errors share no parent
        raise BadProposal(f"{at}: {error}") from error
    return registry.entries[contract].address, keccak256(signature(entries[0]).encode())[:4] + encoded


def _value(entry: Mapping[str, Any], given: Any, at: str, registry: Registry) -> Any:
    kind = str(entry["type"])
    if kind.endswith("]"):
        if not isinstance(given, list):
            raise BadProposal(f"{at} is a list")
        inner = {**entry, "type": kind[: kind.rindex("[")]}
        return [_value(inner, each, f"{at}[{place}]", registry) for place, each in enumerate(given)]
    if kind == "tuple":
        members = entry["components"]
        if not isinstance(given, list) or len(given) != len(members):
            raise BadProposal(f"{at} is a list of {', '.join(each['name'] for each in members)}")
        pairs = zip(members, given, strict=True)
        return tuple(_value(each, value, f"{at}.{each['name']}", registry) for each, value in pairs)
    if kind == "address":
        return _address(given, at, registry)
    if kind.startswith("bytes"):
        if isinstance(given, Mapping) and given.keys() == {"name"}:
            return name_id(str(given["name"]))
        return _bytes(given, at)
    wanted = bool if kind == "bool" else str if kind == "string" else int
    # JSON numbers above 2**53 are rounded by many programs: text is taken, too.
    if wanted is int and isinstance(given, str) and given.lstrip("-").isdecimal():
        return int(given)
    if type(given) is not wanted:
        raise BadProposal(f"{at} is {given!r}; {kind} is needed")
    return given


def _address(given: Any, at: str, registry: Registry) -> str:
    if isinstance(given, Mapping) and given.keys() == {"address"}:
        name = str(given["address"])
        if name not in registry.entries:
            raise BadProposal(f"{at}: the registry has no contract {name!r}; there are {_known(registry)}")
        return registry.entries[name].address
    if not is_hex_address(given):
        raise BadProposal(f"{at} is {given!r}; an address is needed")
    found = str(to_checksum_address(given))
    if given.removeprefix("0x") not in (found[2:], found[2:].lower()):
        raise BadProposal(f"{at} is {given}, whose checksum does not hold: a letter is wrong")
    return found


def _bytes(given: Any, at: str) -> bytes:
    try:
        return bytes.fromhex(given.removeprefix("0x"))
    except (AttributeError, ValueError) as error:
        raise BadProposal(f"{at} is {given!r}; hex is needed") from error


def _functions(artifact: Artifact) -> list[dict[str, Any]]:
    return [
        each
        for each in artifact.abi
        if each["type"] == "function" and each["stateMutability"] not in ("view", "pure")
    ]


def _code_of(name: str) -> str:
    return name.removesuffix(IMPLEMENTATION)


def _known(registry: Registry) -> str:
    return ", ".join(sorted(name for name in registry.entries if not name.endswith(IMPLEMENTATION)))


def _shown(value: Any) -> str:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(_shown, value))}]"
    return to_checksum_address(value) if is_hex_address(value) else str(value)
