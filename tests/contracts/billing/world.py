"""A provider, tenants who are providers too, an auditor, real money, and a court that rules as told."""

from dataclasses import dataclass
from typing import Any

from node.primitives.crypto import keccak256
from tests.contracts.fakes import Court, authority, court
from tests.contracts.sandbox import Contract, Done, Sandbox
from tests.contracts.trees import usage_tree

PROVIDER, TENANT, AUDITOR, OTHER, STRANGER = 1, 2, 3, 4, 5
CARD, VCPU_HOURS, EVIDENCE = (keccak256(name) for name in (b"card 2027", b"vCPU hours", b"evidence"))
DAY = 86_400
UPHELD, REJECTED, SPLIT = 1, 2, 3


@dataclass
class Books:
    """Metering and billing with everything they ask."""

    chain: Sandbox
    metering: Contract
    billing: Contract
    token: Contract
    court: Court

    def act(self, who: int, contract: Contract, function: str, *arguments: Any) -> Done:
        return contract.send[function](*arguments, sender=self.chain.account(who))

    def publish(self, card: bytes, price: int, per: int, who: int = PROVIDER, delay: int = 0) -> None:
        rates = [(VCPU_HOURS, (price, per))]
        self.act(who, self.metering, "publishRates", card, self.chain.now + delay, rates)

    def account(
        self,
        who: int = PROVIDER,
        tenant: int = TENANT,
        card: bytes = CARD,
        prepaid: bool = False,
        terms: int = DAY,
    ) -> int:
        parties = (self.chain.account(tenant), self.chain.account(AUDITOR))
        account = int(self.act(who, self.metering, "openAccount", *parties, card, prepaid, terms).output)
        self.act(tenant, self.metering, "acceptAccount", account)
        return account

    def usage(self, account: int, total: int, **other: Any) -> dict[str, Any]:
        """A batch of one record over the last hour."""
        record = keccak256(b"record")
        return {
            "account": account, "meter": VCPU_HOURS, "from": self.chain.now - 3600, "to": self.chain.now,
            "root": usage_tree([(record, total)]).root()[0], "count": 1, "total": total,
            "documentHash": EVIDENCE,
        } | other  # fmt: skip

    def submit(self, account: int, total: int, **other: Any) -> int:
        """An hour later, a batch for that hour."""
        self.chain.warp(3600)
        return int(self.metering.send.submitUsage([self.usage(account, total, **other)]).output)

    def confirm(self, batch: int, *who: int) -> None:
        for party in who:
            self.act(party, self.metering, "confirmUsage", [batch])

    def confirmed(self, account: int, total: int, provider: int = PROVIDER, tenant: int = TENANT) -> int:
        batch = self.submit(account, total)
        self.confirm(batch, provider, tenant, AUDITOR)
        return batch

    def issue(self, account: int, batches: list[int], taxes: list[tuple[bytes, int]] | None = None) -> int:
        period = (self.chain.now - 30 * DAY, self.chain.now)
        return int(self.billing.send.issue(account, *period, batches, taxes or []).output)

    def invoiced(self, account: int, total: int) -> int:
        return self.issue(account, [self.confirmed(account, total)])

    def deposit(self, who: int, amount: int) -> None:
        self.act(who, self.billing, "deposit", self.chain.account(who), amount)

    def balance(self, who: int) -> int:
        return int(self.billing.call.balanceOf(self.chain.account(who)))

    def rule(self, contract: Contract, dispute: int, outcome: int) -> Done:
        return self.court.rule(contract, dispute, outcome, EVIDENCE)


def build() -> Books:
    """A card of 3 tokens for 2 hours; everybody has a million in hand."""
    chain = Sandbox()
    registry = authority(chain).address
    disputes = court(chain)
    token = chain.proxy("SettlementToken", registry, "Cedi units", "CU", 2)
    metering = chain.proxy("Metering", registry, disputes.address)
    billing = chain.proxy("Billing", registry, token.address, metering.address, disputes.address)
    books = Books(chain, metering, billing, token, disputes)
    for party in (PROVIDER, TENANT, OTHER):
        token.send.mint(chain.account(party), 1_000_000, keccak256(b"payment %d" % party))
        books.act(party, token, "approve", billing.address, 2**256 - 1)
    books.publish(CARD, 3, 2)
    return books
