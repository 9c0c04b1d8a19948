"""What is deployed, in which order, and which role may call what: data.

Every function that is `restricted` and not listed here belongs to the board.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

from node.primitives.crypto import keccak256


class Role(IntEnum):
    """Ids of the AccessManager's roles: src/governance/Roles.sol."""

    BOARD = 0
    GUARDIAN = 1
    REGISTRAR = 2
    METER = 3
    AUDITOR = 4
    ORACLE = 5
    SETTLER = 6
    ISSUER = 7
    ALLOCATOR = 8
    ARBITER = 9
    ADJUSTER = 10


@dataclass(frozen=True, slots=True)
class At:
    """Stands for the address of a contract of the suite."""

    name: str


@dataclass(frozen=True, slots=True)
class Rule:
    """When a class of proposals decides: shares in basis points, times in seconds."""

    quorum: int
    threshold: int
    voting_period_s: int
    delay_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Charter:
    """What differs from network to network."""

    members: Mapping[str, int]
    """The board: address -> weight."""
    ordinary: Rule
    structural: Rule
    emergency: Rule
    validators: Mapping[str, str] = field(default_factory=dict)
    """Address -> name of the organisation that runs it; at least one."""
    organisations: Mapping[str, str] = field(default_factory=dict)
    """Name -> first administrator."""
    nodes: Mapping[str, str] = field(default_factory=dict)
    """Key of a node (128 hex digits) -> organisation, one that the deployer administers."""
    accounts: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    """Address -> organisation, one that the deployer administers, and roles as Organisations numbers them."""
    holders: Mapping[Role, tuple[str, ...]] = field(default_factory=dict)
    """Who begins with a role, apart from the board's."""
    currency: tuple[str, str, int] = ("Phoenix settlement unit", "PSU", 6)
    """Name, symbol, places behind the point."""

    @property
    def minimum_delay_s(self) -> int:
        """The timelock's own: that of the quickest class."""
        return min(self.ordinary.delay_s, self.structural.delay_s, self.emergency.delay_s)


IMPLEMENTATION_SLOT: Final = 0x360894A13BA1A3210667C828492DB98DCA3E2076CC3735A920A3CA505D382BBC
"""Where a proxy keeps what it runs (EIP-1967)."""
NODE_INGRESS: Final = "0x0000000000000000000000000000000000009999"
ACCOUNT_INGRESS: Final = "0x0000000000000000000000000000000000008888"
"""Where genesis puts them; a network without permissioning by contract has nothing there.

Structural for the board from its founding on: whom the doors ask is no everyday decision."""


def proxies(charter: Charter) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    """(contract, arguments of initialize) of everything behind a proxy, each after what it names."""
    authority = At("AccessManager")
    rules = [(r.quorum, r.threshold, r.voting_period_s, r.delay_s) for r in _rules(charter)]
    board = (
        authority,
        At("TimelockController"),
        list(charter.members),
        list(charter.members.values()),
        rules,
        [NODE_INGRESS, ACCOUNT_INGRESS],
    )
    names = [name_id(name) for name in charter.validators.values()]
    return (
        ("Board", board),
        ("ContractNames", (authority,)),
        ("Validators", (authority, list(charter.validators), names)),
        ("Disputes", (authority,)),
        ("Organisations", (authority,)),
        ("NodeRules", (authority, At("Organisations"))),
        ("AccountRules", (authority, At("Organisations"), At("Board"))),
        ("RegionRegistry", (authority,)),
        ("Credentials", (authority,)),
        ("TrustedIssuers", (authority,)),
        ("AccessPolicy", (authority, At("Credentials"), At("TrustedIssuers"))),
        ("SettlementToken", (authority, *charter.currency)),
        ("Residency", (authority,)),
        ("Compliance", (authority,)),
        ("AuditLog", (authority,)),
        ("Provenance", (authority,)),
        ("Provisioning",
         (authority, At("RegionRegistry"), At("AccessPolicy"), At("Residency"), At("Provenance"))),
        ("Metering", (authority, At("Disputes"))),
        ("Billing", (authority, At("SettlementToken"), At("Metering"), At("Disputes"))),
        ("Sla", (authority, At("Metering"), At("Billing"), At("Disputes"))),
    )  # fmt: skip


PLAIN: Final = ("AccessManager", "TimelockController", "EthereumDIDRegistry")
"""Deployed as they are, without a proxy: nobody can change them."""

CALLERS: Final[Mapping[str, Mapping[Role, tuple[str, ...]]]] = {
    "Board": {Role.GUARDIAN: ("hold",)},
    "Disputes": {Role.GUARDIAN: ("pause",), Role.ARBITER: ("appoint",)},
    "Organisations": {
        Role.GUARDIAN: ("pause",),
        Role.REGISTRAR: ("addOrganisation", "setSuspended", "restoreAdmin"),
    },
    "RegionRegistry": {
        Role.GUARDIAN: ("pause",),
        Role.REGISTRAR: (
            "addJurisdiction", "addRegion", "addSite", "setSiteActive", "setSiteTier", "setAdjacency",
        ),
    },
    "Credentials": {Role.GUARDIAN: ("pause",)},
    "TrustedIssuers": {Role.GUARDIAN: ("pause",), Role.ISSUER: ("setSteward",)},
    "AccessPolicy": {
        Role.GUARDIAN: ("pause",), Role.REGISTRAR: ("setRule", "grant", "withdraw", "setSuspended"),
    },
    "SettlementToken": {Role.GUARDIAN: ("pause",), Role.SETTLER: ("mint", "burn")},
    "Residency": {Role.AUDITOR: ("approveWidening",)},
    "AuditLog": {Role.AUDITOR: ("openLog", "changeWriter")},
    "Compliance": {
        Role.AUDITOR: ("publishFramework", "addControls", "mapControl", "propose", "raiseFinding"),
    },
    "Provenance": {
        Role.REGISTRAR: ("approveManufacturer", "withdrawManufacturer"),
        Role.AUDITOR: ("inspect",),
        Role.METER: ("scan", "anchorScans"),
    },
    "Provisioning": {Role.GUARDIAN: ("pause",), Role.ALLOCATOR: ("setQuota", "refuse")},
    "Metering": {Role.METER: ("submitUsage", "replaceUsage")},
    "Billing": {Role.GUARDIAN: ("pause",), Role.SETTLER: ("issue",), Role.ADJUSTER: ("adjust",)},
    "Sla": {Role.ORACLE: ("report",)},
}  # fmt: skip
"""Contract -> role -> functions that holders of the role may call."""

CONTRACTS_WITH_ROLES: Final[Mapping[str, Role]] = {"Sla": Role.ADJUSTER}
"""Contracts of the suite that act on others."""


def name_id(name: str) -> bytes:
    """A name as the bytes32 that contracts know it by: its keccak256."""
    return keccak256(name.encode())


def _rules(charter: Charter) -> tuple[Rule, Rule, Rule]:
    return charter.ordinary, charter.structural, charter.emergency
