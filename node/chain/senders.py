"""Senders recovered on worker threads: in batches, on all cores, before anybody has to wait for one of them.

A recovery takes 50 us and is half of what a block costs. libsecp256k1 works outside the interpreter lock,
and a batch takes the lock once, so recovery goes on beside the execution of earlier blocks and the event
loop. Nothing is recovered twice: what somebody knows already is asked for first.
"""

import os
from collections.abc import Callable, Iterable
from typing import Final

import trio

from node.primitives.ids import Address, Hash32
from node.primitives.transaction import Transaction, recover_senders

BATCH_TRANSACTIONS_MAX: Final = 256
"""Recovered in one go by one thread; about 15 ms."""
BATCH_TRANSACTIONS_MIN: Final = 32
"""Fewer are not worth another thread."""
AT_ONCE_MAX: Final = 2
"""So few are recovered where they are: going to a thread and back takes as long."""
THREADS_MAX: Final = 8


def nobody_knows(_: Hash32) -> Address | None:
    """For nodes without a pool."""
    return None


class SenderRecovery:
    """Recovers many senders at once; those whose signature nobody made stay unknown."""

    def __init__(self, known_sender: Callable[[Hash32], Address | None] = nobody_knows) -> None:
        self.known_sender = known_sender
        """Where senders are found that somebody has recovered already; the pool, once there is one."""
        self._threads = min(THREADS_MAX, len(os.sched_getaffinity(0)))
        self._limiter = trio.CapacityLimiter(self._threads)
        self._waiting: dict[Hash32, Transaction] = {}
        self._turn = trio.Lock()

    async def recover(self, transactions: Iterable[Transaction]) -> None:
        """Return when every sender that there is, is known."""
        unknown = [tx for tx in transactions if not tx.has_sender and not self._remembered(tx)]
        if len(unknown) <= AT_ONCE_MAX:
            recover_senders(unknown)
            return
        share = -(-len(unknown) // self._threads)
        size = min(BATCH_TRANSACTIONS_MAX, max(BATCH_TRANSACTIONS_MIN, share))
        async with trio.open_nursery() as nursery:
            for start in range(0, len(unknown), size):
                nursery.start_soon(self._in_thread, unknown[start : start + size])

    async def recover_with_others(self, tx: Transaction) -> None:
        """The same for one of many that come at a time: all that wait for their turn go in one batch."""
        if tx.has_sender:
            return
        self._waiting[tx.hash] = tx
        async with self._turn:
            if tx.hash in self._waiting:
                batch, self._waiting = self._waiting, {}
                await self.recover(batch.values())

    def _remembered(self, tx: Transaction) -> bool:
        sender = self.known_sender(tx.hash)
        if sender is not None:
            tx.remember_sender(sender)
        return sender is not None

    async def _in_thread(self, transactions: list[Transaction]) -> None:
        await trio.to_thread.run_sync(recover_senders, transactions, limiter=self._limiter)
