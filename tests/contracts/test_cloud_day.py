"""A day of a small cloud on the whole suite as it is deployed: every right by its role, every register real.

The other tests fake what a contract asks; here nothing is faked, and a model in Python keeps the money.
"""

from dataclasses import dataclass, field
from typing import Any

import pytest

from contracts.deploy import deploy
from contracts.registry import Registry
from node.primitives.crypto import keccak256
from tests.contracts.sandbox import Done, Sandbox
from tests.contracts.staff import (
    ALLOCATOR,
    ARBITER,
    AUDITOR,
    GUARDIAN,
    METER,
    ORACLES,
    REGISTRAR,
    SETTLER,
    staffed_charter,
)
from tests.contracts.suite import GENESIS, SandboxChain, Suite
from tests.contracts.trees import log_tree, usage_tree

PANEL = (50, 51, 52)
OPERATOR, CLINIC, BANK, MAKER = 60, 61, 62, 63
GH, KE, ACCRA, NAIROBI, SITE, VCPU, HOURS, PATIENTS, PAPER, CARD = (
    keccak256(name)
    for name in (
        b"GH",
        b"KE",
        b"Accra",
        b"Nairobi",
        b"site",
        b"vCPU",
        b"vCPU hours",
        b"patients",
        b"paper",
        b"card",
    )
)
PLACE = keccak256(b"provisioning.place")
HOUR, DAY, WEEK = 3600, 86_400, 7 * 86_400
REWARDLESS = {"rewardMark": 10**6, "reward": 0}


@dataclass
class Day:
    """The suite with people in all roles, and what the model expects of everybody's deposits."""

    suite: Suite
    deposits: dict[int, int] = field(default_factory=dict)

    @property
    def chain(self) -> Sandbox:
        return self.suite.chain

    def who(self, place: int) -> str:
        return self.chain.account(place)

    def act(self, place: int, contract: str, function: str, *arguments: Any) -> Done:
        return self.suite[contract].send[function](*arguments, sender=self.who(place))

    def ask(self, contract: str, function: str, *arguments: Any) -> Any:
        return self.suite[contract].call[function](*arguments)

    def fund(self, place: int, amount: int) -> None:
        self.act(SETTLER, "SettlementToken", "mint", self.who(place), amount, keccak256(b"bank %d" % place))
        self.act(place, "SettlementToken", "approve", self.suite["Billing"].address, amount)
        self.act(place, "Billing", "deposit", self.who(place), amount)
        self.deposits[place] = amount

    def account(self, tenant: int, prepaid: bool) -> int:
        parties = (self.who(tenant), self.who(AUDITOR))
        account = self.act(OPERATOR, "Metering", "openAccount", *parties, CARD, prepaid, DAY).output
        self.act(tenant, "Metering", "acceptAccount", account)
        return int(account)

    def usage(self, account: int, quantities: list[int]) -> int:
        """A metered hour; the batch."""
        self.chain.warp(HOUR)
        records = [(keccak256(b"record %d" % place), each) for place, each in enumerate(quantities)]
        root, total = usage_tree(records).root()
        batch = {
            "account": account, "meter": HOURS, "from": self.chain.now - HOUR, "to": self.chain.now,
            "root": root, "count": len(records), "total": total, "documentHash": PAPER,
        }  # fmt: skip
        return int(self.act(METER, "Metering", "submitUsage", [batch]).output)

    def confirm(self, batch: int, *places: int) -> None:
        for place in places:
            self.act(place, "Metering", "confirmUsage", [batch])

    def issue(self, account: int, *batches: int) -> int:
        period = (self.chain.now - 30 * DAY, self.chain.now)
        taxes = [(keccak256(b"VAT"), 150_000)]
        return int(self.act(SETTLER, "Billing", "issue", account, *period, list(batches), taxes).output)

    def rule(self, dispute: int, outcome: int) -> None:
        self.act(ARBITER, "Disputes", "appoint", dispute, [self.who(each) for each in PANEL])
        for panelist in PANEL[:2]:
            self.act(panelist, "Disputes", "vote", dispute, outcome, PAPER)
        self.chain.warp(self.ask("Disputes", "APPEAL_PERIOD"))
        self.act(BANK, "Disputes", "close", dispute)

    def check_money(self) -> None:
        """The contract's books are the model's."""
        billing = self.suite["Billing"].address
        for place, amount in self.deposits.items():
            assert self.ask("Billing", "balanceOf", self.who(place)) == amount
        assert self.ask("Billing", "held") == sum(self.deposits.values())
        assert self.ask("SettlementToken", "balanceOf", billing) == sum(self.deposits.values())


@pytest.fixture
def day() -> Day:
    return a_day(Sandbox())


