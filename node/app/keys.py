"""A validator's key in a node: what keeps it from starting unsafe, and what operators see of it."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from node.chain.reader import ChainReader
from node.config.data_dir import guard_path
from node.config.settings import Settings
from node.observability.health import Check
from node.primitives.errors import ConfigError
from node.primitives.ids import Address, hex_of
from node.production.driver import Driver
from node.signing.doctor import exposed
from node.signing.lease_watch import LeaseWatch

if TYPE_CHECKING:
    from node.app.parts import Node


def observe_keys(node: "Node", driver: Driver | None, lease: LeaseWatch | None) -> list[Check]:
    """Publish the numbers of key and driver; the checks that say why nothing is sealed. None on others."""
    signer, metrics = node.signer, node.metrics
    if signer is None or driver is None:
        return []
    checks: list[Check] = [lambda: driver.health.problem]
    if lease is not None:
        checks.append(lambda: lease.problem)
    metrics.read_at_scrape("guard_refusals", "Signatures that our guard refused.", lambda: signer.refusals)
    since = signer.in_use_since()
    metrics.read_at_scrape(
        "signing_key_age_seconds",
        "Since the signing key came to this node's guard.",
        lambda: max(0.0, time.time() - since),
    )
    metrics.read_at_scrape(
        "signing_ready",
        "1 while nothing keeps the key from signing, else 0; /health/ready has the words.",
        lambda: all(check() is None for check in checks),
    )
    metrics.read_at_scrape(
        "sealed_blocks", "Blocks sealed by this node.", lambda: driver.health.sealed_blocks
    )
    return checks


def refuse_exposed_secrets(settings: Settings) -> None:
    """ConfigError for every file with a secret that others can read."""
    found = exposed(settings)
    if found:
        raise ConfigError([f"{each.place}: {each.text}" for each in found])


def refuse_lost_guard(data_dir: Path, reader: ChainReader, key: Address) -> None:
    """ConfigError when the guard of a key that may have signed is not there.

    Made anew without a word it would let the key sign again what it has signed already.
    """
    path = guard_path(data_dir)
    if path.is_dir() or reader.head.number == 0:
        return
    if key not in reader.rules.validators(reader.engine_state(reader.head.hash)):
        return
    raise ConfigError(
        [
            f"{path}: the signing guard is missing, and {hex_of(key)} is a signer of this chain: what it has "
            "signed is not known here. Restore the guard (`phoenix signer guard import`); or, if the key "
            f"never signed, `phoenix signer guard new --data-dir {data_dir} --the-key-never-signed`"
        ]
    )
