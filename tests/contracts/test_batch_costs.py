"""The cost of frequent records is what the README says it is."""

import json

from tests.contracts.batch_costs import SNAPSHOT, measure


def test_batches_cost_what_was_measured() -> None:
    assert measure() == json.loads(SNAPSHOT.read_text())
