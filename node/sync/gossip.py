"""Passing on: blocks and transactions to the peers that do not have them, each item once per peer.

A block goes in full to a square root of the peers, so that it is everywhere after few hops, and by hash to
the rest; in a small network in full to all, because a validator that waits for a second hop may miss its
turn. Transactions likewise, but large ones by hash alone. In a small network those that a peer has sent us go
on by hash: whoever had them first has sent them to most others himself. Sending never waits: a peer that
reads too slowly is dropped by its connection.
"""

from collections.abc import Iterable, Sequence
from math import isqrt
from random import Random
from typing import Final

import trio

from node.primitives.block import BlockRef
from node.primitives.transaction import Transaction
from node.sync.ports import Pool
from node.sync.roster import Member, Roster
from p2p.eth.messages import (
    NewBlock,
    NewBlockHashes,
    NewPooledTransactionHashes,
    Transactions,
    encode_message,
)

SMALL_NETWORK_PEERS: Final = 16
"""Up to so many peers a block, or a transaction that nobody else is known to have, goes to all in full."""
TRANSACTION_BYTES_MAX: Final = 4_096
"""Larger transactions are only announced."""
BATCH_BYTES_MAX: Final = 100 * 1024
"""Of one message of transactions, about."""
HASHES_PER_MESSAGE: Final = 4_096
GATHER_S: Final = 0.04
"""What comes so soon after a transaction travels with it: a message costs as much as ten of them."""
ANNOUNCE_GATHER_S: Final = 0.2
"""The same for hashes of transactions that came from a peer: mostly who sent them has sent them to all."""
DRAINED_MAX: Final = 4_096
"""Transactions sent on at once when many come together."""


class Gossip:
    """The sending half; nothing here waits but `run`."""

    def __init__(self, roster: Roster, pool: Pool, random: Random) -> None:
        """`random` draws who gets an item in full."""
        self._roster = roster
        self._pool = pool
        self._random = random
        self._later: list[Transaction] = []
        """From peers, and to be announced to those who still do not know them then."""
        self._some_later = trio.Event()

    # --- blocks

    def send_block(self, message: NewBlock) -> None:
        """Send the whole block on, as soon as its header is known to be good."""
        block = message.block
        missing = [member for member in self._roster if block.hash not in member.known_blocks]
        drawn = self._drawn(missing, all_up_to=SMALL_NETWORK_PEERS)
        for member in drawn:
            member.known_blocks.add(block.hash)
        _send_to_all(drawn, message)

    def announce_block(self, ref: BlockRef) -> None:
        """Tell everybody who does not know it that we have imported a block."""
        message = NewBlockHashes((ref,))
        for member in self._roster:
            if ref.hash not in member.known_blocks:
                member.known_blocks.add(ref.hash)
                member.connection.send(message)

    # --- transactions

    async def run(self) -> None:
        """Send on what becomes pending in the pool; until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._announce_later)
            await self._follow_pool()

    async def _follow_pool(self) -> None:
        while True:
            with self._pool.subscribe() as batches:
                # The pool cuts off who falls behind; what was missed then is still pending.
                self.send_transactions(self._pending())
                async for batch in batches:
                    await trio.sleep(GATHER_S)
                    self.send_transactions(_drain(batches, list(batch)))

    def send_transactions(self, transactions: Sequence[Transaction]) -> None:
        """In full to all peers, or to a square root of many, and to the rest by hash."""
        members = list(self._roster)
        if len(members) <= SMALL_NETWORK_PEERS:
            self._send_to_few(members, transactions)
            return
        in_full = set(map(id, self._drawn(members)))
        for member in members:
            missing = [tx for tx in transactions if tx.hash not in member.known_transactions]
            if id(member) not in in_full:
                self._announce(member, missing)
                continue
            self._announce(member, [tx for tx in missing if len(tx.encoded) > TRANSACTION_BYTES_MAX])
            small = [tx for tx in missing if len(tx.encoded) <= TRANSACTION_BYTES_MAX]
            self._send_in_full((member,), small)

    async def _announce_later(self) -> None:
        while True:
            await self._some_later.wait()
            await trio.sleep(ANNOUNCE_GATHER_S)
            self._some_later = trio.Event()
            late = [tx for tx in self._later if self._pool.has(tx.hash)]
            self._later.clear()
            for member in self._roster:
                self._announce(member, [tx for tx in late if tx.hash not in member.known_transactions])

    def _send_to_few(self, members: Sequence[Member], transactions: Sequence[Transaction]) -> None:
        known = [member.known_transactions for member in members]
        small: list[Transaction] = []
        large: list[Transaction] = []
        for tx in transactions:
            if any(tx.hash in each for each in known):
                self._later.append(tx)
            else:
                (small if len(tx.encoded) <= TRANSACTION_BYTES_MAX else large).append(tx)
        self._send_in_full(members, small)
        for member in members:
            self._announce(member, large)
        if self._later:
            self._some_later.set()

    def _send_in_full(self, members: Sequence[Member], transactions: Sequence[Transaction]) -> None:
        hashes = [tx.hash for tx in transactions]
        for member in members:
            member.known_transactions.update(hashes)
        for part in _parts(transactions):
            _send_to_all(members, Transactions(tuple(part)))

    def greet(self, member: Member, head: BlockRef) -> None:
        """Tell a peer that has just come what is in the pool, and of a head newer than the handshake told."""
        if head.hash not in member.known_blocks:
            member.known_blocks.add(head.hash)
            member.connection.send(NewBlockHashes((head,)))
        self._announce(member, self._pending())

    def _pending(self) -> list[Transaction]:
        pooled = map(self._pool.get, self._pool.pending_hashes())
        return [tx for tx in pooled if tx is not None]

    def _announce(self, member: Member, transactions: Sequence[Transaction]) -> None:
        member.known_transactions.update([tx.hash for tx in transactions])
        for start in range(0, len(transactions), HASHES_PER_MESSAGE):
            part = transactions[start : start + HASHES_PER_MESSAGE]
            member.connection.send(
                NewPooledTransactionHashes(
                    bytes(tx.type for tx in part),
                    tuple(len(tx.encoded) for tx in part),
                    tuple(tx.hash for tx in part),
                )
            )

    def _drawn(self, members: Sequence[Member], all_up_to: int = 0) -> Sequence[Member]:
        """A square root of the members, rounded up; all of them when they are few."""
        if len(members) <= all_up_to:
            return members
        return self._random.sample(members, isqrt(len(members) - 1) + 1 if members else 0)


def _send_to_all(members: Sequence[Member], message: NewBlock | Transactions) -> None:
    """Encoded once."""
    if members:
        code, payload = encode_message(message)
        for member in members:
            member.connection.send_encoded(code, payload)


def _drain(
    batches: trio.MemoryReceiveChannel[tuple[Transaction, ...]], transactions: list[Transaction]
) -> list[Transaction]:
    """Everything else that waits, so that many small batches become few messages."""
    while len(transactions) < DRAINED_MAX:
        try:
            transactions += batches.receive_nowait()
        except (trio.WouldBlock, trio.EndOfChannel):
            break
    return transactions


def _parts(transactions: Iterable[Transaction]) -> Iterable[list[Transaction]]:
    part: list[Transaction] = []
    size = 0
    for tx in transactions:
        if part and size + len(tx.encoded) > BATCH_BYTES_MAX:
            yield part
            part, size = [], 0
        part.append(tx)
        size += len(tx.encoded)
    if part:
        yield part
