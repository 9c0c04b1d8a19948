"""An agreement on availability and latency over hourly windows, with three oracles."""

from dataclasses import dataclass
from typing import Any

from node.primitives.crypto import keccak256
from tests.contracts.billing.world import EVIDENCE, PROVIDER, TENANT, Books
from tests.contracts.billing.world import build as build_books
from tests.contracts.sandbox import Contract, Done

HOUR, DAY = 3600, 86_400
ORACLES = (20, 21, 22)
AVAILABILITY, LATENCY, RESOURCE = (
    keccak256(name) for name in (b"availability ppm", b"p99 us", b"allocation 7")
)
OBJECTIVES: tuple[dict[str, Any], ...] = (
    {"metric": AVAILABILITY, "higherIsBetter": True,
     "steps": [(999_000, 100), (990_000, 500), (900_000, 2_000)],
     "rewardMark": 999_990, "reward": 30},
    {"metric": LATENCY, "higherIsBetter": False,
     "steps": [(20_000, 50), (80_000, 300)],
     "rewardMark": 1_000, "reward": 20},
)  # fmt: skip
FINE = (999_500, 5_000)
"""Neither penalty nor reward."""


@dataclass
class Services:
    """The SLA contract over real metering and billing; `start` is the first second of window 0."""

    books: Books
    sla: Contract
    account: int
    agreement: int = 0
    start: int = 0

    def act(self, who: int, function: str, *arguments: Any) -> Done:
        return self.sla.send[function](*arguments, sender=self.books.chain.account(who))

    def terms(self, **other: Any) -> dict[str, Any]:
        return {
            "account": self.account, "resource": RESOURCE, "startsAt": self.books.chain.now + DAY,
            "windowSeconds": HOUR, "windows": 1000, "graceSeconds": 600, "objectionSeconds": DAY, "quorum": 2,
            "capWindows": 10, "penaltyCap": 3_000, "rewardCap": 60, "maintenanceMax": 2,
            "noticeSeconds": 7200,
        } | other  # fmt: skip

    def propose(self, oracles: tuple[int, ...] = ORACLES, objectives: Any = OBJECTIVES, **terms: Any) -> int:
        addresses = [self.books.chain.account(each) for each in oracles]
        return int(self.act(PROVIDER, "propose", self.terms(**terms), objectives, addresses).output)

    def agree(self, **terms: Any) -> None:
        """Propose, accept, and remember when it starts."""
        self.agreement = self.propose(**terms)
        self.act(TENANT, "accept", self.agreement)
        self.start = self.sla.call.agreementOf(self.agreement)["terms"]["startsAt"]

    def reach(self, window: int) -> None:
        """Let time pass to the end of the window."""
        self.books.chain.now = max(self.books.chain.now, self.start + (window + 1) * HOUR)

    def report(self, oracle: int, window: int, values: tuple[int, ...]) -> Done:
        return self.act(oracle, "report", [(self.agreement, window, list(values))])

    def assessed(self, window: int, *values: tuple[int, ...]) -> tuple[int, int]:
        """Report one tuple per oracle and assess; (penalty, reward)."""
        self.reach(window)
        for oracle, given in zip(ORACLES, values, strict=False):
            self.report(oracle, window, given)
        if len(values) < len(ORACLES):
            self.books.chain.warp(600)
        self.sla.send.assess(self.agreement, [window])
        found = self.window(window)
        return found["penalty"], found["reward"]

    def window(self, window: int) -> dict[str, Any]:
        found: dict[str, Any] = self.sla.call.windowOf(self.agreement, window)
        return found

    def pending(self) -> int:
        return int(self.books.billing.call.pendingOf(self.account))

    def contest(self, who: int, window: int) -> int:
        return int(
            self.act(who, "contest", self.agreement, window, EVIDENCE).only("WindowContested")["dispute"]
        )


def build() -> Services:
    """Oracles hold a role of their own; the contract may adjust accounts."""
    books = build_books()
    chain = books.chain
    registry = chain.at("AccessManager", books.billing.call.authority())
    arguments = (books.metering.address, books.billing.address, books.court.address)
    sla = chain.proxy("Sla", registry.address, *arguments)
    oracle_role, adjuster_role = 5, 50
    registry.send.setTargetFunctionRole(sla.address, [sla.data.report([])[:4]], oracle_role)
    registry.send.setTargetFunctionRole(
        books.billing.address, [books.billing.data.adjust(0, 0, bytes(32))[:4]], adjuster_role
    )
    registry.send.grantRole(adjuster_role, sla.address, 0)
    for oracle in ORACLES:
        registry.send.grantRole(oracle_role, chain.account(oracle), 0)
    return Services(books, sla, books.account())
