"""One catch-up with one peer: ancestor, headers, bodies, import; after it the best peer is chosen anew.

Headers come from the source, because they must link, and are verified with their seals before a body is asked
for. Bodies come from everybody. The importer takes runs in order while more is fetched. What is lost when a
catch-up ends early is one window of headers: the next one begins at the head that was reached.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import trio

from node.chain.errors import InvalidBlock
from node.primitives.block import Header
from node.primitives.errors import ChainError
from node.primitives.ids import BlockNumber, Hash32
from node.sync.planner import (
    ASK_AGAIN_AFTER_S,
    HEADERS_PER_REQUEST,
    AncestorSearch,
    Window,
    match_bodies,
)
from node.sync.ports import Chain, Door, HeaderRules, PeerId
from node.sync.roster import Member, Roster
from p2p.errors import PENALTY_BAN, PeerGone, PeerTimeout
from p2p.eth.messages import GetBlockBodies, GetBlockHeaders

CATCH_UP_BLOCKS_MAX: Final = 4_096
"""After so many blocks the best peer is chosen anew: a long but light chain cannot hold us for hours."""
STALL_S: Final = 30.0
"""Without a header, a body or a block for so long, the source is given up."""
SHORT_ANSWERS_MAX: Final = 3
TIMEOUTS_MAX: Final = 3
PENALTY_SLOW: Final = 10.0
PENALTY_EMPTY_PROMISE: Final = 25.0
"""For an offer that the peer does not deliver."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a catch-up ended."""

    words: str
    finished: bool = False
    """The source's chain, or CATCH_UP_BLOCKS_MAX of it, is imported."""
    penalty: float = 0.0
    """What it costs the source."""


class SourceFailed(ChainError):
    """The source is given up."""

    def __init__(self, words: str, penalty: float = 0.0) -> None:
        super().__init__(words)
        self.outcome = Outcome(words, penalty=penalty)


