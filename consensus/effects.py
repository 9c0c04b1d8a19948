"""All that an engine can ask for. The order of a list of effects is the protocol's order."""

from dataclasses import dataclass
from typing import TypeAlias

from node.primitives.block import Block, Header
from node.primitives.ids import Address, Hash32


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Fire TimerFired(name) at a time; replaces a timer of the same name."""

    name: str
    at_ms: int
    """Unix time in milliseconds."""
    jitter_ms_max: int = 0
    """The driver adds a uniformly drawn delay from [0, this]: chance is not the engine's."""


@dataclass(frozen=True, slots=True)
class CancelTimer:
    """Forget a timer."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildBlock:
    """Execute what the pool offers on top of `parent`; answered by BlockBuilt or NothingToBuild.

    A NewHead, or another BuildBlock, before the answer makes it worthless: the driver may stop building.
    """

    parent: Header
    timestamp: int
    """Seconds."""
    author: Address
    """Who will sign, and so receives the fees."""
    beneficiary: Address
    nonce: bytes
    difficulty: int
    extra_data: bytes
    """With room for the seal (65 zero bytes in Clique)."""
    mix_hash: Hash32
    allow_empty: bool
    """False: answer NothingToBuild rather than build a block without transactions."""
    deadline_ms: int = 0
    """Unix time at which the engine wants to sign. A builder that is done before may wait for more
    transactions until then; one that is not goes on and answers late."""


@dataclass(frozen=True, slots=True)
class StopBuilding:
    """The block asked for last is not wanted any more; no answer need come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """Ask the guarded signer; answered by Signed or SigningRefused."""

    kind: str
    """What is signed, for the guard: "clique-header"."""
    height: int
    round_number: int
    digest: Hash32
    header: Header
    """The unsealed header the digest was made from: a signer that sees it can check it."""
    block: Block | None = None
    """The whole unsealed block, to be durable together with the signature: a node that dies before the import
    may sign no other block in its place, so that it has to finish this one (LastSigned)."""


@dataclass(frozen=True, slots=True)
class SealBlock:
    """The block is sealed: import it through the one door, then announce it, unless it is known already."""

    block: Block


@dataclass(frozen=True, slots=True)
class PersistProposals:
    """Write the operator's standing proposals to disk; they are handed back at construction."""

    proposals: tuple[tuple[Address, bool], ...]


Effect: TypeAlias = SetTimer | CancelTimer | BuildBlock | StopBuilding | Sign | SealBlock | PersistProposals
