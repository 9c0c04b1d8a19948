"""A day of a small cloud on the contract suite of the running network, checked against a model.

Hardware arrives, a lease is given, usage is counted, contested and billed, a service level is missed, a log
is anchored, a control attested, a contract upgraded: over JSON-RPC, by accounts with their own keys. The
model never asks the chain for a sum.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from eth_account import Account
from web3 import HTTPProvider, Web3
from web3.middleware import ExtraDataToPOAMiddleware

from contracts.artifacts import load
from contracts.binding import Binding, Write
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
from contracts.registry import open_registry
from contracts.rpc_chain import RpcChain
from contracts.suite import IMPLEMENTATION_SLOT
from devnet.errors import DevnetError
from devnet.layout import Layout
from devnet.network import Say
from devnet.suite import MEMBERS, OFFICER, RULES
from devnet.suite_genesis import DEPLOYER, REGISTRY
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
GAS: Final = 3_000_000
GAS_DEPLOY: Final = 6_000_000
"""Per transaction; unused gas comes back."""
STRUCTURAL: Final = 1
IN_FAVOUR: Final = 2
"""Class of a proposal and answer to it, as the board numbers them."""
RECEIPT_TIMEOUT_S: Final = 60.0
POLL_S: Final = 0.2
WINDOW_S: Final = 4
LEASE_S: Final = 3_600
NOTICE_S: Final = 20
"""Seconds between proposing a service level and its first window: time to accept it."""

Kind = TypeVar("Kind", bound=Binding)


@dataclass(slots=True)
class Model:
    """What everybody's deposits must be, from the prices alone."""

    deposits: dict[int, int] = field(default_factory=dict)

    def pay(self, payer: int, net: int) -> None:
        """`net` and 15 % of it, rounded half up, to the operator."""
        total = net + (net * 15 + 50) // 100
        self.deposits[payer] -= total
        self.deposits[OPERATOR] += total


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


