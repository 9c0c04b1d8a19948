"""Filters that clients poll: results wait here until eth_getFilterChanges takes them.

Bounded in number, in results and bytes each, and in time without a poll. A filter that would grow past its
bounds is dropped, so that its owner is told instead of silently missing results.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import msgspec
import trio

from node.config.settings import RpcSettings
from node.rpc.jsonrpc import LimitExceeded, RpcError
from node.rpc.logs import LogFilter
from node.rpc.subscriptions import Hub, Kind, Listener, new_id

TICKS_PER_IDLE_TIME: Final = 4


class FilterNotFound(RpcError):
    """No such filter: never made, uninstalled, idle for too long, or grown too large."""

    def __init__(self) -> None:
        super().__init__("filter not found")


@dataclass(slots=True)
class _Polled:
    """One filter and what waits for its owner."""

    kind: Kind
    log_filter: LogFilter | None
    polled_tick: int
    """When it was last polled."""
    results: list[bytes] = field(default_factory=list)
    bytes: int = 0


class Filters:
    """All filters of one node; ids are unguessable, so that whoever has one may use it."""

    def __init__(self, hub: Hub, settings: RpcSettings) -> None:
        self._hub = hub
        self._filters_max = settings.filters_max
        self._idle_s = settings.filter_idle_s
        self._tick = 0
        """Quarters of the idle time since the start: a clock that worker threads can read, too."""
        self._results_max = settings.logs_results_max
        self._bytes_max = settings.response_bytes_max
        self._filters: dict[str, _Polled] = {}

    def __len__(self) -> int:
        return len(self._filters)

    def install(self, kind: Kind, log_filter: LogFilter | None = None) -> str:
        """A new filter's id; LimitExceeded when all places are taken."""
        if len(self._filters) >= self._filters_max:
            raise LimitExceeded(
                f"too many filters: {self._filters_max} are allowed on this node (setting rpc.filters_max); "
                "uninstall some, or subscribe over WebSocket"
            )
        key = new_id()
        self._filters[key] = _Polled(kind, log_filter, self._tick)
        self._hub.add(key, _listener(kind, partial(self._collect, key), log_filter))
        return key

    def uninstall(self, key: str) -> bool:
        """Whether there was such a filter."""
        self._hub.remove(key)
        return self._filters.pop(key, None) is not None

    def take(self, key: str) -> msgspec.Raw:
        """What came since the last poll, as a JSON array; FilterNotFound."""
        polled = self._find(key)
        results, polled.results, polled.bytes = polled.results, [], 0
        return msgspec.Raw(b"[" + b",".join(results) + b"]")

    def log_filter(self, key: str) -> LogFilter:
        """What a log filter looks for; FilterNotFound for filters of another kind, too."""
        polled = self._find(key)
        if polled.log_filter is None:
            raise FilterNotFound
        return polled.log_filter

    async def run(self) -> None:
        """Drop idle filters until cancelled."""
        while True:
            await trio.sleep(self._idle_s / TICKS_PER_IDLE_TIME)
            self._tick += 1
            self._expire()

    def _expire(self) -> None:
        """Drop what nobody has polled for too long."""
        oldest = self._tick - TICKS_PER_IDLE_TIME
        for key in [key for key, polled in self._filters.items() if polled.polled_tick < oldest]:
            self.uninstall(key)

    def _find(self, key: str) -> _Polled:
        polled = self._filters.get(key)
        if polled is None:
            raise FilterNotFound
        polled.polled_tick = self._tick
        return polled

    def _collect(self, key: str, results: Sequence[bytes]) -> None:
        polled = self._filters.get(key)
        if polled is None:
            return  # uninstalled while its results were on their way
        polled.results.extend(results)
        polled.bytes += sum(map(len, results))
        if len(polled.results) > self._results_max or polled.bytes > self._bytes_max:
            self.uninstall(key)


def _listener(kind: Kind, deliver: "partial[None]", log_filter: LogFilter | None) -> Listener:
    if log_filter is None:
        return Listener(kind=kind, deliver=deliver)
    # A number bounds what is told; tags say "from now on", which a filter does anyway.
    start, stop = log_filter.start, log_filter.stop
    return Listener(
        kind=kind,
        deliver=deliver,
        criteria=log_filter.criteria,
        first_block=start if isinstance(start, int) else 0,
        last_block=stop if isinstance(stop, int) else None,
    )
