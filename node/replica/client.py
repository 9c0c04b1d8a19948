"""A client of the query API for regional services: many replicas, one at a time, and always a good one.

    with ReplicaClient(["https://replica-1.region:8545", "https://replica-2.region:8545"]) as client:
        answer = client.get("/v1/invoices/7", finality="final")
        for invoice in client.items("/v1/tenants/0x…/invoices", status="contested"):
            ...
        client.call("eth_getBalance", "0x…", "latest")

Replicas are chosen by health, lag and latency. One that fails, refuses for its own reasons or lags is left
for the next at once, in the same read; a background probe finds out when it is well, and it is used again.
Reads do not go backwards by more than `lag_blocks_max` while any replica is ahead. Safe for threads; needs
nothing but the standard library.
"""

import http.client
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from urllib.parse import urlencode, urlsplit

LATENCY_WEIGHT: Final = 0.2
"""How much the newest measurement counts."""
SWITCH_GAIN: Final = 0.5
"""Another replica is preferred when it answers in less than this part of the time; else we stay."""
BACKOFF_S: Final = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
"""After the first, second, ... failure in a row a replica is left alone so long, while others are well."""
TRY_ELSEWHERE: Final = frozenset((408, 409, 425, 429, 500, 502, 503, 504))
"""Statuses that another replica may well answer differently."""
ANSWER_BYTES_MAX: Final = 64 << 20
IDLE_CONNECTIONS_MAX: Final = 32
"""Kept for each replica."""


