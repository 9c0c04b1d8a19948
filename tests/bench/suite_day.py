"""The contract suite in daily use, as signed transactions: what `import_blocks.py` calls `cloud-day`.

The suite is deployed by its own script, with people in every role, on a sandbox; its world becomes part of a
genesis. From there on every block holds one round for each tenant: hardware arrives, is leased and returned,
an hour is metered, signed, billed and paid for, three oracles report a service level, a log is anchored and a
control attested. Each call is made in the sandbox first, at its block's time, so that it is known to succeed.
"""

from typing import Any, Final

from contracts.deploy import deploy
from contracts.registry import Registry
from node.primitives.crypto import PrivateKey, keccak256
from node.primitives.transaction import Transaction, TransactionType
from tests.chain.harness import GENESIS_TIME, PERIOD_S
from tests.contracts.sandbox import Contract, Done, Sandbox, canonical
from tests.contracts.staff import ALLOCATOR, AUDITOR, METER, ORACLES, REGISTRAR, SETTLER, staffed_charter
from tests.contracts.suite import GENESIS, SandboxChain
from tests.contracts.trees import log_tree, usage_tree
from tests.execution.builders import GWEI, signed

TENANTS: Final = 6
TRANSACTIONS: Final = 30 * TENANTS
"""In a block: one round."""
HOUR, DAY = 3_600, 86_400
ROUNDS_MAX: Final = 96
OPERATOR, MAKER, TENANT = 60, 61, 70
"""Places of people; tenants from TENANT on."""
JURISDICTION, REGION, SITE, VCPU, HOURS, DATA, PAPER, CARD, FRAMEWORK = (
    keccak256(name)
    for name in (b"GH", b"Accra", b"site", b"vCPU", b"hours", b"data", b"paper", b"card", b"ISO 27001")
)


