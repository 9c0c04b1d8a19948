"""Everything between peers and chain, put together: who asks, who tells, whom we follow, whom we tell."""

import time
from collections.abc import Callable
from random import Random
from typing import Final

import trio

from node.primitives.block import Block, Header
from node.sync.block_intake import BlockIntake
from node.sync.downloader import Downloader, SyncProgress
from node.sync.gossip import Gossip
from node.sync.ports import Chain, Connection, Door, HeaderRules, Pool
from node.sync.roster import Member, Roster
from node.sync.serving import answer_bodies, answer_headers, answer_pooled, answer_receipts
from node.sync.transaction_intake import PeerIntake, TransactionIntake
from p2p.errors import PENALTY_FLOOD
from p2p.eth.messages import (
    BlockBodies,
    BlockHeaders,
    GetBlockBodies,
    GetBlockHeaders,
    GetPooledTransactions,
    GetReceipts,
    NewBlock,
    NewBlockHashes,
    NewPooledTransactionHashes,
    PooledTransactions,
    Receipts,
    Request,
    Transactions,
    encode_message,
)

REQUESTS_WAITING_MAX: Final = 32
"""Requests of one peer that wait for our answer; more are not answered."""
LEVEL_RECHECK_S: Final = 0.2
SERVING_THREADS: Final = 2
"""Worker threads that read and encode answers, for all peers together."""


class Sync:
    """One node's dealings with its peers over eth."""

    def __init__(
        self,
        chain: Chain,
        door: Door,
        pool: Pool,
        rules: HeaderRules,
        *,
        random: Random | None = None,
        unix_time: Callable[[], float] = time.time,
    ) -> None:
        """`random` draws who gets gossip in full; a seeded one makes a simulation repeatable."""
        self._chain = chain
        self._pool = pool
        self._roster = Roster()
        self._gossip = Gossip(self._roster, pool, random or Random())
        self._blocks = BlockIntake(chain, door, rules, self._roster, self._gossip, unix_time)
        self._transactions = TransactionIntake(pool)
        self._downloader = Downloader(
            chain, door, rules, self._roster, self._gossip.announce_block, self._blocks.is_under_way
        )
        self._serving = trio.CapacityLimiter(SERVING_THREADS)

    @property
    def progress(self) -> SyncProgress | None:
        """How far the running catch-up is; None when there is none."""
        return self._downloader.progress

    @property
    def is_behind(self) -> bool:
        """Whether a peer offers a better chain than ours."""
        return self._downloader.is_behind

    async def wait_level(self, first_peer_s: float) -> None:
        """Wait until no peer offers a better chain; without any peer, for `first_peer_s` only."""
        with trio.move_on_after(first_peer_s):
            while not len(self._roster):
                await self._roster.wait_changed()
        while self.is_behind:
            # Catching up moves our head, of which the roster does not tell.
            with trio.move_on_after(LEVEL_RECHECK_S):
                await self._roster.wait_changed()

    def announce_block(self, block: Block) -> None:
        """Our own sealed and imported block: to everybody, once."""
        total_difficulty = self._chain.total_difficulty(block.hash)
        assert total_difficulty is not None, "a block is imported before it is announced"
        self._gossip.send_block(NewBlock(block, total_difficulty))
        self._gossip.announce_block(block.ref)

    def on_coming(self, tell: Callable[[Header], None]) -> None:
        """Tell whoever makes blocks of each new one that only has to be executed."""
        self._blocks.tell_coming = tell

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Catch up, import and pass on until cancelled. StorageError goes through: it stops the node."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._downloader.run)
            await nursery.start(self._blocks.run)
            nursery.start_soon(self._gossip.run)
            task_status.started()

    async def serve_peer(self, connection: Connection) -> None:
        """Everything with one peer, until it is gone or at fault (a ChainError, perhaps in a group)."""
        member = self._roster.add(connection)
        intake = self._transactions.serve(member)
        put, requests = trio.open_memory_channel[Request](REQUESTS_WAITING_MAX)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(intake.run)
                nursery.start_soon(self._answer, member, requests)
                self._gossip.greet(member, self._chain.head.ref)
                while True:
                    await self._receive(member, intake, put)
        finally:
            self._roster.remove(member)

    async def _receive(
        self, member: Member, intake: PeerIntake, requests: trio.MemorySendChannel[Request]
    ) -> None:
        message = await member.connection.receive()
        match message:
            case NewBlock():
                await self._blocks.take_block(member, message)
            case NewBlockHashes():
                self._blocks.take_announcement(member, message)
            case Transactions():
                intake.take_transactions(message.transactions)
            case NewPooledTransactionHashes():
                intake.take_announcement(message)
            case GetBlockHeaders() | GetBlockBodies() | GetReceipts() | GetPooledTransactions():
                try:
                    requests.send_nowait(message)
                except trio.WouldBlock:
                    member.connection.penalise(PENALTY_FLOOD, "more requests at once than are answered")
            case BlockHeaders() | BlockBodies() | PooledTransactions() | Receipts():
                raise AssertionError("answers go to those who asked")

    async def _answer(self, member: Member, requests: trio.MemoryReceiveChannel[Request]) -> None:
        async for request in requests:
            # Who asks faster than it reads waits for itself, instead of filling its queue with answers.
            await member.connection.wait_writable()
            if isinstance(request, GetPooledTransactions):
                member.connection.send(answer_pooled(self._pool.get, request))
                continue
            code, payload = await trio.to_thread.run_sync(
                self._encoded_answer, request, limiter=self._serving
            )
            member.connection.send_encoded(code, payload)

    def _encoded_answer(self, request: GetBlockHeaders | GetBlockBodies | GetReceipts) -> tuple[int, bytes]:
        """On a worker thread: read and encode."""
        match request:
            case GetBlockHeaders():
                return encode_message(answer_headers(self._chain, request))
            case GetBlockBodies():
                return encode_message(answer_bodies(self._chain, request))
            case GetReceipts():
                return encode_message(answer_receipts(self._chain, request))
