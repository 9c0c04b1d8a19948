"""What a signing guard may refuse without halting Clique.

The argument: under the total order all nodes that know the same blocks have the same head. On one branch the
window keeps at most floor(N / 2) signers from the next block. So of floor(N / 2) + 1 signers that are up, one
may always make it, unless its own guard forbids it. A guard by total difficulty never does: a node builds on
its best branch only, which is no lighter than the last block it signed (it publishes that one again after a
crash), and every block adds difficulty. A guard by height may: the better branch can have fewer blocks.
"""

from node.primitives.chain_spec import ForkChoice
from tests.simulation.cluster import Cluster
from tests.simulation.options import GuardRule, Options
from tests.simulation.test_deadlocks import halted_heads


def three_of_four_after_a_fork(guard: GuardRule) -> Cluster:
    """B sealed 5 in turn; C and D, who did not see it, sealed 5 and 6. C is lost, all others meet again.

    Both branches weigh the same, so that B's wins with fewer blocks. On it A and B have signed recently, D
    has not; but D has signed a block 6 already.
    """
    cluster = Cluster(Options(signers=4, fork_choice=ForkChoice.TOTAL_ORDER, guard=guard), seed=1)
    cluster.preload("BCDA", {"AB": "B", "CD": "CD"})
    cluster.network.calm = True
    cluster.start("ABD")
    return cluster


def test_a_guard_by_height_halts_although_more_than_half_are_up() -> None:
    cluster = three_of_four_after_a_fork(GuardRule.HEIGHT)
    cluster.run(10_000)
    heads = halted_heads(cluster)
    assert heads is not None
    assert {head.number for head in heads.values()} == {5}
    assert "forbids" in cluster.nodes["D"].status


def test_a_guard_by_height_goes_on_when_the_lost_signer_returns() -> None:
    cluster = three_of_four_after_a_fork(GuardRule.HEIGHT)
    cluster.run(60_000)
    cluster.start("C")
    cluster.demand_progress(blocks=20)
    cluster.demand_agreement()


def test_a_guard_by_total_difficulty_goes_on() -> None:
    cluster = three_of_four_after_a_fork(GuardRule.WEIGHT)
    cluster.demand_progress(blocks=20)
    cluster.demand_agreement()
