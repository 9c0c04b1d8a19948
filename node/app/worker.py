"""A worker process of a replica: reads the chain and the index, answers clients, owns nothing.

    python -m node.app.worker LINK_FD SOCKET_FD...

Started by the node (`node.app.workers`) with one end of a socket pair and the listening sockets. It ends when
the node closes the link or dies. What only the node can answer is passed on to it (`node.rpc.relay`).
"""

import logging
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import replace
from typing import Final

import trio

from consensus.clique.rules import CliqueRules
from node.app.executor import make_executor
from node.app.memory import return_large_pieces
from node.app.replica import open_index_to_read
from node.app.rpc_service import RpcService
from node.app.run import SWITCH_INTERVAL_S
from node.app.worker_link import (
    STORAGE_EXIT,
    Answer,
    Ask,
    Asking,
    Begin,
    Counted,
    Link,
    LinkBroken,
    Look,
    Note,
    Ready,
    Spent,
    ToWorker,
    Waiting,
    Who,
    decode_settings,
)
from node.audit.records import Facts, Kind
from node.backends.chain import ReaderBackend
from node.backends.execution import ExecutorBackend
from node.backends.worker import DistantNetwork, DistantPool, FreshLogIndex
from node.chain.follower import ChainFollower, NoWholeMoment
from node.chain.genesis_json import load_genesis
from node.config import data_dir
from node.config.settings import Settings
from node.observability import logs
from node.observability.build import client_version, program_version
from node.observability.metrics import Metrics
from node.primitives.errors import StorageError
from node.rpc.backend import Backend
from node.rpc.identity import Identity
from node.rpc.jsonrpc import Call, RpcError
from node.storage.lmdb import LmdbStore

EXCHANGE_S: Final = 0.2
"""Between two reports of what identities have spent here: so long another process may not know of it."""
REPORT_S: Final = 1.0
WHOLE_WAIT_S: Final = 60.0

log = logging.getLogger(__name__)


class NodeGone(RpcError):
    """The process that owns transactions and filters cannot be reached."""

    def __init__(self) -> None:
        super().__init__("this replica is stopping; ask another one")


