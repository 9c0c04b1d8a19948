"""Which account gives way when the pool is full: fair shares, so that a flood crowds out only itself.

The account with the largest share loses its highest nonce (that opens no gap); among equal shares the lowest
tip goes, then the youngest. Where gas is free anyone can invent senders without end, so one that the state
has never seen counts `STRANGER_SHARE` times: a flood of fresh accounts goes before anybody's normal use.
"""

import heapq
from collections import Counter
from typing import Final

from node.primitives.ids import Address
from node.txpool.account_queue import AccountQueue

STRANGER_SHARE: Final = 4
HEAP_SLACK: Final = 64
"""Outdated heap entries that are tolerated beside four per account before the heap is built anew."""

_Rank = tuple[int, int, int]


class EvictionOrder:
    """Accounts ranked by how soon they lose a transaction. Every change costs O(log n)."""

    def __init__(self) -> None:
        self._ranks: dict[Address, _Rank] = {}
        self._heap: list[tuple[_Rank, Address]] = []

    def update(self, queue: AccountQueue) -> None:
        """Take note of a queue that has changed, become empty, or protected."""
        if not queue or queue.is_protected:
            self._ranks.pop(queue.address, None)
            return
        last = queue.last
        share = queue.weight * (STRANGER_SHARE if queue.account.is_empty else 1)
        rank = (-share, last.tx.max_priority_fee_per_gas, -last.sequence)
        if self._ranks.get(queue.address) != rank:
            self._ranks[queue.address] = rank
            heapq.heappush(self._heap, (rank, queue.address))
            if len(self._heap) > 4 * len(self._ranks) + HEAP_SLACK:
                self._heap = [(rank, address) for address, rank in self._ranks.items()]
                heapq.heapify(self._heap)

    def worst(self) -> Address | None:
        """Who loses its highest nonce next; None when every account is protected or there is none."""
        while self._heap:
            rank, address = self._heap[0]
            if self._ranks.get(address) == rank:
                return address
            heapq.heappop(self._heap)
        return None


class SharedEviction:
    """The same, organisations first: one that holds more than half of the pool gives way before all others.

    An organisation can enter as many accounts as it likes, so shares of accounts alone would not bind it.
    """

    def __init__(self, transactions_max: int) -> None:
        self._half = transactions_max // 2
        self._all = EvictionOrder()
        self._groups: dict[bytes, EvictionOrder] = {}
        self._sizes: dict[bytes, dict[Address, int]] = {}
        self._totals: Counter[bytes] = Counter()
        self._changed: dict[Address, AccountQueue] = {}
        """Ranked when somebody has to give way: in a pool that is not full, nobody has."""

    def update(self, queue: AccountQueue) -> None:
        """Take note of a queue that has changed, become empty, or protected."""
        if queue:
            self._changed[queue.address] = queue
        else:
            self._changed.pop(queue.address, None)
            self._rank(queue)

    def worst(self) -> Address | None:
        """Who loses its highest nonce next; None when every account is protected or there is none."""
        for queue in self._changed.values():
            self._rank(queue)
        self._changed.clear()
        for group, total in self._totals.most_common(1):
            if total > self._half and (found := self._groups[group].worst()) is not None:
                return found
        return self._all.worst()

    def _rank(self, queue: AccountQueue) -> None:
        self._all.update(queue)
        if queue.group == queue.address:
            return
        sizes = self._sizes.setdefault(queue.group, {})
        self._groups.setdefault(queue.group, EvictionOrder()).update(queue)
        self._totals[queue.group] += len(queue) - sizes.pop(queue.address, 0)
        if len(queue):
            sizes[queue.address] = len(queue)
        elif not sizes:
            del self._sizes[queue.group], self._groups[queue.group], self._totals[queue.group]
