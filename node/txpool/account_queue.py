"""One sender's transactions by nonce: pending (next in line, without a gap) and queued (behind a gap)."""

from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import NamedTuple

from node.primitives.ids import Address
from node.primitives.state import EMPTY_ACCOUNT, Account
from node.primitives.transaction import Transaction


class PooledTransaction(NamedTuple):
    """A transaction in the pool with what the pool knows of it."""

    tx: Transaction
    sender: Address
    sequence: int
    """Order of arrival."""
    added_s: float
    """Monotonic time of arrival."""
    cost: int
    """wei that the sender must own."""
    weight: int
    """Size in units of the pool's bytes per transaction, at least 1."""
    local: bool
    """A client of this node sent it."""
    protected: bool
    """Local and within the bound up to which local transactions are never evicted."""
    group: bytes
    """Who shares one share of a block: the sender's organisation, or the sender where it has none."""
    free_replacements: int = 0
    """How often this nonce was replaced at price zero."""


class AccountQueue:
    """The pooled transactions of one sender and the sender's account at the head."""

    __slots__ = (
        "_by_nonce",
        "_nonces",
        "_pending",
        "_protected_weight",
        "_ready",
        "account",
        "address",
        "cost",
        "group",
        "head",
        "weight",
    )

    def __init__(
        self, address: Address, account: Account | None, group: bytes | None = None, head: int = 0
    ) -> None:
        self.address = address
        self.group = group or address
        self.account = account or EMPTY_ACCOUNT
        self.head = head
        """The pool's count of heads when the account was read: at the same one it need not be read again."""
        self.cost = 0
        """wei: the sum of all max costs."""
        self.weight = 0
        self._protected_weight = 0
        self._by_nonce: dict[int, PooledTransaction] = {}
        self._nonces: list[int] = []
        self._ready = 0
        """How many of the nonces follow the account's without a gap."""
        self._pending: tuple[PooledTransaction, ...] | None = ()

    def __len__(self) -> int:
        return len(self._nonces)

    def __iter__(self) -> Iterator[PooledTransaction]:
        """All, in nonce order."""
        return map(self._by_nonce.__getitem__, self._nonces)

    @property
    def pending(self) -> tuple[PooledTransaction, ...]:
        """Those that a block could take now one after the other; the same tuple until something changes."""
        if self._pending is None:
            self._pending = tuple(map(self._by_nonce.__getitem__, self._nonces[: self._ready]))
        return self._pending

    def pending_from(self, nonce: int) -> list[PooledTransaction]:
        """The pending ones with this nonce and above; `nonce` is not below the account's."""
        return [self._by_nonce[each] for each in range(nonce, self.next_nonce)]

    @property
    def queued(self) -> tuple[PooledTransaction, ...]:
        """Those that wait for a missing nonce."""
        return tuple(map(self._by_nonce.__getitem__, self._nonces[self._ready :]))

    @property
    def next_nonce(self) -> int:
        """The nonce after the last pending transaction."""
        return self.account.nonce + self._ready

    @property
    def last(self) -> PooledTransaction:
        """The transaction with the highest nonce; the queue must not be empty."""
        return self._by_nonce[self._nonces[-1]]

    @property
    def is_protected(self) -> bool:
        """Whether every one of them is protected. A mixture is not: a single protected transaction on top
        would otherwise shield any number that are not."""
        return self._protected_weight == self.weight

    def at(self, nonce: int) -> PooledTransaction | None:
        """The transaction with this nonce."""
        return self._by_nonce.get(nonce)

    def put(self, entry: PooledTransaction) -> None:
        """Add a transaction, whose nonce must be free."""
        nonce = entry.tx.nonce
        assert nonce not in self._by_nonce
        self._by_nonce[nonce] = entry
        insort(self._nonces, nonce)
        self._count(entry, 1)
        following = self.next_nonce
        while following in self._by_nonce:
            following += 1
        self._ready = following - self.account.nonce

    def remove(self, entry: PooledTransaction) -> None:
        """Take out a transaction that is here."""
        nonce = entry.tx.nonce
        del self._by_nonce[nonce]
        del self._nonces[bisect_left(self._nonces, nonce)]
        self._count(entry, -1)
        self._ready = max(0, min(self._ready, nonce - self.account.nonce))

    def settle(self, account: Account | None, head: int = 0) -> list[PooledTransaction]:
        """Take the account's new state; remove and return what it makes stale or too dear, in nonce order."""
        self.account = account or EMPTY_ACCOUNT
        self.head = head
        self._pending = None
        gone, spent = [], 0
        for entry in list(self):
            if entry.tx.nonce < self.account.nonce or spent + entry.cost > self.account.balance:
                gone.append(entry)
            else:
                spent += entry.cost
        for entry in gone:
            del self._by_nonce[entry.tx.nonce]
            self._count(entry, -1)
        self._nonces = [nonce for nonce in self._nonces if nonce in self._by_nonce]
        first = self.account.nonce
        # nonce minus position never falls along the sorted list, and is `first` exactly along the run.
        self._ready = bisect_left(range(len(self._nonces)), first + 1, key=lambda i: self._nonces[i] - i)
        return gone

    def _count(self, entry: PooledTransaction, sign: int) -> None:
        self.cost += sign * entry.cost
        self.weight += sign * entry.weight
        self._protected_weight += sign * entry.weight if entry.protected else 0
        self._pending = None