def a_day(chain: Sandbox) -> Day:
    """The suite deployed on this chain, with regions, a site and the prices of its operator."""
    charter = staffed_charter(chain)
    day = Day(Suite(chain, deploy(SandboxChain(chain), charter, Registry(GENESIS), lambda line: None)))
    for name in day.suite.report.addresses:
        if "." not in name:
            day.suite[name]
    for jurisdiction, region in ((GH, ACCRA), (KE, NAIROBI)):
        day.act(REGISTRAR, "RegionRegistry", "addJurisdiction", jurisdiction, "a country")
        day.act(REGISTRAR, "RegionRegistry", "addRegion", region, jurisdiction, "a city")
    day.act(REGISTRAR, "RegionRegistry", "addSite", SITE, ACCRA, 2, day.who(OPERATOR), PAPER)
    day.act(OPERATOR, "Metering", "publishRates", CARD, chain.now, [(HOURS, (3, 2))])
    return day


def test_a_day_of_a_cloud(day: Day) -> None:
    hosts = hardware_arrives(day)
    leases_are_given(day, hosts)
    clinic, bank = day.account(CLINIC, prepaid=True), day.account(BANK, prepaid=False)
    for place in (OPERATOR, CLINIC, BANK):
        day.fund(place, 10_000)
    usage_is_billed(day, clinic, bank)
    a_breach_costs(day, bank)
    the_day_is_attested(day)


def hardware_arrives(day: Day) -> list[bytes]:
    """Two hosts from their maker to the site."""
    day.act(REGISTRAR, "Provenance", "approveManufacturer", day.who(MAKER), PAPER)
    births = [(keccak256(b"serial %d" % number), PAPER, PAPER) for number in range(2)]
    day.act(MAKER, "Provenance", "bear", births)
    hosts = [day.ask("Provenance", "componentId", day.who(MAKER), birth[0]) for birth in births]
    day.act(MAKER, "Provenance", "offerTransfer", hosts, day.who(OPERATOR), PAPER)
    day.act(OPERATOR, "Provenance", "acceptTransfer", hosts, PAPER)
    day.act(AUDITOR, "Provenance", "inspect", hosts[0], True, PAPER)
    day.act(METER, "Provenance", "scan", hosts, SITE)
    assert day.ask("Provenance", "component", hosts[0])["facts"] == 5
    return hosts


def leases_are_given(day: Day, hosts: list[bytes]) -> None:
    """The clinic's data may be here; it is allowed in, and gets a host of its own."""
    chain = day.chain
    offer = day.act(OPERATOR, "Provisioning", "offerCapacity", SITE, VCPU, 64).output
    day.act(ALLOCATOR, "Provisioning", "setQuota", day.who(CLINIC), VCPU, 40)
    day.act(CLINIC, "Residency", "declareClass", PATIENTS, [KE], PAPER)
    lease = day.act(CLINIC, "Provisioning", "request", VCPU, 32, PATIENTS, DAY).output
    with chain.refusing("ProvisioningNotResident", jurisdiction=GH):
        day.act(OPERATOR, "Provisioning", "allocate", [lease], offer)
    day.act(CLINIC, "Residency", "requestWidening", PATIENTS, GH, PAPER)
    day.act(AUDITOR, "Residency", "approveWidening", PATIENTS, GH)
    with chain.refusing("ProvisioningNotAllowed", tenant=day.who(CLINIC)):
        day.act(OPERATOR, "Provisioning", "allocate", [lease], offer)
    day.act(REGISTRAR, "AccessPolicy", "grant", PLACE, SITE, day.who(CLINIC), chain.now + WEEK)
    day.act(OPERATOR, "Provisioning", "allocate", [lease], offer)
    day.act(OPERATOR, "Provisioning", "bindUnits", lease, hosts[:1])
    day.act(OPERATOR, "Provisioning", "activate", lease)
    day.act(CLINIC, "Provisioning", "resize", lease, 40)
    assert day.ask("Provisioning", "offerOf", offer)["committed"] == 40
    # A recalled host is given to nobody, whoever holds it.
    day.act(MAKER, "Provenance", "recall", hosts[1], PAPER)
    with chain.refusing("ProvisioningUnitRecalled", unit=hosts[1]):
        day.act(OPERATOR, "Provisioning", "bindUnits", lease, hosts[1:])


def usage_is_billed(day: Day, clinic: int, bank: int) -> None:
    """One batch goes through, one is voided by a panel and reported anew."""
    good = day.usage(clinic, [10, 20, 31])
    day.confirm(good, OPERATOR, CLINIC, AUDITOR)
    day.issue(clinic, good)
    paid = 92 + 14  # 61 * 3 / 2 = 91.5 -> 92; 15% of it 13.8 -> 14
    day.deposits[CLINIC] -= paid
    day.deposits[OPERATOR] += paid
    day.check_money()
    bad = day.usage(bank, [100, 9_999])
    dispute = day.act(BANK, "Metering", "contestUsage", bad, PAPER).only("UsageContested")["dispute"]
    day.rule(dispute, 1)
    root, total = usage_tree([(PAPER, 100), (CARD, 99)]).root()
    anew = day.act(METER, "Metering", "replaceUsage", bad, root, 2, total, PAPER).output
    day.confirm(anew, OPERATOR, BANK)
    day.chain.warp(WEEK)
    day.act(BANK, "Metering", "confirmByDefault", anew)
    invoice = day.issue(bank, anew)
    day.act(BANK, "Billing", "settle", [invoice])
    paid = 299 + 45  # 199 * 3 / 2 = 298.5 -> 299; 15% of it 44.85 -> 45
    day.deposits[BANK] -= paid
    day.deposits[OPERATOR] += paid
    day.check_money()


