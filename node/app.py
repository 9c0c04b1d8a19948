"""Composition root: Settings -> a running node. The only place, with `network`, where parts meet.

    open    databases, chain, pool, keys: each may refuse before anything is visible outside
    serve   each service a task of one nursery: an error in any ends all
    close   when all tasks are gone: state up to the head, journal, databases

A full node has everything but production and signing; a validator has all.
"""

import logging
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import trio

from consensus.clique.engine import SIGN_KIND, CliqueEngine
from consensus.clique.rules import CliqueRules
from node.backends.chain import node_backend
from node.chain.genesis_json import load_genesis
from node.chain.opening import Chain, open_chain
from node.chain.reader import ChainReader
from node.config import data_dir
from node.config.settings import Settings, StorageSettings
from node.execution.evm.executor import FastExecutor
from node.execution.executor import Executor
from node.execution.on_demand import OnDemandExecutor
from node.network import Network
from node.observability.build import program_version
from node.observability.health import Check, Health, head_age_check
from node.observability.listener import serve_observability
from node.observability.loop_delay import LoopDelay
from node.observability.metrics import Metrics
from node.production.auditor import AuditedSigner, Auditor
from node.production.builder import BlockBuilder
from node.production.driver import Driver
from node.production.recovery import last_signed, standing_proposals
from node.rpc.api import RpcApi
from node.rpc.server import serve_rpc
from node.signing.guard import GuardedSigner
from node.signing.opening import open_key
from node.signing.signer import DigestSigner
from node.state.commit import root_after
from node.storage.kv import KeyValue
from node.storage.leveldb import LevelDB
from node.storage.migrations import migrate
from node.sync.downloader import ChainHeaderRules
from node.sync.sync import Sync
from node.txpool.journal import Journal
from node.txpool.keeper import keep_pool
from node.txpool.pool import TransactionPool

FIRST_PEER_S: Final = 2.0
"""So long a validator waits for somebody to tell it that it is behind; then it seals."""
SWITCH_INTERVAL_S: Final = 0.0005
"""How long a worker thread keeps the interpreter while the event loop waits for it (CPython: 5 ms)."""
STALLED_PERIODS: Final = 20
"""The head may be this many block periods old, and at least `STALLED_S_LEAST`, before we are not ready."""
STALLED_S_LEAST: Final = 30.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Node:
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


