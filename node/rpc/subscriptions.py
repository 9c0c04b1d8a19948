"""Telling clients what happens: one hub hears of heads, transactions and sync, and delivers to listeners.

A listener is a subscription on a WebSocket or a filter that is polled. Each result becomes JSON once,
whatever the number of listeners; a listener only ever gets bytes. Nobody is waited for: a subscriber whose
queue is full is cut, a filter that is full is dropped.
"""

import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from typing import Final

import msgspec
import trio

from node.chain.events import ExecutedBlock, HeadChanged
from node.primitives.block import Header
from node.primitives.errors import RequestError
from node.primitives.ids import BlockNumber, Hash32, hex_of
from node.primitives.transaction import Transaction
from node.rpc.backend import Abandoned, Backend, ChainBackend
from node.rpc.encoding import header_json, transaction_json
from node.rpc.jsonrpc import Json, LimitExceeded, RpcError, encode_failure, encode_notification
from node.rpc.logs import LogCriteria, logs_of_block
from node.rpc.resuming import ATTEMPTS, Past, Turned

LISTENERS_PER_TURN: Final = 16
"""Listeners served before other tasks of the loop get their turn."""
CATCH_UP_BLOCKS_MAX: Final = 128
"""Blocks that are told afterwards when the hub fell behind the chain; older ones are left out."""
SYNC_POLL_S: Final = 1.0
PAST_READERS_MAX: Final = 2
"""Threads that read the past of subscriptions at a time."""

_encode = msgspec.json.Encoder().encode


class Kind(Enum):
    """What a listener wants to hear of."""

    HEADERS = "newHeads"
    BLOCK_HASHES = "block hashes"
    LOGS = "logs"
    TRANSACTION_HASHES = "transaction hashes"
    TRANSACTIONS = "transactions"
    SYNCING = "syncing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Whom to tell of what."""

    kind: Kind
    deliver: Callable[[Sequence[bytes]], None]
    """Called with results as JSON, in order; must not wait and must not raise."""
    criteria: LogCriteria | None = None
    """For LOGS."""
    past: Past | None = None
    """What is told before anything new; None for nothing."""
    failed: Callable[[RpcError], None] | None = None
    """Told why the past could not be told; the listener is then removed."""
    first_block: BlockNumber = 0
    """For LOGS and HEADERS: of blocks below nothing is told."""
    last_block: BlockNumber | None = None
    """For LOGS: of blocks above nothing is told."""


def new_id() -> str:
    """An unguessable id in the shape of a quantity, always of the same length."""
    return f"0x{1 + secrets.randbelow(15):x}{secrets.randbits(124):031x}"


class Session:
    """The subscriptions of one WebSocket connection."""

    def __init__(self, hub: "Hub", send: Callable[[bytes], None], subscriptions_max: int) -> None:
        """`send` queues a message for the client; it neither waits nor raises."""
        self._hub = hub
        self._send = send
        self._subscriptions_max = subscriptions_max
        self._active: set[str] = set()
        self._waiting: dict[str, Listener] = {}

    def subscribe(
        self,
        kind: Kind,
        criteria: LogCriteria | None = None,
        past: Past | None = None,
        first_block: BlockNumber = 0,
    ) -> str:
        """A new subscription's id; it begins at `activate`, after its id has been sent to the client.

        Of blocks below `first_block` nothing is told: a place may lie in the future.
        """
        if len(self._active) + len(self._waiting) >= self._subscriptions_max:
            raise LimitExceeded(
                f"too many subscriptions: {self._subscriptions_max} are allowed on one connection "
                "(setting rpc.subscriptions_per_connection_max)"
            )
        subscription = new_id()
        self._waiting[subscription] = Listener(
            kind=kind,
            deliver=partial(self._notify, subscription),
            criteria=criteria,
            past=past,
            first_block=first_block,
            failed=partial(self._fail, subscription),
        )
        return subscription

    def unsubscribe(self, subscription: str) -> bool:
        """Whether there was such a subscription."""
        if self._waiting.pop(subscription, None) is not None:
            return True
        if subscription not in self._active:
            return False
        self._active.remove(subscription)
        self._hub.remove(subscription)
        return True

    def activate(self) -> None:
        """Begin what was subscribed to since the last call; to be called after each reply."""
        for subscription, listener in self._waiting.items():
            self._active.add(subscription)
            self._hub.add(subscription, listener)
        self._waiting.clear()

    def close(self) -> None:
        """End every subscription."""
        for subscription in self._active:
            self._hub.remove(subscription)
        self._active.clear()
        self._waiting.clear()

    def _fail(self, subscription: str, error: RpcError) -> None:
        """The subscription ends; its last notification says why."""
        self._active.discard(subscription)
        self._send(encode_failure(subscription, error))

    def _notify(self, subscription: str, results: Sequence[bytes]) -> None:
        for result in results:
            self._send(encode_notification(subscription, result))


