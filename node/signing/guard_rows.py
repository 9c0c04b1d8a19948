"""What a guard keeps on disk of one key on one chain: its last signature of each kind, and the rule."""

import secrets
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from node.primitives import rlp
from node.primitives.errors import StorageError
from node.primitives.ids import Address, Hash32
from node.storage.kv import Batch, KeyValue
from node.storage.schema import (
    GUARD_IDENTITY_KEY,
    sign_first_key,
    sign_intent_key,
    sign_lock_key,
    sign_record_key,
    sign_rules_key,
)

GuardRule: TypeAlias = Literal["height", "weight"]
"""See `guard`."""
DEFAULT_RULE: Final[GuardRule] = "height"
IDENTITY_BYTES: Final = 16
RULE_CHANGES_MAX: Final = 256
"""How many changes of the rule are remembered; the oldest are forgotten first."""


@dataclass(frozen=True, slots=True)
class SignRecord:
    """The last thing that a key signed on a chain, of one kind."""

    height: int
    round_number: int
    digest: Hash32
    signature: bytes
    attachment: bytes = field(default=b"", repr=False)
    weight: int | None = None
    """See SigningRequest."""
    passed_height: int | None = None
    """The greatest height signed before, where that is above `height` (only by weight can it be)."""
    passed_weight: int | None = None
    """The same of weights (only by height can it be)."""


@dataclass(frozen=True, slots=True)
class Intent:
    """What a key outside this process was asked to sign: it may have, though nobody here saw the answer."""

    height: int
    round_number: int
    digest: Hash32
    weight: int | None
    header: bytes
    """RLP of the header that the digest was made from; empty where there was none."""
    attachment: bytes = field(default=b"", repr=False)

    def as_signed(self) -> SignRecord:
        """The record it would be; a guard judges others as if it were."""
        return SignRecord(self.height, self.round_number, self.digest, b"", self.attachment, self.weight)


@dataclass(frozen=True, slots=True)
class RuleChange:
    """The operator chose another rule."""

    unix_time: int
    rule: GuardRule


@dataclass(frozen=True, slots=True)
class RestoreLock:
    """The guard came from a backup: what the key signed after the backup was made, nobody here knows."""

    mark: int
    """The greatest height in the backup."""
    margin: int
    """So many blocks must be made by others first."""
    floor: int | None = None
    """Up to this height nothing is signed; set when the first request shows where the chain is."""


class Guard:
    """The durable rows of one key on one chain."""

    def __init__(self, kv: KeyValue, address: Address, chain_id: int) -> None:
        self._kv = kv
        self._address = address
        self._chain_id = chain_id

    def identity(self) -> bytes:
        """Tells this guard from every other; drawn once. It goes where its database goes."""
        found = self._kv.get(GUARD_IDENTITY_KEY)
        if found is None:
            found = secrets.token_bytes(IDENTITY_BYTES)
            self._write(GUARD_IDENTITY_KEY, found)
        return found

    def in_use_since(self, unix_time: int) -> int:
        """When the key came to this guard; now, and from now on, if nobody asked before."""
        key = sign_first_key(self._address, self._chain_id)
        found = self._kv.get(key)
        if found is not None:
            return int.from_bytes(found, "big")
        self._write(key, unix_time.to_bytes(8, "big"))
        return unix_time

    def last(self, kind: str) -> SignRecord | None:
        """What was signed last; StorageError when the row cannot be read as one."""
        row = self._kv.get(sign_record_key(self._address, self._chain_id, kind))
        return None if row is None else decode_record(row)

    def record(self, kind: str, record: SignRecord) -> None:
        """Write the row, which settles any intent; on return it has reached the disk."""
        batch = Batch()
        batch.put(sign_record_key(self._address, self._chain_id, kind), encode_record(record))
        if self.intent(kind) is not None:
            batch.delete(sign_intent_key(self._address, self._chain_id, kind))
        self._kv.write(batch, sync=True)

    def intent(self, kind: str) -> Intent | None:
        """What the key was asked and has not been seen to answer; None where there is nothing."""
        row = self._kv.get(sign_intent_key(self._address, self._chain_id, kind))
        return None if row is None else _decode_intent(row)

    def put_intent(self, kind: str, intent: Intent | None) -> None:
        """Replace the intent, or forget it; on return it has reached the disk."""
        key = sign_intent_key(self._address, self._chain_id, kind)
        if intent is None:
            self._delete(key)
        else:
            self._write(key, _encode_intent(intent))

    def rule_changes(self) -> tuple[RuleChange, ...]:
        """When the rule was changed, oldest first; before the first it was DEFAULT_RULE."""
        row = self._kv.get(sign_rules_key(self._address, self._chain_id))
        return () if row is None else _decode_changes(row)

    def adopt_rule(self, rule: GuardRule, unix_time: int) -> bool:
        """Make a rule the one in force; whether it was another. On return the change is on disk."""
        changes = self.rule_changes()
        before = changes[-1].rule if changes else DEFAULT_RULE
        if before == rule:
            return False
        kept = (*changes, RuleChange(unix_time, rule))[-RULE_CHANGES_MAX:]
        row = rlp.encode([[change.unix_time, change.rule.encode()] for change in kept])
        self._write(sign_rules_key(self._address, self._chain_id), row)
        return True

    def lock(self) -> RestoreLock | None:
        """What holds a restored guard back; None where nothing does."""
        row = self._kv.get(sign_lock_key(self._address, self._chain_id))
        return None if row is None else _decode_lock(row)

    def put_lock(self, lock: RestoreLock | None) -> None:
        """Replace the lock, or remove it; on return it has reached the disk."""
        key = sign_lock_key(self._address, self._chain_id)
        if lock is not None:
            self._write(key, encode_lock(lock))
        else:
            self._delete(key)

    def _delete(self, key: bytes) -> None:
        batch = Batch()
        batch.delete(key)
        self._kv.write(batch, sync=True)

    def _write(self, key: bytes, row: bytes) -> None:
        batch = Batch()
        batch.put(key, row)
        self._kv.write(batch, sync=True)


