"""Numbers of the JSON-RPC: calls, seconds and errors by method. Labels are bounded: so are methods."""

from prometheus_client import Counter

from node.observability.metrics import Metrics


class RpcMetrics:
    """Counters that a dispatcher feeds through `observe`."""

    def __init__(self, metrics: Metrics) -> None:
        registry = metrics.registry
        self._calls = Counter("phoenix_rpc_calls", "Calls answered.", ["method"], registry=registry)
        self._seconds = Counter(
            "phoenix_rpc_seconds", "Time until they were, waiting included.", ["method"], registry=registry
        )
        self._errors = Counter(
            "phoenix_rpc_errors", "Calls answered with an error.", ["method", "code"], registry=registry
        )
        # Looking a child up by its labels costs more than many a call itself.
        self._by_method: dict[str, tuple[Counter, Counter]] = {}
        self._by_error: dict[tuple[str, int], Counter] = {}

    def observe(self, method: str, seconds: float, code: int | None) -> None:
        """One call: its method (or "unknown"), how long it took, its error's code."""
        self.add(method, 1, seconds)
        if code is not None:
            self.add_errors(method, code, 1)

    def add(self, method: str, calls: int, seconds: float) -> None:
        """Many calls at once, as another process has counted them."""
        pair = self._by_method.get(method)
        if pair is None:
            pair = self._calls.labels(method), self._seconds.labels(method)
            self._by_method[method] = pair
        pair[0].inc(calls)
        pair[1].inc(seconds)

    def add_errors(self, method: str, code: int, count: int) -> None:
        """Those among them that failed so."""
        child = self._by_error.get((method, code))
        if child is None:
            child = self._by_error[(method, code)] = self._errors.labels(method, str(code))
        child.inc(count)
