"""The model of the cloud day: prices and taxes as the contracts promise them."""

from collections import Counter

import pytest

from devnet.day_model import EVENTS, Finding, Model, compared_events, plan_of, worth

SELLER, BUYER = 6, 8


@pytest.mark.parametrize(("net", "total"), [(0, 0), (3, 3), (10, 12), (299, 344), (20, 23)])
def test_what_one_pays_the_other_gets_with_fifteen_percent_rounded_half_up(net: int, total: int) -> None:
    model = Model(SELLER, {SELLER: 500, BUYER: 500})
    model.pay(BUYER, net)
    assert model.deposits == {SELLER: 500 + total, BUYER: 500 - total}


@pytest.mark.parametrize(
    ("hours", "price", "units"), [(199, (3, 2), 299), (1, (1, 2), 1), (1, (1, 3), 0), (2, (1, 3), 1)]
)
def test_a_batch_is_worth_the_nearest_unit_halves_up(hours: int, price: tuple[int, int], units: int) -> None:
    assert worth(hours, price) == units


def test_a_seed_is_a_whole_day_and_every_day_can_be_paid() -> None:
    assert plan_of(7) == plan_of(7)
    assert len({plan_of(seed) for seed in range(50)}) == 50
    for seed in range(500):
        plan = plan_of(seed)
        assert plan.leased < plan.resized <= 64
        assert worth(plan.later, plan.price) > plan.penalty
        # Of the deposit of 10,000, with tax.
        assert worth(plan.hours, plan.price) + worth(plan.later, plan.price) < 8_000
        assert plan.claimed != plan.hours


def test_a_finding_holds_when_chain_and_model_agree() -> None:
    assert Finding("sum", 5, 5).holds
    assert not Finding("sum", 5, 6).holds


def test_an_event_too_few_and_one_besides_are_found_by_name() -> None:
    assert all(each.holds for each in compared_events(Counter(EVENTS), is_first=False))
    assert not all(each.holds for each in compared_events(Counter(EVENTS), is_first=True))
    some = next(iter(EVENTS))
    seen = Counter({**EVENTS, some: 0, "Board.Held": 1})
    wrong = [each.what for each in compared_events(seen, is_first=False) if not each.holds]
    assert {f"events {some}", "events Board.Held"} <= set(wrong)
