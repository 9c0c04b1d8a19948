"""What operators see of a node: counters that follow the chain, numbers read at each scrape, health."""

import time
from collections.abc import Sequence
from typing import Final

import trio

from node.app.archive import observe_archive
from node.app.auditing import observe_audit_log
from node.app.keys import observe_keys
from node.app.network import Network
from node.app.parts import Node
from node.app.replica import index_check, index_notice
from node.audit.log import AuditLog
from node.chain.reader import ChainReader
from node.observability.health import Check, Health, head_age_check
from node.observability.listener import serve_observability
from node.observability.metrics import Metrics
from node.production.auditor import Auditor
from node.production.driver import Driver
from node.signing.lease_watch import LeaseWatch

STALLED_PERIODS: Final = 20
"""The head may be this many block periods old, and at least `STALLED_S_LEAST`, before we are not ready."""
STALLED_S_LEAST: Final = 30.0


async def count_blocks(reader: ChainReader, metrics: Metrics) -> None:
    """Keep the counters that follow the chain."""
    while True:
        # The events cut off who falls behind; what was missed is then missing from the counters only.
        with reader.events.subscribe() as changes:
            async for change in changes:
                metrics.blocks_imported.inc(len(change.added))
                metrics.transactions_included.inc(sum(len(b.block.transactions) for b in change.added))
                metrics.gas_used.inc(sum(b.block.header.gas_used for b in change.added))
                if change.removed:
                    metrics.reorganisations.inc()
                    metrics.blocks_unwound.inc(len(change.removed))


async def observe(
    node: Node,
    network: Network,
    driver: Driver | None,
    lease: LeaseWatch | None,
    more: Sequence[Check] = (),
    notices: Sequence[Check] = (),
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Publish the numbers that the parts keep themselves, and how we are, by `more` and `notices`, too."""
    reader, metrics, settings = node.chain.reader, node.metrics, node.settings.observability
    metrics.read_at_scrape("head_number", "Number of the head.", lambda: reader.head.number)
    metrics.read_at_scrape("head_timestamp", "Unix time of the head.", lambda: reader.head.timestamp)
    metrics.read_at_scrape("peers", "Connected peers.", lambda: len(network.pool.peers))
    metrics.read_at_scrape("pool_transactions", "Transactions waiting for a block.", lambda: len(node.pool))
    metrics.read_at_scrape(
        "import_busy_seconds",
        "Time spent verifying, executing and writing blocks.",
        lambda: node.chain.importer.statistics.busy_s,
    )
    ready = [
        head_age_check(
            lambda: reader.head.timestamp,
            time.time,
            max(STALLED_S_LEAST, STALLED_PERIODS * reader.spec.engine.period_s),
        )
    ]
    if node.auditor is not None:
        ready.append(_observe_audit(node.auditor, metrics))
    if isinstance(node.audit, AuditLog):
        ready.append(observe_audit_log(node.audit, metrics))
    if node.replica is not None:
        ready.append(index_check(node.replica, reader))
    ready += [*observe_keys(node, driver, lease), *more]
    told = list(notices)
    told += [] if node.archive is None else [observe_archive(node.archive, metrics)]
    told += [] if node.replica is None else [index_notice(node.replica)]
    assert settings.metrics_port is not None
    await serve_observability(
        settings.metrics_host,
        settings.metrics_port,
        metrics,
        Health(ready=ready, notices=told),
        task_status=task_status,  # type: ignore[arg-type]
    )


def _observe_audit(auditor: Auditor, metrics: Metrics) -> Check:
    metrics.read_at_scrape(
        "audited_blocks", "Blocks executed a second time.", lambda: auditor.statistics.audited
    )
    return lambda: auditor.problem
