"""The parts of one node, opened in the order in which each may refuse."""

import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import trio

from consensus.clique.rules import CliqueRules
from node.app.archive import open_archive
from node.app.auditing import open_audit
from node.app.executor import make_executor, py_evm
from node.app.hangup import Hangup
from node.app.keys import refuse_exposed_secrets, refuse_lost_guard
from node.app.recording import recorded_refusals
from node.app.replica import Replica, has_workers, open_replica
from node.archive.writer import ArchiveWriter
from node.audit.log import AuditLog
from node.audit.trail import AuditTrail, NoTrail
from node.chain.genesis_json import load_genesis
from node.chain.opening import Chain, open_chain
from node.chain.reader import ChainReader
from node.config import data_dir
from node.config.settings import Settings, StorageSettings
from node.execution.executor import Executor
from node.execution.on_demand import OnDemandExecutor
from node.observability.build import program_version
from node.observability.metrics import Metrics
from node.permissioning.allowlist import AllowListFile
from node.permissioning.sending import PoolPermits
from node.primitives.chain_spec import ChainSpec
from node.primitives.errors import ConfigError
from node.primitives.ids import Address, Hash32
from node.production.auditor import Auditor
from node.signing.exclusive import held_exclusively
from node.signing.guard import GuardedSigner
from node.signing.opening import open_key
from node.signing.signer import DigestSigner
from node.storage.kv import KeyValue
from node.storage.leveldb import LevelDB
from node.storage.migrations import migrate
from node.storage.opening import open_database
from node.txpool.journal import Journal
from node.txpool.pool import TransactionPool

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """The parts of one node, open but not yet running."""

    settings: Settings
    kv: KeyValue
    chain: Chain
    executor: Executor
    pool: TransactionPool
    journal: Journal
    """Of transactions that our own clients sent."""
    signer: GuardedSigner | None
    auditor: Auditor | None
    metrics: Metrics
    replica: Replica | None
    """What only a read replica has."""
    members: AllowListFile | None
    """The members' file; None where the settings name none."""
    archive: ArchiveWriter | None
    """What only an archive node has."""
    audit: AuditLog | NoTrail
    """Where everybody leaves a record of what was done."""
    hangup: Hangup
    """For who reads files again at SIGHUP."""


async def open_node(settings: Settings, closing: AsyncExitStack, hangup: Hangup) -> Node:
    """Open what the settings name; `closing` closes it again. ConfigError, StorageError."""
    spec = load_genesis(settings.genesis)
    if has_workers(settings):
        # Every block is written with its state at once: what workers read is always a whole block.
        settings = replace(settings, storage=replace(settings.storage, state_layers_max=0))
    audit = await open_audit(settings, closing)
    signing_key = None
    if settings.role == "validator":
        refuse_exposed_secrets(settings)
        closing.enter_context(held_exclusively(settings.signing))
        # It may ask the operator for a password, so it comes before all that is slow.
        known_token = data_dir.known_token_path(settings.data_dir)
        signing_key = await trio.to_thread.run_sync(open_key, settings.signing, known_token)
    kv = await _open_chain_database(settings, closing)
    executor = make_executor(settings)
    pools: list[TransactionPool] = []
    chain = await trio.to_thread.run_sync(
        _open_chain, settings, kv, spec, executor, lambda tx_hash: pools[0].known_sender(tx_hash)
    )
    closing.push_async_callback(_undisturbed, chain.importer.close)
    members = await _members(settings)
    pool, journal = _open_pool(settings, chain, members, audit, closing)
    pools.append(pool)
    return Node(
        settings=settings,
        kv=kv,
        chain=chain,
        executor=executor,
        pool=pool,
        journal=journal,
        signer=await _guarded(signing_key, chain.reader, settings, closing),
        auditor=_auditor(settings, chain, executor),
        metrics=Metrics(program_version(), settings.role),
        replica=await open_replica(settings, chain, executor, closing),
        members=members,
        hangup=hangup,
        archive=await open_archive(settings, kv, chain.reader, closing),
        audit=audit,
    )


def _open_pool(
    settings: Settings,
    chain: Chain,
    members: AllowListFile | None,
    audit: AuditTrail,
    closing: AsyncExitStack,
) -> tuple[TransactionPool, Journal]:
    """The pool at the head, with what its journal held."""
    journal = Journal(data_dir.journal_path(settings.data_dir))
    closing.callback(journal.close)
    reader, head = chain.reader, chain.reader.head
    permits = PoolPermits(chain, members)
    pool = TransactionPool(
        settings.pool,
        reader.spec,
        head,
        reader.state_at(head.hash),
        journal=journal,
        permit=recorded_refusals(permits, audit),
        organisation=permits.organisation,
    )
    restored = pool.restore(journal.open())
    log.info("chain is open", extra={"head": head.ref, "chain_id": reader.spec.chain_id, "journal": restored})
    return pool, journal


async def _members(settings: Settings) -> AllowListFile | None:
    path = settings.permissioning.file
    return None if path is None else await trio.to_thread.run_sync(AllowListFile, path)


def _open_chain(
    settings: Settings,
    kv: KeyValue,
    spec: ChainSpec,
    executor: Executor,
    known_sender: Callable[[Hash32], Address | None],
) -> Chain:
    rules = CliqueRules(spec.engine)
    chain = open_chain(kv, spec, rules, executor, settings.storage, known_sender=known_sender)
    if settings.role == "archive" and chain.state.oldest > chain.reader.genesis.number:
        raise ConfigError(
            [
                'role is "archive", but this database has forgotten the states before block '
                f"#{chain.state.oldest}: it was run with another role. Name an empty data_dir; peers, or "
                "`phoenix archive import`, fill it"
            ]
        )
    return chain


async def _guarded(
    key: DigestSigner | None, reader: ChainReader, settings: Settings, closing: AsyncExitStack
) -> GuardedSigner | None:
    if key is None:
        return None
    refuse_lost_guard(settings.data_dir, reader, key.address)
    # A database of its own: who syncs the chain anew must not forget what the key has signed.
    guard = await _open_database(data_dir.guard_path(settings.data_dir), settings.storage, closing)
    return GuardedSigner(key, guard, reader.spec.chain_id, settings.signing.guard_rule)


def _auditor(settings: Settings, chain: Chain, executor: Executor) -> Auditor | None:
    if settings.execution.audit == "off":
        return None
    theirs = OnDemandExecutor("py-evm", py_evm)
    return Auditor(chain.reader, executor, theirs, settings.execution.audit_share)


async def _open_chain_database(settings: Settings, closing: AsyncExitStack) -> KeyValue:
    open_it = partial(open_database, settings.data_dir, settings.storage, shared=has_workers(settings))
    kv, notices = await trio.to_thread.run_sync(open_it)
    closing.callback(kv.close)
    for notice in (*notices, *await trio.to_thread.run_sync(migrate, kv)):
        log.warning(notice)
    return kv


async def _open_database(path: Path, settings: StorageSettings, closing: AsyncExitStack) -> KeyValue:
    kv = await trio.to_thread.run_sync(LevelDB.open, path, settings)
    closing.callback(kv.close)
    for notice in (*kv.notices, *await trio.to_thread.run_sync(migrate, kv)):
        log.warning(notice, extra={"path": path})
    return kv


async def _undisturbed(close: Callable[[], Awaitable[None]]) -> None:
    """Finish what must be finished although the node is being cancelled."""
    with trio.CancelScope(shield=True):
        await close()
