"""Whatever is asked in whatever order: the books of capacity and quota are those of a simple model."""

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.contracts.fakes import attempted
from tests.contracts.provisioning.world import HOUR, OPERATOR, OTHER, TENANT, VCPU, Cloud, build
from tests.contracts.sandbox import Done

_BUILT: list[tuple[Cloud, object]] = []
PICK = st.integers(0, 1_000)
UNITS = st.integers(1, 60)
LIVING = ("requested", "allocated", "active")


@dataclass
class Lease:
    """What the model knows of an allocation."""

    tenant: int
    units: int
    state: str = "requested"
    offer: int = 0


class Books(RuleBasedStateMachine):
    """Offers of 50 units, quotas of 100; a rule that the model forbids must be refused, and only then."""

    def __init__(self) -> None:
        super().__init__()
        if not _BUILT:
            cloud = build()
            _BUILT.append((cloud, cloud.chain.snapshot()))
        self.cloud, snapshot = _BUILT[0]
        self.cloud.chain.restore(snapshot)
        self.leases: dict[int, Lease] = {}
        self.offers: list[int] = []

    @initialize()
    def open_shop(self) -> None:
        self.offers = [self.cloud.offer(50), self.cloud.offer(50)]

    def committed(self, offer: int) -> int:
        return sum(
            each.units
            for each in self.leases.values()
            if each.offer == offer and each.state in ("allocated", "active")
        )

    def used(self, tenant: int) -> int:
        return sum(e.units for e in self.leases.values() if e.tenant == tenant and e.state in LIVING)

    def attempt(self, allowed: bool, who: int, function: str, *arguments: object) -> object:
        outcome = attempted(lambda: self.cloud.act(who, function, *arguments))
        assert isinstance(outcome, Done) == allowed, f"{function}{arguments}: {outcome}"
        return (outcome.output or True) if isinstance(outcome, Done) else None

    def pick(self, place: int) -> tuple[int, Lease] | None:
        known = sorted(self.leases.items())
        return known[place % len(known)] if known else None

    @rule(tenant=st.sampled_from([TENANT, OTHER]), units=UNITS)
    def request(self, tenant: int, units: int) -> None:
        allowed = self.used(tenant) + units <= 100
        arguments = (VCPU, units, bytes(32), HOUR)
        made = self.attempt(allowed, tenant, "request", *arguments)
        if isinstance(made, int) and allowed:
            self.leases[made] = Lease(tenant, units)

    @rule(place=PICK, shop=st.integers(0, 1))
    def allocate(self, place: int, shop: int) -> None:
        if (found := self.pick(place)) is None:
            return
        number, lease = found
        offer = self.offers[shop]
        allowed = lease.state == "requested" and self.committed(offer) + lease.units <= 50
        if self.attempt(allowed, OPERATOR, "allocate", [number], offer):
            lease.state, lease.offer = "allocated", offer

    @rule(place=PICK)
    def activate(self, place: int) -> None:
        if (found := self.pick(place)) is None:
            return
        number, lease = found
        if self.attempt(lease.state == "allocated", OPERATOR, "activate", number):
            lease.state = "active"

    @rule(place=PICK, units=UNITS)
    def resize(self, place: int, units: int) -> None:
        if (found := self.pick(place)) is None:
            return
        number, lease = found
        more = units - lease.units
        fits = self.used(lease.tenant) + more <= 100 and self.committed(lease.offer) + more <= 50
        allowed = lease.state == "active" and (more <= 0 or fits)
        if self.attempt(allowed, lease.tenant, "resize", number, units):
            lease.units = units

    @rule(place=PICK)
    def release(self, place: int) -> None:
        if (found := self.pick(place)) is None:
            return
        number, lease = found
        allowed = lease.state in ("allocated", "active")
        if self.attempt(allowed, lease.tenant, "release", number, bytes(32)):
            lease.state = "ended"

    @rule(place=PICK)
    def cancel(self, place: int) -> None:
        if (found := self.pick(place)) is None:
            return
        number, lease = found
        if self.attempt(lease.state == "requested", lease.tenant, "cancel", number):
            lease.state = "ended"

    @invariant()
    def the_books_agree(self) -> None:
        for offer in self.offers:
            found = self.cloud.contract.call.offerOf(offer)
            assert found["committed"] == self.committed(offer) <= found["capacity"]
        for tenant in (TENANT, OTHER):
            assert self.cloud.used(tenant) == self.used(tenant)


Books.TestCase.settings = settings(max_examples=15, stateful_step_count=25)
TestBooks = Books.TestCase
