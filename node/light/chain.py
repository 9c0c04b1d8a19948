"""Verified headers at hand: the newest as a tree, the window below as bytes, milestones below that.

Two different questions, kept apart:
- Is a header valid? Everything in here has passed `verifier.verify_next`.
- May it be shown as the head? Only when `witnesses` different upstreams have it on their chain, or when more
  than half of the signers have built on it (see verifier): a header with a valid seal may still stand on a
  state that no validator would accept, and then no honest upstream has it. Among those that may be shown the
  network's fork choice decides. What was shown once goes only by reorganisation.

All methods may be called from any thread; nothing here waits for anybody but the disk.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from consensus.clique.extra_data import seal_hash
from consensus.clique.rules import CliqueRules
from consensus.clique.snapshot import CliqueSnapshot
from consensus.fork_choice import Candidate, better
from node.light.trust import MILESTONE_EVERY, STATE_EVERY, Kept, Milestone, TrustFile, milestones_of
from node.light.verifier import Trusted, verify_next
from node.primitives.block import Header, decode_header, encode_header
from node.primitives.chain_spec import ChainSpec
from node.primitives.ids import Address, BlockNumber, Hash32

LIVE_BLOCKS: Final = 320
"""Depth below the head at which branches are forgotten: beyond any run of a network's signers."""


@dataclass(frozen=True, slots=True)
class HeadMoved:
    """The shown head changed."""

    removed: tuple[Header, ...]
    """Newest first."""
    added: tuple[Header, ...]
    """Oldest first."""