class CloudDay:
    """One run; every id carries the run's own salt, so that a chain can see many days."""

    def __init__(self, layout: Layout, say: Say) -> None:
        url = layout.nodes[0].rpc_url
        self._web3 = Web3(HTTPProvider(url))
        # Clique's extra data is longer than what web3 takes.
        self._web3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
        self._keys = [Account.from_key(each["private_key"]) for each in layout.accounts]
        if len(self._keys) <= AUDITOR:
            raise DevnetError(f"a day of a cloud needs {AUDITOR + 1} accounts; there are {len(self._keys)}")
        chain = RpcChain(url, layout.accounts[DEPLOYER]["private_key"])
        registry = open_registry(layout.home / REGISTRY, chain.identity)
        if not registry.entries:
            raise DevnetError("the contract suite is not there; `python -m devnet deploy` puts it there")
        self._registry = registry
        self._say = say
        self._salt = str(time.time_ns()).encode()
        self._model = Model()
        self.findings: list[Finding] = []
        self.transactions = 0
        self.gas_used = 0

    def run(self) -> list[Finding]:
        """The whole day; DevnetError when a transaction fails that should not."""
        self._say("hardware arrives")
        hosts = self._hardware()
        self._say("a lease is given")
        self._lease(hosts[0])
        self._say("usage is counted, contested and billed")
        account = self._accounts()
        self._usage(account)
        self._say("a service level is missed")
        self._breach(account)
        self._say("a log is anchored")
        self._log()
        self._say("a control is attested")
        self._attestation()
        self._say("the board upgrades billing")
        self._upgrade()
        self._check_money()
        return self.findings

    # --- chapters

    def _hardware(self) -> list[bytes]:
        provenance = self._bound(Provenance)
        maker, operator = self._who(MAKER), self._who(OPERATOR)
        if not provenance.is_manufacturer(maker):
            self._do(OFFICER, provenance.approve_manufacturer(maker, self._id("maker")))
        births = [(self._id(f"serial {number}"), self._id("model"), self._id("paper")) for number in range(2)]
        self._do(MAKER, provenance.bear(births))
        hosts = [provenance.component_id(maker, birth[0]) for birth in births]
        self._do(MAKER, provenance.offer_transfer(hosts, operator, self._id("waybill")))
        self._do(OPERATOR, provenance.accept_transfer(hosts, self._id("receipt")))
        self._do(OFFICER, provenance.scan(hosts, self._id("site")))
        for host in hosts:
            logs = self._web3.eth.get_logs(
                {"address": Web3.to_checksum_address(provenance.address), "fromBlock": 0,
                 "topics": [None, "0x" + host.hex()]}
            )  # fmt: skip
            facts = [int.from_bytes(log["topics"][2], "big") for log in logs]
            self._compare("facts of a host: born, offered, accepted, scanned", facts, [0, 1, 2, 10])
            self._compare("custodian of a host", provenance.custodian_of(host), operator)
        return hosts

    def _lease(self, host: bytes) -> None:
        regions, provisioning = self._bound(RegionRegistry), self._bound(Provisioning)
        residency, policy = self._bound(Residency), self._bound(AccessPolicy)
        country, city, site = self._id("country"), self._id("city"), self._id("site")
        vcpu, data = self._id("vCPU"), self._id("patients")
        clinic = self._who(CLINIC)
        self._do(OFFICER, regions.add_jurisdiction(country, "a country"))
        self._do(OFFICER, regions.add_region(city, country, "a city"))
        self._do(OFFICER, regions.add_site(site, city, 2, self._who(OPERATOR), self._id("paper")))
        place = keccak256(b"provisioning.place")
        self._do(OFFICER, policy.grant(place, site, clinic, self._now() + LEASE_S))
        self._do(CLINIC, residency.declare_class(data, [country], self._id("paper")))
        self._do(OFFICER, provisioning.set_quota(clinic, vcpu, 40))
        self._do(OPERATOR, provisioning.offer_capacity(site, vcpu, 64))
        offer = self._last(provisioning, "CapacityOffered")["offer"]
        self._do(CLINIC, provisioning.request(vcpu, 32, data, LEASE_S))
        lease = self._last(provisioning, "AllocationRequested")["allocation"]
        self._do(OPERATOR, provisioning.allocate([lease], offer))
        self._do(OPERATOR, provisioning.bind_units(lease, [host]))
        self._do(OPERATOR, provisioning.activate(lease))
        self._do(CLINIC, provisioning.resize(lease, 40))
        self._compare(
            "units committed", _member(provisioning, "offerOf", provisioning.offer_of(offer), "committed"), 40
        )
        self._compare("holder of the host", provisioning.holder_of(host), lease)
        self._do(CLINIC, provisioning.release(lease, self._id("done")))
        self._do(OPERATOR, provisioning.free_units(lease, [host]))
        self._compare(
            "units committed after the release",
            _member(provisioning, "offerOf", provisioning.offer_of(offer), "committed"),
            0,
        )
        self._compare("holder of the freed host", provisioning.holder_of(host), 0)

    def _accounts(self) -> int:
        metering, billing = self._bound(Metering), self._bound(Billing)
        token = self._bound(SettlementToken)
        card = self._id("card")
        self._do(OPERATOR, metering.publish_rates(card, self._now() + 2, [(self._id("hours"), (3, 2))]))
        time.sleep(3)
        self._do(OPERATOR, metering.open_account(self._who(BANK), self._who(AUDITOR), card, False, 0))
        account = int(self._last(metering, "AccountOpened")["account"])
        self._do(BANK, metering.accept_account(account))
        for place in (OPERATOR, BANK):
            self._model.deposits[place] = billing.balance_of(self._who(place)) + DEPOSIT
            self._do(OFFICER, token.mint(self._who(place), DEPOSIT, self._id(f"payment {place}")))
            self._do(place, token.approve(billing.address, DEPOSIT))
            self._do(place, billing.deposit(self._who(place), DEPOSIT))
        return account

    def _usage(self, account: int) -> None:
        metering = self._bound(Metering)
        bad = self._submit(account, 9_999)
        self._do(BANK, metering.contest_usage(bad, self._id("evidence")))
        dispute = self._last(metering, "UsageContested")["dispute"]
        self._rule(dispute, UPHELD)
        self._compare(
            "status of the batch a panel voided",
            _member(metering, "batchOf", metering.batch_of(bad), "status"),
            4,
        )
        leaf = keccak256(b"\x00" + self._id("record") + (199).to_bytes(16, "big"))
        self._do(OFFICER, metering.replace_usage(bad, leaf, 1, 199, self._id("file")))
        anew = _member(metering, "batchOf", metering.batch_of(bad), "replacedBy")
        self._compare(
            "a record is proved", metering.verify_record(anew, self._id("record"), 199, 0, []), True
        )
        self._bill(account, anew)
        self._model.pay(BANK, 299)  # 199 hours at 3 for 2: 298.5, halves up
        self._check_money()

    def _breach(self, account: int) -> None:
        sla, billing = self._bound(Sla), self._bound(Billing)
        start = self._now() + NOTICE_S
        terms = (account, self._id("site"), start, WINDOW_S, 100, 60, 1, 1, 100, 100, 0, 0, 0)
        objective = (self._id("availability"), True, [(999_000, 40), (900_000, 90)], 10**6, 0)
        self._do(OPERATOR, sla.propose(terms, [objective], [self._who(OFFICER)]))
        agreement = self._last(sla, "AgreementProposed")["agreement"]
        self._do(BANK, sla.accept(agreement))
        time.sleep(max(0.0, start + WINDOW_S + 2 - time.time()))
        self._do(OFFICER, sla.report([(agreement, 0, [950_000])]))
        self._do(BANK, sla.assess(agreement, [0]))
        time.sleep(3)
        self._do(BANK, sla.credit(agreement, [0]))
        self._compare("credit of the breach", billing.pending_of(account), -40)
        self._bill(account, self._submit(account, 40))
        self._model.pay(BANK, 60 - 40)
        self._check_money()

    def _log(self) -> None:
        log = self._bound(AuditLog)
        name, entries = self._id("log"), [self._id("entry 0"), self._id("entry 1")]
        first, second = (keccak256(b"\x00" + entry) for entry in entries)
        self._do(OFFICER, log.open_log(name, self._who(OPERATOR)))
        self._do(OPERATOR, log.anchor(name, 1, first, self._id("file"), []))
        self._do(
            OPERATOR, log.anchor(name, 2, keccak256(b"\x01" + first + second), self._id("file"), [second])
        )
        self._compare("an entry is proved", log.verify_entry(name, 1, entries[1], 1, [first]), True)
        self._compare("a forged one is not", log.verify_entry(name, 1, entries[0], 1, [first]), False)

    def _attestation(self) -> None:
        compliance = self._bound(Compliance)
        subject, framework, control = self._id("site"), self._id("ISO 27001"), self._id("A.5.15")
        self._do(OFFICER, compliance.publish_framework(framework, self._id("catalogue")))
        self._do(OFFICER, compliance.add_controls(framework, [control], [self._id("requirement")]))
        said = (subject, framework, control, self._id("evidence"), self._now(), self._now() + LEASE_S)
        signatories = [self._who(AUDITOR), self._who(OPERATOR)]
        self._do(OFFICER, compliance.propose(said, signatories, len(signatories)))
        attestation = self._last(compliance, "AttestationProposed")["id"]
        self._do(AUDITOR, compliance.sign_off(attestation))
        self._compare("attested by one of two", compliance.is_met(subject, framework, control), False)
        self._do(OPERATOR, compliance.sign_off(attestation))
        self._compare("attested by both", compliance.is_met(subject, framework, control), True)

    def _upgrade(self) -> None:
        board, billing = self._bound(Board), self._bound(Billing)
        before = self._web3.eth.get_storage_at(billing.address, IMPLEMENTATION_SLOT)
        self._send(DEPLOYER, None, load("Billing").bytecode)
        fresh = str(self._receipt["contractAddress"])
        actions = [(billing.address, billing.upgrade_to_and_call(fresh, b"").data)]
        self._do(MEMBERS[0], board.propose(STRUCTURAL, actions, self._id("why")))
        proposal = self._last(board, "Proposed")["id"]
        for place in MEMBERS:
            self._do(place, board.vote(proposal, IN_FAVOUR, self._id("reason")))
        time.sleep(RULES[STRUCTURAL].voting_period_s)
        self._do(MEMBERS[0], board.queue(proposal, actions))
        time.sleep(RULES[STRUCTURAL].delay_s + 2)
        self._do(MEMBERS[0], board.execute(proposal, actions))
        after = self._web3.eth.get_storage_at(billing.address, IMPLEMENTATION_SLOT)
        self._compare("what billing runs", Web3.to_checksum_address(after[12:]), fresh)
        self._compare("billing ran something else before", after == before, False)

    # --- steps

    def _submit(self, account: int, hours: int) -> int:
        metering = self._bound(Metering)
        meter, record = self._id("hours"), self._id("record")
        start = metering.window_end(account, meter) or self._now()
        time.sleep(max(0.0, start + 4 - time.time()))
        leaf = keccak256(b"\x00" + record + hours.to_bytes(16, "big"))
        usage = (account, meter, start, start + 1, leaf, 1, hours, self._id("file"))
        self._do(OFFICER, metering.submit_usage([usage]))
        return int(self._last(metering, "UsageSubmitted")["batch"])

    def _bill(self, account: int, batch: int) -> None:
        metering, billing = self._bound(Metering), self._bound(Billing)
        for place in (OPERATOR, BANK, AUDITOR):
            self._do(place, metering.confirm_usage([batch]))
        period = (self._now() - LEASE_S, self._now())
        self._do(OFFICER, billing.issue(account, *period, [batch], [(self._id("VAT"), 150_000)]))
        invoice = self._last(billing, "InvoiceIssued")["invoice"]
        self._do(BANK, billing.settle([invoice]))

    def _rule(self, dispute: int, outcome: int) -> None:
        disputes = self._bound(Disputes)
        silent = [
            Web3.to_checksum_address(self._id(f"juror {each}")[:20]) for each in range(PANEL - len(JURORS))
        ]
        self._do(OFFICER, disputes.appoint(dispute, [*map(self._who, JURORS), *silent]))
        for place in JURORS:
            self._do(place, disputes.vote(dispute, outcome, self._id("ruling")))

    def _check_money(self) -> None:
        billing, token = self._bound(Billing), self._bound(SettlementToken)
        for place, expected in self._model.deposits.items():
            self._compare(f"deposit of account {place}", billing.balance_of(self._who(place)), expected)
        self._compare("money held is what is owed to all", token.balance_of(billing.address), billing.held())

    # --- the chain

    def _do(self, place: int, write: Write) -> None:
        """Send from an account and wait; the receipt is kept for `_last`."""
        self._send(place, write.target.address, write.data)
        if not self._receipt["status"]:
            raise DevnetError(f"{write.target.NAME}.{write.function.fn_name} of account {place} failed")

    def _send(self, place: int, to: str | None, data: bytes) -> None:
        key, price = self._keys[place], self._web3.eth.gas_price
        fields: dict[str, Any] = {
            "nonce": self._web3.eth.get_transaction_count(key.address, "pending"), "type": 2,
            "gas": GAS if to else GAS_DEPLOY, "maxFeePerGas": 2 * price, "maxPriorityFeePerGas": price,
            "value": 0, "chainId": self._web3.eth.chain_id, "data": data,
        }  # fmt: skip
        signed = key.sign_transaction(fields if to is None else fields | {"to": to})
        sent = self._web3.eth.send_raw_transaction(signed.raw_transaction)
        self._receipt = self._web3.eth.wait_for_transaction_receipt(sent, RECEIPT_TIMEOUT_S, POLL_S)
        self.transactions += 1
        self.gas_used += self._receipt["gasUsed"]

    def _last(self, contract: Binding, event: str) -> dict[str, Any]:
        """Arguments of an event of the last transaction."""
        (found,) = [arguments for name, arguments in contract.events(self._receipt) if name == event]
        return found

    def _compare(self, what: str, seen: object, expected: object) -> None:
        self.findings.append(Finding(what, seen, expected))

    def _bound(self, kind: type[Kind]) -> Kind:
        return kind(self._web3, self._registry.entries[kind.NAME].address)

    def _who(self, place: int) -> str:
        return str(self._keys[place].address)

    def _id(self, name: str) -> bytes:
        return keccak256(self._salt + name.encode())

    def _now(self) -> int:
        return int(self._web3.eth.get_block("latest")["timestamp"])


def _member(contract: Binding, function: str, struct: Sequence[Any], name: str) -> Any:
    """A member of a struct that a view answered, by its name in the ABI."""
    (entry,) = [each for each in contract.abi if each["type"] == "function" and each["name"] == function]
    names = [each["name"] for each in entry["outputs"][0]["components"]]
    return struct[names.index(name)]


def run_cloud_day(layout: Layout, say: Say) -> tuple[Sequence[Finding], str]:
    """The findings, and a line about what it took."""
    day = CloudDay(layout, say)
    start = time.monotonic()
    findings = day.run()
    took = f"{day.transactions} transactions, {day.gas_used:,} gas, {time.monotonic() - start:.0f} s"
    return findings, took