def encode_lock(lock: RestoreLock) -> bytes:
    """The row of a lock."""
    return rlp.encode([lock.mark, lock.margin, _optional(lock.floor)])


def encode_record(record: SignRecord) -> bytes:
    """The row of a record; as before the rules were two, unless it needs more."""
    fields: list[rlp.Encodable] = [
        record.height,
        record.round_number,
        record.digest,
        record.signature,
        record.attachment,
        _optional(record.weight),
    ]
    if record.passed_height is not None or record.passed_weight is not None:
        fields += [_optional(record.passed_height), _optional(record.passed_weight)]
    return rlp.encode(fields)


def decode_record(row: bytes) -> SignRecord:
    """The record of a row; StorageError when it is none."""
    try:
        fields = rlp.as_list(rlp.decode(row))
        if len(fields) == 6:
            fields = [*fields, [], []]
        height, round_number, digest, signature, attachment, weight, passed_height, passed_weight = fields
        return SignRecord(
            rlp.as_uint(height, 64),
            rlp.as_uint(round_number, 64),
            Hash32(rlp.as_bytes(digest, 32)),
            rlp.as_bytes(signature, 65),
            rlp.as_bytes(attachment),
            _as_optional(weight),
            _as_optional(passed_height),
            _as_optional(passed_weight),
        )
    except (ValueError, rlp.RlpError) as error:
        raise StorageError(f"a guard row is damaged; nothing is signed on a guess: {error}") from error


def _encode_intent(intent: Intent) -> bytes:
    return rlp.encode(
        [
            intent.height,
            intent.round_number,
            intent.digest,
            _optional(intent.weight),
            intent.header,
            intent.attachment,
        ]
    )


def _decode_intent(row: bytes) -> Intent:
    try:
        height, round_number, digest, weight, header, attachment = rlp.as_list(rlp.decode(row), 6)
        return Intent(
            rlp.as_uint(height, 64),
            rlp.as_uint(round_number, 64),
            Hash32(rlp.as_bytes(digest, 32)),
            _as_optional(weight),
            rlp.as_bytes(header),
            rlp.as_bytes(attachment),
        )
    except rlp.RlpError as error:
        raise StorageError(f"the guard's row of what was asked is damaged: {error}") from error


def _decode_lock(row: bytes) -> RestoreLock:
    try:
        mark, margin, floor = rlp.as_list(rlp.decode(row), 3)
        return RestoreLock(rlp.as_uint(mark), rlp.as_uint(margin), _as_optional(floor))
    except rlp.RlpError as error:
        raise StorageError(f"the guard's lock is damaged; nothing is signed: {error}") from error


def _decode_changes(row: bytes) -> tuple[RuleChange, ...]:
    try:
        return tuple(_change(*rlp.as_list(item, 2)) for item in rlp.as_list(rlp.decode(row)))
    except rlp.RlpError as error:
        raise StorageError(f"the guard's row of rules is damaged: {error}") from error


def _change(unix_time: rlp.Item, rule: rlp.Item) -> RuleChange:
    return RuleChange(rlp.as_uint(unix_time, 64), "weight" if rlp.as_bytes(rule) == b"weight" else "height")


def _optional(number: int | None) -> list[rlp.Encodable]:
    return [] if number is None else [number]


def _as_optional(item: rlp.Item) -> int | None:
    return next(map(rlp.as_uint, rlp.as_list(item)), None)