def a_breach_costs(day: Day, bank: int) -> None:
    """Two of three oracles saw an outage: the next invoice is smaller, to the unit."""
    objective = {"metric": PAPER, "higherIsBetter": True, "steps": [(999_000, 40)], **REWARDLESS}
    terms = {
        "account": bank, "resource": SITE, "startsAt": day.chain.now + HOUR, "windowSeconds": HOUR,
        "windows": 24, "graceSeconds": 600, "objectionSeconds": HOUR, "quorum": 2, "capWindows": 24,
        "penaltyCap": 100, "rewardCap": 0, "maintenanceMax": 0, "noticeSeconds": 0,
    }  # fmt: skip
    oracles = [day.who(each) for each in ORACLES]
    agreement = day.act(OPERATOR, "Sla", "propose", terms, [objective], oracles).output
    day.act(BANK, "Sla", "accept", agreement)
    day.chain.warp(2 * HOUR)
    for oracle, seen in zip(ORACLES, (1_000_000, 950_000, 940_000), strict=True):
        day.act(oracle, "Sla", "report", [(agreement, 0, [seen])])
    day.act(CLINIC, "Sla", "assess", agreement, [0])
    day.chain.warp(HOUR)
    day.act(CLINIC, "Sla", "credit", agreement, [0])
    batch = day.usage(bank, [40])
    day.confirm(batch, OPERATOR, BANK, AUDITOR)
    invoice = day.issue(bank, batch)
    day.chain.warp(DAY)
    day.act(CLINIC, "Billing", "settle", [invoice])
    paid = 60 - 40 + 3
    day.deposits[BANK] -= paid
    day.deposits[OPERATOR] += paid
    day.check_money()


def the_day_is_attested(day: Day) -> None:
    """The audit log is anchored, and the site's access control attested by two."""
    log, framework = keccak256(b"log"), keccak256(b"ISO 27001")
    day.act(AUDITOR, "AuditLog", "openLog", log, day.who(OPERATOR))
    entries = [keccak256(b"entry %d" % number) for number in range(50)]
    tree = log_tree(entries)
    day.act(OPERATOR, "AuditLog", "anchor", log, 50, tree.root(), PAPER, [])
    assert day.ask("AuditLog", "verifyEntry", log, 0, entries[33], 33, tree.path(33))
    day.act(AUDITOR, "Compliance", "publishFramework", framework, PAPER)
    day.act(AUDITOR, "Compliance", "addControls", framework, [PAPER], [PAPER])
    said = {
        "subject": SITE, "framework": framework, "control": PAPER, "evidence": tree.root(),
        "validFrom": day.chain.now, "validUntil": day.chain.now + WEEK,
    }  # fmt: skip
    signers = [day.who(OPERATOR), day.who(REGISTRAR)]
    attestation = day.act(AUDITOR, "Compliance", "propose", said, signers, 2).output
    for place in (OPERATOR, REGISTRAR):
        day.act(place, "Compliance", "signOff", attestation)
    assert day.ask("Compliance", "isMet", SITE, framework, PAPER)


def test_what_no_role_may_call_belongs_to_the_board(day: Day) -> None:
    upgrade = day.suite["Billing"].data.upgradeToAndCall(day.suite["Metering"].address, b"")
    for place in (OPERATOR, AUDITOR, SETTLER, GUARDIAN, 0):
        for name in (
            "AuditLog",
            "Billing",
            "Compliance",
            "Metering",
            "Provenance",
            "Provisioning",
            "Residency",
            "Sla",
        ):
            with day.chain.refusing("AccessManagedUnauthorized", caller=day.who(place)):
                day.chain.transact(day.suite[name].address, upgrade, sender=day.who(place))
    with day.chain.refusing("AccessManagedUnauthorized"):
        day.act(SETTLER, "Billing", "adjust", 1, 5, PAPER)
    with day.chain.refusing("AccessManagedUnauthorized"):
        day.act(AUDITOR, "Compliance", "annul", 1, PAPER)


def test_the_board_upgrades_billing_and_the_books_stay(day: Day) -> None:
    day.fund(BANK, 777)
    fresh = day.chain.deploy("Billing")
    billing = day.suite["Billing"]
    day.suite.decide((billing, billing.data.upgradeToAndCall(fresh.address, b"")), structural=True)
    day.check_money()
    with day.chain.refusing("InvalidInitialization"):
        day.act(0, "Billing", "initialize", *[day.who(0)] * 4)
