"""The light client as a whole: follows the heads of its upstreams, and answers from what it has verified.

`run` polls every upstream in a task of its own; the work is done in worker threads (`catch_up`).
"""

import logging
from collections import deque
from functools import partial
from typing import Final

import trio

from consensus.clique.rules import CliqueRules
from consensus.errors import FutureBlock
from node.light.catch_up import Follower
from node.light.chain import HeaderChain, HeadMoved
from node.light.errors import InvalidClaim, UpstreamFault
from node.light.provider import Provider
from node.light.reader import ProvedChain
from node.light.upstreams import Source, Upstreams
from node.primitives.block import Header
from node.primitives.chain_spec import ChainSpec
from node.primitives.errors import ChainError, RequestError

FIRST_HEAD_TIMEOUT_S: Final = 3.0
"""So long the start waits for a first upstream; then what is known is served."""
POLL_THREADS: Final = 8
MOVES_QUEUED: Final = 16
HEADERS_TOLD_MAX: Final = 32
"""Of one move: a long catch-up neither tells of every block nor keeps them for telling."""

log = logging.getLogger(__name__)


class LightClient(ProvedChain):
    """Verified headers, kept up with the network, and proved reads on top of them."""

    def __init__(
        self,
        spec: ChainSpec,
        rules: CliqueRules,
        genesis: Header,
        chain: HeaderChain,
        upstreams: Upstreams,
        follower: Follower,
        *,
        poll_interval_s: float,
        counts_from_genesis: bool = True,
    ) -> None:
        """See ProvedChain."""
        super().__init__(
            spec, rules, genesis, chain, upstreams, follower, counts_from_genesis=counts_from_genesis
        )
        self._poll_interval_s = poll_interval_s
        self._first = trio.Event()
        self._moves: deque[HeadMoved] = deque(maxlen=MOVES_QUEUED)
        self._moved = trio.Condition()
        self._greeted: set[str] = set()
        """Upstreams that have said that they serve this chain."""
        upstreams.on_lie = chain.unvote
        follower.on_move = self._note_move

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Follow the upstreams until cancelled; started after the first head, or a short wait for one."""
        limiter = trio.CapacityLimiter(POLL_THREADS)
        async with trio.open_nursery() as nursery:
            for source in self.upstreams.sources:
                nursery.start_soon(self._follow, source, limiter)
            with trio.move_on_after(FIRST_HEAD_TIMEOUT_S):
                await self._first.wait()
            task_status.started()

    async def next_move(self) -> HeadMoved:
        """The next change of the shown head; one consumer."""
        while not self._moves:
            async with self._moved:
                await self._moved.wait()
        return self._moves.popleft()

    def _note_move(self, moved: HeadMoved) -> None:
        """In the follower's thread."""
        removed, added = moved.removed[:HEADERS_TOLD_MAX], moved.added[-HEADERS_TOLD_MAX:]
        self._moves.append(HeadMoved(removed, added))

    async def _follow(self, source: Source, limiter: trio.CapacityLimiter) -> None:
        while source.dropped is None:
            await trio.to_thread.run_sync(partial(self.poll, source), limiter=limiter, abandon_on_cancel=True)
            async with self._moved:
                self._moved.notify_all()
            if self.head.number > self._began_at or source.head_number >= 0:
                self._first.set()
            await trio.sleep(max(self._poll_interval_s, source.rests_until - self.upstreams.clock()))

    def poll(self, source: Source) -> None:
        """Take in an upstream's head, once; its fault or lie is noted. Worker thread."""
        try:
            source.head_number = self.upstreams.attempt(source, "its head", self._look)
        except FutureBlock as error:
            log.warning("a head lies ahead of our clock", extra={"upstream": source.name, "why": str(error)})
        except (UpstreamFault, ChainError, RequestError) as error:
            log.debug("an upstream was not followed", extra={"upstream": source.name, "why": str(error)})

    def _look(self, provider: Provider) -> int:
        if provider.name not in self._greeted:
            chain_id = provider.chain_id()
            if chain_id != self.spec.chain_id:
                raise InvalidClaim(f"it serves chain {chain_id}, not {self.spec.chain_id}: the URL is wrong")
            self._greeted.add(provider.name)
        return self._follower.follow(provider)

    def close(self) -> None:
        """Hang up and let the file go."""
        self.upstreams.close()
        self._follower.close()
        self.chain.close()
