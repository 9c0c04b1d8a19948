"""Several upstreams: the best one is asked first, the next one when it fails, and one that lies never again.

Two kinds of failing, kept apart. A *fault* (no answer, too late, too large, held back) proves nothing: the
upstream rests for a while and is asked last. A *lie* is an answer that contradicts a verified header, a rule
of the chain or itself: the upstream is dropped until the operator starts the client again, what it was asked
and what it answered is written down as evidence, and the log says so.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from consensus.errors import FutureBlock
from node.light.errors import NothingProved, UpstreamFault, UpstreamRefusal
from node.light.provider import Provider
from node.primitives.errors import ChainError

REST_S: Final = 1.0
REST_S_MAX: Final = 30.0
"""After a fault; doubled with each that follows."""
EVIDENCE_FILES_MAX: Final = 32
LAG_BLOCKS: Final = 3
"""An upstream whose head is further behind is asked last."""
LATENCY_SHARE: Final = 0.2
LATENCY_S_MAX: Final = 1.0
"""Verifying many headers is no fault of whoever gave them."""

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Lie:
    """What an upstream was caught at."""

    upstream: str
    unix_time: float
    what: str
    """What it was asked for, in words."""
    reason: str
    question: bytes
    answer: bytes


@dataclass(slots=True)
class Source:
    """One upstream and what we think of it."""

    provider: Provider
    head_number: int = -1
    latency_s: float = 0.0
    faults: int = 0
    """In a row."""
    rests_until: float = 0.0
    dropped: str | None = None
    """Why it is asked no more."""
    last_fault: str | None = None

    @property
    def name(self) -> str:
        """For reports."""
        return self.provider.name


@dataclass(slots=True)
class Upstreams:
    """All of them. Any thread."""

    sources: Sequence[Source]
    evidence_folder: Path | None = None
    unix_time: Callable[[], float] = time.time
    clock: Callable[[], float] = time.monotonic
    lies: list[Lie] = field(default_factory=list)
    on_lie: Callable[[str], None] = lambda name: None
    """Told the name of an upstream that was dropped."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def live(self) -> list[Source]:
        """Those that have not lied, the most promising first."""
        best = max((source.head_number for source in self.sources if source.dropped is None), default=-1)
        now = self.clock()
        return sorted(
            (source for source in self.sources if source.dropped is None),
            key=lambda source: (
                source.rests_until > now,
                best - source.head_number > LAG_BLOCKS,
                source.latency_s,
            ),
        )

    def ask(self, what: str, claim: Callable[[Provider], T]) -> T:
        """What `claim` makes of the first upstream that gives something provable.

        `claim` asks the provider and proves the answer; its ChainError is the upstream's lie. NothingProved
        says of each upstream why its answer was not used; when all refuse, in the words of the last.
        """
        failures: list[str] = []
        refusal: UpstreamRefusal | None = None
        for source in self.live():
            try:
                return self.attempt(source, what, claim)
            except UpstreamRefusal as error:
                refusal = error
                failures.append(str(error))
            except (UpstreamFault, ChainError) as error:
                failures.append(f"{source.name}: {error}")
        if refusal is not None:
            raise refusal
        failures += [f"{each.name} was dropped: {each.dropped}" for each in self.sources if each.dropped]
        raise NothingProved(f"no upstream proves {what}: " + "; ".join(dict.fromkeys(failures)))

    def attempt(self, source: Source, what: str, claim: Callable[[Provider], T]) -> T:
        """Ask one; its fault or lie is noted and raised."""
        began = self.clock()
        try:
            found = claim(source.provider)
        except UpstreamFault as fault:
            self._note_fault(source, what, fault)
            raise
        except FutureBlock:
            raise  # a clock is wrong, and it may be ours
        except ChainError as lie:
            self.drop(source, what, str(lie))
            raise
        took_s = min(self.clock() - began, LATENCY_S_MAX)
        source.latency_s += (took_s - source.latency_s) * LATENCY_SHARE
        source.faults, source.rests_until, source.last_fault = 0, 0.0, None
        return found

    def drop(self, source: Source, what: str, reason: str) -> None:
        """Never ask it again, and keep the evidence."""
        question, answer = source.provider.last_exchange()
        lie = Lie(source.name, self.unix_time(), what, reason, question, answer)
        with self._lock:
            if source.dropped is not None:
                return
            source.dropped = reason
            self.lies.append(lie)
            number = len(self.lies)
        log.error(
            "an upstream lied and is dropped", extra={"upstream": source.name, "asked": what, "why": reason}
        )
        self.on_lie(source.name)
        if self.evidence_folder is not None and number <= EVIDENCE_FILES_MAX:
            _write_evidence(self.evidence_folder, lie)

    def close(self) -> None:
        """Hang up everywhere."""
        for source in self.sources:
            source.provider.close()

    def _note_fault(self, source: Source, what: str, fault: UpstreamFault) -> None:
        source.faults += 1
        source.rests_until = self.clock() + min(REST_S * 2.0 ** (source.faults - 1), REST_S_MAX)
        text = f"{type(fault).__name__}: {fault}"
        if source.last_fault is None:
            log.warning("an upstream fails", extra={"upstream": source.name, "asked": what, "why": text})
        source.last_fault = text


def _write_evidence(folder: Path, lie: Lie) -> None:
    fields = {
        "upstream": lie.upstream,
        "unixTime": lie.unix_time,
        "asked": lie.what,
        "reason": lie.reason,
        "request": lie.question.decode(errors="replace"),
        "answer": lie.answer.decode(errors="replace"),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / f"{int(lie.unix_time * 1000)}.json"
        path.write_text(json.dumps(fields, indent=2) + "\n")
    except OSError as error:
        log.warning("evidence could not be written", extra={"folder": folder, "why": str(error)})