class Owner:
    """The node at the other end: Relay and AuditTrail."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._asked: dict[int, tuple[trio.Event, list[bytes | None]]] = {}
        self._count = 0

    async def answer(self, message: Call | Sequence[Call], identity: Identity) -> bytes | None:
        """See Relay. RpcError when the node is gone."""
        calls = [message] if isinstance(message, Call) else message
        self._count += 1
        key, done, found = self._count, trio.Event(), list[bytes | None]()
        self._asked[key] = (done, found)
        asking = [Asking(call.id, call.method, call.params) for call in calls]
        try:
            self._link.send(Ask(key, Who.of(identity), asking, not isinstance(message, Call)))
            await done.wait()
        except LinkBroken:
            raise NodeGone from None
        finally:
            del self._asked[key]
        if not found:
            raise NodeGone
        return found[0]

    def take(self, answer: Answer) -> None:
        """An answer has come."""
        waiting = self._asked.get(answer.ask)
        if waiting is not None:
            waiting[1].append(answer.body)
            waiting[0].set()

    def gone(self) -> None:
        """There will be no more answers."""
        for done, _ in self._asked.values():
            done.set()

    # --- AuditTrail

    async def record(self, kind: Kind, actor: str, facts: Facts) -> None:
        """Nothing that needs a durable record is done here: the node does it, and records it."""
        raise AssertionError("the owner records what it does")

    def enter(self, kind: Kind, actor: str, facts: Facts) -> None:
        """See `record`."""
        raise AssertionError("the owner records what it does")

    def note(self, kind: Kind, actor: str, facts: Facts) -> None:
        """Told to the node, which keeps the log; which keys are in force it notes itself."""
        if kind is not Kind.ROLE_CHANGED and not self._link.closed:
            self._link.send(Note(kind.name, actor, dict(facts)))


class Counts:
    """Calls since the last report."""

    def __init__(self) -> None:
        self._calls: dict[str, list[float]] = {}
        self._errors: dict[tuple[str, int], int] = {}

    def observe(self, method: str, seconds: float, code: int | None) -> None:
        """See node.rpc.app.Observe."""
        entry = self._calls.get(method)
        if entry is None:
            entry = self._calls[method] = [0, 0.0]
        entry[0] += 1
        entry[1] += seconds
        if code is not None:
            self._errors[(method, code)] = self._errors.get((method, code), 0) + 1

    def take(self, numbers: dict[str, float]) -> Counted:
        """The report, and begin anew."""
        calls, self._calls = self._calls, {}
        errors, self._errors = self._errors, {}
        return Counted(
            [(method, int(count), seconds) for method, (count, seconds) in calls.items()],
            [(method, code, count) for (method, code), count in errors.items()],
            numbers,
        )


class Worker:
    """Everything of one worker process, put together."""

    def __init__(
        self,
        settings: Settings,
        link: Link,
        sockets: Sequence[trio.socket.SocketType],
        closing: ExitStack,
    ) -> None:
        """StorageError, ConfigError; NoWholeMoment: try again."""
        store = LmdbStore.open(data_dir.shared_database_path(settings.data_dir), read_only=True)
        closing.callback(store.close)
        spec = load_genesis(settings.genesis)
        storage = replace(settings.storage, state_layers_max=0)
        self.follower = ChainFollower(store, spec, CliqueRules(spec.engine), storage)
        self.owner = Owner(link)
        self.network = DistantNetwork(spec.chain_id)
        self.pool = DistantPool(settings.pool.minimum_priority_fee_wei)
        self.counts = Counts()
        reader = self.follower.reader
        chain = ReaderBackend(reader, self.follower.state)
        backend = Backend(
            chain=chain,
            state=chain,
            network=self.network,
            client_version=client_version(),
            execution=ExecutorBackend(reader, make_executor(settings), state_at=chain.state_at),
            pool=self.pool,
        )
        index, pages = open_index_to_read(settings, backend, closing)
        backend = replace(backend, log_index=FreshLogIndex(index, self.follower), pages=pages)
        self.rpc = RpcService(
            settings,
            backend,
            self.owner,
            Metrics(program_version(), settings.role),
            sockets=sockets,
            observe=self.counts.observe,
            relay=self.owner,
        )

    async def serve(self, link: Link) -> None:
        """Answer until the node is gone."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_stop_on_signal, nursery.cancel_scope)
            await nursery.start(self.rpc.run)
            nursery.start_soon(self._report, link)
            nursery.start_soon(self._exchange, link)
            link.send(Ready())
            self._look()
            while (message := await link.receive()) is not None:
                self._hear(message)
            self.owner.gone()
            nursery.cancel_scope.cancel()

    def _hear(self, message: ToWorker) -> None:
        match message:
            case Look(syncing):
                self.network.progress = syncing
                self._look()
            case Answer():
                self.owner.take(message)
            case Waiting(transactions):
                self.pool.tell(transactions)
            case Spent(costs):
                self.rpc.guard.spent_elsewhere(costs)
            case Begin():
                raise AssertionError("a worker begins once")

    def _look(self) -> None:
        self.follower.look()
        self.follower.tell()

    async def _exchange(self, link: Link) -> None:
        while True:
            await trio.sleep(EXCHANGE_S)
            spent = self.rpc.guard.take_spent()
            if spent:
                link.send(Spent(dict(spent)))

    async def _report(self, link: Link) -> None:
        while True:
            await trio.sleep(REPORT_S)
            # Whatever was not told is seen now: a reorganisation was under way when the last block was told.
            self._look()
            link.send(self.counts.take(self.rpc.numbers()))


async def run(link_fd: int, socket_fds: Sequence[int]) -> None:
    """Serve until the node closes the link. StorageError, ConfigError."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    return_large_pieces()
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(socket.socket(fileno=link_fd)))
    sockets = [trio.socket.from_stdlib_socket(socket.socket(fileno=fd)) for fd in socket_fds]
    link = Link(stream, ToWorker)
    async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
        closing = stack.enter_context(ExitStack())
        nursery.start_soon(link.run)
        first = await link.receive()
        if isinstance(first, Begin):
            settings = decode_settings(first.settings)
            logs.configure(settings.observability.log_level, settings.observability.log_format)
            worker = await _opened(settings, link, sockets, closing)
            await worker.serve(link)
        nursery.cancel_scope.cancel()


async def _opened(
    settings: Settings, link: Link, sockets: Sequence[trio.socket.SocketType], closing: ExitStack
) -> Worker:
    with trio.fail_after(WHOLE_WAIT_S):
        while True:
            attempt = closing.enter_context(ExitStack())
            try:
                return Worker(settings, link, sockets, attempt)
            except NoWholeMoment:
                attempt.close()
                await trio.sleep(0.1)


async def _stop_on_signal(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async for _ in signals:
            break
    scope.cancel()


def main(arguments: Sequence[str]) -> int:
    """The process; its exit code."""
    # Ctrl-C reaches every process of a terminal: the node stops its workers in good order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Sent to all of a group; our files are looked at every few seconds.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    link_fd, *socket_fds = map(int, arguments)
    code = 0
    try:
        trio.run(run, link_fd, socket_fds)
    except* LinkBroken:
        pass  # the node has gone
    except* StorageError as errors:
        log.critical("a worker cannot read: %s", errors)
        code = STORAGE_EXIT
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
