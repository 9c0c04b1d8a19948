"""The node's side of a replica's worker processes: start them, tell them, answer what only it can answer.

The listening sockets are opened here and inherited, so that they stay open whatever becomes of a worker, and
a client that connects meanwhile is answered by another one. A worker that ends is started again.
"""

import logging
import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

import trio

from node.app.parts import Node
from node.app.rpc_service import RpcService
from node.app.worker_link import (
    STORAGE_EXIT,
    Answer,
    Ask,
    Begin,
    Counted,
    FromWorker,
    Link,
    LinkBroken,
    Look,
    Message,
    Note,
    Ready,
    Spent,
    Waiting,
    encode_settings,
)
from node.audit.records import Kind
from node.config.settings import Settings
from node.observability.metrics import Metrics
from node.primitives.errors import ConfigError, StorageError
from node.rpc.backend import NetworkBackend
from node.rpc.jsonrpc import Call, Refused
from node.rpc.jsonrpc import Message as JsonMessage
from node.storage.lmdb import LmdbStore

MODULE: Final = "node.app.worker"
ASKS_MAX: Final = 256
"""Calls that the node answers for one worker at a time; the others wait."""
PULSE_S: Final = 0.2
PAUSES_S: Final = (0.0, 0.5, 1.0, 2.0, 5.0)
"""Before a worker is started for the first, second, ... time in a row without having answered."""
FIRST_STARTS_MAX: Final = 3
STOP_S: Final = 8.0
"""A worker has this long for the replies in the making; then it is killed."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Place:
    """One of the workers, whichever process it is at present."""

    number: int
    link: Link | None = None
    pid: int = 0
    is_ready: bool = False
    starts: int = 0
    """Without having answered, in a row."""
    ever_ready: bool = False
    numbers: Mapping[str, float] = field(default_factory=dict)
    """Of this process."""
    limiter: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(ASKS_MAX))
    past: dict[str, float] = field(default_factory=dict)
    """Of those before it."""


class Workers:
    """All of them. `run` must run for as long as the node serves."""

    def __init__(self, node: Node, rpc: RpcService, network: NetworkBackend) -> None:
        """`rpc` is the node's own, which owns filters, and takes transactions."""
        assert isinstance(node.kv, LmdbStore), "a node with workers has a store that they can read"
        self._settings = settings = node.settings
        self._rpc = rpc
        self._reader = node.chain.reader
        self._pool = node.pool
        self._network = network
        self._trail = node.audit
        self._store = node.kv
        self._places = [_Place(number) for number in range(1, settings.replica.workers + 1)]
        self._all_ready = trio.Event()
        self._sockets: list[socket.socket] = []
        self.restarts = 0
        self.port = settings.rpc.port
        rpc.numbers_elsewhere += [self._numbers_of(place) for place in self._places]
        self._publish(node.metrics)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; started once every worker answers. OSError, ConfigError, StorageError."""
        rpc = self._settings.rpc
        listeners = await trio.open_tcp_listeners(rpc.port, host=rpc.host)
        self._sockets = [_plain(listener) for listener in listeners]
        self.port = self._sockets[0].getsockname()[1]
        try:
            async with trio.open_nursery() as nursery:
                for place in self._places:
                    nursery.start_soon(self._keep, place)
                nursery.start_soon(self._tell_heads)
                nursery.start_soon(self._tell_transactions)
                nursery.start_soon(self._pulse)
                await self._all_ready.wait()
                log.info(
                    "JSON-RPC is served by workers",
                    extra={"host": rpc.host, "port": self.port, "workers": len(self._places)},
                )
                task_status.started()
        finally:
            for each in self._sockets:
                each.close()

    @property
    def ready(self) -> int:
        """How many answer at present."""
        return sum(place.is_ready for place in self._places)

    @property
    def pids(self) -> Sequence[int]:
        """Of those that answer."""
        return [place.pid for place in self._places if place.is_ready]

    def check(self) -> str | None:
        """For health: nobody answers."""
        return None if self.ready else "no worker process answers clients; the log says why"

    def notice(self) -> str | None:
        """For health: fewer answer than there should be."""
        missing = len(self._places) - self.ready
        return f"{missing} of {len(self._places)} worker processes do not answer" if missing else None

    def _publish(self, metrics: Metrics) -> None:
        metrics.read_at_scrape("workers_ready", "Worker processes that answer clients.", lambda: self.ready)
        metrics.read_at_scrape(
            "worker_restarts", "Times a worker process had to be started again.", lambda: self.restarts
        )

    # --- one worker

    async def _keep(self, place: _Place) -> None:
        """A worker, again and again."""
        while True:
            await trio.sleep(PAUSES_S[min(place.starts, len(PAUSES_S) - 1)])
            place.starts += 1
            code = await self._live(place)
            for name, value in place.numbers.items():
                place.past[name] = place.past.get(name, 0.0) + value
            place.numbers = {}
            if code == STORAGE_EXIT:
                raise StorageError("a worker process cannot read the database; its last line says why")
            if not place.ever_ready and place.starts >= FIRST_STARTS_MAX:
                raise ConfigError(
                    [f"replica.workers: a worker process ended with code {code}; its messages say why"]
                )
            self.restarts += 1
            await trio.to_thread.run_sync(self._store.forget_dead_readers)
            log.warning("a worker has ended and is started again", extra={"code": code, "pid": place.pid})

    async def _live(self, place: _Place) -> int:
        """One process, from start to end; its exit code."""
        ours, theirs = socket.socketpair()
        fds = [theirs.fileno(), *(each.fileno() for each in self._sockets)]
        with theirs:
            process = await trio.lowlevel.open_process(
                [sys.executable, "-m", MODULE, *map(str, fds)],
                pass_fds=fds,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [os.getcwd(), *sys.path]))},
            )
        place.pid = process.pid
        link = Link(trio.SocketStream(trio.socket.from_stdlib_socket(ours)), FromWorker)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(link.run)
                link.send(Begin(encode_settings(self._of_one_worker())))
                place.link = link
                while (message := await link.receive()) is not None:
                    self._hear(place, link, message, nursery)
                nursery.cancel_scope.cancel()
        except* LinkBroken as broken:
            log.warning("a worker is cut off", extra={"pid": place.pid, "reason": str(broken.exceptions[0])})
        finally:
            place.is_ready, place.link = False, None
            with trio.CancelScope(shield=True):
                await link.close()
                await _ended(process)
        return process.returncode or 0

    def _of_one_worker(self) -> Settings:
        """Bounds of the whole node are shared out."""
        rpc = self._settings.rpc
        share = -(-rpc.connections_max // len(self._places))
        return replace(self._settings, rpc=replace(rpc, connections_max=share, admin_port=None))

    def _hear(self, place: _Place, link: Link, message: FromWorker, nursery: trio.Nursery) -> None:
        match message:
            case Ready():
                place.is_ready = place.ever_ready = True
                place.starts = 0
                link.send(self._look())
                if self.ready == len(self._places):
                    self._all_ready.set()
            case Ask():
                nursery.start_soon(self._answer, place, link, message)
            case Note(kind, actor, facts):
                self._trail.note(Kind[kind], actor, facts)
            case Spent(costs):
                self._rpc.guard.spent_elsewhere(costs)
                self._tell(message, but=place)
            case Counted(calls, errors, numbers):
                place.numbers = numbers
                for method, count, seconds in calls:
                    self._rpc.counters.add(method, count, seconds)
                for method, code, count in errors:
                    self._rpc.counters.add_errors(method, code, count)

    async def _answer(self, place: _Place, link: Link, ask: Ask) -> None:
        """What a worker cannot answer: judged, recorded and paid for here, as if it had come in here."""
        identity = ask.who.identity()
        calls: list[Call | Refused] = [Call(each.id, each.method, each.params) for each in ask.calls]
        async with place.limiter:
            dispatcher = self._rpc.api.dispatcher
            wait_s = dispatcher.wait_s(identity)
            message: JsonMessage = calls if ask.is_batch else calls[0]
            if wait_s > 0:
                body = dispatcher.refuse_all(message, identity, wait_s)
            else:
                body = await dispatcher.answer(message, None, identity)
        with suppress(LinkBroken):
            link.send(Answer(ask.ask, body))

    # --- all workers

    async def _tell_heads(self) -> None:
        while True:
            # Who is cut off has missed news, not blocks: workers look at the newest one.
            with self._reader.events.subscribe() as heads:
                self._tell(self._look())
                async for _ in heads:
                    self._tell(self._look())

    async def _tell_transactions(self) -> None:
        while True:
            with self._pool.subscribe() as arrivals:
                async for transactions in arrivals:
                    self._tell(Waiting([tx.encoded for tx in transactions]))

    async def _pulse(self) -> None:
        """What identities have spent at the node itself, and how far it is."""
        while True:
            await trio.sleep(PULSE_S)
            spent = self._rpc.guard.take_spent()
            if spent:
                self._tell(Spent(dict(spent)))
            self._tell(self._look())

    def _look(self) -> Look:
        progress = self._network.sync_progress()
        return Look(None if progress is None else (progress[0], progress[1], progress[2]))

    def _tell(self, message: Message, but: _Place | None = None) -> None:
        for place in self._places:
            if place.is_ready and place.link is not None and place is not but:
                try:
                    place.link.send(message)
                except LinkBroken:
                    place.is_ready = False

    def _numbers_of(self, place: _Place) -> Callable[[], Mapping[str, float]]:
        return lambda: {
            name: place.numbers.get(name, 0.0) + place.past.get(name, 0.0)
            for name in {*place.numbers, *place.past}
        }


async def _ended(process: trio.Process) -> None:
    """A worker whose link has closed ends by itself; one that hangs is killed."""
    with trio.move_on_after(STOP_S):
        await process.wait()
        return
    log.warning("a worker does not stop and is killed", extra={"pid": process.pid})
    process.kill()
    await process.wait()


def _plain(listener: trio.SocketListener) -> socket.socket:
    """The socket below, which another process can inherit."""
    return socket.socket(fileno=listener.socket.detach())
