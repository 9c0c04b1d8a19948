"""Validators in one process: real chains, pools, engines, guards and drivers; a mock clock, a drawn wire.

Threads would race the mock clock, which jumps whenever the event loop is idle: `inline_threads` makes work
that belongs into a worker thread run in place, so that it takes no time at all.
"""

from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any, TypeVar

import trio

from consensus.clique.engine import SIGN_KIND, CliqueEngine
from consensus.clique.rules import CliqueRules
from node.chain.opening import open_chain
from node.config.settings import PoolSettings, ProductionSettings, StorageSettings
from node.execution.py_evm import PyEvmExecutor
from node.primitives.block import Block
from node.primitives.chain_spec import ChainSpec
from node.primitives.crypto import PrivateKey
from node.primitives.errors import ChainError
from node.production.builder import BlockBuilder
from node.production.driver import Driver
from node.production.recovery import last_signed, standing_proposals
from node.signing.guard import GuardedSigner
from node.signing.signer import DigestSigner, LocalKey
from node.storage.memory import MemoryKV
from node.txpool.keeper import keep_pool
from node.txpool.pool import TransactionPool
from tests.chain.harness import GENESIS_TIME

Result = TypeVar("Result")


async def run_inline(work: Callable[..., Result], *arguments: Any, **options: Any) -> Result:
    """trio.to_thread.run_sync without the thread."""
    await trio.lowlevel.checkpoint()
    return work(*arguments)


def unix_time() -> float:
    """Unix time in seconds: genesis, plus the mock clock."""
    return GENESIS_TIME + trio.current_time()


def unix_ms() -> int:
    """The same in milliseconds."""
    return round(unix_time() * 1000)


class Validator:
    """One node of a network."""

    def __init__(
        self,
        spec: ChainSpec,
        key: PrivateKey,
        *,
        kv: MemoryKV | None = None,
        signer: DigestSigner | None = None,
        empty_blocks: bool = True,
        seed: int = 0,
        layers: int = 16,
    ) -> None:
        self.key = key
        self.kv = kv if kv is not None else MemoryKV()
        executor = PyEvmExecutor()
        chain = open_chain(
            self.kv,
            spec,
            CliqueRules(spec.engine),
            executor,
            StorageSettings(state_layers_max=layers),
            unix_time=unix_time,
        )
        self.reader, self.importer, self.chain = chain.reader, chain.importer, chain
        head = self.reader.head
        self.pool = TransactionPool(PoolSettings(), spec, head, self.reader.state_at(head.hash))
        self.importer.senders.known_sender = self.pool.known_sender
        self.signer = GuardedSigner(signer or LocalKey(key), self.kv, spec.chain_id)
        settings = ProductionSettings(enabled=True, empty_blocks=empty_blocks)
        self.driver = Driver(
            CliqueEngine(
                spec.engine,
                key.address,
                empty_blocks=empty_blocks,
                proposals=standing_proposals(self.kv),
            ),
            reader=self.reader,
            importer=self.importer,
            builder=BlockBuilder(self.reader, chain.state, executor, settings),
            pool=self.pool,
            signer=self.signer,
            kv=self.kv,
            announce=self._announce,
            last_signed=lambda: last_signed(self.signer.last(SIGN_KIND)),
            random=Random(seed),
            unix_ms=unix_ms,
        )
        self.announced: list[Block] = []
        self.wire: Callable[[Block], None] = lambda block: None

    def _announce(self, block: Block) -> None:
        assert self.reader.header(block.hash) is not None, "announced before it is durable"
        self.announced.append(block)
        self.wire(block)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Pool and driver, until cancelled."""
        async with trio.open_nursery() as nursery:
            await nursery.start(
                lambda task_status: keep_pool(
                    self.pool, self.reader, interval_s=60.0, task_status=task_status
                )
            )
            await nursery.start(self.driver.run)
            task_status.started()


class Network:
    """Validators that hear each other's blocks after a drawn delay."""

    def __init__(self, validators: Sequence[Validator], *, seed: int = 0, delay_s_max: float = 0.1) -> None:
        self.validators = list(validators)
        self.cut_off: set[int] = set()
        self._random = Random(seed)
        self._delay_s_max = delay_s_max
        self._nursery: trio.Nursery | None = None

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """All validators, until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for index, validator in enumerate(self.validators):
                validator.wire = lambda block, index=index: self._broadcast(index, block)
                await nursery.start(validator.run)
            task_status.started()

    def heal(self) -> None:
        """Let all hear each other again; those who meet tell each other their heads, as a handshake does."""
        self.cut_off = set()
        for index, validator in enumerate(self.validators):
            head = validator.reader.block(validator.reader.head.hash)
            if head is not None and head.number > 0:
                self._broadcast(index, head)

    def _broadcast(self, sender: int, block: Block) -> None:
        assert self._nursery is not None
        for index in range(len(self.validators)):
            if index != sender:
                self._nursery.start_soon(self._deliver, sender, index, block)

    async def _deliver(self, sender: int, receiver: int, block: Block) -> None:
        await trio.sleep(self._random.uniform(0.01, self._delay_s_max))
        if {sender, receiver} & self.cut_off:
            return
        target, source = self.validators[receiver], self.validators[sender]
        missing = [block]
        while target.reader.header(missing[-1].header.parent_hash) is None:
            parent = source.reader.block(missing[-1].header.parent_hash)
            assert parent is not None
            missing.append(parent)
        try:
            await target.importer.import_run(tuple(reversed(missing)))
        except ChainError as error:
            raise AssertionError(f"an honest block was refused: {error}") from error

    async def wait_heads(self, number: int, *, timeout_s: float) -> None:
        """Until every validator that is not cut off has reached a block number."""
        with trio.fail_after(timeout_s):
            for index, validator in enumerate(self.validators):
                if index not in self.cut_off:
                    await _wait_head(validator, number)


async def _wait_head(validator: Validator, number: int) -> None:
    with validator.reader.events.subscribe(1000) as heads:
        if validator.reader.head.number >= number:
            return
        async for event in heads:
            if event.head.number >= number:
                return


async def during(run: Callable[..., Awaitable[None]], work: Callable[[], Awaitable[None]]) -> None:
    """Run a service while some work is done, then end it."""
    async with trio.open_nursery() as nursery:
        await nursery.start(run)
        await work()
        nursery.cancel_scope.cancel()
