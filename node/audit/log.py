"""The audit log at work: callers queue, one thread writes, one fsync serves all who wait for it.

While the disk refuses, the log refuses too, tries again once a second, and then tells in a `log.gap` record
how many could not be written. The first records after that name the last one that was: the chain stays whole.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import trio

from node.audit.files import AuditFiles, Head, Torn
from node.audit.folding import Folding
from node.audit.records import Facts, Kind
from node.audit.trail import AuditUnavailable
from node.primitives.errors import StorageError

FLUSH_S: Final = 0.5
"""So long written records may wait for their fsync when nobody waits for it."""
GATHER_S: Final = 0.01
"""What comes so soon after a record that nobody waits for is written with it."""
RETRY_S: Final = 1.0
GAP_S: Final = 10.0
"""At most one log.gap in this time."""
QUEUE_MAX: Final = 16_384
BATCH_MAX: Final = 512
WARN_PERCENT: Final = 80
FILE_BYTES: Final = 16 << 20
LOCAL: Final = "local"
"""The actor of what this node does of itself."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class AuditStatistics:
    """Counted since the start of the process."""

    records: int = 0
    lost: int = 0
    """Could not be written, or not be queued."""


@dataclass(frozen=True, slots=True)
class _Entry:
    kind: Kind
    actor: str
    facts: Facts
    time_ms: int
    tell: Callable[[str | None], None] | None = None
    """Called in the writing thread once it is durable (None) or cannot be (why)."""


