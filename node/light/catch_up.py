"""From what is trusted to an upstream's head: near, far, and far with an answer meanwhile.

near   fetch backwards from the head until a verified header is met, then verify forwards
far    verify forwards, batch by batch, from the verified header on; every seal, nothing left out
skip   meanwhile, show the head that a run of seals attests (verifier.attested): answers within a second of
       the start, while the headers between are verified in the background

Blocking; worker threads. What an upstream gets wrong is raised; `Upstreams.attempt` judges it.
"""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from consensus.clique.extra_data import listed_signers
from consensus.clique.rules import CliqueRules
from consensus.headers import verify_not_future
from consensus.validators import Validators
from node.light.chain import LIVE_BLOCKS, HeaderChain, HeadMoved
from node.light.errors import Inconsistent
from node.light.provider import Provider
from node.light.verifier import attested, verify_links
from node.primitives.block import Header

BATCH: Final = 192
"""Headers asked for at once."""
NEAR: Final = 256
"""A head no further away is fetched backwards."""
FIRST_STEP: Final = 8
RUN_MAX: Final = 512
"""Headers looked at for one attestation."""
HOPS_MAX: Final = 64
AUTHOR_THREADS: Final = 2
PROVISIONAL_EVERY_S: Final = 2.0
FIRST_ANSWERS_S: Final = 0.5
BETWEEN_BATCHES_S: Final = 0.005
"""Where answers can be given already, verification leaves the interpreter to them now and then."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Provisional:
    """A head attested by a run of seals, while the headers below it are still being verified."""

    run: tuple[Header, ...]
    """Linked, ascending; the last one is the head."""

    @property
    def head(self) -> Header:
        """What is shown."""
        return self.run[-1]


class Follower:
    """Brings upstreams' heads into the chain of verified headers."""

    def __init__(
        self,
        chain: HeaderChain,
        rules: CliqueRules,
        epoch_blocks: int,
        *,
        trust_period_s: float,
        unix_time: Callable[[], float],
        clock: Callable[[], float],
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._chain, self._rules, self._epoch_blocks = chain, rules, epoch_blocks
        self._trust_period_s = trust_period_s
        self._unix_time, self._clock, self._pause = unix_time, clock, pause
        self.on_move: Callable[[HeadMoved], None] = lambda moved: None
        """Told of every change of the shown head, in the thread that made it."""
        self._verifying = threading.Lock()
        self._authors = ThreadPoolExecutor(AUTHOR_THREADS, "light-seals")
        self.provisional: Provisional | None = None
        self.target = 0
        """The highest head that an upstream has told of."""

    def follow(self, provider: Provider) -> int:
        """Take in the provider's head; its number."""
        head = provider.head()
        verify_not_future(head, self._unix_time())
        self.target = max(self.target, head.number)
        if self._chain.trusted(head.hash) is None:
            if head.number - self._chain.best_tip().header.number > NEAR:
                self._far(provider, head)
                return head.number
            self._near(provider, head)
        self._chain.vote(provider.name, head.hash)
        self._move()
        return head.number

    def close(self) -> None:
        """Let the threads go."""
        self._authors.shutdown(wait=False)

    # --- near

    def _near(self, provider: Provider, head: Header) -> None:
        headers, step = [head], FIRST_STEP
        while self._chain.trusted(headers[0].parent_hash) is None:
            low = headers[0].number
            first = max(low - step, self._chain.floor)
            if first >= low or len(headers) > LIVE_BLOCKS + NEAR:
                raise Inconsistent(
                    f"its chain ({head.ref}) leaves ours below block {first}: too deep to be followed"
                )
            older = provider.headers(first, low - first)
            verify_links([*older, headers[0]])
            headers[:0] = older
            step *= 2
            while len(headers) > 1 and self._chain.trusted(headers[0].hash) is not None:
                del headers[0]
        self._recover(headers)
        self._chain.extend(headers)

    # --- far

    def _far(self, provider: Provider, head: Header) -> None:
        shown = self.provisional
        self._skip(provider, head)
        if shown is None and self.provisional is not None:
            self._pause(FIRST_ANSWERS_S)
        if not self._verifying.acquire(blocking=False):
            return  # another upstream is at it already
        try:
            self._verify_up_to(provider, head)
        finally:
            self._verifying.release()

    def _verify_up_to(self, provider: Provider, head: Header) -> None:
        at = self._fork_point(provider)
        shown_s = self._clock()
        while head.number - at > NEAR // 2:
            headers = provider.headers(at + 1, min(BATCH, head.number - at))
            verify_links(headers)
            if self._chain.trusted(headers[0].parent_hash) is None:
                raise Inconsistent(f"header {headers[0].ref} does not follow what it gave before")
            self._recover(headers)
            self._chain.extend(headers)
            self._move()
            at = headers[-1].number
            if self.provisional is not None:
                self._pause(BETWEEN_BATCHES_S)
            if self._clock() - shown_s > PROVISIONAL_EVERY_S:
                head = provider.head()
                self._skip(provider, head)
                shown_s = self._clock()

    def _fork_point(self, provider: Provider) -> int:
        """The highest block that we both have: the head we stopped with may have been on a side branch."""
        tip = self._chain.best_tip().header
        back = 1
        while True:
            first = max(self._chain.floor, tip.number - back)
            headers = provider.headers(first, tip.number - first + 1)
            for header in reversed(headers):
                if self._chain.trusted(header.hash) is not None:
                    return header.number
            if first == self._chain.floor or back > LIVE_BLOCKS:
                raise Inconsistent(
                    f"its chain leaves ours below block {first}, where we stopped at {tip.ref}"
                )
            back *= 4

    def _recover(self, headers: list[Header]) -> None:
        """Recover all seals, on several cores: libsecp256k1 works without the interpreter's lock."""
        if len(headers) > FIRST_STEP:
            half = len(headers) // 2
            parts = [headers[:half], headers[half:]]
            list(self._authors.map(lambda part: [self._rules.author(header) for header in part], parts))

    def _move(self) -> None:
        moved = self._chain.move_head()
        if moved is None:
            return
        provisional = self.provisional
        if provisional is not None and self._chain.head.number >= provisional.head.number:
            if self._chain.hash_at(provisional.head.number) != provisional.head.hash:
                # More than half of the trusted signers have built on a header that is on no valid chain of
                # ours: either the network was reorganised deeply, or they are not to be trusted.
                log.error(
                    "the attested head is not on the verified chain", extra={"head": provisional.head.ref}
                )
            self.provisional = None
            log.info("all headers are verified", extra={"head": self._chain.head.ref})
        self.on_move(moved)

    # --- skip

    def _skip(self, provider: Provider, head: Header) -> None:
        """Show the head that a majority of the signers we trust attests, if there is one."""
        trusted = self._chain.best_tip()
        if self._unix_time() - trusted.header.timestamp > self._trust_period_s:
            return
        run = self._attested_run(provider, trusted.state.signers, head)
        if run is None:
            hopped = self._hop(provider, trusted.state.signers, trusted.header.number, head)
            run = None if hopped is None else self._attested_run(provider, hopped, head)
        if run is None:
            return
        shown = self.provisional
        if shown is None or run[-1].number > shown.head.number:
            self.provisional = Provisional(run)
            if shown is None:
                log.info("an attested head is shown while headers are verified", extra={"head": run[-1].ref})

    def _attested_run(
        self, provider: Provider, signers: Validators, head: Header
    ) -> tuple[Header, ...] | None:
        first = max(1, head.number - self._run_length(signers))
        run = [*provider.headers(first, head.number - first), head]
        verify_links(run)
        place = attested(signers, run, self._rules.author)
        return None if place is None else tuple(run[: place + 1])

    def _hop(self, provider: Provider, signers: Validators, at: int, head: Header) -> Validators | None:
        """Signers after the highest epoch header that chains of majorities lead to; bisection."""
        epoch = self._epoch_blocks
        low, high = at // epoch + 1, head.number // epoch
        found: Validators | None = None
        place = high
        for _ in range(HOPS_MAX):
            if low > high:
                break
            first = place * epoch
            count = min(self._run_length(signers), head.number - first + 1)
            run = provider.headers(first, count)
            verify_links(run)
            if attested(signers, run, self._rules.author) is None:
                high = place - 1
                place = (low + high) // 2
            else:
                signers = found = listed_signers(run[0])
                low, high = place + 1, head.number // epoch
                place = high
        return found

    def _run_length(self, signers: Validators) -> int:
        return min(RUN_MAX, 4 * len(signers) + 8)
