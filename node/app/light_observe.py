"""What operators see of a light client: its numbers, and whether clients may rely on it."""

import time
from collections.abc import Sequence
from functools import partial
from typing import Final

import trio

from node.config.settings import ObservabilitySettings
from node.light.client import LightClient
from node.observability.health import Check, Health, head_age_check
from node.observability.listener import serve_observability
from node.observability.loop_delay import LoopDelay
from node.observability.metrics import Metrics

STALLED_PERIODS: Final = 20
"""The head may be this many block periods old, and at least `STALLED_S_LEAST`, before we are not ready."""
STALLED_S_LEAST: Final = 30.0


async def observe_light(
    client: LightClient,
    metrics: Metrics,
    checks: Sequence[Check],
    settings: ObservabilitySettings,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Publish numbers and health until cancelled."""
    metrics.read_at_scrape("head_number", "Number of the head.", lambda: client.head.number)
    metrics.read_at_scrape("head_timestamp", "Unix time of the head.", lambda: client.head.timestamp)
    metrics.read_at_scrape(
        "verified_number",
        "Highest block below which every header is verified.",
        lambda: client.chain.head.number,
    )
    metrics.read_at_scrape("upstreams", "Upstreams that are asked.", lambda: len(client.upstreams.live()))
    metrics.read_at_scrape(
        "upstream_lies", "Upstreams that were caught lying, and dropped.", lambda: len(client.upstreams.lies)
    )
    period_s = client.spec.engine.period_s
    age_s_max = max(STALLED_S_LEAST, STALLED_PERIODS * period_s)

    def upstreams_check() -> str | None:
        if client.upstreams.live():
            return None
        return "every upstream has lied and was dropped; data_dir/light/evidence has what they said"

    ready = [head_age_check(lambda: client.head.timestamp, time.time, age_s_max), upstreams_check, *checks]
    assert settings.metrics_port is not None
    delay = LoopDelay(metrics.loop_delay_seconds.observe)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(delay.run)
        await nursery.start(
            partial(
                serve_observability,
                settings.metrics_host,
                settings.metrics_port,
                metrics,
                Health(ready=ready),
            )
        )
        task_status.started()
