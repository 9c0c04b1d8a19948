"""Catching up, again and again: choose the best offer, follow it, remember who failed."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import trio

from consensus.fork_choice import Candidate
from consensus.headers import verify_header
from node.chain.reader import ChainReader
from node.primitives.block import BlockRef, Header
from node.primitives.ids import BlockNumber, Hash32
from node.sync.catch_up import CatchUp, Outcome
from node.sync.planner import Offer, choose_target
from node.sync.ports import Chain, Door, HeaderRules
from node.sync.roster import Member, Roster

RECHECK_S: Final = 2.0
"""Somebody's rest may be over, or our head may have moved, without anyone telling us."""
VERIFYING_THREADS: Final = 2

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SyncProgress:
    """How far a catch-up is, as eth_syncing tells it."""

    starting_block: BlockNumber
    current_block: BlockNumber
    highest_block: BlockNumber


GOSSIP_GRACE_S: Final = 1.0
"""A better chain is only asked for when gossip has not brought it by then: nearly every block comes so."""


class ChainHeaderRules:
    """HeaderRules over the real chain: the rules of every engine, and of this one."""

    def __init__(self, reader: ChainReader) -> None:
        self._reader = reader

    def state_after(self, header: Header) -> Any:
        """See HeaderRules."""
        return self._reader.engine_state(header.hash)

    def advance(self, state: Any, parent: Header, header: Header) -> Any:
        """See HeaderRules."""
        verify_header(self._reader.spec, parent, header)
        return self._reader.rules.advance(state, parent, header)


class Downloader:
    """Follows whoever has a better chain than ours."""

    def __init__(
        self,
        chain: Chain,
        door: Door,
        rules: HeaderRules,
        roster: Roster,
        announce: Callable[[BlockRef], None],
        is_coming: Callable[[Hash32], bool],
    ) -> None:
        """`announce` tells the other peers of the head that a catch-up has reached; `is_coming` knows the
        blocks that gossip has brought and that are being imported."""
        self._chain = chain
        self._announce = announce
        self._is_coming = is_coming
        self._door = door
        self._rules = rules
        self._roster = roster
        self._verifying = trio.CapacityLimiter(VERIFYING_THREADS)
        self._current: CatchUp | None = None

    @property
    def progress(self) -> SyncProgress | None:
        """How far the running catch-up is; None when none is running."""
        current = self._current
        if current is None:
            return None
        head = self._chain.head.number
        return SyncProgress(current.starting_number, head, max(head, current.target_number))

    @property
    def is_behind(self) -> bool:
        """Whether a peer that we may follow offers a better chain than ours."""
        return self._choose() is not None

    async def run(self) -> None:
        """Catch up whenever somebody offers more than we have; until cancelled."""
        while True:
            offer = self._choose()
            source = None if offer is None else self._roster.get(offer.peer)
            if offer is None or source is None:
                with trio.move_on_after(RECHECK_S):
                    await self._roster.wait_changed()
                continue
            await trio.sleep(GOSSIP_GRACE_S)
            if self._is_known(offer.head_hash) or self._roster.get(offer.peer) is not source:
                continue  # gossip was faster, as it is while all goes well
            self._current = CatchUp(
                self._chain, self._door, self._rules, self._roster, source, self._verifying
            )
            try:
                outcome = await self._current.run()
            finally:
                current, self._current = self._current, None
            self._settle(source, current, outcome)

    def _choose(self) -> Offer | None:
        head = self._chain.head
        total_difficulty = self._chain.total_difficulty(head.hash)
        assert total_difficulty is not None
        return choose_target(
            self._roster.offers(trio.current_time()),
            self._is_known,
            Candidate(ref=head.ref, total_difficulty=total_difficulty),
            self._chain.spec.engine.fork_choice,
        )

    def _is_known(self, block_hash: Hash32) -> bool:
        return self._chain.header(block_hash) is not None or self._is_coming(block_hash)

    def _settle(self, source: Member, current: CatchUp, outcome: Outcome) -> None:
        words = {"peer": source.connection, "head": self._chain.head.ref, "blocks": current.imported}
        if outcome.finished and current.imported:
            source.failures = 0
            self._announce(self._chain.head.ref)
            log.info("caught up with a peer", extra=words)
            return
        log.info("a catch-up ended early: %s", outcome.words, extra=words)
        source.rest(trio.current_time())
        if outcome.penalty:
            source.connection.penalise(outcome.penalty, outcome.words)
