"""A day of a small cloud on the contract suite of the running network, checked against a model.

Hardware arrives, a lease is given, usage is counted, contested and billed, a service level is missed, a log
is anchored, a control attested, a contract upgraded: over JSON-RPC, by accounts with their own keys. The
model never asks the chain for a sum.
"""

import time
from collections.abc import Sequence
from typing import Any, Final

from web3 import Web3

from contracts.artifacts import load
from contracts.binding import Binding
from contracts.bindings.access_policy import AccessPolicy
from contracts.bindings.audit_log import AuditLog
from contracts.bindings.billing import Billing
from contracts.bindings.board import Board
from contracts.bindings.compliance import Compliance
from contracts.bindings.disputes import Disputes
from contracts.bindings.metering import Metering
from contracts.bindings.provenance import Provenance
from contracts.bindings.provisioning import Provisioning
from contracts.bindings.region_registry import RegionRegistry
from contracts.bindings.residency import Residency
from contracts.bindings.settlement_token import SettlementToken
from contracts.bindings.sla import Sla
from contracts.suite import IMPLEMENTATION_SLOT
from devnet.day_chain import People
from devnet.day_model import Finding, Model, Plan, compared_events, plan_of, worth
from devnet.layout import Layout
from devnet.network import Say
from devnet.suite import MEMBERS, OFFICER
from devnet.suite_genesis import DEPLOYER
from node.primitives.crypto import keccak256

MAKER: Final = 0
OPERATOR: Final = 6
CLINIC: Final = 7
BANK: Final = 8
AUDITOR: Final = 9
"""Places in `endpoints --json`; OFFICER plays every role of the AccessManager."""
JURORS: Final = (DEPLOYER, *MEMBERS, OFFICER)
PANEL: Final = 9
"""A panel of the largest size: its ruling cannot be appealed, so nobody has to wait for days."""
UPHELD: Final = 1
DEPOSIT: Final = 10_000
STRUCTURAL: Final = 1
IN_FAVOUR: Final = 2
"""Class of a proposal and answer to it, as the board numbers them."""
WINDOW_S: Final = 4
LEASE_S: Final = 3_600
GRACE_S: Final = 600
"""For an oracle's report, on a machine that is busy."""
CONTRACTS: Final = (
    AccessPolicy, AuditLog, Billing, Board, Compliance, Disputes, Metering, Provenance, Provisioning,
    RegionRegistry, Residency, SettlementToken, Sla,
)  # fmt: skip
"""Those whose events are counted."""
NOTICE_S: Final = 10
"""Seconds from now to what must lie ahead when its transaction is in a block: rates, the first window."""


