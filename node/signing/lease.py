"""Leases: of several nodes that may use one key of a signer, one is active and the others stand by.

A lease is taken by signing or by asking for it, prolonged by its holder, and over when the holder gives it
back or has not been heard of for its whole length. Time is this process's monotonic clock, which nobody sets.
Only the holder's name is on disk: after a restart of the signer it has its whole time again, so that a clock
that is wrong, or a restart at the right moment, gives the key to nobody earlier.

A lease keeps two nodes from getting into each other's way. What keeps the key from contradicting itself is
the guard behind it, which does not care who asks.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from node.primitives.ids import Address
from node.storage.kv import Batch, KeyValue
from node.storage.schema import sign_lease_key

HOLDER_BYTES_MAX: Final = 256


class Leased(Exception):
    """Somebody else has the key."""

    def __init__(self, holder: str, left_s: float) -> None:
        super().__init__(
            f"the key is leased to {holder} for another {left_s:.1f} s; this one stands by until that is over"
        )


@dataclass(frozen=True, slots=True)
class Lease:
    """Who has a key, and until when on the monotonic clock."""

    holder: str
    until: float


class KeyLease:
    """The lease of one key on one chain; for one thread at a time."""

    def __init__(
        self,
        kv: KeyValue,
        address: Address,
        chain_id: int,
        length_s: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """0 seconds: there is no lease, and everybody may ask."""
        self.length_s = length_s
        self._kv = kv
        self._key = sign_lease_key(address, chain_id)
        self._monotonic = monotonic
        row = kv.get(self._key)
        self._lease = None if row is None else Lease(row.decode(), monotonic() + length_s)

    def take(self, holder: str) -> None:
        """Take or prolong the lease; Leased when it is somebody else's."""
        if not self.length_s:
            return
        now, lease = self._monotonic(), self._lease
        if lease is not None and lease.holder != holder and now < lease.until:
            raise Leased(lease.holder, lease.until - now)
        if lease is None or lease.holder != holder:
            batch = Batch()
            batch.put(self._key, holder.encode())
            self._kv.write(batch, sync=True)
        self._lease = Lease(holder, now + self.length_s)

    def give_back(self, holder: str) -> None:
        """End the holder's lease before its time; somebody else's stays."""
        if self._lease is not None and self._lease.holder == holder:
            batch = Batch()
            batch.delete(self._key)
            self._kv.write(batch, sync=True)
            self._lease = None