class _Chain(Sandbox):
    """A sandbox whose time is a block's, and which remembers what was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.now = GENESIS_TIME - 20 * DAY
        self.block: int | None = None
        self.sent: list[Transaction] = []
        self.people: dict[str, PrivateKey] = {}
        """Keys by address."""

    def account(self, place: int) -> str:
        """See Sandbox."""
        address = super().account(place)
        self.people[address] = PrivateKey(keccak256(b"sandbox account %d" % place))
        return address

    def transact(
        self, to: str | None, data: bytes, entry: dict[str, Any] | None = None, **options: Any
    ) -> Done:
        """See Sandbox; within a block, signed besides."""
        if self.block is None:
            return super().transact(to, data, entry, **options)
        self.number, self.now = self.block, GENESIS_TIME + PERIOD_S * self.block
        sender = options["sender"]
        before = self.world.account(canonical(sender))
        done = super().transact(to, data, entry, **options)
        assert to is not None
        self.sent.append(
            signed(
                self.people[sender],
                before.nonce if before else 0,
                to=canonical(to),
                data=data,
                # Refunds are a fifth at most.
                gas=done.gas_used * 5 // 4 + 30_000,
                fee=100 * GWEI,
                kind=TransactionType.FEE_MARKET,
            )
        )
        return done


class SuiteDay:
    """The suite with its people: first what a genesis holds, then block after block."""

    def __init__(self) -> None:
        self._chain = chain = _Chain()
        charter = staffed_charter(chain)
        self._addresses = deploy(SandboxChain(chain), charter, Registry(GENESIS), lambda line: None).addresses
        self._contracts: dict[str, Contract] = {}
        self._offer = 0
        self._accounts: list[int] = []
        self._agreements: list[int] = []
        self._found()
        self._serve()
        chain.now = GENESIS_TIME

    @property
    def alloc(self) -> dict[str, Any]:
        """Accounts for a genesis.json: the suite as it stands, and ether for whoever sends."""
        world = self._chain.world
        people = {"0x" + canonical(each).hex(): {"balance": hex(10**24)} for each in self._chain.people}
        found: dict[str, Any] = dict(people)
        for address, account in world.accounts.items():
            name = "0x" + address.hex()
            slots = {slot: value for slot, value in world.slots.get(address, {}).items() if value}
            found[name] = {
                "balance": "0x0",
                "nonce": hex(account.nonce),
                "code": "0x" + world.code(account.code_hash).hex(),
                "storage": {f"0x{slot:064x}": hex(value) for slot, value in slots.items()},
            } | people.get(name, {})
        return found

    def block(self, number: int) -> list[Transaction]:
        """The transactions of the next block; blocks are asked for in order, from 1 on."""
        assert 0 < number <= ROUNDS_MAX, f"agreements and periods are made for {ROUNDS_MAX} blocks"
        self._chain.block, self._chain.sent = number, []
        for tenant in range(TENANTS):
            self._round(number, tenant)
        assert len(self._chain.sent) == TRANSACTIONS
        return self._chain.sent

    # --- before genesis

    def _found(self) -> None:
        """A site, its operator's offer and prices, a maker of hardware, a catalogue of controls."""
        self._act(REGISTRAR, "RegionRegistry", "addJurisdiction", JURISDICTION, "a country")
        self._act(REGISTRAR, "RegionRegistry", "addRegion", REGION, JURISDICTION, "a city")
        self._act(REGISTRAR, "RegionRegistry", "addSite", SITE, REGION, 2, self._who(OPERATOR), PAPER)
        self._act(OPERATOR, "Metering", "publishRates", CARD, self._chain.now, [(HOURS, (3, 2))])
        self._act(REGISTRAR, "Provenance", "approveManufacturer", self._who(MAKER), PAPER)
        self._offer = self._act(OPERATOR, "Provisioning", "offerCapacity", SITE, VCPU, 10**6).output
        self._act(AUDITOR, "Compliance", "publishFramework", FRAMEWORK, PAPER)
        self._fund(OPERATOR)

    def _serve(self) -> None:
        """Every tenant with what it may do, its account and an agreement whose windows have passed."""
        chain = self._chain
        for tenant in range(TENANTS):
            place, who = TENANT + tenant, self._who(TENANT + tenant)
            until = GENESIS_TIME + 365 * DAY
            self._act(ALLOCATOR, "Provisioning", "setQuota", who, VCPU, 10**6)
            self._act(place, "Residency", "declareClass", self._data(tenant), [JURISDICTION], PAPER)
            self._act(REGISTRAR, "AccessPolicy", "grant", keccak256(b"provisioning.place"), SITE, who, until)
            terms = (who, self._who(AUDITOR), CARD, True, DAY)
            account = int(self._act(OPERATOR, "Metering", "openAccount", *terms).output)
            self._act(place, "Metering", "acceptAccount", account)
            self._fund(place)
            promise = {
                "account": account, "resource": SITE, "startsAt": chain.now + HOUR, "windowSeconds": HOUR,
                "windows": ROUNDS_MAX, "graceSeconds": 60 * DAY, "objectionSeconds": HOUR, "quorum": 2,
                "capWindows": ROUNDS_MAX, "penaltyCap": 100, "rewardCap": 0, "maintenanceMax": 0,
                "noticeSeconds": 0,
            }  # fmt: skip
            steps = [(999_000, 40)]
            objective = {
                "metric": PAPER, "higherIsBetter": True, "steps": steps, "rewardMark": 10**6, "reward": 0,
            }  # fmt: skip
            oracles = [self._who(each) for each in ORACLES]
            agreement = int(self._act(OPERATOR, "Sla", "propose", promise, [objective], oracles).output)
            self._act(place, "Sla", "accept", agreement)
            self._accounts.append(account)
            self._agreements.append(agreement)

    def _fund(self, place: int) -> None:
        self._pay_in(place, 10**9, keccak256(b"first payment %d" % place))

    # --- one round

    def _round(self, number: int, tenant: int) -> None:
        hosts = self._hardware(number, tenant)
        self._lease(tenant, hosts)
        self._pay_in(TENANT + tenant, 100, keccak256(b"payment %d %d" % (number, tenant)))
        self._usage(number, tenant)
        self._level(number, tenant)
        self._log(number, tenant)
        self._attestation(number, tenant)

    def _hardware(self, number: int, tenant: int) -> list[bytes]:
        births = [(keccak256(b"serial %d %d %d" % (number, tenant, n)), PAPER, PAPER) for n in range(2)]
        maker = self._who(MAKER)
        hosts = [self._contract("Provenance").call.componentId(maker, birth[0]) for birth in births]
        self._act(MAKER, "Provenance", "bear", births)
        self._act(MAKER, "Provenance", "offerTransfer", hosts, self._who(OPERATOR), PAPER)
        self._act(OPERATOR, "Provenance", "acceptTransfer", hosts, PAPER)
        self._act(METER, "Provenance", "scan", hosts, SITE)
        return hosts

    def _lease(self, tenant: int, hosts: list[bytes]) -> None:
        place = TENANT + tenant
        lease = self._act(place, "Provisioning", "request", VCPU, 32, self._data(tenant), DAY).output
        self._act(OPERATOR, "Provisioning", "allocate", [lease], self._offer)
        self._act(OPERATOR, "Provisioning", "bindUnits", lease, hosts)
        self._act(OPERATOR, "Provisioning", "activate", lease)
        self._act(place, "Provisioning", "resize", lease, 40)
        self._act(place, "Provisioning", "release", lease, PAPER)
        self._act(OPERATOR, "Provisioning", "freeUnits", lease, hosts)

    def _pay_in(self, place: int, amount: int, reference: bytes) -> None:
        billing, who = self._contract("Billing").address, self._who(place)
        self._act(SETTLER, "SettlementToken", "mint", who, amount, reference)
        self._act(place, "SettlementToken", "approve", billing, amount)
        self._act(place, "Billing", "deposit", who, amount)

    def _usage(self, number: int, tenant: int) -> None:
        start = GENESIS_TIME - 10 * DAY + number * HOUR
        records = [(keccak256(b"record %d" % each), 10 + each) for each in range(3)]
        root, total = usage_tree(records).root()
        batch = {
            "account": self._accounts[tenant], "meter": HOURS, "from": start, "to": start + HOUR,
            "root": root, "count": len(records), "total": total, "documentHash": PAPER,
        }  # fmt: skip
        made = int(self._act(METER, "Metering", "submitUsage", [batch]).output)
        for place in (OPERATOR, TENANT + tenant, AUDITOR):
            self._act(place, "Metering", "confirmUsage", [made])
        taxes = [(keccak256(b"VAT"), 150_000)]
        period = (start, start + HOUR)
        self._act(SETTLER, "Billing", "issue", self._accounts[tenant], *period, [made], taxes)

    def _level(self, number: int, tenant: int) -> None:
        agreement, window = self._agreements[tenant], number - 1
        for oracle, seen in zip(ORACLES, (1_000_000, 999_500, 999_400), strict=True):
            self._act(oracle, "Sla", "report", [(agreement, window, [seen])])
        self._act(TENANT + tenant, "Sla", "assess", agreement, [window])

    def _log(self, number: int, tenant: int) -> None:
        log = keccak256(b"log %d %d" % (number, tenant))
        tree = log_tree([keccak256(b"entry %d" % each) for each in range(2)])
        first, second = tree.leaves
        self._act(AUDITOR, "AuditLog", "openLog", log, self._who(OPERATOR))
        self._act(OPERATOR, "AuditLog", "anchor", log, 1, first, PAPER, [])
        self._act(OPERATOR, "AuditLog", "anchor", log, 2, tree.root(), PAPER, [second])

    def _attestation(self, number: int, tenant: int) -> None:
        control, now = keccak256(b"control %d %d" % (number, tenant)), self._chain.now
        self._act(AUDITOR, "Compliance", "addControls", FRAMEWORK, [control], [PAPER])
        said = {
            "subject": SITE, "framework": FRAMEWORK, "control": control, "evidence": PAPER,
            "validFrom": GENESIS_TIME, "validUntil": now + 365 * DAY,
        }  # fmt: skip
        signers = [self._who(OPERATOR), self._who(REGISTRAR)]
        attestation = self._act(AUDITOR, "Compliance", "propose", said, signers, 2).output
        for place in (OPERATOR, REGISTRAR):
            self._act(place, "Compliance", "signOff", attestation)

    # --- helpers

    def _data(self, tenant: int) -> bytes:
        return keccak256(b"data of tenant %d" % tenant)

    def _who(self, place: int) -> str:
        return self._chain.account(place)

    def _contract(self, name: str) -> Contract:
        if name not in self._contracts:
            self._contracts[name] = self._chain.at(name, self._addresses[name])
        return self._contracts[name]

    def _act(self, place: int, contract: str, function: str, *arguments: Any) -> Done:
        return self._contract(contract).send[function](*arguments, sender=self._who(place))
