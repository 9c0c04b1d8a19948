"""Clique's known halts with enough nodes up: they happen under the plain rule, not under the total order."""

from dataclasses import dataclass

import pytest

from consensus.clique.errors import SignedRecently
from node.primitives.block import Header
from node.primitives.chain_spec import ForkChoice
from tests.simulation.cluster import Cluster
from tests.simulation.options import Options

IN_ORDER_OF_EIGHT = "BCDEFGHABCDEFGH"
"""Fifteen blocks in turn, the last by H; A is in turn next."""


@dataclass(frozen=True, slots=True)
class Fork:
    """Two branches of equal difficulty, and who is at the end of which."""

    motive: str
    signers: int
    trunk: str
    branches: dict[str, str]
    """Authors of the branch by the names of the nodes that have it as their head."""

    @property
    def up(self) -> str:
        return "".join(sorted("".join(self.branches)))


FORKS = [
    # go-ethereum issue 24705: blocks 101 to 103 of its table are blocks 5 to 7 here.
    Fork("one block in turn against two out of turn, 4 of 4 up", 4, "BCDAB", {"BC": "C", "DA": "DA"}),
    # EIP-3436, first scenario: validators 5, 7 and 8 (E, G, H) go offline.
    Fork("two blocks against three, 5 of 8 up", 8, IN_ORDER_OF_EIGHT, {"AC": "AC", "BDF": "BDF"}),
    # EIP-3436, second scenario, in a form that the rules allow (see below): 7 and 8 (G, H) go offline.
    Fork("three blocks against three, 6 of 8 up", 8, IN_ORDER_OF_EIGHT, {"ACE": "CAE", "BDF": "BDF"}),
]


def network(fork: Fork, rule: ForkChoice, *, both_known: bool) -> Cluster:
    """The nodes at the ends of the two branches, connected from now on."""
    cluster = Cluster(Options(signers=fork.signers, fork_choice=rule), seed=1)
    for own, others in (list(fork.branches), list(fork.branches)[::-1]):
        cluster.nodes[own[0]].preload(cluster.branch(fork.trunk + fork.branches[own]))
        for name in own:
            cluster.nodes[name].preload(cluster.branch(fork.trunk + fork.branches[own]))
            if both_known:
                cluster.nodes[name].preload(cluster.branch(fork.trunk + fork.branches[others]))
    longest = max(len(fork.trunk + branch) for branch in fork.branches.values())
    cluster.timeline.now_ms += longest * 2_000
    cluster.network.calm = True
    cluster.start(fork.up)
    return cluster


def halted_heads(cluster: Cluster) -> dict[str, Header] | None:
    """The heads if nothing moves for ten minutes, else None."""
    before = cluster.heads
    cluster.run(600_000)
    return before if cluster.heads == before else None


@pytest.mark.parametrize("both_known", [False, True], ids=["each knows its branch", "all know both branches"])
@pytest.mark.parametrize("fork", FORKS, ids=lambda fork: fork.motive)
def test_the_plain_rule_halts_with_more_than_half_up(fork: Fork, both_known: bool) -> None:
    cluster = network(fork, ForkChoice.TOTAL_DIFFICULTY, both_known=both_known)
    heads = halted_heads(cluster)
    assert heads is not None
    assert len(set(heads.values())) == 2
    assert len(cluster.up) > fork.signers // 2
    weights = {cluster.nodes[name].disk.weights[head.hash] for name, head in heads.items()}
    assert len(weights) == 1
    assert all("signed block" in node.status for node in cluster.up)


@pytest.mark.parametrize("both_known", [False, True], ids=["each knows its branch", "all know both branches"])
@pytest.mark.parametrize("fork", FORKS, ids=lambda fork: fork.motive)
def test_the_total_order_goes_on_from_the_same_fork(fork: Fork, both_known: bool) -> None:
    cluster = network(fork, ForkChoice.TOTAL_ORDER, both_known=both_known)
    cluster.demand_progress(blocks=20)
    cluster.demand_agreement()


def test_the_second_scenario_of_the_eip_as_told_breaks_the_window_rule() -> None:
    """Validator 7 (G) made the last block in order; then 6 (F) could not be the third on its branch."""
    cluster = Cluster(Options(signers=8), seed=1)
    assert cluster.branch(IN_ORDER_OF_EIGHT[:-1] + "ACE")
    with pytest.raises(SignedRecently):
        cluster.branch(IN_ORDER_OF_EIGHT[:-1] + "BDF")


STORM = {
    "signers": 4,
    "delay_ms_max": 1_500,
    "storm_ms": 120_000,
    "partition_chance": 0.3,
    "reset_chance": 0.05,
}


def after_a_storm(rule: ForkChoice, seed: int) -> Cluster:
    """Four signers after two minutes of cuts and lost messages, all up and connected for a minute again."""
    cluster = Cluster(Options(fork_choice=rule, **STORM), seed)
    cluster.start()
    cluster.storm()
    cluster.calm()
    cluster.run(60_000)
    return cluster


@pytest.mark.parametrize("seed", [0, 1, 3, 4, 5, 6])
def test_a_storm_halts_the_plain_rule_for_ever(seed: int) -> None:
    """go-ethereum issue 18402: all signers up and connected, each waiting for the others."""
    cluster = after_a_storm(ForkChoice.TOTAL_DIFFICULTY, seed)
    heads = halted_heads(cluster)
    assert heads is not None
    assert len(heads) == 4
    assert len(set(heads.values())) > 1
    assert all("signed block" in node.status for node in cluster.up)


@pytest.mark.parametrize("seed", [0, 1, 3, 4, 5, 6])
def test_the_same_storm_does_not_halt_the_total_order(seed: int) -> None:
    cluster = after_a_storm(ForkChoice.TOTAL_ORDER, seed)
    cluster.demand_progress(blocks=20)
    cluster.demand_agreement()