class Hub:
    """Hears of everything once and tells every listener."""

    def __init__(self, backend: Backend) -> None:
        self._chain = backend.chain
        self._network = backend.network
        self._pool = backend.pool
        self._listeners: dict[str, Listener] = {}
        self._told = self._chain.head
        """The head up to which listeners have been told."""
        self._telling = trio.Lock()
        self._nursery: trio.Nursery | None = None
        self._readers = trio.CapacityLimiter(PAST_READERS_MAX)

    def __len__(self) -> int:
        return len(self._listeners)

    def add(self, key: str, listener: Listener) -> None:
        """Tell this listener from now on, or first of its past."""
        if listener.past is None:
            self._listeners[key] = listener
            return
        assert self._nursery is not None, "the hub runs before anybody subscribes"
        held: list[bytes] = []
        # In its place, so that removing it meanwhile works as ever.
        self._listeners[key] = replace(listener, past=None, deliver=held.extend)
        self._nursery.start_soon(self._resume, key, listener, listener.past, held)

    def remove(self, key: str) -> None:
        """Tell it no more."""
        self._listeners.pop(key, None)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen to the house until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            await nursery.start(self._follow_heads)
            if self._pool is not None:
                await nursery.start(self._follow_transactions)
            nursery.start_soon(self._follow_sync)
            task_status.started()

    async def _resume(self, key: str, listener: Listener, past: Past, held: list[bytes]) -> None:
        """Tell the past, then what was held back meanwhile, then nothing more is held back."""
        holding = self._listeners.get(key)

        def is_gone() -> bool:
            return self._listeners.get(key) is not holding

        try:
            for _ in range(ATTEMPTS):
                async with self._telling:
                    held.clear()
                    until = self._told
                results = await trio.to_thread.run_sync(past, until, is_gone, limiter=self._readers)
                if results is not None:
                    break
            else:
                raise Turned
        except Abandoned:
            return
        except RequestError as error:
            refused = error if isinstance(error, RpcError) else RpcError(str(error))
            if not is_gone():
                self.remove(key)
                if listener.failed is not None:
                    listener.failed(refused)
            return
        if is_gone():
            return
        # Nothing waits from here on: what comes next is told after what was held.
        self._listeners[key] = replace(listener, past=None)
        listener.deliver([*results, *held])

    async def tell_heads(self, event: HeadChanged) -> None:
        """Removed blocks first, newest first, then added ones: the order in which a client applies them."""
        for executed in event.removed:
            await self._tell_logs(executed, removed=True)
        for executed in event.added:
            header = executed.block.header
            await self._tell_header(header)
            await self._tell(Kind.BLOCK_HASHES, partial(_hashes, (header.hash,)))
            await self._tell_logs(executed, removed=False)

    async def tell_transactions(self, transactions: Sequence[Transaction]) -> None:
        """Transactions that entered the pool."""
        await self._tell(Kind.TRANSACTION_HASHES, lambda: _hashes([tx.hash for tx in transactions]))
        await self._tell(
            Kind.TRANSACTIONS, lambda: [_encode(transaction_json(tx, None)) for tx in transactions]
        )

    async def _tell(self, kind: Kind, encode: Callable[[], Sequence[bytes]]) -> None:
        """The same results for all; encoded only when there is somebody to hear them."""
        await self._deliver((listener for listener in self._of_kind(kind)), lambda _: encode)

    async def _tell_header(self, header: Header) -> None:
        listeners = (each for each in self._of_kind(Kind.HEADERS) if each.first_block <= header.number)
        await self._deliver(listeners, lambda _: partial(_headers, header))

    async def _tell_logs(self, executed: ExecutedBlock, *, removed: bool) -> None:
        """Listeners with the same criteria share one search and one encoding."""
        if not any(receipt.logs for receipt in executed.receipts):
            return
        number = executed.block.number
        listeners = (
            listener
            for listener in self._of_kind(Kind.LOGS)
            if listener.first_block <= number
            and (listener.last_block is None or number <= listener.last_block)
        )
        await self._deliver(
            listeners, lambda listener: partial(_logs, executed, listener.criteria, removed=removed)
        )

    async def _deliver(
        self, listeners: Iterable[Listener], source: Callable[[Listener], Callable[[], Sequence[bytes]]]
    ) -> None:
        encoded: dict[LogCriteria | None, Sequence[bytes]] = {}
        for index, listener in enumerate(list(listeners)):
            if index % LISTENERS_PER_TURN == LISTENERS_PER_TURN - 1:
                await trio.lowlevel.checkpoint()
            results = encoded.get(listener.criteria)
            if results is None:
                results = encoded[listener.criteria] = source(listener)()
            if results:
                listener.deliver(results)

    def _of_kind(self, kind: Kind) -> list[Listener]:
        return [listener for listener in self._listeners.values() if listener.kind is kind]

    async def _follow_heads(self, *, task_status: trio.TaskStatus[None]) -> None:
        events = self._chain.subscribe_heads()
        self._told = self._chain.head
        task_status.started()
        while True:
            async for event in events:
                async with self._telling:
                    await self.tell_heads(event)
                    self._told = event.head.header
            # We fell behind and were cut off: subscribe again, then tell what lies between. Nothing may wait
            # between the first two lines, or a change would be told twice or not at all.
            events = self._chain.subscribe_heads()
            target = self._chain.head
            missed = await trio.to_thread.run_sync(changes_between, self._chain, self._told, target)
            async with self._telling:
                await self.tell_heads(missed)
                self._told = target

    async def _follow_transactions(self, *, task_status: trio.TaskStatus[None]) -> None:
        assert self._pool is not None
        arrivals = self._pool.subscribe()
        task_status.started()
        while True:
            async for transactions in arrivals:
                await self.tell_transactions(transactions)
            arrivals = self._pool.subscribe()

    async def _follow_sync(self) -> None:
        """geth tells of changes between syncing and not, not of progress."""
        syncing = False
        while True:
            await trio.sleep(SYNC_POLL_S)
            progress = self._network.sync_progress()
            if (progress is not None) == syncing:
                continue
            syncing = progress is not None
            status: Json = syncing_json(progress) if progress else None
            result: Json = {"syncing": True, "status": status} if syncing else False
            await self._tell(Kind.SYNCING, partial(_one, _encode(result)))


