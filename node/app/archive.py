"""An archive node's second half: finished blocks into files, elsewhere, and their hashes onto the chain."""

import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import trio

from node.app.identity import load_identity
from node.archive.anchor import Anchors
from node.archive.blocks import History
from node.archive.errors import ArchiveFailed
from node.archive.files import ArchiveDirectory
from node.archive.objects import ObjectStore
from node.archive.writer import ArchiveWriter
from node.chain.reader import ChainReader
from node.config import data_dir
from node.config.settings import Settings
from node.observability.health import Check
from node.observability.metrics import Metrics
from node.primitives.ids import hex_of
from node.signing.keystore import unlock_key
from node.signing.passwords import find_password
from node.storage.kv import KeyValue


async def open_archive(
    settings: Settings, kv: KeyValue, reader: ChainReader, closing: AsyncExitStack
) -> ArchiveWriter | None:
    """What writes the files of an archive node, None for other roles. ConfigError."""
    if settings.role != "archive" or not settings.archive.write:
        return None
    store = await trio.to_thread.run_sync(_store, settings)
    if store is not None:
        closing.callback(store.close)
    directory = ArchiveDirectory(settings.archive.directory or data_dir.archive_path(settings.data_dir))
    return ArchiveWriter(
        History(kv, reader.spec),
        directory,
        load_identity(settings),
        settings.archive,
        store=store,
        anchors=await trio.to_thread.run_sync(_anchors, settings, reader),
    )


def observe_archive(writer: ArchiveWriter, metrics: Metrics) -> Check:
    """Publish how far the files are; the check says what does not work."""
    done = writer.statistics
    metrics.read_at_scrape("archive_files", "Finished archive files.", lambda: done.files)
    metrics.read_at_scrape("archive_last_block", "Last block in a finished file.", lambda: done.last_block)
    metrics.read_at_scrape("archive_bytes", "Size of all finished files.", lambda: done.size_bytes)
    metrics.read_at_scrape("archive_stored_files", "Files in the S3-compatible store.", lambda: done.stored)
    metrics.read_at_scrape("archive_anchored_files", "Files with their hash on chain.", lambda: done.anchored)
    metrics.read_at_scrape("archive_failures", "Attempts to archive that failed.", lambda: done.failures)
    return lambda: writer.problem


def _store(settings: Settings) -> ObjectStore | None:
    return None if settings.archive.s3_bucket is None else ObjectStore(settings.archive)


def _anchors(settings: Settings, reader: ChainReader) -> Anchors | None:
    archive = settings.archive
    if archive.anchor_keystore is None:
        return None
    key = unlock_key(archive.anchor_keystore, find_password(archive.anchor_password_file))
    host = "127.0.0.1" if settings.rpc.host in ("0.0.0.0", "::") else settings.rpc.host
    url = archive.anchor_rpc_url or f"http://{host}:{settings.rpc.port}"
    return Anchors(url, _contract(settings, reader), key)


def _contract(settings: Settings, reader: ChainReader) -> Callable[[], str]:
    """Where AuditLog is: stated, or noted in the registry once somebody has deployed the suite."""
    stated, registry = settings.archive.anchor_contract, settings.archive.anchor_registry
    chain = f"{reader.spec.chain_id}:{hex_of(reader.genesis.hash)}"

    def find() -> str:
        if stated is not None:
            return stated
        assert registry is not None
        return _registered(registry, chain)

    return find


def _registered(path: Path, chain: str) -> str:
    try:
        found = json.loads(path.read_text())
        if found["chain"] != chain:
            raise ArchiveFailed(f"{path} is about the chain {found['chain']}; this one is {chain}")
        return str(found["contracts"]["AuditLog"]["address"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArchiveFailed(
            f"{path} does not say where AuditLog is ({type(error).__name__}: {error}); deploying the "
            "contract suite writes it there"
        ) from error
