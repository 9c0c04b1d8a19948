from pathlib import Path
from typing import Any

import pytest

from devnet import launcher, load
from devnet.errors import DevnetError
from devnet.generate import generate
from devnet.load import Outcome, Plan, run_load, verify_plan
from tests.devnet.fakes import chain as fakes


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


def test_what_a_block_held_that_took_anothers_place_is_found_by_its_receipt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = fakes.FakeNetwork(generate(fakes.network(), tmp_path))
    sent: list[str] = []

    def take(raw: str) -> str:
        sent.append(raw)
        return "0x"

    answers: dict[str, Any] = {
        "eth_getBlockByNumber": lambda number, full: {"baseFeePerGas": "0x7", "transactions": []},
        "eth_maxPriorityFeePerGas": lambda: "0x1",
        "eth_sendRawTransaction": take,
        "eth_getTransactionReceipt": lambda tx_hash: {"transactionHash": tx_hash} if len(sent) == 3 else None,
    }
    for fake in network.fakes.values():
        fake.changed = answers
    monkeypatch.setattr(launcher, "is_running", lambda node: True)
    monkeypatch.setattr(load, "RECEIPTS_EVERY_S", 0.0)
    outcome = run_load(network, Plan(1_000, 5, count=3), lambda line: None)
    assert (len(outcome.sent_at), len(outcome.mined_after_s), outcome.missing) == (3, 3, 0)