def syncing_json(progress: "tuple[int, int, int]") -> dict[str, Json]:
    """eth_syncing's object: starting, current and highest block."""
    starting, current, highest = progress
    return {"startingBlock": hex(starting), "currentBlock": hex(current), "highestBlock": hex(highest)}


def changes_between(chain: ChainBackend, old: Header, new: Header) -> HeadChanged:
    """What led from one head to another, as far as it is kept, and at most CATCH_UP_BLOCKS_MAX each way."""
    removed: list[Hash32] = []
    added: list[Hash32] = []
    while old.hash != new.hash and len(removed) + len(added) < CATCH_UP_BLOCKS_MAX:
        step, header = (removed, old) if old.number > new.number else (added, new)
        step.append(header.hash)
        parent = chain.header(header.parent_hash)
        if parent is None:
            break
        old, new = (parent, new) if step is removed else (old, parent)
    return HeadChanged(tuple(_executed(chain, removed)), tuple(reversed(list(_executed(chain, added)))))


def _executed(chain: ChainBackend, hashes: Iterable[Hash32]) -> Iterable[ExecutedBlock]:
    for block_hash in hashes:
        block, receipts = chain.block(block_hash), chain.receipts(block_hash)
        if block is not None and receipts is not None:
            yield ExecutedBlock(block, tuple(receipts))


def _headers(header: Header) -> Sequence[bytes]:
    return [_encode(header_json(header))]


def _hashes(hashes: Iterable[Hash32]) -> Sequence[bytes]:
    return [f'"{hex_of(item)}"'.encode() for item in hashes]


def _one(result: bytes) -> Sequence[bytes]:
    return [result]


def _logs(executed: ExecutedBlock, criteria: LogCriteria | None, *, removed: bool) -> Sequence[bytes]:
    found = list(logs_of_block(executed.block, executed.receipts, criteria or LogCriteria()))
    if removed:
        found.reverse()
    return [_encode(log.json(removed=removed)) for log in found]
