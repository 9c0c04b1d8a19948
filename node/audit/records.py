"""One record: a line of canonical JSON, its hash, and the hash of the record before it. Pure.

    {"actor":…,"facts":{…},"kind":…,"n":…,"prev":…,"t":…,"hash":…}\\n

The hash is Keccak-256 of the line without its last member. One record has one encoding (names sorted, no
blanks), and what is read must be exactly what would be written: nobody can hide a change in the spelling.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, TypeAlias

import msgspec

from node.primitives.crypto import keccak256
from node.primitives.errors import PhoenixError
from node.primitives.ids import Hash32

Fact: TypeAlias = "str | int | bool | Sequence[str] | None"
Facts: TypeAlias = Mapping[str, Fact]

NO_RECORD: Final = Hash32(bytes(32))
"""What the first record of a log names as the one before it."""
TEXT_CHARACTERS_MAX: Final = 1024
FACTS_MAX: Final = 32
ITEMS_MAX: Final = 64
LINE_BYTES_MAX: Final = 16 * 1024
_SUFFIX_BYTES: Final = len(',"hash":""}') + 64


class Kind(Enum):
    """All that is recorded, and which share of the disk it may fill, in percent.

    What strangers can provoke ends first and what operators do ends last: nobody can fill the disk with
    refused logins until the administrator's own action has no place for its record.
    """

    LOG_OPENED = ("log.opened", 100)
    LOG_TORN = ("log.torn", 100)
    """The end of the log was no record: what a crash leaves, or what somebody has cut."""
    LOG_GAP = ("log.gap", 100)
    """So many records could not be written before this one."""
    LOG_ANCHORED = ("log.anchored", 100)
    NODE_STARTED = ("node.started", 100)
    NODE_STOPPED = ("node.stopped", 100)
    ADMIN_ACTION = ("admin.action", 100)
    """Somebody used an administrative method; its facts say which, and how it ended."""
    ROLE_CHANGED = ("role.changed", 100)
    """Who may do what has changed: keys of the RPC, validators, votes, members."""
    KEY_USED = ("key.used", 95)
    KEY_REFUSED = ("key.refused", 95)
    PEER_ADMITTED = ("peer.admitted", 90)
    PEER_LEFT = ("peer.left", 90)
    TRANSACTION_SUBMITTED = ("transaction.submitted", 85)
    PEER_REFUSED = ("peer.refused", 70)
    LOGIN_REFUSED = ("login.refused", 70)
    PERMISSION_REFUSED = ("permission.refused", 70)
    """A role, an account or a quota did not allow it."""
    REFUSALS_FOLDED = ("refusals.folded", 70)
    """The same refusal, so many more times."""

    def __init__(self, label: str, disk_percent: int) -> None:
        self.label = label
        self.disk_percent = disk_percent


class BadRecord(PhoenixError):
    """A line that is no record of this log; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Record:
    """One line, read and found whole."""

    number: int
    """From 1, without gaps."""
    time_ms: int
    """Unix time in milliseconds, by this machine's clock."""
    kind: str
    actor: str
    facts: Facts
    previous: Hash32
    hash: Hash32


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    actor: str
    facts: dict[str, str | int | bool | list[str] | None]
    kind: str
    n: int
    prev: str
    t: int


_encode = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.Decoder(_Body).decode


def encode_record(
    number: int, time_ms: int, kind: Kind, actor: str, facts: Facts, previous: Hash32
) -> tuple[bytes, Hash32]:
    """The line with its end, and the hash that the next record names. Too long a text is cut, visibly."""
    body = _Body(
        actor=_text(actor),
        facts={_text(name): _fact(facts[name]) for name in list(facts)[:FACTS_MAX]},
        kind=kind.label,
        n=number,
        prev=previous.hex(),
        t=time_ms,
    )
    encoded = _encode(body)
    if len(encoded) + _SUFFIX_BYTES >= LINE_BYTES_MAX:
        body.facts = {"too_large": f"facts of {len(encoded)} bytes, hash {keccak256(encoded).hex()}"}
        encoded = _encode(body)
    own = keccak256(encoded)
    return b'%b,"hash":"%b"}\n' % (encoded[:-1], own.hex().encode()), Hash32(own)


def decode_record(line: bytes) -> Record:
    """One line without its end; BadRecord. That it follows from the one before is for the caller to see."""
    if len(line) > LINE_BYTES_MAX:
        raise BadRecord(f"a line of {len(line)} bytes; no record has more than {LINE_BYTES_MAX}")
    encoded = line[:-_SUFFIX_BYTES] + b"}"
    own = keccak256(encoded)
    if line[-_SUFFIX_BYTES:] != b',"hash":"%b"}' % own.hex().encode():
        raise BadRecord("altered: its hash does not fit what it says")
    try:
        body = _decode(encoded)
        previous = Hash32(bytes.fromhex(body.prev))
    except (msgspec.DecodeError, ValueError) as error:
        raise BadRecord(f"not a record: {error}") from None
    if _encode(body) != encoded or len(previous) != 32:
        raise BadRecord("not in canonical form: written by something else than this program")
    return Record(body.n, body.t, body.kind, body.actor, body.facts, previous, Hash32(own))


def _fact(value: Any) -> Any:
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        # JSON has no bound, other readers have: what does not fit into 64 bits is text.
        return value if -(1 << 63) <= value < 1 << 63 else str(value)
    items = [_text(str(item)) for item in value[:ITEMS_MAX]]
    return items if len(value) <= ITEMS_MAX else [*items, f"… and {len(value) - ITEMS_MAX} more"]


def _text(text: str) -> str:
    # Lone surrogates cannot be encoded; they come from undecodable bytes.
    text = text.encode("utf-8", "replace").decode()
    if len(text) <= TEXT_CHARACTERS_MAX:
        return text
    return f"{text[:TEXT_CHARACTERS_MAX]}… ({len(text)} characters)"
