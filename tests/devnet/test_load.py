import pytest

from devnet.errors import DevnetError
from devnet.load import Outcome, Plan, verify_plan


@pytest.mark.parametrize(
    ("plan", "total"), [(Plan(10, 3), 30), (Plan(10, 3, 7), 7), (Plan(0.5, 3), 1), (Plan(10, 3, 99), 30)]
)
def test_a_load_ends_with_the_first_bound_it_reaches(plan: Plan, total: int) -> None:
    verify_plan(plan)
    assert plan.total == total


@pytest.mark.parametrize("plan", [Plan(0, 1), Plan(1e9, 1), Plan(1, 0), Plan(1, 1e9), Plan(1, 1, 0)])
def test_a_load_without_bounds_is_refused(plan: Plan) -> None:
    with pytest.raises(DevnetError):
        verify_plan(plan)


def test_the_summary_counts_what_is_missing_and_orders_delays() -> None:
    outcome = Outcome(seconds=2.0)
    outcome.sent_at = {f"0x{number}": 0.0 for number in range(4)}
    outcome.mined_after_s = {"0x0": 3.0, "0x1": 1.0, "0x2": 2.0}
    outcome.refused["nonce too low"] += 2
    summary = outcome.summary()
    assert (summary["accepted"], summary["mined"], summary["missing"], summary["refused"]) == (4, 3, 1, 2)
    assert (summary["mined_after_s_median"], summary["mined_after_s_max"]) == (2.0, 3.0)
    assert summary["accepted_per_s"] == 2.0
    assert Outcome().summary()["mined_after_s_max"] is None
