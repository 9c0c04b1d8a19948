"""What a day of a cloud must come to: quantities from a seed, and what everybody owns afterwards.

Knows the prices and the story, and no chain.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Final

TAX_PERCENT: Final = 15

EVENTS: Final[Mapping[str, int]] = {
    # Two hosts are born, offered, accepted and scanned.
    "Provenance.Recorded": 8,
    # A site, who may use it, and where the data may lie.
    "RegionRegistry.JurisdictionAdded": 1,
    "RegionRegistry.RegionAdded": 1,
    "RegionRegistry.SiteAdded": 1,
    "AccessPolicy.Granted": 1,
    "Residency.ClassDeclared": 1,
    "Residency.JurisdictionAllowed": 1,
    # A lease on one host, from the offer to its end.
    "Provisioning.QuotaSet": 1,
    "Provisioning.CapacityOffered": 1,
    "Provisioning.AllocationRequested": 1,
    "Provisioning.AllocationReserved": 1,
    "Provisioning.UnitBound": 1,
    "Provisioning.AllocationActivated": 1,
    "Provisioning.AllocationResized": 1,
    "Provisioning.AllocationEnded": 1,
    "Provisioning.UnitFreed": 1,
    # Two parties pay in: each sum is issued to them, and goes on to billing.
    "SettlementToken.Issued": 2,
    "SettlementToken.Approval": 2,
    "SettlementToken.Transfer": 4,
    "Billing.Deposited": 2,
    "Metering.RatesPublished": 1,
    "Metering.RateSet": 1,
    "Metering.AccountOpened": 1,
    "Metering.AccountAccepted": 1,
    # Three batches: one voided by a panel of five who vote, its replacement, and one after the breach.
    "Metering.UsageSubmitted": 3,
    "Metering.UsageContested": 1,
    "Metering.UsageVoided": 1,
    "Metering.UsageReplaced": 1,
    "Metering.UsageSigned": 6,
    "Metering.UsageConfirmed": 2,
    "Disputes.DisputeOpened": 1,
    "Disputes.EvidenceSubmitted": 1,
    "Disputes.PanelAppointed": 1,
    "Disputes.PanelVoted": 5,
    "Disputes.DisputeRuled": 1,
    "Disputes.DisputeClosed": 1,
    # Two invoices: usage and tax, the second with a credit besides; each moves two balances.
    "Billing.InvoiceIssued": 2,
    "Billing.InvoiceLine": 5,
    "Billing.InvoiceSettled": 2,
    "Billing.NetMoved": 4,
    "Billing.AdjustmentMade": 1,
    # A service level is missed once.
    "Sla.AgreementProposed": 1,
    "Sla.AgreementAccepted": 1,
    "Sla.WindowReported": 1,
    "Sla.WindowAssessed": 1,
    "Sla.ObjectiveBreached": 1,
    "Sla.WindowCredited": 1,
    # A log of two entries, a control attested by two.
    "AuditLog.LogOpened": 1,
    "AuditLog.LogAnchored": 2,
    "Compliance.FrameworkPublished": 1,
    "Compliance.ControlAdded": 1,
    "Compliance.AttestationProposed": 1,
    "Compliance.AttestationSigned": 2,
    "Compliance.AttestationEffective": 1,
    # Three members decide on new code.
    "Board.Proposed": 1,
    "Board.Voted": 3,
    "Board.Queued": 1,
    "Board.Executed": 1,
    "Billing.Upgraded": 1,
}
"""What the story leaves in the logs, whatever the quantities are."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The quantities of one day."""

    seed: int
    price: tuple[int, int]
    """So much for so many hours."""
    claimed: int
    """Hours of the batch that is contested and voided."""
    hours: int
    """Those that were really used."""
    later: int
    """Hours after the breach."""
    penalty: int
    leased: int
    resized: int
    """Units of a lease, and after it has grown."""


def plan_of(seed: int) -> Plan:
    """The day of a seed."""
    random = Random(seed)
    hours = random.randint(100, 999)
    leased = random.randint(8, 32)
    return Plan(
        seed=seed,
        price=random.choice([(3, 2), (7, 3), (5, 4), (1, 1), (13, 7)]),
        claimed=hours * 10,
        hours=hours,
        later=random.randint(100, 400),
        penalty=random.randint(10, 90),
        leased=leased,
        resized=leased + random.randint(1, 8),
    )


def worth(hours: int, price: tuple[int, int]) -> int:
    """The price of a batch, rounded to the nearest unit, halves up."""
    units, per = price
    return (2 * hours * units + per) // (2 * per)


@dataclass(slots=True)
class Model:
    """What everybody's deposits must be, from the prices alone."""

    provider: int
    deposits: dict[int, int] = field(default_factory=dict)

    def pay(self, payer: int, net: int) -> None:
        """`net` and the tax on it, rounded half up, to the provider."""
        total = net + (net * TAX_PERCENT + 50) // 100
        self.deposits[payer] -= total
        self.deposits[self.provider] += total


@dataclass(frozen=True, slots=True)
class Finding:
    """One comparison of chain and model."""

    what: str
    seen: object
    expected: object

    @property
    def holds(self) -> bool:
        """Whether they agree."""
        return self.seen == self.expected


def compared_events(seen: Counter[str], *, is_first: bool) -> list[Finding]:
    """Every event of the day's own transactions, by contract and name: none too few, none besides.

    On the first day of a chain the manufacturer is admitted, too.
    """
    expected = Counter(EVENTS) + Counter({"Provenance.ManufacturerApproved": int(is_first)})
    differing = [name for name in sorted(expected | seen) if seen[name] != expected[name]]
    return [
        Finding("events of the day", seen.total(), expected.total()),
        *(Finding(f"events {name}", seen[name], expected[name]) for name in differing),
    ]
