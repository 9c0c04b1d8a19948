"""What operators see of a validator's key: what it refuses, and why it does not sign."""

from node.app.parts import Node
from node.observability.health import Check
from node.production.driver import Driver
from node.signing.lease_watch import LeaseWatch


def observe_keys(node: Node, driver: Driver | None, lease: LeaseWatch | None) -> list[Check]:
    """Publish the numbers of key and driver; the checks that say why nothing is sealed. None on others."""
    signer, metrics = node.signer, node.metrics
    if signer is None or driver is None:
        return []
    metrics.read_at_scrape("guard_refusals", "Signatures that our guard refused.", lambda: signer.refusals)
    metrics.read_at_scrape(
        "sealed_blocks", "Blocks sealed by this node.", lambda: driver.health.sealed_blocks
    )
    checks: list[Check] = [lambda: driver.health.problem]
    return checks if lease is None else [*checks, lambda: lease.problem]
