"""The deeds around the pool: follow the chain, forget what is too old, keep the journal short."""

import logging
from typing import Protocol

import trio

from node.chain.events import ChainEvents
from node.primitives.block import Header
from node.primitives.errors import RequestError
from node.primitives.ids import Hash32
from node.primitives.state import StateView
from node.txpool.journal import Journal
from node.txpool.pool import TransactionPool

log = logging.getLogger(__name__)


class HeadSource(Protocol):
    """What the keeper asks of the chain; ChainReader is one."""

    @property
    def events(self) -> ChainEvents:
        """Where new heads are told."""
        ...

    @property
    def head(self) -> Header:
        """The head."""
        ...

    def state_at(self, block_hash: Hash32) -> StateView:
        """The state after a block; RequestError when it is not kept."""
        ...


async def keep_pool(
    pool: TransactionPool,
    source: HeadSource,
    *,
    journal: Journal | None = None,
    interval_s: float,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run until cancelled. `started` once the pool stands at the head."""
    async with trio.open_nursery() as nursery:
        await nursery.start(_follow, pool, source)
        nursery.start_soon(_tidy, pool, journal, interval_s)
        task_status.started()


async def _follow(
    pool: TransactionPool,
    source: HeadSource,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    # The events cut off whoever falls behind: then we begin again at the head.
    while True:
        with source.events.subscribe() as heads:
            pool.reset(source.state_at(source.head.hash), source.head)
            task_status.started()
            task_status = trio.TASK_STATUS_IGNORED
            async for event in heads:
                header = event.head.header
                try:
                    accounts = source.state_at(header.hash)
                except RequestError:
                    break  # the chain moved on too far, too fast
                pool.on_head(event, accounts, header)
        log.info("transaction pool starts again at the head", extra={"block": source.head.ref})


async def _tidy(pool: TransactionPool, journal: Journal | None, interval_s: float) -> None:
    while True:
        await trio.sleep(interval_s)
        expired = pool.expire()
        if expired:
            log.info("transactions waited too long", extra={"dropped": expired})
        if journal is not None:
            await journal.rotate(pool.local_transactions)
