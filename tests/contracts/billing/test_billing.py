"""Billing: exact invoices, and settlement that moves each balance once."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.primitives.crypto import keccak256
from tests.contracts.billing.world import (
    CARD,
    DAY,
    EVIDENCE,
    OTHER,
    PROVIDER,
    REJECTED,
    SPLIT,
    STRANGER,
    TENANT,
    UPHELD,
    Books,
    build,
)

OPEN, SETTLED, OFF_CHAIN, CONTESTED, VOID = range(1, 6)
USAGE, ADJUSTMENT, TAX = range(3)
VAT, LEVY = keccak256(b"GH VAT"), keccak256(b"GH levy")
OWN_CARD = keccak256(b"tenant's own card")


@pytest.fixture(scope="module")
def built() -> tuple[Books, Any]:
    books = build()
    books.publish(OWN_CARD, 1, 1, who=TENANT)
    return books, books.chain.snapshot()


@pytest.fixture
def books(built: tuple[Books, Any]) -> Books:
    books, snapshot = built
    books.chain.restore(snapshot)
    return books


def invoice(books: Books, number: int) -> dict[str, Any]:
    found: dict[str, Any] = books.billing.call.invoiceOf(number)
    return found


def test_an_invoice_is_usage_adjustments_and_taxes_line_by_line(books: Books) -> None:
    account = books.account()
    batches = [books.confirmed(account, 5), books.confirmed(account, 10)]  # 8 and 15
    books.billing.send.adjust(account, -3, EVIDENCE)
    period = (books.chain.now - DAY, books.chain.now)
    done = books.billing.send.issue(account, *period, batches, [(VAT, 150_000), (LEVY, 25_000)])
    lines = [(line["kind"], line["ref"], line["amount"]) for line in done.named("InvoiceLine")]
    assert lines == [
        (USAGE, batches[0].to_bytes(32, "big"), 8),
        (USAGE, batches[1].to_bytes(32, "big"), 15),
        (ADJUSTMENT, bytes(32), -3),
        (TAX, VAT, 3),
        (TAX, LEVY, 1),  # 0.5, halves up
    ]
    found = invoice(books, done.output)
    assert (found["total"], found["adjusted"], found["status"], found["batches"]) == (24, -3, OPEN, batches)
    assert found["dueAt"] == books.chain.now - 2 + DAY
    assert books.billing.call.owedBy(books.chain.account(TENANT)) == 24
    assert [books.billing.call.invoicedIn(batch) for batch in batches] == [done.output] * 2


def test_a_credit_beyond_the_usage_waits(books: Books) -> None:
    account = books.account()
    books.billing.send.adjust(account, -100, EVIDENCE)
    first = books.issue(account, [books.confirmed(account, 10)], [(VAT, 150_000)])
    assert (invoice(books, first)["total"], invoice(books, first)["status"]) == (0, SETTLED)
    assert books.billing.call.pendingOf(account) == -85
    with books.chain.refusing("BillingNothingToInvoice", account=account):
        books.issue(account, [])
    books.billing.send.adjust(account, 90, EVIDENCE)
    assert invoice(books, books.issue(account, []))["total"] == 5


def test_invoices_that_are_refused(books: Books) -> None:
    chain, billing = books.chain, books.billing
    account, other = books.account(), books.account(PROVIDER, OTHER)
    batch, unsigned = books.confirmed(account, 5), books.submit(account, 5)
    with chain.refusing("BillingBatchNotConfirmed", batch=unsigned):
        books.issue(account, [unsigned])
    with chain.refusing("BillingBatchOfOtherAccount", batch=batch, account=other):
        books.issue(other, [batch])
    with chain.refusing("BillingBatchInvoiced", batch=batch):
        books.issue(account, [batch, batch])
    books.issue(account, [batch])
    with chain.refusing("BillingBatchInvoiced", batch=batch):
        books.issue(account, [batch])
    late = books.confirmed(account, 5)
    now = chain.now
    with chain.refusing("BillingBatchOutsidePeriod", batch=late):
        billing.send.issue(account, now - 60, now, [late], [])
    with chain.refusing("BillingBadPeriod"):
        billing.send.issue(account, now, now, [late], [])
    with chain.refusing("BillingBadPeriod"):
        billing.send.issue(account, now - DAY, now + DAY, [late], [])
    with chain.refusing("BillingTaxOutOfRange", ppm=1_000_001):
        books.issue(account, [late], [(VAT, 1_000_001)])
    with chain.refusing("BillingUnknownAccount", account=99):
        books.issue(99, [late])
    with chain.refusing("AccessManagedUnauthorized"):
        books.act(PROVIDER, billing, "issue", account, now - DAY, now, [late], [])


def test_adjustments_that_are_refused(books: Books) -> None:
    chain, adjust = books.chain, books.billing.send.adjust
    account = books.account()
    with chain.refusing("BillingZeroAmount"):
        adjust(account, 0, EVIDENCE)
    for amount in (2**127, -(2**127)):
        with chain.refusing("BillingAmountOutOfRange", amount=amount):
            adjust(account, amount, EVIDENCE)
    with chain.refusing("BillingUnknownAccount"):
        adjust(99, 1, EVIDENCE)
    with chain.refusing("AccessManagedUnauthorized"):
        books.act(TENANT, books.billing, "adjust", account, -1, EVIDENCE)


def test_prepaid_is_settled_when_it_is_issued(books: Books) -> None:
    books.deposit(TENANT, 20)
    account = books.account(prepaid=True)
    first, second = books.invoiced(account, 10), books.invoiced(account, 10)
    assert [invoice(books, each)["status"] for each in (first, second)] == [SETTLED, OPEN]
    assert (books.balance(TENANT), books.balance(PROVIDER)) == (5, 15)
    # The second is due at once: anyone may settle it as soon as there is money.
    with books.chain.refusing("BillingBalanceTooLow", balance=5, needed=15):
        books.act(STRANGER, books.billing, "settle", [second])
    books.deposit(TENANT, 10)
    books.act(STRANGER, books.billing, "settle", [second])
    assert (books.balance(TENANT), books.balance(PROVIDER)) == (0, 30)


def test_postpaid_is_settled_by_the_tenant_early_or_by_anyone_when_due(books: Books) -> None:
    books.deposit(TENANT, 100)
    account = books.account()
    first, second = books.invoiced(account, 10), books.invoiced(account, 10)
    with books.chain.refusing("BillingNotDue", invoice=first):
        books.act(PROVIDER, books.billing, "settle", [first])
    books.act(TENANT, books.billing, "settle", [first])
    books.chain.warp(DAY)
    books.act(STRANGER, books.billing, "settle", [second])
    with books.chain.refusing("BillingWrongStatus", status=SETTLED):
        books.act(STRANGER, books.billing, "settle", [second])
    assert (books.balance(TENANT), books.balance(PROVIDER)) == (70, 30)


def test_netting_moves_the_difference_only(books: Books) -> None:
    there = books.invoiced(books.account(), 20)  # the tenant owes 30
    back_account = books.account(TENANT, PROVIDER, OWN_CARD)
    batch = books.confirmed(back_account, 12, TENANT, PROVIDER)
    back = books.issue(back_account, [batch])  # the provider owes 12
    books.chain.warp(DAY)
    books.deposit(TENANT, 18)
    done = books.billing.send.settle([there, back])
    moved = {each["party"]: each["amount"] for each in done.named("NetMoved")}
    assert moved == {books.chain.account(TENANT): -18, books.chain.account(PROVIDER): 18}
    assert (books.balance(TENANT), books.balance(PROVIDER)) == (0, 18)
    with books.chain.refusing("BillingWrongStatus"):
        books.billing.send.settle([there])


def test_one_invoice_is_not_settled_twice_in_a_batch(books: Books) -> None:
    books.deposit(TENANT, 100)
    number = books.invoiced(books.account(), 10)
    with books.chain.refusing("BillingWrongStatus", invoice=number, status=SETTLED):
        books.act(TENANT, books.billing, "settle", [number, number])


def test_netting_is_for_so_many_parties(books: Books) -> None:
    chain = books.chain
    invoices = []
    for tenant in range(100, 132):
        account = books.account(tenant=tenant)
        books.billing.send.adjust(account, 1, EVIDENCE)
        invoices.append(books.issue(account, []))
    with chain.refusing("BillingTooManyParties", most=32):
        chain.warp(DAY)
        books.billing.send.settle(invoices)


def test_what_was_paid_elsewhere_is_recorded_by_who_was_paid(books: Books) -> None:
    chain = books.chain
    number = books.invoiced(books.account(), 10)
    with chain.refusing("BillingNotProvider", caller=chain.account(TENANT)):
        books.act(TENANT, books.billing, "recordOffChain", number, EVIDENCE)
    with chain.refusing("BillingZeroReference"):
        books.act(PROVIDER, books.billing, "recordOffChain", number, bytes(32))
    books.act(PROVIDER, books.billing, "recordOffChain", number, EVIDENCE)
    assert invoice(books, number)["status"] == OFF_CHAIN
    assert books.billing.call.owedBy(chain.account(TENANT)) == 0
    with chain.refusing("BillingWrongStatus", status=OFF_CHAIN):
        books.act(TENANT, books.billing, "settle", [number])


def test_deposits_come_out_again_but_for_what_is_owed(books: Books) -> None:
    chain, billing = books.chain, books.billing
    tenant = chain.account(TENANT)
    books.deposit(TENANT, 100)
    with chain.refusing("BillingBalanceTooLow", balance=100, needed=101):
        books.act(TENANT, billing, "withdraw", tenant, 101)
    books.invoiced(books.account(), 10)
    with chain.refusing("BillingOwed", balance=100, owed=15):
        books.act(TENANT, billing, "withdraw", tenant, 86)
    books.act(TENANT, billing, "withdraw", chain.account(STRANGER), 85)
    assert books.token.call.balanceOf(chain.account(STRANGER)) == 85
    assert (books.balance(TENANT), billing.call.held()) == (15, 15)
    for function, who in (("deposit", tenant), ("withdraw", tenant)):
        with chain.refusing("BillingZeroAmount"):
            books.act(TENANT, billing, function, who, 0)
    with chain.refusing("ERC20InsufficientAllowance"):
        books.act(STRANGER, billing, "deposit", tenant, 1)


@pytest.mark.parametrize("outcome", [UPHELD, REJECTED, SPLIT])
def test_a_contested_invoice_waits_for_the_ruling(books: Books, outcome: int) -> None:
    chain, billing = books.chain, books.billing
    account = books.account()
    billing.send.adjust(account, 7, EVIDENCE)
    batch = books.confirmed(account, 10)
    number = books.issue(account, [batch])
    with chain.refusing("BillingNotTenant"):
        books.act(PROVIDER, billing, "contest", number, EVIDENCE)
    dispute = books.act(TENANT, billing, "contest", number, EVIDENCE).only("InvoiceContested")["dispute"]
    chain.warp(DAY)
    with chain.refusing("BillingWrongStatus", status=CONTESTED):
        billing.send.settle([number])
    with chain.refusing("BillingNotDisputes"):
        billing.send.onRuling(dispute, outcome, EVIDENCE)
    with chain.refusing("BillingUnknownDispute"):
        books.rule(billing, 99, outcome)
    books.rule(billing, dispute, outcome)
    with chain.refusing("BillingWrongStatus"):
        books.rule(billing, dispute, outcome)
    if outcome == UPHELD:
        assert (invoice(books, number)["status"], billing.call.owedBy(chain.account(TENANT))) == (VOID, 0)
        assert (billing.call.pendingOf(account), billing.call.invoicedIn(batch)) == (7, 0)
        assert invoice(books, books.issue(account, [batch]))["total"] == 22
    else:
        books.deposit(TENANT, 22)
        billing.send.settle([number])
        assert books.balance(PROVIDER) == 22


def test_it_is_too_late_to_contest_what_is_due(books: Books) -> None:
    number = books.invoiced(books.account(), 10)
    books.chain.warp(DAY)
    with books.chain.refusing("BillingOverdue", invoice=number):
        books.act(TENANT, books.billing, "contest", number, EVIDENCE)


def test_a_pause_stops_all_money(books: Books) -> None:
    account = books.account()
    books.deposit(TENANT, 100)
    batch, number = books.confirmed(account, 10), books.invoiced(account, 10)
    books.billing.send.pause()
    tenant = books.chain.account(TENANT)
    for function, arguments in (("settle", ([number],)), ("deposit", (tenant, 1)), ("withdraw", (tenant, 1))):
        with books.chain.refusing("GovernedPaused"):
            books.act(TENANT, books.billing, function, *arguments)
    with books.chain.refusing("GovernedPaused"):
        books.issue(account, [batch])
    books.billing.send.unpause()
    books.act(TENANT, books.billing, "settle", [number])


AMOUNTS = st.lists(st.integers(1, 10**9), min_size=1, max_size=6)


@settings(max_examples=20)
@given(
    usage=AMOUNTS, adjustment=st.integers(-(10**9), 10**9), rates=st.lists(st.integers(0, 10**6), max_size=3)
)
def test_the_total_is_the_sum_of_its_lines(
    built: tuple[Books, Any], usage: list[int], adjustment: int, rates: list[int]
) -> None:
    books, snapshot = built
    books.chain.restore(snapshot)
    account = books.account(card=CARD)
    if adjustment:
        books.billing.send.adjust(account, adjustment, EVIDENCE)
    batches = [books.confirmed(account, each) for each in usage]
    period = (books.chain.now - DAY, books.chain.now)
    done = books.billing.send.issue(account, *period, batches, [(VAT, rate) for rate in rates])
    lines = done.named("InvoiceLine")
    counted = sum((each * 3 + 1) // 2 for each in usage)
    net = max(counted + adjustment, 0)
    taxes = [(2 * net * rate + 10**6) // (2 * 10**6) for rate in rates]
    assert [line["amount"] for line in lines if line["kind"] == TAX] == taxes
    assert done.only("InvoiceIssued")["total"] == sum(line["amount"] for line in lines) == net + sum(taxes)
    assert books.billing.call.pendingOf(account) == min(counted + adjustment, 0)