class NoReplica(Exception):
    """Every replica was asked, as long as there was time; the last reason of each."""

    def __init__(self, reasons: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{url}: {reason}" for url, reason in reasons.items()) or "no replica")
        self.reasons = dict(reasons)


class QueryRefused(Exception):
    """The question itself is refused: a wrong parameter, nothing of this id, a cursor that is stale."""

    def __init__(self, status: int, kind: str, detail: str) -> None:
        super().__init__(f"{kind} ({status}): {detail}")
        self.status, self.kind = status, kind


class RpcRefused(Exception):
    """JSON-RPC answered with an error."""

    def __init__(self, code: int, message: str, data: Any) -> None:
        super().__init__(f"{message} (code {code})")
        self.code, self.data = code, data


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a replica said, about which block, and which replica it was."""

    data: Any
    next_cursor: str | None
    block_number: int
    block_hash: str
    staleness_s: float
    served_by: str


@dataclass(slots=True)
class ReplicaHealth:
    """What is known of one replica."""

    url: str
    failures: int = 0
    """In a row."""
    well_from_s: float = 0.0
    """Not asked before, while others are well (monotonic clock)."""
    latency_s: float | None = None
    number: int = 0
    """Newest block it has shown."""
    reason: str = ""
    """Of the last failure."""
    served: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """How patient a client is, and what it wants of every answer."""

    timeout_s: float = 5.0
    """For one replica."""
    patience_s: float = 30.0
    """For one read, over all replicas."""
    max_staleness_s: float | None = None
    finality: str | None = None
    lag_blocks_max: int = 3
    probe_interval_s: float = 1.0
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent with everything: credentials."""
    tls: ssl.SSLContext | None = None


class ReplicaClient:
    """Reads from a region of replicas."""

    def __init__(
        self,
        urls: Sequence[str],
        options: ClientOptions | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`urls` in order of preference while nothing is known yet."""
        if not urls:
            raise ValueError("no replica to ask")
        self.options = options or ClientOptions()
        self.replicas = [ReplicaHealth(url.rstrip("/")) for url in urls]
        self._clock = clock
        self._lock = threading.Lock()
        self._idle: dict[str, list[http.client.HTTPConnection]] = {}
        self._current: ReplicaHealth | None = None
        self._highest = 0
        self._closed = threading.Event()
        self._probe: threading.Thread | None = None

    def __enter__(self) -> "ReplicaClient":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop probing and let all connections go."""
        self._closed.set()
        if self._probe is not None:
            self._probe.join()
        with self._lock:
            for connection in [each for idle in self._idle.values() for each in idle]:
                connection.close()
            self._idle.clear()

    # --- reads

    def get(self, path: str, **parameters: Any) -> Answer:
        """One answer of the query API; QueryRefused, NoReplica."""
        asked: dict[str, Any] = {
            "finality": self.options.finality,
            "max_staleness_s": self.options.max_staleness_s,
        }
        query = urlencode({k: v for k, v in (asked | parameters).items() if v is not None})
        pinned = "as_of" in parameters or "cursor" in parameters

        def read(replica: ReplicaHealth) -> Answer:
            status, body = self._exchange(replica, "GET", f"{path}?{query}" if query else path, None)
            if status != 200:
                raise _refusal(status, body)
            answer = _answer(replica.url, body)
            if not pinned:
                self._refuse_lagging(replica, answer)
            return answer

        return self._on_some(read)

    def items(self, path: str, **parameters: Any) -> Iterator[Any]:
        """Everything of a list, page by page, as of one block; QueryRefused when the chain turns below it."""
        while True:
            answer = self.get(path, **parameters)
            yield from answer.data
            if answer.next_cursor is None:
                return
            parameters["cursor"] = answer.next_cursor

    def call(self, method: str, *params: Any) -> Any:
        """A read by JSON-RPC; RpcRefused, NoReplica. Not for sending transactions: it may be tried twice."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()

        def read(replica: ReplicaHealth) -> Any:
            status, reply = self._exchange(replica, "POST", "/", body)
            if status != 200:
                raise _refusal(status, reply)
            answer = json.loads(reply)
            if "error" in answer:
                error = answer["error"]
                raise RpcRefused(error.get("code", 0), error.get("message", ""), error.get("data"))
            return answer.get("result")

        return self._on_some(read)

    # --- choosing

    def _on_some(self, read: Callable[[ReplicaHealth], T]) -> T:
        """What the best replica says, or the next, ... until patience ends."""
        self._start_probe()
        until_s = self._clock() + self.options.patience_s
        best: Answer | None = None  # of those that lag
        while True:
            for replica in self._ranked():
                began_s = self._clock()
                try:
                    answer = read(replica)
                except _Lagging as lag:
                    best = _newer(best, lag.answer)
                    self._failed(replica, str(lag))
                    continue
                except (OSError, http.client.HTTPException, _TryElsewhere, ValueError) as error:
                    self._failed(replica, str(error) or type(error).__name__)
                    if self._clock() > until_s:
                        break
                    continue
                self._succeeded(replica, self._clock() - began_s)
                return answer
            if best is not None:
                return best  # type: ignore[return-value]  # only reads of Answers lag
            if self._clock() > until_s or self._closed.wait(BACKOFF_S[0]):
                raise NoReplica({each.url: each.reason for each in self.replicas})

    def _ranked(self) -> list[ReplicaHealth]:
        """Those that are well first, the one in use before others unless they are much quicker."""
        with self._lock:
            now_s = self._clock()
            well = [each for each in self.replicas if each.well_from_s <= now_s]
            ill = sorted(
                (each for each in self.replicas if each.well_from_s > now_s),
                key=lambda each: each.well_from_s,
            )
            near = [each for each in well if self._highest - each.number <= self.options.lag_blocks_max]
            far = [each for each in well if each not in near]
            near.sort(key=self._cost)
            return near + sorted(far, key=lambda each: -each.number) + ill

    def _cost(self, replica: ReplicaHealth) -> float:
        latency_s = replica.latency_s or 0.0
        return latency_s * SWITCH_GAIN if replica is self._current else latency_s

    def _refuse_lagging(self, replica: ReplicaHealth, answer: Answer) -> None:
        with self._lock:
            replica.number = answer.block_number
            if self._highest - answer.block_number > self.options.lag_blocks_max:
                raise _Lagging(answer, self._highest)
            self._highest = max(self._highest, answer.block_number)

    def _succeeded(self, replica: ReplicaHealth, took_s: float) -> None:
        with self._lock:
            self._measured(replica, took_s)
            replica.served += 1
            self._current = replica

    def _measured(self, replica: ReplicaHealth, took_s: float) -> None:
        replica.failures, replica.well_from_s = 0, 0.0
        before = replica.latency_s
        replica.latency_s = took_s if before is None else before + LATENCY_WEIGHT * (took_s - before)

    def _failed(self, replica: ReplicaHealth, reason: str) -> None:
        with self._lock:
            replica.reason = reason
            pause_s = BACKOFF_S[min(replica.failures, len(BACKOFF_S) - 1)]
            replica.failures += 1
            replica.well_from_s = self._clock() + pause_s
            if self._current is replica:
                self._current = None

    # --- probing

    def _start_probe(self) -> None:
        with self._lock:
            if self._probe is None:
                self._probe = threading.Thread(target=self._probe_all, name="replica-probe", daemon=True)
                self._probe.start()

    def _probe_all(self) -> None:
        while not self._closed.wait(self.options.probe_interval_s):
            for replica in self.replicas:
                self.probe(replica)

    def probe(self, replica: ReplicaHealth) -> None:
        """Find out how a replica is; a well one may be chosen again at once."""
        began_s = self._clock()
        try:
            status, body = self._exchange(replica, "GET", "/v1/status", None)
            if status != 200:
                raise _refusal(status, body)
            answer = _answer(replica.url, body)
        except (OSError, http.client.HTTPException, _TryElsewhere, QueryRefused, ValueError) as error:
            self._failed(replica, str(error) or type(error).__name__)
            return
        with self._lock:
            self._measured(replica, self._clock() - began_s)
            replica.number = answer.block_number
            self._highest = max(self._highest, answer.block_number)

    # --- the wire

    def _exchange(
        self, replica: ReplicaHealth, method: str, target: str, body: bytes | None
    ) -> tuple[int, bytes]:
        kept = self._take(replica.url)
        if kept is not None:
            try:
                return self._ask(replica.url, kept, method, target, body)
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                pass  # it was idle too long, or the replica has restarted: once more, on a new one
        return self._ask(replica.url, self._connect(replica.url), method, target, body)

    def _ask(
        self, url: str, connection: http.client.HTTPConnection, method: str, target: str, body: bytes | None
    ) -> tuple[int, bytes]:
        headers = dict(self.options.headers)
        if body is not None:
            headers["content-type"] = "application/json"
        try:
            connection.request(method, target, body, headers)
            reply = connection.getresponse()
            answer = reply.read(ANSWER_BYTES_MAX)
        except BaseException:
            connection.close()
            raise
        self._give_back(url, connection)
        return reply.status, answer

    def _take(self, url: str) -> http.client.HTTPConnection | None:
        with self._lock:
            idle = self._idle.get(url)
            return idle.pop() if idle else None

    def _give_back(self, url: str, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            idle = self._idle.setdefault(url, [])
            if not self._closed.is_set() and len(idle) < IDLE_CONNECTIONS_MAX:
                idle.append(connection)
                return
        connection.close()

    def _connect(self, url: str) -> http.client.HTTPConnection:
        parts = urlsplit(url)
        if parts.hostname is None:
            raise ValueError(f"{url} names no host")
        if parts.scheme == "https":
            context = self.options.tls or ssl.create_default_context()
            return http.client.HTTPSConnection(
                parts.hostname, parts.port, timeout=self.options.timeout_s, context=context
            )
        return http.client.HTTPConnection(parts.hostname, parts.port, timeout=self.options.timeout_s)


class _TryElsewhere(Exception):
    """This replica cannot answer now; another may."""


class _Lagging(_TryElsewhere):
    def __init__(self, answer: Answer, highest: int) -> None:
        super().__init__(f"block {answer.block_number} is its newest, while {highest} has been seen")
        self.answer = answer


def _newer(one: Answer | None, other: Answer) -> Answer:
    return other if one is None or other.block_number > one.block_number else one


def _refusal(status: int, body: bytes) -> Exception:
    try:
        problem = json.loads(body)
        kind, detail = str(problem["type"]), str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        kind, detail = "http", body[:200].decode("utf-8", "replace")
    if status in TRY_ELSEWHERE:
        return _TryElsewhere(f"{kind} ({status}): {detail}")
    return QueryRefused(status, kind, detail)


def _answer(url: str, body: bytes) -> Answer:
    found = json.loads(body)
    block = found["block"]
    return Answer(
        found["data"],
        found.get("next_cursor"),
        block["number"],
        block["hash"],
        found["staleness_s"],
        url,
    )
