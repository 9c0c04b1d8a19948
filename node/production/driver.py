"""Runs an engine: events in, effects done, in order. No rule of consensus is in here.

    heads of the chain ─┐                       ┌─ SetTimer, CancelTimer ─ tasks that sleep
    timers ─────────────┤                       ├─ BuildBlock ─ builder, on a worker thread
    builder, signer ────┼─ inbox ─ engine ──────┼─ Sign ─ guarded signer
    pool, operator ─────┘                       ├─ PersistProposals ─ disk
                                                └─ SealBlock ─ importer, then announce

Building and signing go on beside; their answers come back through the inbox. Sealing does not: a sealed block
is durable before the engine sees anything else, and announced only then.

A key that cannot sign, a refusal of the guard or a block that the chain refuses leave the node a full node:
`health` says what is wrong. A broken disk or a bug of ours ends `run`, and with it the node.
"""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Final, TypeVar

import trio

from consensus.effects import (
    BuildBlock,
    CancelTimer,
    Effect,
    PersistProposals,
    SealBlock,
    SetTimer,
    Sign,
    StopBuilding,
)
from consensus.engine import Engine
from consensus.events import (
    BlockBuilt,
    BlockComing,
    Event,
    LastSigned,
    NewHead,
    NothingToBuild,
    Proposed,
    Signed,
    SigningRefused,
    TimerFired,
    TransactionsWaiting,
)
from node.chain.execution import BuiltBlock
from node.chain.importer import ImportResult
from node.chain.reader import ChainReader
from node.primitives.block import Block, BlockRef, Header
from node.primitives.errors import ChainError, RequestError
from node.primitives.ids import Address, Hash32
from node.production.builder import BlockBuilder, BlockInProgress
from node.production.ports import Door, Pool
from node.production.recovery import persist_proposals
from node.production.signing import signing_request
from node.signing.signer import Signer, SigningError
from node.storage.kv import KeyValue

INBOX_EVENTS_MAX: Final = 64
"""Senders wait when it is full; none of them has more than a few events under way."""
SLEEP_S_MAX: Final = 5.0
"""A timer looks at the clock at least this often, so that a clock that was set is noticed."""
TOP_UP_INTERVAL_S: Final = 0.05
"""Between two looks at the pool while a block waits for its deadline."""
FINISH_RESERVE_S: Final = 0.1
"""Left before the deadline for state root and header."""

log = logging.getLogger(__name__)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class SealingHealth:
    """Whether this validator makes blocks, and if not, why not."""

    signer: Address
    is_validator: bool
    """Whether the signer is in the set at the head."""
    status: str
    """What the engine does or waits for."""
    problem: str | None
    """What keeps it from sealing and needs the operator; None when nothing does."""
    sealed_blocks: int
    """Since the start of the process."""
    last_sealed: BlockRef | None


@dataclass(slots=True)
class _Asked:
    """An event whose sender waits for the engine's verdict."""

    event: Event
    done: trio.Event = field(default_factory=trio.Event)
    refusal: RequestError | None = None


@dataclass(slots=True)
class _Build:
    """A build under way."""

    request: BuildBlock
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    stopped: bool = False
    """Read by the worker thread between, and inside, transactions."""

    def stop(self) -> None:
        """Abandon it; no answer will come."""
        self.stopped = True
        self.scope.cancel()


