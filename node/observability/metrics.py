"""Every number the node publishes, on one page, in Prometheus' text format.

Two ways in. A part that counts gets its counter or histogram handed in as a function to call. What a part
already knows (head, peers, pool) is read when somebody scrapes: `read_at_scrape(name, text, function)`.
Names follow Prometheus: base units (seconds, bytes), `_total` on counters.
"""

from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4

DELAY_BUCKETS_S: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
IMPORT_BUCKETS_S: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
REQUEST_BUCKETS_S: Final = (0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0)


class Metrics:
    """One node's numbers. Its registry is its own, so that several nodes can live in one test process."""

    def __init__(self, version: str, role: str) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        Info("phoenix_build", "Which program this is.", registry=self.registry).info(
            {"version": version, "role": role}
        )
        self.blocks_imported = Counter(
            "phoenix_blocks_imported",
            "Blocks that became part of the canonical chain.",
            registry=self.registry,
        )
        self.blocks_sealed = Counter(
            "phoenix_blocks_sealed", "Blocks this node sealed.", registry=self.registry
        )
        self.reorganisations = Counter(
            "phoenix_reorganisations", "Times canonical blocks were replaced.", registry=self.registry
        )
        self.blocks_unwound = Counter(
            "phoenix_blocks_unwound", "Canonical blocks that were replaced.", registry=self.registry
        )
        self.transactions_included = Counter(
            "phoenix_transactions_included", "Transactions in imported blocks.", registry=self.registry
        )
        self.gas_used = Counter("phoenix_gas_used", "Gas used by imported blocks.", registry=self.registry)
        self.import_seconds = Histogram(
            "phoenix_block_import_seconds",
            "From a block's arrival at the importer to its commit.",
            buckets=IMPORT_BUCKETS_S,
            registry=self.registry,
        )
        self.loop_delay_seconds = Histogram(
            "phoenix_loop_delay_seconds",
            "How late a timer of the event loop fired; sealing timers are as late as this.",
            buckets=DELAY_BUCKETS_S,
            registry=self.registry,
        )
        self.rpc_seconds = Histogram(
            "phoenix_rpc_request_seconds",
            "Time to answer one JSON-RPC request.",
            ["method"],  # a method that exists, or "unknown": a label is for ever
            buckets=REQUEST_BUCKETS_S,
            registry=self.registry,
        )
        self.rpc_errors = Counter(
            "phoenix_rpc_errors",
            "JSON-RPC requests answered with an error.",
            ["method", "code"],
            registry=self.registry,
        )
        self.peers_dropped = Counter(
            "phoenix_peers_dropped",
            "Sessions this node ended, by reason.",
            ["reason"],
            registry=self.registry,
        )

    def read_at_scrape(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Publish gauge `phoenix_<name>`, whose value is read by calling `read` at each scrape."""
        Gauge(f"phoenix_{name}", text, registry=self.registry).set_function(read)

    def exposition(self) -> bytes:
        """All numbers in Prometheus' text format 0.0.4."""
        return generate_latest(self.registry)
