"""Whole Clique networks in simulated time, above trio and without it; a seed is a history.

    run(seed)            draws a network and its weather, lets it live, and raises Broken if a rule was broken
    run(seed, True)      the same, printing every line of the history

`timeline` time · `options` what a seed draws · `network` connections · `node` engine, rules and a toy store ·
`cluster` the phases of a history · `checkers` what must always hold
"""

from random import Random

from tests.simulation.cluster import Cluster
from tests.simulation.options import draw

__all__ = ["run"]


def run(seed: int, verbose: bool = False) -> Cluster:
    """Live through the history of a seed: a storm, then calm, in which the network has to recover.

    Raises `checkers.Broken` with the seed when safety, progress or agreement was broken.
    """
    options = draw(Random(f"options {seed}"))
    cluster = Cluster(options, seed)
    cluster.checkers.verbose = verbose
    cluster.checkers.tell("", f"seed {seed}: {options}")
    cluster.start()
    cluster.storm()
    cluster.calm()
    cluster.demand_progress(blocks=3 * (options.signers + options.spares) + 4)
    cluster.demand_agreement()
    if verbose:
        print(cluster.report())
    return cluster