class Driver:
    """The trio side of one engine."""

    def __init__(
        self,
        engine: Engine,
        *,
        reader: ChainReader,
        importer: Door,
        builder: BlockBuilder,
        pool: Pool,
        signer: Signer,
        kv: KeyValue,
        announce: Callable[[Block], None],
        last_signed: Callable[[], LastSigned | None] = lambda: None,
        random: Random | None = None,
        unix_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """`last_signed` reads the guard: at the start, and whenever it refuses."""
        self._engine = engine
        self._reader = reader
        self._importer = importer
        self._builder = builder
        self._pool = pool
        self._signer = signer
        self._kv = kv
        self._announce = announce
        self._last_signed = last_signed
        self._random = random or Random()
        self._unix_ms = unix_ms
        self._send, self._receive = trio.open_memory_channel[Event | _Asked](INBOX_EVENTS_MAX)
        self._timers: dict[str, trio.CancelScope] = {}
        self._build: _Build | None = None
        self._build_limiter = trio.CapacityLimiter(1)
        self._told: Hash32 | None = None
        self._arrival = trio.Event()
        self._starving = False
        self._problem: str | None = None
        self._sealed_blocks = 0
        self._last_sealed: BlockRef | None = None

    # --- for operators

    @property
    def health(self) -> SealingHealth:
        """Whether this validator makes blocks, and if not, why not."""
        state = self._reader.engine_state(self._reader.head.hash)
        return SealingHealth(
            signer=self._signer.address,
            is_validator=self._signer.address in self._reader.rules.validators(state),
            status=self._engine.status,
            problem=self._problem,
            sealed_blocks=self._sealed_blocks,
            last_sealed=self._last_sealed,
        )

    def proposals(self) -> dict[Address, bool]:
        """The operator's standing proposals: validator -> admit or drop."""
        return dict(self._engine.proposals)

    async def propose(self, address: Address, authorise: bool | None) -> None:
        """Vote for or against a validator until it is so; None withdraws. RequestError for nonsense."""
        await self._send.send(asked := _Asked(Proposed(address, authorise)))
        await asked.done.wait()
        if asked.refusal is not None:
            raise asked.refusal

    def block_coming(self, header: Header) -> None:
        """A sealed block is here and is being executed; not heard of when we lag behind."""
        with suppress(trio.WouldBlock):
            self._send.send_nowait(BlockComing(header))

    # --- the loop

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Drive the engine until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow_heads)
            nursery.start_soon(self._watch_pool)
            task_status.started()
            async for item in self._receive:
                await self._handle(item, nursery)

    async def _handle(self, item: Event | _Asked, nursery: trio.Nursery) -> None:
        event = item.event if isinstance(item, _Asked) else item
        try:
            effects = self._engine.handle(event, self._unix_ms())
        except RequestError as error:
            assert isinstance(item, _Asked), "nobody asked, and yet the engine refuses"
            item.refusal = error
            effects = []
        except ChainError as error:
            log.warning("a message was dropped: %s", error)
            effects = []
        for effect in effects:
            await self._perform(effect, nursery)
        if isinstance(item, _Asked):
            item.done.set()

    async def _perform(self, effect: Effect, nursery: trio.Nursery) -> None:
        match effect:
            case SetTimer(name, at_ms, jitter_ms_max):
                self._cancel_timer(name)
                scope = self._timers[name] = trio.CancelScope()
                delayed_ms = at_ms + self._random.randint(0, jitter_ms_max)
                nursery.start_soon(self._sleep_until, name, delayed_ms, scope)
            case CancelTimer(name):
                self._cancel_timer(name)
            case BuildBlock():
                self._stop_building()
                self._build = _Build(effect)
                nursery.start_soon(self._run_build, self._build)
            case StopBuilding():
                self._stop_building()
            case Sign():
                nursery.start_soon(self._sign, effect)
            case PersistProposals(proposals):
                await trio.to_thread.run_sync(persist_proposals, self._kv, proposals)
            case SealBlock(block):
                await self._seal(block)

    # --- heads and timers

    async def _follow_heads(self) -> None:
        # The events cut off whoever falls behind: what counts is the head alone, and it is at hand.
        while True:
            with self._reader.events.subscribe() as heads:
                await self._tell_head()
                async for _ in heads:
                    await self._tell_head()

    async def _tell_head(self) -> None:
        head = self._reader.head
        if head.hash == self._told:
            return
        if self._build is not None and self._build.request.parent.hash != head.hash:
            self._stop_building()
        self._starving = False
        is_first, self._told = self._told is None, head.hash
        state = await trio.to_thread.run_sync(self._reader.engine_state, head.hash)
        # Asked before the engine hears of a head and may sign: what it signs from here on, it knows.
        last = self._last_signed() if is_first else None
        await self._send.send(NewHead(head, state))
        if last is not None:
            await self._send.send(last)

    async def _sleep_until(self, name: str, at_ms: int, scope: trio.CancelScope) -> None:
        with scope:
            # The clock may be set while we sleep, so it is asked again.
            while (left_ms := at_ms - self._unix_ms()) > 0:  # noqa: ASYNC110
                await trio.sleep(min(left_ms / 1000, SLEEP_S_MAX))
        if scope.cancel_called:
            return
        del self._timers[name]
        await self._send.send(TimerFired(name))

    def _cancel_timer(self, name: str) -> None:
        scope = self._timers.pop(name, None)
        if scope is not None:
            scope.cancel()

    # --- building

    def _stop_building(self) -> None:
        if self._build is not None:
            self._build.stop()
            self._build = None

    async def _run_build(self, build: _Build) -> None:
        answer: Event | None = None
        with build.scope:
            arrival = self._arrival
            try:
                built = await self._built(build)
            except RequestError as error:
                log.warning("cannot build: %s", error, extra={"parent": build.request.parent.ref})
                return
            if built is not None:
                await self._importer.remember_built(built)
                answer = BlockBuilt(built.block)
            else:
                answer = NothingToBuild(build.request.parent.hash)
        if answer is None or build.stopped:
            return
        self._build = None if self._build is build else self._build
        await self._send.send(answer)
        if isinstance(answer, NothingToBuild):
            await self._starve(arrival)

    async def _built(self, build: _Build) -> BuiltBlock | None:
        """The block, or None when it would be empty and must not be."""
        request = build.request
        progress = await self._in_builder(lambda: self._builder.begin(request))
        while True:
            arrival = self._arrival
            offered = self._pool.select(self._builder.base_fee_after(request.parent), progress.next_nonces)
            await self._in_builder(partial(progress.fill, offered, lambda: build.stopped))
            if not await self._waits_for_more(progress, arrival):
                break
        if progress.is_empty and not request.allow_empty:
            return None
        return await self._in_builder(progress.finish)

    async def _waits_for_more(self, progress: BlockInProgress, arrival: trio.Event) -> bool:
        """Wait for transactions until the block must be finished; whether some came."""
        left_s = (progress.request.deadline_ms - self._unix_ms()) / 1000 - FINISH_RESERVE_S
        if left_s <= TOP_UP_INTERVAL_S or not progress.has_room:
            return False
        with trio.move_on_after(left_s - TOP_UP_INTERVAL_S):
            await arrival.wait()
            await trio.sleep(TOP_UP_INTERVAL_S)
            return True
        return False

    async def _in_builder(self, work: Callable[[], Result]) -> Result:
        return await trio.to_thread.run_sync(work, limiter=self._build_limiter)

    # --- the pool

    async def _watch_pool(self) -> None:
        while True:
            with self._pool.subscribe() as batches:
                async for _ in batches:
                    self._arrival.set()
                    self._arrival = trio.Event()
                    if self._starving:
                        self._starving = False
                        await self._send.send(TransactionsWaiting())

    async def _starve(self, arrival: trio.Event) -> None:
        """Nothing was there to build with; tell the engine at the next arrival, or at one already missed."""
        if arrival.is_set():
            await self._send.send(TransactionsWaiting())
        else:
            self._starving = True

    # --- signing and sealing

    async def _sign(self, effect: Sign) -> None:
        request = signing_request(effect, self._reader)
        try:
            signature = await self._signer.sign(request)
        except SigningError as error:
            self._problem = f"block {effect.height} was not signed: {error}"
            log.warning("a block was not signed: %s", error, extra={"height": effect.height})
            await self._send.send(SigningRefused(effect.digest, str(error)))
            # A key elsewhere may have found out just now what it had signed: that block is to be finished.
            last = self._last_signed()
            if last is not None and last.block.number > self._reader.head.number:
                await self._send.send(last)
        else:
            self._problem = None
            await self._send.send(Signed(effect.digest, signature))

    async def _seal(self, block: Block) -> None:
        try:
            result = await self._importer.import_block(block)
        except ChainError as error:
            # Nobody has seen the block, so nothing but our own sealing is harmed.
            self._problem = f"our own block {block.ref} was refused: {error}"
            log.error("our own block was refused: %s", error, extra={"block": block.ref})
            return
        if result is ImportResult.KNOWN:
            return  # signed before the last restart, and not lost in it
        self._sealed_blocks += 1
        self._last_sealed = block.ref
        log.info("sealed a block", extra={"block": block.ref, "transactions": len(block.transactions)})
        self._announce(block)