class CatchUp:
    """See the module. Run once."""

    def __init__(
        self,
        chain: Chain,
        door: Door,
        rules: HeaderRules,
        roster: Roster,
        source: Member,
        verifying: trio.CapacityLimiter,
    ) -> None:
        """`verifying` bounds the worker threads that check seals and bodies."""
        self._chain = chain
        self._door = door
        self._rules = rules
        self._roster = roster
        self._source = source
        self._verifying = verifying
        self._offered_hash = source.head_hash
        self._changed = trio.Event()
        self._scope = trio.CancelScope()
        self._outcome: Outcome | None = None
        self._headers_end: str | None = None
        self._is_importing = False
        self.imported = 0
        """Blocks imported so far."""
        self.starting_number: BlockNumber = chain.head.number
        """The common ancestor's number, once it is found."""
        self.target_number: BlockNumber = chain.head.number
        """The source's head, once it has shown it."""

    async def run(self) -> Outcome:
        """Until the source's chain is imported or the source fails. StorageError is raised."""
        try:
            ancestor = await self._find_ancestor()
        except SourceFailed as failure:
            return failure.outcome
        except (PeerTimeout, PeerGone) as error:
            return Outcome(str(error))
        self.starting_number = ancestor.number
        self._window = Window(ancestor)
        with self._scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._fetch_headers)
                nursery.start_soon(self._recruit, nursery)
                nursery.start_soon(self._import)
                nursery.start_soon(self._watch)
        assert self._outcome is not None
        return self._outcome

    # --- the ancestor

    async def _find_ancestor(self) -> Header:
        """The highest block of the source's chain that we have."""
        answer = await self._source.connection.request(GetBlockHeaders(0, self._offered_hash, 1))
        if not answer.headers:
            raise SourceFailed("the peer does not have the head it offered")
        (head,) = answer.headers
        if head.hash != self._offered_hash:
            raise SourceFailed("a header with another hash than was asked for", PENALTY_BAN)
        self.target_number = head.number
        search = AncestorSearch(self._chain.head.number, head.number)
        shared: dict[BlockNumber, Hash32] = {}
        while search.found is None:
            first, amount = search.question()
            headers = await self._headers_from(first, amount)
            if not headers:
                raise SourceFailed(f"the peer has no block #{first} below its head", PENALTY_EMPTY_PROMISE)
            known = [self._chain.header(header.hash) is not None for header in headers]
            shared.update((h.number, h.hash) for h, is_known in zip(headers, known, strict=True) if is_known)
            search.answer(known)
        block_hash = shared.get(search.found) or self._chain.canonical_hash(search.found)
        ancestor = None if block_hash is None else self._chain.header(block_hash)
        assert ancestor is not None, "a header that was known a moment ago"
        return ancestor

    async def _headers_from(self, first: BlockNumber, amount: int) -> tuple[Header, ...]:
        """Headers of the source's chain, checked to be those asked for and to link."""
        answer = await self._source.connection.request(GetBlockHeaders(0, first, amount))
        for place, header in enumerate(answer.headers):
            if header.number != first + place:
                raise SourceFailed(
                    f"header #{header.number} where #{first + place} was asked for", PENALTY_BAN
                )
            if place and header.parent_hash != answer.headers[place - 1].hash:
                raise SourceFailed(f"header #{header.number} does not link to the one before it", PENALTY_BAN)
        return answer.headers

    # --- headers

    async def _fetch_headers(self) -> None:
        try:
            await self._extend_window()
        except SourceFailed as failure:
            self._end(failure.outcome)
        except (PeerTimeout, PeerGone) as error:
            self._end(Outcome(str(error)))

    async def _extend_window(self) -> None:
        window, short_answers, taken = self._window, 0, 0
        state = await self._in_thread(self._rules.state_after, window.tip)
        while taken < CATCH_UP_BLOCKS_MAX:
            while window.room < HEADERS_PER_REQUEST:
                await self._changed.wait()
            headers = await self._headers_from(window.tip.number + 1, HEADERS_PER_REQUEST)
            if not headers:
                return self._finish_headers()
            if headers[0].parent_hash != window.tip.hash:
                raise SourceFailed("the peer has changed to another branch")
            try:
                state = await self._in_thread(self._verified, state, window.tip, headers)
            except ChainError as error:
                raise SourceFailed(f"an invalid header: {error}", PENALTY_BAN) from error
            window.extend(headers)
            taken += len(headers)
            self._notify()
            if len(headers) < HEADERS_PER_REQUEST and window.tip.number < self.target_number:
                short_answers += 1
                if short_answers == SHORT_ANSWERS_MAX:
                    raise SourceFailed("headers come in driblets", PENALTY_SLOW)
        return self._finish_headers()

    def _verified(self, state: Any, parent: Header, headers: Sequence[Header]) -> Any:
        """The engine's state after a run of headers, all of them valid; on a worker thread."""
        for header in headers:
            state = self._rules.advance(state, parent, header)
            parent = header
        return state

    def _finish_headers(self) -> None:
        """The source has no more headers, or has given enough for now."""
        window = self._window
        if window.tip.number < min(self.target_number, self.starting_number + CATCH_UP_BLOCKS_MAX):
            raise SourceFailed(
                f"the peer offered block #{self.target_number} and gives no more than #{window.tip.number}",
                PENALTY_EMPTY_PROMISE,
            )
        self._headers_end = f"the peer's chain is here up to #{window.tip.number}"
        self._notify()

    # --- bodies

    async def _recruit(self, nursery: trio.Nursery) -> None:
        """Have every member fetch bodies, those too that come while we are at it."""
        recruited: set[PeerId] = set()
        while True:
            for member in self._roster:
                if member.id not in recruited:
                    recruited.add(member.id)
                    nursery.start_soon(self._fetch_bodies, member)
            await self._roster.wait_changed()

    async def _fetch_bodies(self, member: Member) -> None:
        timeouts = 0
        while timeouts < TIMEOUTS_MAX:
            asked = self._window.take(member.id, trio.current_time())
            if not asked:
                # Not only news makes work: what others were asked for long ago may be asked again.
                with trio.move_on_after(ASK_AGAIN_AFTER_S):
                    await self._changed.wait()
                continue
            try:
                await self._fetch_some_bodies(member, asked)
            except PeerTimeout:
                timeouts += 1
            except PeerGone:
                break
            except ChainError as error:
                self._blame(member, str(error), PENALTY_BAN)
                return
            finally:
                self._window.give_back(member.id, asked)
                self._notify()
        self._blame(member, "bodies do not come", 0.0)

    async def _fetch_some_bodies(self, member: Member, asked: Sequence[Header]) -> None:
        request = GetBlockBodies(0, tuple(header.hash for header in asked))
        answer = await member.connection.request(request)
        matched = await self._in_thread(match_bodies, asked, answer.bodies)
        # Now, while earlier blocks execute: the importer will not have to wait for it.
        await self._door.recover_senders(tx for body in matched.values() for tx in body.transactions)
        self._window.deliver(member.id, asked, matched)
        if member is self._source and self._window.is_lacking(member.id):
            self._blame(member, "the peer withholds bodies of its own headers", PENALTY_EMPTY_PROMISE)

    def _blame(self, member: Member, words: str, penalty: float) -> None:
        """A member has failed: without the source there is no catch-up, others we can do without."""
        if member is self._source:
            self._end(Outcome(words, penalty=penalty))
        elif penalty:
            member.connection.penalise(penalty, words)

    # --- import

    async def _import(self) -> None:
        while True:
            run = self._window.importable()
            if not run:
                if self._headers_end is not None and not len(self._window):
                    return self._end(Outcome(self._headers_end, finished=True))
                await self._changed.wait()
                continue
            self._is_importing = True
            try:
                await self._door.import_run(run)
            except InvalidBlock as error:
                return self._end(Outcome(str(error), penalty=PENALTY_BAN))
            except ChainError as error:
                # Too old a branch, or time ahead of our clock: it may be nobody's fault.
                return self._end(Outcome(str(error)))
            finally:
                self._is_importing = False
            self._window.imported(len(run))
            self.imported += len(run)
            self._notify()

    # --- the whole

    async def _watch(self) -> None:
        """End a catch-up in which nothing moves."""
        before = None
        while True:
            now = (self._window.tip.number, self._window.bodies_taken, self.imported)
            if now == before and not self._is_importing:
                return self._end(Outcome(f"nothing came for {STALL_S:.0f} s", penalty=PENALTY_SLOW))
            before = now
            await trio.sleep(STALL_S)

    def _end(self, outcome: Outcome) -> None:
        """The first outcome counts."""
        if self._outcome is None:
            self._outcome = outcome
        self._scope.cancel()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def _in_thread(self, work: Any, *arguments: Any) -> Any:
        return await trio.to_thread.run_sync(work, *arguments, limiter=self._verifying)