class HeaderChain:
    """All that the light client holds true."""

    def __init__(
        self,
        spec: ChainSpec,
        rules: CliqueRules,
        start: Callable[[], Trusted],
        file: TrustFile,
        *,
        tag: bytes,
        headers_kept: int,
        witnesses: int,
        unix_time: Callable[[], float],
    ) -> None:
        """Opens the file; where there is none, or it belongs to another checkpoint, begins with `start()`."""
        self._spec, self._rules, self._file = spec, rules, file
        self._tag, self._headers_kept, self._witnesses = tag, headers_kept, witnesses
        self._unix_time = unix_time
        self._lock = threading.RLock()
        self._live: dict[Hash32, Trusted] = {}
        self._tips: set[Hash32] = set()
        self._votes: dict[str, Hash32] = {}
        """The last head of each upstream, as far as it is verified."""
        self._window: dict[BlockNumber, bytes] = {}
        """Encoded headers of the shown chain from the anchor on."""
        self._numbers: dict[Hash32, BlockNumber] = {}
        self._milestones: dict[BlockNumber, Milestone] = {}
        self._states: dict[BlockNumber, Trusted] = {}
        """Trusted headers of the shown chain below the live ones: where the file may begin."""
        self._anchor: Trusted
        self._head: Trusted
        kept = file.open()
        if kept is not None and kept.tag == tag:
            self._restore(kept)
        else:
            self._begin(start())

    # --- reading

    @property
    def head(self) -> Header:
        """The head that is shown."""
        return self._head.header

    @property
    def head_state(self) -> CliqueSnapshot:
        """Who may seal on it."""
        return self._head.state

    @property
    def floor(self) -> BlockNumber:
        """The oldest header at hand."""
        return self._anchor.header.number

    def best_tip(self) -> Trusted:
        """The verified header that fork choice would prefer, shown or not."""
        with self._lock:
            best = self._head
            for tip in self._tips:
                if self._better(self._live[tip], best):
                    best = self._live[tip]
            return best

    def trusted(self, block_hash: Hash32) -> Trusted | None:
        """A recent verified header, of any branch."""
        return self._live.get(block_hash)

    def by_number(self, number: BlockNumber) -> Header | None:
        """A header of the shown chain, as far as it is at hand."""
        encoded = self._window.get(number)
        return None if encoded is None else decode_header(encoded)

    def by_hash(self, block_hash: Hash32) -> Header | None:
        """A header of the shown chain at hand. Not of branches: what is only verified may not be shown."""
        number = self._numbers.get(block_hash)
        return None if number is None else self.by_number(number)

    def hash_at(self, number: BlockNumber) -> Hash32 | None:
        """The hash of a shown header at hand, or of a milestone."""
        header = self.by_number(number)
        if header is not None:
            return header.hash
        milestone = self._milestones.get(number)
        return None if milestone is None else milestone.hash

    def known_above(self, number: BlockNumber) -> tuple[BlockNumber, Hash32, int]:
        """The lowest block from `number` up whose hash is known, with its total difficulty."""
        with self._lock:
            at = -(-number // MILESTONE_EVERY) * MILESTONE_EVERY
            while at < self.floor:
                milestone = self._milestones.get(at)
                if milestone is not None:
                    return at, milestone.hash, milestone.total_difficulty
                at += MILESTONE_EVERY
            anchor = self._anchor
            return anchor.header.number, anchor.header.hash, anchor.total_difficulty

    def total_difficulty_of(self, header: Header) -> int | None:
        """Of a verified header at hand."""
        found = self._live.get(header.hash)
        if found is not None:
            return found.total_difficulty
        with self._lock:
            if self._numbers.get(header.hash) is None:
                return None
            # From the lowest live header down: a window at most.
            *_, lowest = self._path()
            total = lowest.total_difficulty
            for number in range(lowest.header.number, header.number, -1):
                total -= decode_header(self._window[number]).difficulty
            return total

    def sealed_twice(self) -> list[tuple[Header, Header]]:
        """Pairs of recent valid headers that one signer has sealed at one height: one of them it must not."""
        first: dict[tuple[BlockNumber, Address], Header] = {}
        pairs = []
        for trusted in tuple(self._live.values()):
            if trusted.state.author is None:
                continue
            header = trusted.header
            other = first.setdefault((header.number, trusted.state.author), header)
            # The same seal in its other form makes another hash of the same header.
            if seal_hash(other) != seal_hash(header):
                pairs.append((other, header))
        return pairs

    # --- growing

    def extend(self, headers: Sequence[Header]) -> list[Trusted]:
        """Verify linked headers whose first one's parent is at hand, and hold them true. ChainError."""
        parent = self._live.get(headers[0].parent_hash)
        assert parent is not None, "whoever extends has looked for the parent"
        now, grown = self._unix_time(), []
        for header in headers:
            known = self._live.get(header.hash)
            parent = known or verify_next(self._spec, self._rules, parent, header, now)
            grown.append(parent)
        with self._lock:
            for trusted in grown:
                self._live[trusted.header.hash] = trusted
                self._tips.discard(trusted.header.parent_hash)
            self._tips.add(grown[-1].header.hash)
        return grown

    def vote(self, upstream: str, head: Hash32) -> None:
        """Note that an upstream has this verified header, and so all below it, on its chain."""
        self._votes[upstream] = head

    def unvote(self, upstream: str) -> None:
        """Forget what an upstream that lied has said."""
        self._votes.pop(upstream, None)

    def move_head(self) -> HeadMoved | None:
        """Show the best header that may be shown; durable on return."""
        with self._lock:
            best = self._head
            for candidate in self._showable():
                if self._better(candidate, best):
                    best = candidate
            if best is self._head:
                return None
            moved = self._moved(best)
            self._show(best, moved)
            return moved

    def close(self) -> None:
        """Let the file go."""
        self._file.close()

    # --- private

    def _better(self, one: Trusted, other: Trusted) -> bool:
        rule = self._spec.engine.fork_choice
        return better(_candidate(one), _candidate(other), rule)

    def _showable(self) -> Iterator[Trusted]:
        """The highest header on each branch that may be shown."""
        for tip in self._tips:
            authors = set()
            trusted: Trusted | None = self._live[tip]
            while trusted is not None and trusted.header.number > self.floor:
                if trusted.state.author is not None:
                    authors.add(trusted.state.author)
                if len(authors) >= trusted.state.signers.majority or self._witnessed(trusted):
                    yield trusted
                    break
                trusted = self._live.get(trusted.header.parent_hash)

    def _witnessed(self, trusted: Trusted) -> bool:
        return sum(self._descends(head, trusted) for head in self._votes.values()) >= self._witnesses

    def _descends(self, head: Hash32, ancestor: Trusted) -> bool:
        at = self._live.get(head)
        while at is not None and at.header.number > ancestor.header.number:
            at = self._live.get(at.header.parent_hash)
        return at is not None and at.header.hash == ancestor.header.hash

    def _moved(self, best: Trusted) -> HeadMoved:
        added: list[Header] = []
        at = best.header
        while self._numbers.get(at.hash) is None:
            added.append(at)
            parent = self._live.get(at.parent_hash)
            assert parent is not None, "a live branch hangs on the shown chain"
            at = parent.header
        removed = [
            header
            for number in range(self.head.number, at.number, -1)
            if (header := self.by_number(number)) is not None
        ]
        return HeadMoved(tuple(removed), tuple(reversed(added)))

    def _show(self, best: Trusted, moved: HeadMoved) -> None:
        base = self._anchor.header.number
        states = [
            (header.number - base, self._rules.encode_state(self._live[header.hash].state))
            for header in moved.added
            if header.number % STATE_EVERY == 0
        ]
        encoded = [encode_header(header) for header in moved.added]
        self._file.append(encoded, states)
        for header in moved.removed:
            self._window.pop(header.number, None)
            self._numbers.pop(header.hash, None)
        for header, raw in zip(moved.added, encoded, strict=True):
            self._window[header.number] = raw
            self._numbers[header.hash] = header.number
        self._head = best
        self._forget_old()
        if len(self._window) > 2 * self._headers_kept:
            self._compact()

    def _forget_old(self) -> None:
        """Branches that left the chain long ago, and what is only needed near the head."""
        oldest = self.head.number - LIVE_BLOCKS
        if len(self._live) <= LIVE_BLOCKS + LIVE_BLOCKS // 2:
            return
        old = [key for key, trusted in self._live.items() if trusted.header.number < oldest]
        for key in old:
            trusted = self._live.pop(key)
            self._tips.discard(key)
            if trusted.header.number % STATE_EVERY == 0 and self._numbers.get(key) is not None:
                self._states[trusted.header.number] = trusted

    def _compact(self) -> None:
        """Write the file anew from a header with a kept state on."""
        target = self.head.number - self._headers_kept
        number = max((each for each in self._states if each <= target), default=None)
        if number is None:
            return
        anchor = self._states[number]
        leaving: list[tuple[int, Milestone]] = []
        total = self._anchor.total_difficulty
        for at in range(self.floor, number):
            header = self.by_number(at)
            assert header is not None
            if at > self.floor:
                total += header.difficulty
            leaving.append((at, Milestone(header.hash, total)))
            del self._window[at]
            del self._numbers[header.hash]
        self._milestones |= milestones_of(leaving)
        self._states = {at: state for at, state in self._states.items() if at >= number}
        self._anchor = anchor
        self._file.write(self._kept())

    def _kept(self) -> Kept:
        base = self._anchor.header.number
        live = {each.header.number: each for each in self._path() if each.header.number % STATE_EVERY == 0}
        states = {
            number - base: self._rules.encode_state(trusted.state)
            for number, trusted in (self._states | live).items()
            if number > base
        }
        return Kept(
            self._tag,
            encode_header(self._anchor.header),
            self._rules.encode_state(self._anchor.state),
            self._anchor.total_difficulty,
            self._milestones,
            [self._window[number] for number in range(base + 1, self.head.number + 1)],
            states,
        )

    def _path(self) -> Iterator[Trusted]:
        """Live headers of the shown chain, newest first."""
        at: Trusted | None = self._head
        while at is not None:
            yield at
            at = self._live.get(at.header.parent_hash)

    def _begin(self, start: Trusted) -> None:
        self._anchor = self._head = start
        self._live[start.header.hash] = start
        self._tips.add(start.header.hash)
        self._window[start.header.number] = encode_header(start.header)
        self._numbers[start.header.hash] = start.header.number
        self._file.write(self._kept())

    def _restore(self, kept: Kept) -> None:
        """As it was: hashes and numbers for all, verified states from the last one written on."""
        header = decode_header(kept.anchor)
        anchor = Trusted(header, self._rules.decode_state(kept.anchor_state), kept.total_difficulty)
        self._anchor = anchor
        self._milestones = dict(kept.milestones)
        self._window[header.number], self._numbers[header.hash] = kept.anchor, header.number
        encoded = [kept.anchor, *kept.headers]
        live_from = max(0, len(encoded) - LIVE_BLOCKS)
        start = max((place for place in kept.states if place <= live_from), default=0)
        at, total = anchor, kept.total_difficulty
        for place, raw in enumerate(encoded):
            header = decode_header(raw)
            if place:
                total += header.difficulty
            self._window[header.number], self._numbers[header.hash] = raw, header.number
            if place in kept.states and place <= start:
                at = Trusted(header, self._rules.decode_state(kept.states[place]), total)
                self._states[header.number] = at
            elif place > start:
                # Verified before and kept under a checksum; verified again, because so little of it is cheap.
                at = verify_next(self._spec, self._rules, at, header, self._unix_time())
            if place >= start:
                self._live[header.hash] = at
        self._head = at
        self._tips.add(at.header.hash)


def _candidate(trusted: Trusted) -> Candidate:
    return Candidate(
        ref=trusted.header.ref,
        total_difficulty=trusted.total_difficulty,
        turn_distance=trusted.state.turn_distance,
    )
