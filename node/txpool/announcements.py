"""Fan-out of transactions that became pending: publishing never waits, whoever falls behind is cut off."""

from collections.abc import Sequence
from typing import Final

import trio

from node.primitives.transaction import Transaction

BATCHES_MAX: Final = 256
"""Batches that a subscriber may be behind before its channel ends."""


class Announcements:
    """The pool's subscribers."""

    def __init__(self) -> None:
        self._subscribers: list[trio.MemorySendChannel[tuple[Transaction, ...]]] = []

    def subscribe(self) -> trio.MemoryReceiveChannel[tuple[Transaction, ...]]:
        """A channel of all batches from now on; close it to leave."""
        send, receive = trio.open_memory_channel[tuple[Transaction, ...]](BATCHES_MAX)
        self._subscribers.append(send)
        return receive

    def publish(self, transactions: Sequence[Transaction]) -> None:
        """Tell every subscriber; nothing is said about no transactions."""
        if not transactions:
            return
        batch = tuple(transactions)
        kept = []
        for subscriber in self._subscribers:
            try:
                subscriber.send_nowait(batch)
            except (trio.WouldBlock, trio.BrokenResourceError):
                subscriber.close()
            else:
                kept.append(subscriber)
        self._subscribers = kept
