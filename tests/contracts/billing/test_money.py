"""No money is created or lost: whatever happens in whatever order, against a ledger in Python."""

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from node.primitives.crypto import keccak256
from tests.contracts.billing.world import (
    AUDITOR,
    CARD,
    DAY,
    EVIDENCE,
    OTHER,
    PROVIDER,
    REJECTED,
    TENANT,
    UPHELD,
    Books,
    build,
)
from tests.contracts.fakes import attempted
from tests.contracts.sandbox import Done

PARTIES = (PROVIDER, TENANT, OTHER)
PAIRS = ((PROVIDER, TENANT), (TENANT, OTHER), (OTHER, PROVIDER), (TENANT, PROVIDER))
START_TOKENS = 1_000_000
PICK = st.integers(0, 1_000)
_BUILT: list[tuple[Books, object, dict[tuple[int, int], int]]] = []


@dataclass
class Bill:
    """What the model knows of an invoice."""

    provider: int
    tenant: int
    total: int
    due_at: int
    state: str = "open"


def _built() -> tuple[Books, object, dict[tuple[int, int], int]]:
    if not _BUILT:
        books = build()
        accounts = {}
        for place, (provider, tenant) in enumerate(PAIRS):
            card = CARD if provider == PROVIDER else keccak256(b"card of %d" % provider)
            if place in (1, 2):
                books.publish(card, 1, 1, who=provider)
            accounts[provider, tenant] = books.account(provider, tenant, card)
        _BUILT.append((books, books.chain.snapshot(), accounts))
    return _BUILT[0]


class Money(RuleBasedStateMachine):
    """Each rule asks the contract and the model; they must agree on yes or no, and on every sum after it."""

    def __init__(self) -> None:
        super().__init__()
        self.books, snapshot, self.accounts = _built()
        self.books.chain.restore(snapshot)
        self.balances = dict.fromkeys(PARTIES, 0)
        self.in_hand = dict.fromkeys(PARTIES, START_TOKENS)
        self.bills: dict[int, Bill] = {}

    def owed(self, party: int) -> int:
        return sum(
            b.total for b in self.bills.values() if b.tenant == party and b.state in ("open", "contested")
        )

    def attempt(self, allowed: bool, who: int, function: str, *arguments: object) -> Done | None:
        outcome = attempted(lambda: self.books.act(who, self.books.billing, function, *arguments))
        assert isinstance(outcome, Done) == allowed, f"{function}{arguments}: {outcome}"
        return outcome if isinstance(outcome, Done) else None

    def pick(self, place: int) -> int | None:
        return sorted(self.bills)[place % len(self.bills)] if self.bills else None

    @rule(party=st.sampled_from(PARTIES), amount=st.integers(1, 5_000))
    def deposit(self, party: int, amount: int) -> None:
        arguments = (self.books.chain.account(party), amount)
        if self.attempt(amount <= self.in_hand[party], party, "deposit", *arguments):
            self.balances[party] += amount
            self.in_hand[party] -= amount

    @rule(party=st.sampled_from(PARTIES), amount=st.integers(1, 5_000))
    def withdraw(self, party: int, amount: int) -> None:
        allowed = self.balances[party] - amount >= self.owed(party)
        if self.attempt(allowed, party, "withdraw", self.books.chain.account(party), amount):
            self.balances[party] -= amount
            self.in_hand[party] += amount

    @rule(
        pair=st.sampled_from(PAIRS), amount=st.integers(1, 3_000), tax=st.sampled_from([0, 150_000, 77_777])
    )
    def bill(self, pair: tuple[int, int], amount: int, tax: int) -> None:
        provider, tenant = pair
        account = self.accounts[pair]
        batch = self.books.submit(account, amount)
        self.books.confirm(batch, provider, tenant, AUDITOR)
        number = self.books.issue(account, [batch], [(EVIDENCE, tax)])
        net = (amount * 3 + 1) // 2 if provider == PROVIDER else amount
        total = net + (2 * net * tax + 10**6) // (2 * 10**6)
        self.bills[number] = Bill(provider, tenant, total, self.books.chain.now - 2 + DAY)

    @rule()
    def wait(self) -> None:
        self.books.chain.warp(DAY)

    @rule(places=st.lists(PICK, min_size=1, max_size=4))
    def settle(self, places: list[int]) -> None:
        numbers = [number for place in places if (number := self.pick(place)) is not None]
        chosen = [self.bills[number] for number in numbers]
        net = dict.fromkeys(PARTIES, 0)
        for bill in chosen:
            net[bill.tenant] -= bill.total
            net[bill.provider] += bill.total
        fine = all(b.state == "open" and self.books.chain.now >= b.due_at for b in chosen)
        fine &= len(set(numbers)) == len(numbers)
        fine &= all(self.balances[party] + net[party] >= 0 for party in PARTIES)
        if self.attempt(fine, 9, "settle", numbers):
            for bill in chosen:
                bill.state = "settled"
            for party in PARTIES:
                self.balances[party] += net[party]

    @rule(place=PICK)
    def pay_elsewhere(self, place: int) -> None:
        if (number := self.pick(place)) is None:
            return
        bill = self.bills[number]
        if self.attempt(bill.state == "open", bill.provider, "recordOffChain", number, EVIDENCE):
            bill.state = "elsewhere"

    @rule(place=PICK, outcome=st.sampled_from([UPHELD, REJECTED]))
    def contest(self, place: int, outcome: int) -> None:
        if (number := self.pick(place)) is None:
            return
        bill = self.bills[number]
        allowed = bill.state == "open" and self.books.chain.now < bill.due_at
        done = self.attempt(allowed, bill.tenant, "contest", number, EVIDENCE)
        if done is None:
            return
        bill.due_at = self.books.chain.now
        self.books.rule(self.books.billing, done.only("InvoiceContested")["dispute"], outcome)
        bill.state = "void" if outcome == UPHELD else "open"

    @invariant()
    def the_books_agree(self) -> None:
        billing, token = self.books.billing, self.books.token
        for party in PARTIES:
            address = self.books.chain.account(party)
            assert self.books.balance(party) == self.balances[party]
            assert token.call.balanceOf(address) == self.in_hand[party]
            assert billing.call.owedBy(address) == self.owed(party)
        held = token.call.balanceOf(billing.address)
        assert held == billing.call.held() == sum(self.balances.values())
        assert held + sum(self.in_hand.values()) == START_TOKENS * len(PARTIES)


Money.TestCase.settings = settings(max_examples=12, stateful_step_count=20)
TestMoney = Money.TestCase
