"""All that can happen to an engine. Times are Unix times in milliseconds and come beside the event."""

from dataclasses import dataclass
from typing import Any, TypeAlias

from node.primitives.block import Block, Header
from node.primitives.ids import Address, Hash32


@dataclass(frozen=True, slots=True)
class NewHead:
    """The chain's head is this block now, by import or by reorganisation; it is durable."""

    header: Header
    state: Any
    """The engine's own SealRules state after the header."""


@dataclass(frozen=True, slots=True)
class BlockComing:
    """Another's sealed block on top of the head is here and good as far as its header and body tell.

    It is being executed, and mostly a NewHead follows.
    """

    header: Header


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A timer that the engine set has run out."""

    name: str


@dataclass(frozen=True, slots=True)
class BlockBuilt:
    """Answer to BuildBlock: an executed block, complete but for its seal."""

    block: Block


@dataclass(frozen=True, slots=True)
class NothingToBuild:
    """Answer to BuildBlock when no transaction waits and empty blocks are switched off."""

    parent_hash: Hash32


@dataclass(frozen=True, slots=True)
class TransactionsWaiting:
    """The pool has something to include; sent once after NothingToBuild, at once if it came in between."""


@dataclass(frozen=True, slots=True)
class Signed:
    """Answer to Sign."""

    digest: Hash32
    signature: bytes
    """65 bytes, y parity last."""


@dataclass(frozen=True, slots=True)
class SigningRefused:
    """The guard or the key store would not sign."""

    digest: Hash32
    reason: str


@dataclass(frozen=True, slots=True)
class LastSigned:
    """What the guard's record says was signed last: sent after the first NewHead, and again whenever the
    guard refuses while the record is above the head. It is a block to finish."""

    block: Block
    """Unsealed, as it stood in Sign."""
    signature: bytes


@dataclass(frozen=True, slots=True)
class Proposed:
    """The operator asks to vote for or against a validator; None withdraws the proposal.

    `handle` raises ProposalRefused (a RequestError, for the operator) when it makes no sense.
    """

    validator: Address
    authorise: bool | None


Event: TypeAlias = (
    NewHead
    | BlockComing
    | TimerFired
    | BlockBuilt
    | NothingToBuild
    | TransactionsWaiting
    | Signed
    | SigningRefused
    | LastSigned
    | Proposed
)
