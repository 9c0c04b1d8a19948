"""What a block takes, in which order: best tip first, then in turns, then first come; nonces in order.

Among equal tips (where gas is free, all are) organisations take turns, and an account that belongs to none is
one by itself: whoever sends ten thousand transactions, from one account or from a hundred, waits for himself.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from node.primitives.ids import Address
from node.primitives.transaction import Transaction
from node.txpool.account_queue import PooledTransaction

NOTHING_TAKEN: Final[Mapping[Address, int]] = MappingProxyType({})


class Selection:
    """An iterator over a snapshot of the pending transactions; safe to use in another thread.

    The consumer calls `skip_sender` when a transaction it was given cannot go into the block: those after it
    from the same sender cannot either.
    """

    def __init__(
        self,
        runs: Iterable[tuple[PooledTransaction, ...]],
        base_fee: int,
        taken: Mapping[Address, int] = NOTHING_TAKEN,
    ) -> None:
        """Take each sender's pending run, none empty; `base_fee` in wei per gas, 0 before London.

        `taken`: by sender, the nonce after its last transaction that the block has already. They are passed
        by without a look at each, and have had their turns.
        """
        self._base_fee = base_fee
        self._heap: list[tuple[int, int, int, int, tuple[PooledTransaction, ...]]] = []
        self._turns: Counter[bytes] = Counter()
        self._last: tuple[int, tuple[PooledTransaction, ...]] | None = None
        self._skipped: set[Address] = set()
        begun: list[tuple[int, tuple[PooledTransaction, ...]]] = []
        for run in runs:
            first = run[0]
            position = max(0, taken.get(first.sender, 0) - first.tx.nonce)
            self._turns[first.group] += min(position, len(run))
            if position < len(run):
                begun.append((position, run))
        for position, run in sorted(begun, key=lambda each: each[1][each[0]].sequence):
            self._offer(run, position, heap_ordered=False)
        heapq.heapify(self._heap)

    def __iter__(self) -> Iterator[Transaction]:
        return self

    def __next__(self) -> Transaction:
        if self._last is not None:
            position, run = self._last
            self._last = None
            if position + 1 < len(run) and run[0].sender not in self._skipped:
                self._offer(run, position + 1)
        while self._heap:
            *_, position, run = heapq.heappop(self._heap)
            if run[0].sender not in self._skipped:
                self._last = position, run
                return run[position].tx
        raise StopIteration

    def skip_sender(self, sender: Address) -> None:
        """Give no more transactions of this sender."""
        self._skipped.add(sender)

    def _offer(self, run: tuple[PooledTransaction, ...], position: int, *, heap_ordered: bool = True) -> None:
        entry = run[position]
        tip = entry.tx.effective_priority_fee(self._base_fee)
        if tip < 0:
            return  # cannot pay the base fee, and so nothing after it can go in
        turn = self._turns[entry.group]
        self._turns[entry.group] = turn + 1
        item = (-tip, turn, entry.sequence, position, run)
        if heap_ordered:
            heapq.heappush(self._heap, item)
        else:
            self._heap.append(item)
