"""Metering: prices never change backwards, hours are never counted twice, nobody alone makes usage true."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.primitives.crypto import keccak256
from tests.contracts.billing.world import (
    AUDITOR,
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
    VCPU_HOURS,
    Books,
    build,
)
from tests.contracts.fakes import signing_domain
from tests.contracts.trees import usage_tree

SUBMITTED, CONFIRMED, DISPUTED, VOID = range(1, 5)
WEEK = 7 * DAY


@pytest.fixture(scope="module")
def built() -> tuple[Books, Any]:
    books = build()
    return books, books.chain.snapshot()


@pytest.fixture
def books(built: tuple[Books, Any]) -> Books:
    books, snapshot = built
    books.chain.restore(snapshot)
    return books


def status(books: Books, batch: int) -> int:
    return int(books.metering.call.batchOf(batch)["status"])


def test_later_versions_need_notice(books: Books) -> None:
    chain = books.chain
    with chain.refusing("MeteringTooSoon", earliest=chain.now + WEEK):
        books.publish(CARD, 4, 2)
    with chain.refusing("MeteringNotCardOwner", caller=chain.account(STRANGER)):
        books.publish(CARD, 4, 2, who=STRANGER)
    with chain.refusing("MeteringTooSoon"):
        books.publish(keccak256(b"new card"), 4, 2, delay=-10)
    books.publish(CARD, 4, 2, delay=WEEK + 100)
    with chain.refusing("MeteringTooSoon"):
        books.publish(CARD, 5, 2, delay=WEEK + 10)
    now, later = (books.metering.call.rateAt(CARD, VCPU_HOURS, chain.now + wait) for wait in (0, 2 * WEEK))
    assert ((now[0]["price"], now[1]), (later[0]["price"], later[1])) == ((3, 1), (4, 2))
    with chain.refusing("MeteringUnknownRate"):
        books.metering.call.rateAt(CARD, EVIDENCE, chain.now)
    with chain.refusing("MeteringUnknownRate"):
        books.metering.call.rateAt(CARD, VCPU_HOURS, 1)


def test_rates_that_are_refused(books: Books) -> None:
    publish = books.metering.send.publishRates
    for rates in ([(VCPU_HOURS, (1, 0))], [(VCPU_HOURS, (1, 1)), (VCPU_HOURS, (2, 1))]):
        with books.chain.refusing("MeteringBadRate", meter=VCPU_HOURS):
            publish(EVIDENCE, books.chain.now, rates)


def test_an_account_needs_three_parties_and_the_tenants_word(books: Books) -> None:
    chain, metering = books.chain, books.metering
    account = chain.account
    for tenant, auditor in ((PROVIDER, AUDITOR), (TENANT, PROVIDER), (TENANT, TENANT)):
        with chain.refusing("MeteringPartiesNotDistinct"):
            books.act(PROVIDER, metering, "openAccount", account(tenant), account(auditor), CARD, False, DAY)
    with chain.refusing("MeteringNotCardOwner"):
        books.act(STRANGER, metering, "openAccount", account(TENANT), account(AUDITOR), CARD, False, DAY)
    done = books.act(PROVIDER, metering, "openAccount", account(TENANT), account(AUDITOR), CARD, False, DAY)
    with chain.refusing("MeteringAccountNotOpen", account=done.output):
        books.submit(done.output, 1)
    with chain.refusing("MeteringNotTenant", caller=account(STRANGER)):
        books.act(STRANGER, metering, "acceptAccount", done.output)
    books.act(TENANT, metering, "acceptAccount", done.output)
    with chain.refusing("MeteringAccountSettled"):
        books.act(TENANT, metering, "acceptAccount", done.output)
    with chain.refusing("MeteringNotParty"):
        books.act(AUDITOR, metering, "closeAccount", done.output)
    books.act(PROVIDER, metering, "closeAccount", done.output)
    for function in ("acceptAccount", "closeAccount"):
        with chain.refusing("MeteringAccountSettled"):
            books.act(TENANT, metering, function, done.output)
    with chain.refusing("MeteringAccountNotOpen"):
        books.submit(done.output, 1)


def test_windows_never_overlap_nor_reach_into_the_future_or_another_price(books: Books) -> None:
    chain = books.chain
    account = books.account()
    batch = books.submit(account, 5)
    end = books.metering.call.batchOf(batch)["to"]
    assert books.metering.call.windowEnd(account, VCPU_HOURS) == end
    for window in ({"from": end - 1}, {"from": chain.now, "to": chain.now}, {"to": chain.now + DAY}):
        with chain.refusing("MeteringBadWindow"):
            books.submit(account, 5, **window)
    with chain.refusing("MeteringNoRecords"):
        books.submit(account, 5, count=0)
    books.publish(CARD, 4, 2, delay=WEEK)
    change = chain.now - 2 + WEEK
    chain.warp(2 * WEEK)
    with chain.refusing("MeteringStraddlesVersions"):
        books.submit(account, 5, **{"from": change - 10, "to": change + 10})
    before = books.submit(account, 5, **{"from": change - 10, "to": change})
    after = books.submit(account, 5, **{"from": change, "to": change + 10})
    # 5 units: at 3 for 2 they cost 7.5, which is 8; at 4 for 2 they cost 10.
    assert [books.metering.call.amountOf(each) for each in (before, after)] == [8, 10]


def test_usage_before_the_closing_is_still_owed(books: Books) -> None:
    chain = books.chain
    account = books.account()
    with chain.refusing("MeteringBadWindow"):
        books.submit(account, 5, **{"from": chain.now - 10})
    chain.warp(3600)
    books.act(TENANT, books.metering, "closeAccount", account)
    closed = chain.now - 2
    with chain.refusing("MeteringAccountNotOpen"):
        books.submit(account, 5, **{"from": closed - 10, "to": closed + 1})
    batch = books.submit(account, 5, **{"from": closed - 10, "to": closed})
    books.confirm(batch, PROVIDER, TENANT, AUDITOR)
    assert status(books, batch) == CONFIRMED


def test_only_meters_report(books: Books) -> None:
    account = books.account()
    books.chain.warp(3600)
    usage = books.usage(account, 5)
    with books.chain.refusing("AccessManagedUnauthorized"):
        books.act(PROVIDER, books.metering, "submitUsage", [usage])
    with books.chain.refusing("AccessManagedUnauthorized"):
        books.act(PROVIDER, books.metering, "replaceUsage", 1, EVIDENCE, 1, 1, EVIDENCE)


def test_usage_is_true_when_all_three_say_so(books: Books) -> None:
    chain = books.chain
    batch = books.submit(books.account(), 5)
    for party in (PROVIDER, TENANT):
        books.confirm(batch, party)
        assert status(books, batch) == SUBMITTED
    with chain.refusing("MeteringAlreadySigned", party=chain.account(TENANT)):
        books.confirm(batch, TENANT)
    with chain.refusing("MeteringNotParty", caller=chain.account(STRANGER)):
        books.confirm(batch, STRANGER)
    books.confirm(batch, AUDITOR)
    assert status(books, batch) == CONFIRMED
    with chain.refusing("MeteringWrongStatus", status=CONFIRMED):
        books.confirm(batch, AUDITOR)


def test_a_signature_confirms_exactly_one_batch(books: Books) -> None:
    chain, metering = books.chain, books.metering
    account = books.account()
    batch, other = books.submit(account, 5), books.submit(account, 5)
    found = metering.call.batchOf(batch)
    kinds = {"batch": "uint256", "account": "uint256", "meter": "bytes32", "from": "uint64", "to": "uint64",
             "root": "bytes32", "count": "uint64", "total": "uint128"}  # fmt: skip
    signed = chain.key(TENANT).sign_typed_data(
        signing_domain("PhoenixMetering", metering),
        {"UsageConfirmation": [{"name": name, "type": kind} for name, kind in kinds.items()]},
        {name: batch if name == "batch" else found[name] for name in kinds},
    )
    signature = bytes(signed.signature)
    for wrong, party in ((other, TENANT), (batch, AUDITOR)):
        with chain.refusing("MeteringBadSignature", batch=wrong, party=chain.account(party)):
            metering.send.confirmUsageFor(wrong, chain.account(party), signature)
    metering.send.confirmUsageFor(batch, chain.account(TENANT), signature)
    assert metering.call.batchOf(batch)["confirmations"] == 2
    with chain.refusing("MeteringAlreadySigned"):
        metering.send.confirmUsageFor(batch, chain.account(TENANT), signature)


@pytest.mark.parametrize("silent", [PROVIDER, TENANT, AUDITOR])
def test_one_silent_party_consents_in_the_end(books: Books, silent: int) -> None:
    chain = books.chain
    first, second = (party for party in (PROVIDER, TENANT, AUDITOR) if party != silent)
    batch = books.submit(books.account(), 5)
    books.confirm(batch, first)
    with chain.refusing("MeteringNotYet"):
        books.metering.send.confirmByDefault(batch)
    chain.warp(WEEK)
    with chain.refusing("MeteringTooFewSignatures"):
        books.metering.send.confirmByDefault(batch)
    books.confirm(batch, second)
    books.metering.send.confirmByDefault(batch)
    assert status(books, batch) == CONFIRMED


def test_silence_alone_confirms_nothing(books: Books) -> None:
    batch = books.submit(books.account(), 5)
    books.chain.warp(WEEK)
    with books.chain.refusing("MeteringTooFewSignatures", confirmations=0):
        books.metering.send.confirmByDefault(batch)


@pytest.mark.parametrize(("outcome", "end"), [(UPHELD, VOID), (REJECTED, CONFIRMED), (SPLIT, CONFIRMED)])
@pytest.mark.parametrize("who", [PROVIDER, TENANT, AUDITOR])
def test_a_ruling_voids_or_confirms(books: Books, who: int, outcome: int, end: int) -> None:
    chain = books.chain
    batch = books.submit(books.account(), 5)
    with chain.refusing("MeteringNotParty"):
        books.act(STRANGER, books.metering, "contestUsage", batch, EVIDENCE)
    dispute = books.act(who, books.metering, "contestUsage", batch, EVIDENCE).only("UsageContested")[
        "dispute"
    ]
    assert status(books, batch) == DISPUTED
    with chain.refusing("MeteringNotDisputes"):
        books.metering.send.onRuling(dispute, outcome, EVIDENCE)
    with chain.refusing("MeteringUnknownDispute", dispute=99):
        books.rule(books.metering, 99, outcome)
    books.rule(books.metering, dispute, outcome)
    assert status(books, batch) == end
    with chain.refusing("MeteringWrongStatus"):
        books.rule(books.metering, dispute, outcome)


def test_what_was_voided_is_replaced_once(books: Books) -> None:
    chain, metering = books.chain, books.metering
    batch = books.submit(books.account(), 5)
    arguments = (batch, EVIDENCE, 1, 3, EVIDENCE)
    with chain.refusing("MeteringWrongStatus", status=SUBMITTED):
        metering.send.replaceUsage(*arguments)
    dispute = books.act(TENANT, metering, "contestUsage", batch, EVIDENCE).only("UsageContested")["dispute"]
    books.rule(metering, dispute, UPHELD)
    replacement = metering.send.replaceUsage(*arguments).output
    old, new = metering.call.batchOf(batch), metering.call.batchOf(replacement)
    assert old["replacedBy"] == replacement
    assert (new["from"], new["to"], new["total"], new["confirmations"], new["status"]) == (
        old["from"], old["to"], 3, 0, SUBMITTED,
    )  # fmt: skip
    with chain.refusing("MeteringAlreadyReplaced", replacement=replacement):
        metering.send.replaceUsage(*arguments)


RECORDS = st.lists(st.integers(0, 2**64), min_size=1, max_size=40)


@settings(max_examples=25)
@given(quantities=RECORDS, data=st.data())
def test_each_record_is_proved_and_none_can_be_forged(
    built: tuple[Books, Any], quantities: list[int], data: st.DataObject
) -> None:
    books, snapshot = built
    books.chain.restore(snapshot)
    records = [(keccak256(b"record %d" % place), quantity) for place, quantity in enumerate(quantities)]
    tree = usage_tree(records)
    root, total = tree.root()
    assert total == sum(quantities)
    batch = books.submit(books.account(), total, root=root, count=len(records))
    place = data.draw(st.integers(0, len(records) - 1))
    (record, quantity), path = records[place], tree.path(place)
    verify = books.metering.call.verifyRecord
    assert verify(batch, record, quantity, place, path)
    assert not verify(batch, record, quantity + 1, place, path)
    assert not verify(batch, keccak256(b"forged"), quantity, place, path)
    assert not verify(batch, record, quantity, place ^ 1, path)
    assert not verify(batch, record, quantity, place + len(records), path)
    assert not verify(batch, record, quantity, place, [*path, (bytes(32), 0)])
    for step, (hash_, sum_) in enumerate(path):
        assert not verify(
            batch, record, quantity, place, [*path[:step], (hash_, sum_ + 1), *path[step + 1 :]]
        )
        # A sum beyond 128 bits proves nothing, and does not make the question fail either.
        assert not verify(batch, record, 2**128 - 1, place, [*path[:step], (hash_, 1), *path[step + 1 :]])


@settings(max_examples=25)
@given(quantities=RECORDS, lie=st.integers(1, 2**64))
def test_a_total_that_is_not_the_sum_proves_no_record(
    built: tuple[Books, Any], quantities: list[int], lie: int
) -> None:
    books, snapshot = built
    books.chain.restore(snapshot)
    records = [(keccak256(b"record %d" % place), quantity) for place, quantity in enumerate(quantities)]
    tree = usage_tree(records)
    root, total = tree.root()
    batch = books.submit(books.account(), total + lie, root=root, count=len(records))
    assert not books.metering.call.verifyRecord(batch, *records[0], 0, tree.path(0))


@settings(max_examples=40)
@given(total=st.integers(0, 2**128 - 1), price=st.integers(0, 2**128 - 1), per=st.integers(1, 2**128 - 1))
def test_amounts_are_rounded_half_up_once(built: tuple[Books, Any], total: int, price: int, per: int) -> None:
    books, snapshot = built
    books.chain.restore(snapshot)
    card = keccak256(b"other card")
    books.publish(card, price, per, who=OTHER)
    batch = books.submit(books.account(OTHER, TENANT, card), total)
    assert books.metering.call.amountOf(batch) == (2 * total * price + per) // (2 * per)