async def run_node(
    settings: Settings, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Open a node, run it until cancelled, close it. Started once every port is bound.

    ConfigError, StorageError, OSError (a port that is taken) when it cannot be opened or goes on no longer.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    async with AsyncExitStack() as closing:
        node = await _open(settings, closing)
        await _serve(node, task_status)


async def _open(settings: Settings, closing: AsyncExitStack) -> _Node:
    spec = load_genesis(settings.genesis)
    signing_key = None
    if settings.role == "validator":
        # It may ask the operator for a password, so it comes before all that is slow.
        signing_key = await trio.to_thread.run_sync(open_key, settings.signing)
    kv = await _open_database(data_dir.database_path(settings.data_dir), settings.storage, closing)
    executor = _executor(settings)
    pools: list[TransactionPool] = []
    chain = await trio.to_thread.run_sync(
        lambda: open_chain(
            kv,
            spec,
            CliqueRules(spec.engine),
            executor,
            settings.storage,
            known_sender=lambda tx_hash: pools[0].known_sender(tx_hash),
        )
    )
    closing.push_async_callback(_undisturbed, chain.importer.close)
    journal = Journal(data_dir.journal_path(settings.data_dir))
    closing.callback(journal.close)
    head = chain.reader.head
    pool = TransactionPool(settings.pool, spec, head, chain.reader.state_at(head.hash), journal=journal)
    pools.append(pool)
    restored = pool.restore(journal.open())
    log.info("chain is open", extra={"head": head.ref, "chain_id": spec.chain_id, "journal": restored})
    signer = None
    if signing_key is not None:
        signer = await _guarded(signing_key, spec.chain_id, settings, closing)
    return _Node(
        settings=settings,
        kv=kv,
        chain=chain,
        executor=executor,
        pool=pool,
        journal=journal,
        signer=signer,
        auditor=_auditor(settings, chain, executor),
        metrics=Metrics(program_version(), settings.role),
    )


async def _guarded(
    key: DigestSigner, chain_id: int, settings: Settings, closing: AsyncExitStack
) -> GuardedSigner:
    # A database of its own: who syncs the chain anew must not forget what the key has signed.
    guard = await _open_database(data_dir.guard_path(settings.data_dir), settings.storage, closing)
    return GuardedSigner(key, guard, chain_id, settings.signing.guard_rule)


def _executor(settings: Settings) -> Executor:
    reference = OnDemandExecutor("py-evm", _py_evm)
    return FastExecutor(reference) if settings.execution.executor == "fast" else reference


def _auditor(settings: Settings, chain: Chain, executor: Executor) -> Auditor | None:
    if settings.execution.audit == "off":
        return None
    theirs = OnDemandExecutor("py-evm", _py_evm)
    return Auditor(chain.reader, executor, theirs, settings.execution.audit_share)


def _py_evm() -> Executor:
    from node.execution.py_evm import PyEvmExecutor

    return PyEvmExecutor(root_of=root_after)


async def _open_database(path: Path, settings: StorageSettings, closing: AsyncExitStack) -> KeyValue:
    kv = await trio.to_thread.run_sync(LevelDB.open, path, settings)
    closing.callback(kv.close)
    for notice in (*kv.notices, *await trio.to_thread.run_sync(migrate, kv)):
        log.warning(notice, extra={"path": path})
    return kv


async def _serve(node: _Node, task_status: trio.TaskStatus[None]) -> None:
    settings, reader, metrics = node.settings, node.chain.reader, node.metrics
    sync = Sync(reader, node.chain.importer, node.pool, ChainHeaderRules(reader))
    network = Network(settings, reader, sync.serve_peer, metrics)
    driver = None if node.signer is None else _driver(node, node.signer, sync)
    delay = LoopDelay(metrics.loop_delay_seconds.observe)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(delay.run)
        nursery.start_soon(_count_blocks, reader, metrics)
        if node.auditor is not None:
            await nursery.start(node.auditor.run)
        await nursery.start(
            partial(
                keep_pool,
                node.pool,
                reader,
                journal=node.journal,
                interval_s=settings.pool.journal_interval_s,
            )
        )
        await nursery.start(sync.run)
        await nursery.start(network.pool.run)
        if settings.rpc.enabled:
            backend = node_backend(node, network, sync, driver)
            await nursery.start(serve_rpc, settings.rpc, RpcApi(backend, settings.rpc))
        if settings.observability.metrics_port is not None:
            await nursery.start(_observe, node, network, driver)
        if driver is not None:
            nursery.start_soon(_seal, driver, sync)
        log.info(
            "node is running",
            extra={"node": settings.name, "role": settings.role, "enode": network.pool.enode_url},
        )
        task_status.started()


def _driver(node: _Node, signer: GuardedSigner, sync: Sync) -> Driver:
    production, spec = node.settings.production, node.chain.reader.spec
    engine = CliqueEngine(
        spec.engine,
        signer.address,
        production.extra_vanity.encode().ljust(32, b"\0"),
        production.empty_blocks,
        standing_proposals(node.kv),
    )
    builder = BlockBuilder(node.chain.reader, node.chain.state, node.executor, production)
    return Driver(
        engine,
        reader=node.chain.reader,
        importer=node.chain.importer,
        builder=builder,
        pool=node.pool,
        signer=signer if node.auditor is None else AuditedSigner(signer, node.auditor),
        kv=node.kv,
        announce=sync.announce_block,
        last_signed=last_signed(signer.last(SIGN_KIND)),
    )


async def _seal(driver: Driver, sync: Sync) -> None:
    """Make blocks, but not on a head that the network has left behind."""
    await sync.wait_level(FIRST_PEER_S)
    await driver.run()


async def _undisturbed(close: Callable[[], Awaitable[None]]) -> None:
    """Finish what must be finished although the node is being cancelled."""
    with trio.CancelScope(shield=True):
        await close()


async def _count_blocks(reader: ChainReader, metrics: Metrics) -> None:
    """Keep the counters that follow the chain."""
    while True:
        # The events cut off who falls behind; what was missed is then missing from the counters only.
        with reader.events.subscribe() as changes:
            async for change in changes:
                metrics.blocks_imported.inc(len(change.added))
                metrics.transactions_included.inc(sum(len(b.block.transactions) for b in change.added))
                metrics.gas_used.inc(sum(b.block.header.gas_used for b in change.added))
                if change.removed:
                    metrics.reorganisations.inc()
                    metrics.blocks_unwound.inc(len(change.removed))


async def _observe(
    node: _Node,
    network: Network,
    driver: Driver | None,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Publish the numbers that the parts keep themselves, and whether we are well."""
    reader, metrics, settings = node.chain.reader, node.metrics, node.settings.observability
    metrics.read_at_scrape("head_number", "Number of the head.", lambda: reader.head.number)
    metrics.read_at_scrape("head_timestamp", "Unix time of the head.", lambda: reader.head.timestamp)
    metrics.read_at_scrape("peers", "Connected peers.", lambda: len(network.pool.peers))
    metrics.read_at_scrape("pool_transactions", "Transactions waiting for a block.", lambda: len(node.pool))
    metrics.read_at_scrape(
        "import_busy_seconds",
        "Time spent verifying, executing and writing blocks.",
        lambda: node.chain.importer.statistics.busy_s,
    )
    ready = [
        head_age_check(
            lambda: reader.head.timestamp,
            time.time,
            max(STALLED_S_LEAST, STALLED_PERIODS * reader.spec.engine.period_s),
        )
    ]
    if node.auditor is not None:
        ready.append(_observe_audit(node.auditor, metrics))
    signer = node.signer
    if signer is not None:
        metrics.read_at_scrape(
            "guard_refusals", "Signatures that our guard refused.", lambda: signer.refusals
        )
    if driver is not None:
        metrics.read_at_scrape(
            "sealed_blocks", "Blocks sealed by this node.", lambda: driver.health.sealed_blocks
        )
        ready.append(lambda: driver.health.problem)
    assert settings.metrics_port is not None
    await serve_observability(
        settings.metrics_host,
        settings.metrics_port,
        metrics,
        Health(ready=ready),
        task_status=task_status,  # type: ignore[arg-type]
    )


def _observe_audit(auditor: Auditor, metrics: Metrics) -> Check:
    metrics.read_at_scrape(
        "audited_blocks", "Blocks executed a second time.", lambda: auditor.statistics.audited
    )
    return lambda: auditor.problem
