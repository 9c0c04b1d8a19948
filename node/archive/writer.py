"""Finished blocks into files, continuously, beside a running node: write, store elsewhere, anchor.

Three tasks that do not wait for one another's trouble: a store that is down holds up no file, and a contract
that is not there yet holds up no copy. Each goes on from what the disk, the store and the chain say is done,
so a crash at any moment loses nothing and repeats at most the last step. A file is due when enough blocks lie
on it; what failed is said in the log once, shown by `problems` as long as it lasts, and tried again.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import trio

from node.archive.anchor import Anchors
from node.archive.blocks import FileMaker, History
from node.archive.errors import ArchiveFailed, BadFile
from node.archive.files import ArchivedFile, ArchiveDirectory
from node.archive.objects import ObjectStore
from node.config.settings import ArchiveSettings
from node.primitives.crypto import PrivateKey
from node.primitives.ids import BlockNumber

log = logging.getLogger(__name__)

Result = TypeVar("Result")


@dataclass(slots=True)
class ArchiveStatistics:
    """What is done; the files of earlier runs count too."""

    files: int = 0
    last_block: BlockNumber = -1
    """Of the last finished file; -1 without any."""
    size_bytes: int = 0
    stored: int = 0
    """Files in the other store."""
    anchored: int = 0
    """Files whose hash is on the chain."""
    failures: int = 0
    """Attempts of any kind that failed."""


class ArchiveWriter:
    """`run` until cancelled."""

    def __init__(
        self,
        history: History,
        directory: ArchiveDirectory,
        key: PrivateKey,
        settings: ArchiveSettings,
        *,
        store: ObjectStore | None = None,
        anchors: Anchors | None = None,
    ) -> None:
        """`key` signs manifests."""
        self.statistics = ArchiveStatistics()
        self.problems: dict[str, str] = {}
        """What does not work at the moment, by task."""
        self._history = history
        self._directory = directory
        self._key = key
        self._settings = settings
        self._store = store
        self._anchors = anchors
        self._files: list[ArchivedFile] = []
        self._stored: set[str] | None = None
        # One thread of ours at a time: archiving must not crowd out what clients wait for.
        self._limiter = trio.CapacityLimiter(1)
        self._network = trio.CapacityLimiter(2)

    @property
    def problem(self) -> str | None:
        """What does not work, in one line; None when all does."""
        return "; ".join(f"{task}: {text}" for task, text in self.problems.items()) or None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Write, store and anchor until cancelled. StorageError when the chain's own disk fails."""
        async with trio.open_nursery() as nursery:
            task_status.started()
            await self._until_done("opening the archive", self._open)
            nursery.start_soon(self._repeat, "writing files", self._write_next)
            if self._store is not None:
                nursery.start_soon(self._repeat, "storing files", self._store_next)
            if self._anchors is not None:
                nursery.start_soon(self._repeat, "anchoring files", self._anchor_next)

    # --- the tasks; each does one step, and says whether another may be due

    async def _open(self) -> bool:
        await self._in_thread(self._directory.prepare)
        self._files = await self._in_thread(self._directory.files)
        expected, genesis = 0, self._history.genesis.hash
        for file in self._files:
            manifest = file.manifest
            if manifest.first.number != expected or manifest.genesis != genesis:
                raise ArchiveFailed(
                    f"{file.path} begins at block #{manifest.first.number} of another chain or out of place: "
                    f"#{expected} of this one is next; name an empty archive.directory, or bring the missing "
                    "file back"
                )
            expected = manifest.last.number + 1
        self._count()
        return False

    async def _write_next(self) -> bool:
        first = self._files[-1].manifest.last.number + 1 if self._files else 0
        size = self._settings.blocks_per_file
        last = first - first % size + size - 1
        if not await self._in_thread(partial(self._is_due, last)):
            return False
        file = await self._make(first, last)
        self._files.append(file)
        self._count()
        log.info("archived", extra={"file": file.path.name, "blocks": file.manifest.blocks})
        return True

    def _is_due(self, last: BlockNumber) -> bool:
        history, head = self._history, self._history.head
        if self._files and history.hash_at(self._files[-1].manifest.last.number) != (
            self._files[-1].manifest.last.hash
        ):
            name = self._files[-1].path.name
            raise ArchiveFailed(
                f"{name} holds blocks that the chain has left, deeper than archive.final_depth_blocks = "
                f"{self._settings.final_depth_blocks}; move it and its manifest away, and it is made anew"
            )
        if head.number - last < self._settings.final_depth_blocks:
            return False
        return head.number - last >= len(history.clique_after(history.header(head.number)).signers)

    async def _make(self, first: BlockNumber, last: BlockNumber) -> ArchivedFile:
        maker = await self._in_thread(lambda: FileMaker(self._history, first, last, self._directory))
        try:
            while not await self._in_thread(maker.step):
                pass
            return await self._in_thread(lambda: maker.finish(self._key, self._settings.blocks_per_file))
        except BaseException:
            maker.abandon()
            raise

    async def _store_next(self) -> bool:
        store = self._store
        assert store is not None
        if self._stored is None:
            self._stored = await self._over_network(store.names)
        try:
            for number, file in enumerate(self._files):
                if file.manifest_path.name not in self._stored:
                    await self._over_network(partial(store.put_archived, file))
                    self._stored |= {file.path.name, file.manifest_path.name}
                if file.anchor_path.name not in self._stored and file.anchor_path.exists():
                    await self._over_network(partial(store.put, file.anchor_path))
                    self._stored.add(file.anchor_path.name)
                self.statistics.stored = max(self.statistics.stored, number + 1)
        except ArchiveFailed:
            self._stored = None
            raise
        return False

    async def _anchor_next(self) -> bool:
        anchors, files = self._anchors, self._files
        assert anchors is not None
        count = await self._over_network(anchors.count)
        for number in range(min(count, len(files))):
            if not files[number].anchor_path.exists():
                await self._over_network(partial(anchors.check, files, number))
                receipt = anchors.receipt(files, number)
                await self._in_thread(partial(self._directory.put, files[number].anchor_path, receipt))
        self.statistics.anchored = min(count, len(files))
        if count >= len(files):
            return False
        await self._over_network(partial(anchors.anchor, list(files), count))
        log.info("anchored", extra={"file": files[count].path.name, "anchor": count})
        return True

    # --- around them

    async def _repeat(self, task: str, step: Callable[[], Awaitable[bool]]) -> None:
        while True:
            await self._until_done(task, step)
            await trio.sleep(self._settings.poll_s)

    async def _until_done(self, task: str, step: Callable[[], Awaitable[bool]]) -> None:
        """Steps until none is due; trouble is told and waited out."""
        again = True
        while again:
            try:
                again = await step()
                if self.problems.pop(task, None):
                    log.info("goes on", extra={"task": task})
            except (ArchiveFailed, BadFile, OSError) as error:
                self.statistics.failures += 1
                # Told once: the same trouble comes with another block number at each attempt.
                if _without_digits(self.problems.get(task, "")) != _without_digits(str(error)):
                    log.warning("%s: %s", task, error)
                self.problems[task] = str(error)
                await trio.sleep(self._settings.poll_s)

    async def _in_thread(self, deed: Callable[[], Result]) -> Result:
        return await trio.to_thread.run_sync(deed, limiter=self._limiter)

    async def _over_network(self, deed: Callable[[], Result]) -> Result:
        # Left behind when the node stops: neither side is harmed, and it may take minutes.
        return await trio.to_thread.run_sync(deed, limiter=self._network, abandon_on_cancel=True)

    def _count(self) -> None:
        files = self._files
        self.statistics.files = len(files)
        self.statistics.last_block = files[-1].manifest.last.number if files else -1
        self.statistics.size_bytes = sum(file.manifest.size_bytes for file in files)


def _without_digits(text: str) -> str:
    return "".join(character for character in text if not character.isdigit())
