"""Service levels: medians decide, steps cost, caps hold, and credits wait for objections."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contracts.billing.world import AUDITOR, EVIDENCE, PROVIDER, REJECTED, STRANGER, TENANT, UPHELD
from tests.contracts.sla.world import DAY, FINE, HOUR, LATENCY, OBJECTIVES, ORACLES, Services, build

ASSESSED, UNMEASURED, EXCUSED, CONTESTED, CREDITED, ANNULLED = range(1, 7)
BAD, WORSE, GREAT = (989_000, 5_000), (500_000, 90_000), (1_000_000, 900)


@pytest.fixture(scope="module")
def built() -> tuple[Services, Any]:
    services = build()
    services.agree()
    return services, services.books.chain.snapshot()


@pytest.fixture
def services(built: tuple[Services, Any]) -> Services:
    services, snapshot = built
    services.books.chain.restore(snapshot)
    return services


def test_an_agreement_is_proposed_and_accepted(services: Services) -> None:
    chain, sla = services.books.chain, services.sla
    agreement = services.propose()
    found = sla.call.agreementOf(agreement)
    assert (found["provider"], found["tenant"]) == (chain.account(PROVIDER), chain.account(TENANT))
    assert sla.call.oraclesOf(agreement) == [chain.account(each) for each in ORACLES]
    assert [each["metric"] for each in sla.call.objectivesOf(agreement)] == [
        each["metric"] for each in OBJECTIVES
    ]
    with chain.refusing("SlaNotTenant", caller=chain.account(PROVIDER)):
        services.act(PROVIDER, "accept", agreement)
    services.act(TENANT, "accept", agreement)
    with chain.refusing("SlaWrongStatus", status=2):
        services.act(TENANT, "accept", agreement)
    late = services.propose()
    chain.warp(DAY)
    with chain.refusing("SlaTooLate"):
        services.act(TENANT, "accept", late)


def test_proposals_that_are_refused(services: Services) -> None:
    chain = services.books.chain
    with chain.refusing("SlaNotProvider", caller=chain.account(TENANT)):
        services.act(TENANT, "propose", services.terms(), OBJECTIVES, [chain.account(20)])
    zeros = [(field, 0) for field in ("startsAt", "windowSeconds", "windows", "graceSeconds", "capWindows")]
    for field, value in (*zeros, ("noticeSeconds", 2**32 - 1), ("quorum", 1), ("quorum", 4)):
        with chain.refusing("SlaBadTerms", field=field):
            services.propose(**{field: value})
    with chain.refusing("SlaBadTerms", field="oracles"):
        services.propose(oracles=tuple(range(20, 36)))
    with chain.refusing("SlaBadTerms", field="objectives"):
        services.propose(objectives=())
    for oracles in ((20, 20, 21), (20, 21, TENANT), (20, 21, PROVIDER)):
        with chain.refusing("SlaBadOracle"):
            services.propose(oracles=oracles)
    for steps in ([], [(900, 5), (950, 6)], [(900, 5), (800, 5)], [(900 - i, 5 + i) for i in range(9)]):
        with chain.refusing("SlaBadObjective", objective=0):
            services.propose(objectives=[{**OBJECTIVES[0], "steps": steps}])
    with chain.refusing("SlaBadObjective", objective=0):
        services.propose(objectives=[{**OBJECTIVES[1], "metric": LATENCY, "steps": [(80, 1), (20, 2)]}])


@pytest.mark.parametrize(
    ("values", "cost"),
    [(FINE, (0, 0)), ((999_000, 20_000), (0, 0)), ((998_999, 5_000), (100, 0)), (BAD, (500, 0)),
     (WORSE, (2_300, 0)), (GREAT, (0, 50)), ((999_990, 1_001), (0, 30)), ((1_000_000, 20_001), (50, 0))],
)  # fmt: skip
def test_the_worst_step_missed_counts_and_rewards_need_a_clean_window(
    services: Services, values: tuple[int, int], cost: tuple[int, int]
) -> None:
    assert services.assessed(0, values, values, values) == cost


def test_one_liar_moves_nothing(services: Services) -> None:
    assert services.assessed(0, FINE, (0, 10**12), FINE) == (0, 0)
    assert services.assessed(1, FINE, GREAT, GREAT) == (0, 50)


def test_two_reports_are_a_quorum_and_the_third_is_named(services: Services) -> None:
    chain = services.books.chain
    assert services.assessed(0, (999_000, 1), (998_998, 1)) == (
        100,
        0,
    )  # the mean of two, 998,999, is too low
    silent = chain.account(ORACLES[2])
    assert services.sla.call.missedBy(services.agreement, silent) == 1


def test_without_a_quorum_nothing_is_owed(services: Services) -> None:
    assert services.assessed(0, WORSE) == (0, 0)
    assert services.window(0)["status"] == UNMEASURED
    with services.books.chain.refusing("SlaWrongWindowStatus", status=UNMEASURED):
        services.sla.send.credit(services.agreement, [0])


def test_reports_early_late_twice_or_by_strangers_are_refused(services: Services) -> None:
    chain = services.books.chain
    with chain.refusing("SlaTooEarly", window=0, earliest=services.start + HOUR):
        services.report(20, 0, FINE)
    services.reach(0)
    with chain.refusing("AccessManagedUnauthorized"):
        services.report(STRANGER, 0, FINE)
    with chain.refusing("SlaWrongValues", given=1, needed=2):
        services.report(20, 0, (1,))
    services.report(20, 0, FINE)
    with chain.refusing("SlaAlreadyReported", oracle=chain.account(20)):
        services.report(20, 0, FINE)
    with chain.refusing("SlaTooEarly", window=0):
        services.sla.send.assess(services.agreement, [0])
    chain.warp(600)
    with chain.refusing("SlaTooLate", window=0):
        services.report(21, 0, FINE)
    services.sla.send.assess(services.agreement, [0])
    with chain.refusing("SlaWrongWindowStatus"):
        services.sla.send.assess(services.agreement, [0])
    with chain.refusing("SlaUnknownWindow", window=1000):
        services.sla.send.assess(services.agreement, [1000])
    other = services.propose(oracles=(30, 31, 32))
    with chain.refusing("SlaNotOracle"):
        services.act(20, "report", [(other, 0, list(FINE))])
    with chain.refusing("SlaWrongStatus", status=1):
        services.sla.send.assess(other, [0])


def test_no_report_after_the_assessment(services: Services) -> None:
    services.assessed(0, FINE, FINE, FINE)
    with services.books.chain.refusing("SlaWrongWindowStatus", status=ASSESSED):
        services.report(20, 0, BAD)


def test_caps_hold_per_block_of_windows(services: Services) -> None:
    costs = [services.assessed(window, WORSE, WORSE, WORSE)[0] for window in range(3)]
    assert costs == [2_300, 700, 0]
    assert services.assessed(10, WORSE, WORSE, WORSE) == (2_300, 0)
    rewards = [services.assessed(window, GREAT, GREAT, GREAT)[1] for window in range(11, 14)]
    assert rewards == [50, 10, 0]
    assert services.sla.call.assessedIn(services.agreement, 0) == (3_000, 0)
    assert services.sla.call.assessedIn(services.agreement, 1) == (2_300, 60)


def test_credits_reach_the_next_invoice_after_the_time_to_object(services: Services) -> None:
    chain, sla = services.books.chain, services.sla
    services.assessed(0, BAD, BAD, BAD)
    services.assessed(1, GREAT, GREAT, GREAT)
    services.assessed(2, FINE, FINE, FINE)
    with chain.refusing("SlaTooEarly", window=0):
        sla.send.credit(services.agreement, [0])
    chain.warp(DAY)
    sla.send.credit(services.agreement, [0, 1, 2])
    assert services.pending() == -450
    with chain.refusing("SlaWrongWindowStatus", status=CREDITED):
        sla.send.credit(services.agreement, [0])
    batch = services.books.confirmed(services.account, 1_000)
    invoice = services.books.issue(services.account, [batch])
    assert services.books.billing.call.invoiceOf(invoice)["total"] == 1_500 - 450


@pytest.mark.parametrize("who", [PROVIDER, TENANT])
@pytest.mark.parametrize(
    ("outcome", "status", "pending", "used"), [(UPHELD, ANNULLED, 0, 0), (REJECTED, CREDITED, -500, 500)]
)
def test_a_ruling_annuls_or_credits(
    services: Services, who: int, outcome: int, status: int, pending: int, used: int
) -> None:
    chain = services.books.chain
    services.assessed(0, BAD, BAD, BAD)
    with chain.refusing("SlaNotParty"):
        services.contest(AUDITOR, 0)
    dispute = services.contest(who, 0)
    chain.warp(DAY)
    with chain.refusing("SlaWrongWindowStatus", status=CONTESTED):
        services.sla.send.credit(services.agreement, [0])
    with chain.refusing("SlaNotDisputes"):
        services.sla.send.onRuling(dispute, outcome, EVIDENCE)
    with chain.refusing("SlaUnknownDispute"):
        services.books.rule(services.sla, 99, outcome)
    services.books.rule(services.sla, dispute, outcome)
    assert (services.window(0)["status"], services.pending()) == (status, pending)
    assert services.sla.call.assessedIn(services.agreement, 0) == (used, 0)
    with chain.refusing("SlaWrongWindowStatus"):
        services.books.rule(services.sla, dispute, outcome)


def test_objections_come_in_time(services: Services) -> None:
    services.assessed(0, BAD, BAD, BAD)
    services.books.chain.warp(DAY)
    with services.books.chain.refusing("SlaTooLate", window=0):
        services.contest(TENANT, 0)


def test_maintenance_excuses_announced_windows_only(services: Services) -> None:
    chain, agreement = services.books.chain, services.agreement
    with chain.refusing("SlaNotProvider"):
        services.act(TENANT, "announceMaintenance", agreement, 3, 1)
    services.act(PROVIDER, "announceMaintenance", agreement, 3, 2)
    with chain.refusing("SlaWrongWindowStatus", window=4, status=EXCUSED):
        services.act(PROVIDER, "announceMaintenance", agreement, 4, 1)
    with chain.refusing("SlaMaintenanceUsedUp", block_=0, most=2):
        services.act(PROVIDER, "announceMaintenance", agreement, 5, 1)
    services.act(PROVIDER, "announceMaintenance", agreement, 10, 1)
    services.reach(3)
    with chain.refusing("SlaUnderMaintenance", window=3):
        services.report(20, 3, WORSE)
    with chain.refusing("SlaWrongWindowStatus", status=EXCUSED):
        services.sla.send.assess(agreement, [3])
    with chain.refusing("SlaTooLate", window=5):
        services.act(PROVIDER, "announceMaintenance", agreement, 5, 1)


def test_an_agreement_ends_after_the_window_that_runs(services: Services) -> None:
    chain, agreement = services.books.chain, services.agreement
    services.reach(1)
    with chain.refusing("SlaNotParty"):
        services.act(AUDITOR, "end", agreement)
    services.act(TENANT, "end", agreement)
    assert services.sla.call.agreementOf(agreement)["endsBefore"] == 3
    for function, arguments in (("end", ()), ("announceMaintenance", (9, 1))):
        with chain.refusing("SlaWrongStatus", status=3):
            services.act(PROVIDER, function, agreement, *arguments)
    assert services.assessed(2, BAD, BAD, BAD) == (500, 0)
    services.reach(3)
    with chain.refusing("SlaUnknownWindow", window=3):
        services.report(20, 3, BAD)


def test_an_agreement_can_end_before_it_began(services: Services) -> None:
    services.act(TENANT, "end", services.agreement)
    assert services.sla.call.agreementOf(services.agreement)["endsBefore"] == 0


def test_a_provider_cannot_leave_when_an_outage_begins(services: Services) -> None:
    services.reach(1)
    services.act(PROVIDER, "end", services.agreement)
    assert services.sla.call.agreementOf(services.agreement)["endsBefore"] == 3 + 10
    assert services.assessed(12, BAD, BAD, BAD) == (500, 0)


VALUE = st.tuples(st.integers(890_000, 1_000_000), st.integers(500, 100_000))


def expected(reports: list[tuple[int, int]]) -> tuple[int, int]:
    """The model's verdict on a window, before caps."""
    medians = []
    for values in zip(*reports, strict=True):
        low, high = sorted(values)[(len(values) - 1) // 2], sorted(values)[len(values) // 2]
        medians.append((low + high) // 2)
    penalty = reward = 0
    for objective, value in zip(OBJECTIVES, medians, strict=True):
        sign = 1 if objective["higherIsBetter"] else -1
        missed = [cost for mark, cost in objective["steps"] if sign * value < sign * mark]
        penalty += max(missed, default=0)
        if sign * value >= sign * objective["rewardMark"]:
            reward += objective["reward"]
    return penalty, 0 if penalty else reward


@settings(max_examples=15)
@given(windows=st.lists(st.lists(VALUE, max_size=3), min_size=1, max_size=6))
def test_the_contract_judges_as_the_model(
    built: tuple[Services, Any], windows: list[list[tuple[int, int]]]
) -> None:
    services, snapshot = built
    services.books.chain.restore(snapshot)
    penalties = rewards = 0
    for window, reports in enumerate(windows):
        penalty, reward = expected(reports) if len(reports) >= 2 else (0, 0)
        penalty, reward = min(penalty, 3_000 - penalties), min(reward, 60 - rewards)
        assert services.assessed(window, *reports) == (penalty, reward)
        penalties, rewards = penalties + penalty, rewards + reward
    services.books.chain.warp(DAY)
    measured = [window for window in range(len(windows)) if services.window(window)["status"] == ASSESSED]
    services.sla.send.credit(services.agreement, measured)
    assert services.pending() == rewards - penalties