class CloudDay:
    """One run; every id carries the run's own salt, so that a chain can see many days."""

    def __init__(self, layout: Layout, say: Say, plan: Plan) -> None:
        self._people = People(layout, AUDITOR + 1)
        self._say = say
        self._plan = plan
        self._salt = b"%d " % plan.seed
        self._model = Model(OPERATOR)
        for kind in CONTRACTS:
            self._people.bound(kind)
        self._is_first = False
        self.findings: list[Finding] = []

    @property
    def took(self) -> str:
        """What it has cost so far."""
        return f"{self._people.transactions} transactions, {self._people.gas_used:,} gas"

    def run(self) -> list[Finding]:
        """The whole day; DevnetError when a transaction fails that should not."""
        self._say("the board is asked to upgrade billing, and votes")
        upgrade = self._proposed_upgrade()
        self._say("hardware arrives")
        hosts = self._hardware()
        self._say("a lease is given")
        self._lease(hosts[0])
        self._say("usage is counted, contested and billed")
        account = self._accounts()
        agreement, start = self._promise(account)
        self._usage(account)
        self._queue(upgrade)
        self._say("a service level is missed")
        self._breach(account, agreement, start)
        self._say("a log is anchored")
        self._log()
        self._say("a control is attested")
        self._attestation()
        self._say("billing is upgraded")
        self._upgrade(upgrade)
        self._check_money()
        self.findings += compared_events(self._people.events, is_first=self._is_first)
        return self.findings

    # --- chapters

    def _hardware(self) -> list[bytes]:
        people, provenance = self._people, self._people.bound(Provenance)
        maker, operator = people.who(MAKER), people.who(OPERATOR)
        self._is_first = not provenance.is_manufacturer(maker)
        if self._is_first:
            people.do((OFFICER, provenance.approve_manufacturer(maker, self._id("maker"))))
        births = [(self._id(f"serial {number}"), self._id("model"), self._id("paper")) for number in range(2)]
        hosts = [provenance.component_id(maker, birth[0]) for birth in births]
        people.do(
            (MAKER, provenance.bear(births)),
            (MAKER, provenance.offer_transfer(hosts, operator, self._id("waybill"))),
        )
        people.do((OPERATOR, provenance.accept_transfer(hosts, self._id("receipt"))))
        people.do((OFFICER, provenance.scan(hosts, self._id("site"))))
        for host in hosts:
            logs = people.web3.eth.get_logs(
                {"address": Web3.to_checksum_address(provenance.address), "fromBlock": 0,
                 "topics": [None, "0x" + host.hex()]}
            )  # fmt: skip
            facts = [int.from_bytes(log["topics"][2], "big") for log in logs]
            self._compare("facts of a host: born, offered, accepted, scanned", facts, [0, 1, 2, 10])
            self._compare("custodian of a host", provenance.custodian_of(host), operator)
        return hosts

    def _lease(self, host: bytes) -> None:
        people, plan = self._people, self._plan
        regions, provisioning = people.bound(RegionRegistry), people.bound(Provisioning)
        residency, policy = people.bound(Residency), people.bound(AccessPolicy)
        country, city, site = self._id("country"), self._id("city"), self._id("site")
        vcpu, data = self._id("vCPU"), self._id("patients")
        clinic = people.who(CLINIC)
        place = keccak256(b"provisioning.place")
        people.do(
            (OFFICER, regions.add_jurisdiction(country, "a country")),
            (OFFICER, regions.add_region(city, country, "a city")),
            (OFFICER, regions.add_site(site, city, 2, people.who(OPERATOR), self._id("paper"))),
            (OFFICER, policy.grant(place, site, clinic, people.now() + LEASE_S)),
            (OFFICER, provisioning.set_quota(clinic, vcpu, plan.resized)),
            (CLINIC, residency.declare_class(data, [country], self._id("paper"))),
        )
        people.do(
            (OPERATOR, provisioning.offer_capacity(site, vcpu, 64)),
            (CLINIC, provisioning.request(vcpu, plan.leased, data, LEASE_S)),
        )
        offer = people.last(provisioning, "CapacityOffered")["offer"]
        lease = people.last(provisioning, "AllocationRequested")["allocation"]
        people.do(
            (OPERATOR, provisioning.allocate([lease], offer)),
            (OPERATOR, provisioning.bind_units(lease, [host])),
            (OPERATOR, provisioning.activate(lease)),
        )
        people.do((CLINIC, provisioning.resize(lease, plan.resized)))
        self._compare("units committed", self._committed(offer), plan.resized)
        self._compare("holder of the host", provisioning.holder_of(host), lease)
        people.do((CLINIC, provisioning.release(lease, self._id("done"))))
        people.do((OPERATOR, provisioning.free_units(lease, [host])))
        self._compare("units committed after the release", self._committed(offer), 0)
        self._compare("holder of the freed host", provisioning.holder_of(host), 0)

    def _accounts(self) -> int:
        people = self._people
        metering, billing = people.bound(Metering), people.bound(Billing)
        token = people.bound(SettlementToken)
        card, effective = self._id("card"), people.now() + NOTICE_S
        parties = (OPERATOR, BANK)
        for place in parties:
            self._model.deposits[place] = billing.balance_of(people.who(place)) + DEPOSIT
        people.do(
            (OPERATOR, metering.publish_rates(card, effective, [(self._id("hours"), self._plan.price)])),
            *((OFFICER, token.mint(people.who(place), DEPOSIT, self._id(f"payment {place}")))
              for place in parties),
            *((place, token.approve(billing.address, DEPOSIT)) for place in parties),
        )  # fmt: skip
        people.do(*((place, billing.deposit(people.who(place), DEPOSIT)) for place in parties))
        people.wait_for(effective)
        people.do((OPERATOR, metering.open_account(people.who(BANK), people.who(AUDITOR), card, False, 0)))
        account = int(people.last(metering, "AccountOpened")["account"])
        people.do((BANK, metering.accept_account(account)))
        return account

    def _usage(self, account: int) -> None:
        people, plan = self._people, self._plan
        metering = people.bound(Metering)
        bad = self._submit(account, plan.claimed)
        people.do((BANK, metering.contest_usage(bad, self._id("evidence"))))
        self._rule(people.last(metering, "UsageContested")["dispute"], UPHELD)
        status = _member(metering, "batchOf", metering.batch_of(bad), "status")
        self._compare("status of the batch a panel voided", status, 4)
        record, hours = self._id("record"), plan.hours
        leaf = keccak256(b"\x00" + record + hours.to_bytes(16, "big"))
        people.do((OFFICER, metering.replace_usage(bad, leaf, 1, hours, self._id("file"))))
        anew = _member(metering, "batchOf", metering.batch_of(bad), "replacedBy")
        self._compare("a record is proved", metering.verify_record(anew, record, hours, 0, []), True)
        self._compare("a larger one is not", metering.verify_record(anew, record, plan.claimed, 0, []), False)
        self._bill(account, anew)
        self._model.pay(BANK, worth(hours, plan.price))
        self._check_money()

    def _promise(self, account: int) -> tuple[int, int]:
        """An agreement about the level of service, and when its first window begins."""
        people, sla = self._people, self._people.bound(Sla)
        start = people.now() + NOTICE_S
        terms = (account, self._id("site"), start, WINDOW_S, 100, GRACE_S, 1, 1, 100, 100, 0, 0, 0)
        steps = [(999_000, self._plan.penalty), (900_000, 100)]
        objective = (self._id("availability"), True, steps, 10**6, 0)
        people.do((OPERATOR, sla.propose(terms, [objective], [people.who(OFFICER)])))
        agreement = int(people.last(sla, "AgreementProposed")["agreement"])
        people.do((BANK, sla.accept(agreement)))
        return agreement, start

    def _breach(self, account: int, agreement: int, start: int) -> None:
        people, plan = self._people, self._plan
        sla, billing = people.bound(Sla), people.bound(Billing)
        people.wait_for(start + WINDOW_S)
        people.do((OFFICER, sla.report([(agreement, 0, [950_000])])))
        people.do((BANK, sla.assess(agreement, [0])))
        people.wait_for(people.now() + 1)
        people.do((BANK, sla.credit(agreement, [0])))
        self._compare("credit of the breach", billing.pending_of(account), -plan.penalty)
        self._bill(account, self._submit(account, plan.later))
        self._model.pay(BANK, worth(plan.later, plan.price) - plan.penalty)
        self._check_money()

    def _log(self) -> None:
        people, log = self._people, self._people.bound(AuditLog)
        name, entries = self._id("log"), [self._id("entry 0"), self._id("entry 1")]
        first, second = (keccak256(b"\x00" + entry) for entry in entries)
        both = keccak256(b"\x01" + first + second)
        people.do((OFFICER, log.open_log(name, people.who(OPERATOR))))
        people.do(
            (OPERATOR, log.anchor(name, 1, first, self._id("file"), [])),
            (OPERATOR, log.anchor(name, 2, both, self._id("file"), [second])),
        )
        self._compare("an entry is proved", log.verify_entry(name, 1, entries[1], 1, [first]), True)
        self._compare("a forged one is not", log.verify_entry(name, 1, entries[0], 1, [first]), False)

    def _attestation(self) -> None:
        people, compliance = self._people, self._people.bound(Compliance)
        subject, framework, control = self._id("site"), self._id("ISO 27001"), self._id("A.5.15")
        now = people.now()
        said = (subject, framework, control, self._id("evidence"), now, now + LEASE_S)
        signatories = [people.who(AUDITOR), people.who(OPERATOR)]
        people.do(
            (OFFICER, compliance.publish_framework(framework, self._id("catalogue"))),
            (OFFICER, compliance.add_controls(framework, [control], [self._id("requirement")])),
            (OFFICER, compliance.propose(said, signatories, len(signatories))),
        )
        attestation = people.last(compliance, "AttestationProposed")["id"]
        people.do((AUDITOR, compliance.sign_off(attestation)))
        self._compare("attested by one of two", compliance.is_met(subject, framework, control), False)
        people.do((OPERATOR, compliance.sign_off(attestation)))
        self._compare("attested by both", compliance.is_met(subject, framework, control), True)

    # --- the upgrade, which takes as long as everything else

    def _proposed_upgrade(self) -> tuple[int, list[Any], str]:
        """Number, calls and new code of a proposal that every member has voted for."""
        people, board, billing = self._people, self._people.bound(Board), self._people.bound(Billing)
        fresh = people.deploy(DEPLOYER, load("Billing").bytecode)
        actions = [(billing.address, billing.upgrade_to_and_call(fresh, b"").data)]
        people.do((MEMBERS[0], board.propose(STRUCTURAL, actions, self._id("why"))))
        proposal = int(people.last(board, "Proposed")["id"])
        people.do(*((place, board.vote(proposal, IN_FAVOUR, self._id("reason"))) for place in MEMBERS))
        return proposal, actions, fresh

    def _queue(self, upgrade: tuple[int, list[Any], str]) -> None:
        people, board, (proposal, actions, _) = self._people, self._people.bound(Board), upgrade
        people.wait_for(_member(board, "proposal", board.proposal(proposal), "votingEnds"))
        people.do((MEMBERS[0], board.queue(proposal, actions)))

    def _upgrade(self, upgrade: tuple[int, list[Any], str]) -> None:
        people, board, (proposal, actions, fresh) = self._people, self._people.bound(Board), upgrade
        before = self._billing_runs()
        people.wait_for(_member(board, "proposal", board.proposal(proposal), "executableFrom"))
        people.do((MEMBERS[0], board.execute(proposal, actions)))
        self._compare("what billing runs", self._billing_runs(), fresh)
        self._compare("billing ran the same before", before == fresh, False)

    def _billing_runs(self) -> str:
        billing = self._people.bound(Billing)
        word = self._people.web3.eth.get_storage_at(
            Web3.to_checksum_address(billing.address), IMPLEMENTATION_SLOT
        )
        return str(Web3.to_checksum_address(word[12:]))

    # --- steps

    def _submit(self, account: int, hours: int) -> int:
        people, metering = self._people, self._people.bound(Metering)
        meter, record = self._id("hours"), self._id("record")
        start = metering.window_end(account, meter) or people.now()
        people.wait_for(start + 1)
        leaf = keccak256(b"\x00" + record + hours.to_bytes(16, "big"))
        usage = (account, meter, start, start + 1, leaf, 1, hours, self._id("file"))
        people.do((OFFICER, metering.submit_usage([usage])))
        return int(people.last(metering, "UsageSubmitted")["batch"])

    def _bill(self, account: int, batch: int) -> None:
        people, metering, billing = self._people, self._people.bound(Metering), self._people.bound(Billing)
        people.do(*((place, metering.confirm_usage([batch])) for place in (OPERATOR, BANK, AUDITOR)))
        period = (people.now() - LEASE_S, people.now())
        people.do((OFFICER, billing.issue(account, *period, [batch], [(self._id("VAT"), 150_000)])))
        invoice = people.last(billing, "InvoiceIssued")["invoice"]
        people.do((BANK, billing.settle([invoice])))

    def _rule(self, dispute: int, outcome: int) -> None:
        people, disputes = self._people, self._people.bound(Disputes)
        silent = [
            Web3.to_checksum_address(self._id(f"juror {each}")[:20]) for each in range(PANEL - len(JURORS))
        ]
        people.do((OFFICER, disputes.appoint(dispute, [*map(people.who, JURORS), *silent])))
        people.do(*((place, disputes.vote(dispute, outcome, self._id("ruling"))) for place in JURORS))

    def _check_money(self) -> None:
        people, billing, token = (
            self._people,
            self._people.bound(Billing),
            self._people.bound(SettlementToken),
        )
        for place, expected in self._model.deposits.items():
            self._compare(f"deposit of account {place}", billing.balance_of(people.who(place)), expected)
        self._compare("money held is what is owed to all", token.balance_of(billing.address), billing.held())

    def _committed(self, offer: int) -> int:
        provisioning = self._people.bound(Provisioning)
        return int(_member(provisioning, "offerOf", provisioning.offer_of(offer), "committed"))

    def _compare(self, what: str, seen: object, expected: object) -> None:
        self.findings.append(Finding(what, seen, expected))

    def _id(self, name: str) -> bytes:
        return keccak256(self._salt + name.encode())


def _member(contract: Binding, function: str, struct: Sequence[Any], name: str) -> Any:
    """A member of a struct that a view answered, by its name in the ABI."""
    (entry,) = [each for each in contract.abi if each["type"] == "function" and each["name"] == function]
    names = [each["name"] for each in entry["outputs"][0]["components"]]
    return struct[names.index(name)]


def run_cloud_day(layout: Layout, say: Say, seed: int | None) -> tuple[Sequence[Finding], str]:
    """The findings, and a line about what it took. Without a seed, one that no day of this chain has had."""
    plan = plan_of(time.time_ns() if seed is None else seed)
    say(f"the day of seed {plan.seed}: the same quantities again, on a fresh chain, with --seed {plan.seed}")
    start = time.monotonic()
    day = CloudDay(layout, say, plan)
    findings = day.run()
    return findings, f"{day.took}, {time.monotonic() - start:.0f} s, seed {plan.seed}"