class AuditLog:
    """AuditTrail over files. Open it before and close it after all who use it."""

    def __init__(
        self,
        folder: Path,
        disk_bytes_max: int,
        file_bytes: int = FILE_BYTES,
        unix_time: Callable[[], float] = time.time,
    ) -> None:
        """StorageError when another process writes there."""
        self.folder = folder
        self.statistics = AuditStatistics()
        self._disk_bytes_max = disk_bytes_max
        self._unix_time = unix_time
        self._files = AuditFiles(folder, min(file_bytes, max(1, disk_bytes_max // 4)))
        self._folding = Folding()
        self._changed = threading.Condition()
        self._queue: deque[_Entry] = deque()
        self._closing = False
        self._failure: str | None = None
        self._untold = 0
        """Of the lost, those that no log.gap has told of yet."""
        self._tell_again_at = 0.0
        self._thread = threading.Thread(target=self._serve, name="audit-log", daemon=True)

    def open(self) -> Self:
        """Take up the log where it ended and begin to write; StorageError, OSError. Any thread."""
        torn = self._files.take_up()
        if torn is not None:
            self._tell_torn(torn)
        elif self._files.head.number == 0:
            self._queue.append(self._entry(Kind.LOG_OPENED, LOCAL, {"folder": str(self.folder)}))
        self._thread.start()
        return self

    def close(self) -> None:
        """Write what is queued and let the files go."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()
        self._files.close()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def head(self) -> Head:
        """The newest record."""
        return self._files.head

    @property
    def bytes_total(self) -> int:
        """What the folder takes up."""
        return self._files.bytes_total

    @property
    def problem(self) -> str | None:
        """What the operator must know, in one line."""
        if self._failure is not None:
            return f"the audit log cannot be written: {self._failure}"
        percent = self._percent()
        if percent >= WARN_PERCENT:
            return (
                f"the audit log fills {percent} % of audit.disk_bytes_max; move its oldest files away "
                "(`phoenix audit verify` first), or allow more"
            )
        return None

    # --- AuditTrail

    async def record(self, kind: Kind, actor: str, facts: Facts) -> None:
        """See the port."""
        token, answered, answers = trio.lowlevel.current_trio_token(), trio.Event(), list[str | None]()

        def tell(reason: str | None) -> None:
            answers.append(reason)
            with suppress(trio.RunFinishedError):  # then nobody is left to be told
                token.run_sync_soon(answered.set)

        self._put(self._entry(kind, actor, facts, tell))
        await answered.wait()
        if answers[0] is not None:
            raise AuditUnavailable(answers[0])

    def enter(self, kind: Kind, actor: str, facts: Facts) -> None:
        """See the port."""
        self._put(self._entry(kind, actor, facts))

    def note(self, kind: Kind, actor: str, facts: Facts) -> None:
        """See the port."""
        try:
            self._put(self._entry(kind, actor, facts))
        except AuditUnavailable:
            with self._changed:
                self._lose(1)

    def record_blocking(self, kind: Kind, actor: str, facts: Facts) -> None:
        """`record` for programs without an event loop."""
        told, answers = threading.Event(), list[str | None]()

        def tell(reason: str | None) -> None:
            answers.append(reason)
            told.set()

        self._put(self._entry(kind, actor, facts, tell))
        told.wait()
        if answers[0] is not None:
            raise AuditUnavailable(answers[0])

    # --- the callers' side

    def _entry(
        self, kind: Kind, actor: str, facts: Facts, tell: Callable[[str | None], None] | None = None
    ) -> _Entry:
        return _Entry(kind, actor, dict(facts), int(self._unix_time() * 1000), tell)

    def _put(self, entry: _Entry) -> None:
        with self._changed:
            if not self._folding.is_new(entry.kind, entry.actor, entry.facts, entry.time_ms / 1000):
                return
            reason = self._refusal(entry.kind)
            if reason is not None:
                raise AuditUnavailable(reason)
            self._queue.append(entry)
            if len(self._queue) == 1 or entry.tell is not None:
                self._changed.notify()

    def _refusal(self, kind: Kind) -> str | None:
        """Why a record of this kind cannot be taken now."""
        if self._failure is not None:
            return self._failure
        if self._closing:
            return "the node is stopping"
        if len(self._queue) >= QUEUE_MAX:
            return f"{QUEUE_MAX} records wait for the disk"
        if self._percent() >= kind.disk_percent:
            return (
                f"it fills {self._percent()} % of audit.disk_bytes_max ({self._disk_bytes_max}), and a "
                f"{kind.label} may use {kind.disk_percent} %; move its oldest files away"
            )
        return None

    def _percent(self) -> int:
        return 100 * self._files.bytes_total // self._disk_bytes_max

    def _lose(self, count: int) -> None:
        self.statistics.lost += count
        self._untold += count

    # --- the writing thread's side

    def _serve(self) -> None:
        flush_at: float | None = None
        while True:
            with self._changed:
                if not self._queue and not self._closing:
                    wait_s = RETRY_S if flush_at is None else max(0.0, flush_at - time.monotonic())
                    self._changed.wait(wait_s)
                if self._queue and not self._closing and all(entry.tell is None for entry in self._queue):
                    self._changed.wait(GATHER_S)
                self._fold(everything=self._closing)
                batch = [self._queue.popleft() for _ in range(min(BATCH_MAX, len(self._queue)))]
                closing = self._closing and not self._queue
            due = flush_at is not None and time.monotonic() >= flush_at
            durable = due or closing or any(entry.tell is not None for entry in batch)
            if self._write(batch, durable=durable):
                flush_at = None if durable else flush_at or (time.monotonic() + FLUSH_S if batch else None)
            elif not closing:
                time.sleep(RETRY_S)
            if closing:
                return

    def _fold(self, *, everything: bool) -> None:
        for actor, facts in self._folding.due(self._unix_time(), everything=everything):
            if self._refusal(Kind.REFUSALS_FOLDED) is None or everything:
                self._queue.append(self._entry(Kind.REFUSALS_FOLDED, actor, facts))
            else:
                times = facts["times"]
                assert isinstance(times, int)
                self._lose(times)

    def _write(self, batch: list[_Entry], *, durable: bool) -> bool:
        """Whether the disk took it; whoever waits is told."""
        reason: str | None = None
        try:
            self._write_all(batch, durable=durable)
        except (OSError, StorageError) as error:
            reason = str(error)
            if self._failure is None:
                log.error("the audit log cannot be written", extra={"reason": reason})
        with self._changed:
            if reason is None:
                self.statistics.records += len(batch)
            else:
                self._lose(len(batch))
            self._failure = reason
        for entry in batch:
            if entry.tell is not None:
                entry.tell(reason)
        return reason is None

    def _write_all(self, batch: list[_Entry], *, durable: bool) -> None:
        files = self._files
        if self._failure is not None:
            torn = files.take_up()
            if torn is not None:
                self._tell_torn(torn)
        elif self._percent() >= WARN_PERCENT:
            files.measure()
        first = files.head.number + 1
        lines = []
        told = self._untold if self._may_tell_of_losses() else 0
        if told:
            facts: Facts = {"lost": told, "reason": self._failure or "there was no room"}
            lines.append(files.append(Kind.LOG_GAP, LOCAL, facts, int(self._unix_time() * 1000)))
        lines += [files.append(entry.kind, entry.actor, entry.facts, entry.time_ms) for entry in batch]
        if lines:
            files.write(first, lines, durable=durable or bool(told))
        elif durable:
            files.sync()
        with self._changed:
            self._untold -= told

    def _may_tell_of_losses(self) -> bool:
        """Not with every batch, and not when the disk is full: the count waits and loses nothing."""
        now = time.monotonic()
        if self._percent() >= Kind.LOG_GAP.disk_percent or (now < self._tell_again_at and not self._closing):
            return False
        self._tell_again_at = now + GAP_S
        return True

    def _tell_torn(self, torn: Torn) -> None:
        facts: Facts = {
            "file": torn.file,
            "bytes": torn.bytes,
            "whole_lines": torn.whole_lines,
            "kept_in": torn.kept_in,
        }
        log.warning("the end of the audit log was torn and has been cut off", extra=dict(facts))
        with self._changed:
            self._queue.appendleft(self._entry(Kind.LOG_TORN, LOCAL, facts))
