"""Every number the node publishes, on one page, in Prometheus' text format.

Two ways in. A part that counts gets its counter or histogram handed in as a function to call. What a part
already knows (head, peers, pool) is read when somebody scrapes: `read_at_scrape(name, text, function)`.
Names follow Prometheus: base units (seconds, bytes), `_total` on counters.
"""

from collections.abc import Callable
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4

DELAY_BUCKETS_S: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metrics:
    """One node's numbers. Its registry is its own, so that several nodes can live in one test process."""

    def __init__(self, version: str, role: str) -> None:
        # A second series per counter, with the time it was made, would double the page.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        build = Info("phoenix_build", "Which program this is.", registry=self.registry)
        build.info({"version": version, "role": role})
        self.blocks_imported = self._counter("blocks_imported", "Blocks that became canonical.")
        self.reorganisations = self._counter("reorganisations", "Times canonical blocks were replaced.")
        self.blocks_unwound = self._counter("blocks_unwound", "Canonical blocks that were replaced.")
        self.transactions_included = self._counter(
            "transactions_included", "Transactions in imported blocks."
        )
        self.gas_used = self._counter("gas_used", "Gas used by imported blocks.")
        self.peers_dropped = self._counter("peers_dropped", "Sessions this node ended; the log has reasons.")
        self.loop_delay_seconds = Histogram(
            "phoenix_loop_delay_seconds",
            "How late a timer fired; sealing timers are as late as this.",
            buckets=DELAY_BUCKETS_S,
            registry=self.registry,
        )

    def read_at_scrape(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Publish gauge `phoenix_<name>`, whose value is read by calling `read` at each scrape."""
        Gauge(f"phoenix_{name}", text, registry=self.registry).set_function(read)

    def exposition(self) -> bytes:
        """All numbers in Prometheus' text format 0.0.4."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(f"phoenix_{name}", text, registry=self.registry)
