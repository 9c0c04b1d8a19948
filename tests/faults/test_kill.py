"""kill -9 at any instant, under load: nothing that was announced or accepted is lost, and nothing is wrong.

The node is a real process and the judge stands outside: what the node announced over its WebSocket, what it
answered to eth_sendRawTransaction, and a model of the chain that computes every root anew.
"""

import os
import time
from pathlib import Path

import pytest

from tests.faults.live import forker, make_network, start
from tests.faults.ordeal import LIFE_S, Ordeal

SEED = int(os.environ.get("PHOENIX_SEED", "2"))
SETTINGS = {
    # Little stays in memory and little history is kept, so that kills fall into flattening and pruning, too.
    "storage": {"state_layers_max": 3, "history_blocks": 40, "write_buffer_bytes": 65_536},
    "pool": {"journal_interval_s": 0.2},
}


def test_three_kills_lose_nothing(tmp_path: Path) -> None:
    layout = make_network(tmp_path / "net", period_s=0, production={"empty_blocks": False}, **SETTINGS)
    ordeal = Ordeal(layout, SEED, start)
    ordeal.begin()
    for _ in range(3):
        ordeal.live_and_die()
    ordeal.end()


@pytest.mark.long(75)
@pytest.mark.parametrize(
    ("period_s", "kills", "life_s", "limit_s"), [(0, 150, 0.5, 200), (1, 50, LIFE_S, 100)]
)
def test_hundreds_of_kills_lose_nothing(
    tmp_path: Path, period_s: int, kills: int, life_s: float, limit_s: int
) -> None:
    production = {"empty_blocks": period_s > 0}
    layout = make_network(tmp_path / "net", period_s=period_s, production=production, **SETTINGS)
    until = time.monotonic() + limit_s
    with forker() as fork:
        ordeal = Ordeal(layout, SEED, fork.start, life_s)
        ordeal.begin()
        while ordeal.kills < kills and time.monotonic() < until:
            ordeal.live_and_die()
            if ordeal.kills % 20 == 0:
                ordeal.audit_copy(tmp_path / "copy")
        ordeal.end()
    assert ordeal.kills >= kills / 2, "this machine is too slow to say much"
