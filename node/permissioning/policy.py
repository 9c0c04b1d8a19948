"""The words of permissioning: what is asked, and an answer that says which rule gave it. Pure."""

import ipaddress
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

from node.primitives.errors import ChainError
from node.primitives.ids import Address, BlockNumber, hex_of
from node.primitives.transaction import Transaction


class Tier(Enum):
    """Where in the network a node stands."""

    CORE = "core"
    REGIONAL = "regional"
    EDGE = "edge"


MAY_DIAL: Final = {
    Tier.CORE: frozenset({Tier.CORE}),
    Tier.REGIONAL: frozenset({Tier.CORE, Tier.REGIONAL}),
    Tier.EDGE: frozenset({Tier.REGIONAL}),
}
"""Inwards or sideways, never outwards; an edge no further than the regional tier: it reaches no validator."""


class Right(Enum):
    """What a transaction does, each a right of its own."""

    TRANSFER = "transfer"
    """Value, or nothing at all."""
    CALL = "call"
    """Data for somebody who is there."""
    DEPLOY = "deploy"


_WITHOUT_VALUE: Final = {right: frozenset((right,)) for right in Right}
_WITH_VALUE: Final = {right: frozenset((right, Right.TRANSFER)) for right in Right}


def kind_of(to: Address | None, data: bytes) -> Right:
    """What a transaction is called by."""
    if to is None:
        return Right.DEPLOY
    return Right.CALL if data else Right.TRANSFER


def rights_for(to: Address | None, value: int, data: bytes) -> frozenset[Right]:
    """What it takes: who may only call moves no value by adding a byte of data, or by a deployment."""
    return (_WITH_VALUE if value else _WITHOUT_VALUE)[kind_of(to, data)]


@dataclass(frozen=True, slots=True)
class Decision:
    """Allowed or not, by which rule."""

    allowed: bool
    rule: str
    """A short name that does not change."""
    reason: str
    """For people."""
    block: BlockNumber | None = None
    """After which block the rule was asked; None for one that no block decides."""

    def __str__(self) -> str:
        at = "" if self.block is None else f", after block {self.block}"
        return f"{self.reason} (rule {self.rule}{at})"


class NotPermitted(ChainError):
    """A rule forbids it."""

    def __init__(self, decision: Decision) -> None:
        super().__init__(str(decision))
        self.decision = decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """What somebody wants to send."""

    sender: Address
    to: Address | None
    """None creates a contract."""
    value: int = 0
    gas_price: int = 0
    """wei per gas, at most."""
    gas_limit: int = 0
    data: bytes = b""

    @property
    def kind(self) -> Right:
        """See `kind_of`."""
        return kind_of(self.to, self.data)

    @property
    def rights(self) -> frozenset[Right]:
        """See `rights_for`."""
        return rights_for(self.to, self.value, self.data)

    def __str__(self) -> str:
        target = "a new contract" if self.to is None else hex_of(self.to)
        value = f" with {self.value} wei" if self.value and self.kind is not Right.TRANSFER else ""
        return f"{self.kind.value}{value} by {hex_of(self.sender)} to {target}"


def sending_of(tx: Transaction) -> Sending:
    """What a transaction wants. InvalidSignature when nobody signed it."""
    return Sending(
        sender=tx.sender,
        to=tx.to,
        value=tx.value,
        gas_price=tx.max_fee_per_gas,
        gas_limit=tx.gas_limit,
        data=tx.data,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """A connection to another node, wanted or there."""

    id: bytes
    """The other's 64-byte public key."""
    host: str | None = None
    """Where it is; None when that is not known, or is still a name."""
    port: int = 0
    inbound: bool = False
    """Whether it dialled us."""


class AccountPolicy(Protocol):
    """Who may send what, by one source."""

    def decide(self, sending: Sending) -> Decision:
        """Now."""
        ...


class NodePolicy(Protocol):
    """Who may connect, by one source."""

    def decide(self, meeting: Meeting) -> Decision:
        """Now."""
        ...


def is_in(host: str | None, networks: tuple[str, ...]) -> bool:
    """Whether an address lies in one of the networks; a name, or nothing, lies nowhere."""
    try:
        address = ipaddress.ip_address((host or "").partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in ipaddress.ip_network(network, strict=False) for network in networks)
