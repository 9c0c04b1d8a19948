"""Keys elsewhere: whatever is cut off wherever, no key signs twice at a height, and the validators go on.

`height` is the rule of the real guards here, on both sides. Several validators may come to stand still by it
after a fork, and say so (test_guard_rules has the story): that is no lost answer, and rare. A lone one never
may.
"""

import operator
from collections import Counter
from random import Random

import pytest

from tests.simulation.checkers import Broken
from tests.simulation.cluster import Cluster
from tests.simulation.options import GuardRule, Options
from tests.simulation.remote_signer import RemoteNode

RECOVERY = 'signing.guard_rule = "weight" lets this one go on'
STANDSTILL = "stood still by height"


def live(seed: int) -> Counter[str]:
    """One history: a lone validator, or a few. Where it was struck, and how often."""
    random = Random(seed)
    options = Options(
        signers=random.choice([1, 1, 2, 3, 4]),
        guard=GuardRule.HEIGHT,
        period_s=random.choice([1, 2]),
        storm_ms=random.randint(5, 20) * 1000,
        calm_ms=0,
        delay_ms_max=random.choice([50, 800]),
        reset_chance=random.choice([0.0, 0.05]),
        crash_chance=random.choice([0.0, 0.05]),
    )
    cluster = Cluster(options, seed)
    chance = random.choice([0.02, 0.1, 0.3])
    nodes = {name: RemoteNode(name, cluster.world, chance) for name in cluster.signers}
    cluster.nodes = dict(nodes)
    cluster.start()
    cluster.storm()
    cluster.calm()
    try:
        cluster.demand_progress(blocks=3)
        cluster.demand_agreement()
    except Broken:
        if not stands_by_height(cluster):
            raise
        return Counter({STANDSTILL: 1})
    return sum((node.fate.met for node in nodes.values()), Counter())


def stands_by_height(cluster: Cluster) -> bool:
    """Whether each of several validators is kept from sealing by the window, or by its guard's height."""
    by_guard = [RECOVERY in node.status for node in cluster.up]
    by_window = ["is the limit" in node.status for node in cluster.up]
    return len(cluster.signers) > 1 and any(by_guard) and all(map(operator.or_, by_guard, by_window))


@pytest.mark.parametrize("first", range(0, 300, 50))
def test_no_key_signs_twice_at_a_height_and_the_validators_go_on(first: int) -> None:
    met = sum((live(seed) for seed in range(first, first + 50)), Counter())
    assert met[STANDSTILL] <= 1


@pytest.mark.long
@pytest.mark.parametrize("first", range(10_000, 12_000, 250))
def test_the_same_for_thousands_of_seeds(first: int) -> None:
    met = sum((live(seed) for seed in range(first, first + 250)), Counter())
    assert met[STANDSTILL] <= 5


def test_every_point_is_struck() -> None:
    met = sum((live(seed) for seed in range(20_000, 20_040)), Counter())
    assert set(met) == {
        "before a write of the node's guard",
        "after a write of the node's guard",
        "before the question",
        "the question is lost",
        "before a write of the signer's guard",
        "after a write of the signer's guard",
        "before the token",
        "after the token",
        "the answer is lost",
        "after the answer",
        "before the signature is used",
    }
