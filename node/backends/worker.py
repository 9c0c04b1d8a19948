"""What a worker process of a replica knows of its node: only what is told, and nothing that it owns."""

from collections.abc import Sequence
from typing import Final

import trio

from node.chain.follower import ChainFollower
from node.execution.executor import Interrupted
from node.primitives.ids import Address, BlockNumber, Hash32
from node.primitives.transaction import Transaction, decode_transaction
from node.rpc.backend import PoolContent, SyncProgress, Until
from node.rpc.log_index import LogIndex, LogPage, LogQuery

UNTAKEN_MAX: Final = 64
"""Messages about new transactions that a subscriber may be behind; then it loses its channel."""


class DistantNetwork:
    """NetworkBackend of which only the catch-up is looked at here: the rest is passed on."""

    def __init__(self, network_id: int) -> None:
        self.network_id = network_id
        self.listening = True
        self.peer_count = 0
        self.progress: tuple[int, int, int] | None = None
        """As the node told it last."""

    def sync_progress(self) -> SyncProgress | None:
        """See the port."""
        return None if self.progress is None else SyncProgress(*self.progress)


class DistantPool:
    """PoolBackend that only tells of new transactions: all that asks or sends is passed on."""

    enter = None

    def __init__(self, minimum_priority_fee: int) -> None:
        self.minimum_priority_fee = minimum_priority_fee
        """wei per gas."""
        self._subscribers: list[trio.MemorySendChannel[tuple[Transaction, ...]]] = []

    def tell(self, encoded: Sequence[bytes]) -> None:
        """These have entered the node's pool."""
        self._subscribers = [each for each in self._subscribers if each.statistics().open_receive_channels]
        if not self._subscribers:
            return
        transactions = tuple(map(decode_transaction, encoded))
        for subscriber in tuple(self._subscribers):
            try:
                subscriber.send_nowait(transactions)
            except trio.WouldBlock:
                subscriber.close()
                self._subscribers.remove(subscriber)

    def subscribe(self) -> trio.MemoryReceiveChannel[tuple[Transaction, ...]]:
        """See the port."""
        send, receive = trio.open_memory_channel[tuple[Transaction, ...]](UNTAKEN_MAX)
        self._subscribers.append(send)
        return receive

    def get(self, tx_hash: Hash32) -> Transaction | None:
        """See the port; who gets None here asks the node."""
        return None

    async def recover_senders(self, transactions: Sequence[Transaction]) -> None:
        """See the port."""
        raise _passed_on()

    async def submit(self, tx: Transaction) -> Until | None:
        """See the port."""
        raise _passed_on()

    def next_nonce(self, address: Address) -> int:
        """See the port."""
        raise _passed_on()

    def counts(self) -> tuple[int, int]:
        """See the port."""
        raise _passed_on()

    def content(self) -> tuple[PoolContent, PoolContent]:
        """See the port."""
        raise _passed_on()

    def content_of(self, address: Address) -> tuple[Sequence[Transaction], Sequence[Transaction]]:
        """See the port."""
        raise _passed_on()


class FreshLogIndex:
    """LogIndex that never is ahead of the chain: a block is stored there before it is indexed."""

    def __init__(self, index: LogIndex, follower: ChainFollower) -> None:
        self._index = index
        self._follower = follower

    def find(self, query: LogQuery, interrupted: Interrupted) -> LogPage | None:
        """See the port."""
        page = self._index.find(query, interrupted)
        if page is not None and page.covered.number > self._follower.reader.head.number:
            self._follower.look()
        return page

    def block_hash(self, number: BlockNumber) -> Hash32 | None:
        """See the port."""
        return self._index.block_hash(number)


def _passed_on() -> AssertionError:
    return AssertionError("a worker passes this on to the node (node.rpc.relay)")
