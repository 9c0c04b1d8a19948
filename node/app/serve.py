"""The services of a node, each a task of one nursery: an error in any ends all."""

import logging
from collections.abc import Sequence
from functools import partial
from typing import Final

import trio

from consensus.clique.engine import OUT_OF_TURN_LEAD_MS, SIGN_KIND, CliqueEngine
from node.app.anchoring import start_anchoring
from node.app.evidence import open_evidence
from node.app.identity import load_identity
from node.app.network import Network
from node.app.observe import count_blocks, observe
from node.app.parts import Node
from node.app.peering import Peering, TimelySigner
from node.app.permits import Permits
from node.app.recording import record_validators
from node.app.replica import has_workers, run_replica, with_index
from node.app.rights import ChainRights, record_rights
from node.app.rpc_service import RpcService
from node.backends.chain import node_backend
from node.chain.evidence import EvidenceBook
from node.observability.health import Check
from node.observability.loop_delay import LoopDelay
from node.production.auditor import AuditedSigner
from node.production.builder import BlockBuilder
from node.production.driver import Driver
from node.production.recovery import last_signed, standing_proposals
from node.rpc.backend import Backend
from node.signing.guard import GuardedSigner
from node.signing.lease_watch import lease_watch
from node.signing.recorded import RecordedSigner
from node.signing.signer import Signer
from node.sync.downloader import ChainHeaderRules
from node.sync.sync import Sync
from node.txpool.keeper import keep_pool

FIRST_PEER_S: Final = 2.0
"""So long a validator with peers to dial waits for one to tell it that it is behind; then it seals."""

log = logging.getLogger(__name__)


async def serve_node(node: Node, task_status: trio.TaskStatus[None]) -> None:
    """Run every service until cancelled; started once every port is bound."""
    settings, reader = node.settings, node.chain.reader
    sync = Sync(reader, node.chain.importer, node.pool, ChainHeaderRules(reader))
    evidence, permits, peering, network = _connected(node, sync)
    driver = None if node.signer is None else _driver(node, node.signer, sync, peering)
    lease = None if node.signer is None else lease_watch(settings.signing, node.signer)
    checks: list[Check] = [lambda: peering.problem]
    notices: list[Check] = [lambda: peering.clocks.warning]
    async with trio.open_nursery() as nursery:
        _start_onlookers(node, nursery)
        if node.auditor is not None:
            await nursery.start(node.auditor.run)
        interval_s = settings.pool.journal_interval_s
        keep = partial(keep_pool, node.pool, reader, journal=node.journal, interval_s=interval_s)
        await nursery.start(keep)
        await _start_second_half(node, nursery)
        await nursery.start(sync.run)
        await nursery.start(permits.run)
        nursery.start_soon(peering.run)
        await nursery.start(network.pool.run)
        if settings.rpc.enabled:
            backend = node_backend(
                node, network, sync, driver, permits=permits, peering=peering, evidence=evidence, lease=lease
            )
            told = await _serve_clients(node, with_index(backend, node.replica), nursery)
            checks += told[0]
            notices += told[1]
        if settings.observability.metrics_port is not None:
            await nursery.start(observe, node, network, driver, lease, checks, notices)
        if lease is not None:
            nursery.start_soon(lease.run)
        if driver is not None:
            nursery.start_soon(_seal, driver, sync, FIRST_PEER_S if settings.p2p.static_peers else 0.0)
        log.info(
            "node is running",
            extra={"node": settings.name, "role": settings.role, "enode": network.pool.enode_url},
        )
        task_status.started()


def _start_onlookers(node: Node, nursery: trio.Nursery) -> None:
    """What counts and records, and changes nothing."""
    nursery.start_soon(LoopDelay(node.metrics.loop_delay_seconds.observe).run)
    nursery.start_soon(count_blocks, node.chain.reader, node.metrics)
    nursery.start_soon(record_validators, node.chain.reader, node.audit)
    rights = ChainRights(node.chain, node.settings.permissioning.node_ingress)
    nursery.start_soon(record_rights, node.chain, rights, node.audit)


async def _start_second_half(node: Node, nursery: trio.Nursery) -> None:
    """What only replicas or archive nodes have."""
    if node.replica is not None:
        await nursery.start(run_replica, node.replica, node.pool, node.metrics)
    if node.archive is not None:
        await nursery.start(node.archive.run)


async def _serve_clients(
    node: Node, backend: Backend, nursery: trio.Nursery
) -> tuple[Sequence[Check], Sequence[Check]]:
    """Open the doors, or have worker processes do it; what health is to look at, and what to tell with it."""
    shared = has_workers(node.settings)
    rpc = RpcService(
        node.settings, backend, node.audit, node.metrics, is_public=not shared, hangup=node.hangup
    )
    await nursery.start(rpc.run)
    checks, notices = [*rpc.checks], list[Check]()
    if shared:
        # Only such a node needs what starting processes needs.
        from node.app.workers import Workers

        workers = Workers(node, rpc, backend.network)
        await nursery.start(workers.run)
        checks.append(workers.check)
        notices.append(workers.notice)
    checks += await start_anchoring(node, rpc.api.dispatcher, nursery)
    return checks, notices


def _connected(node: Node, sync: Sync) -> tuple[EvidenceBook, Permits, Peering, Network]:
    """Our place among the peers, with all that is exchanged there."""
    evidence, serve_peer = open_evidence(node, sync.serve_peer)
    key = load_identity(node.settings)
    permits = Permits(node, key.public_key)
    peering = Peering(node, key, permits)
    serve = peering.beside(serve_peer)
    network = Network(node.settings, key, node.chain.reader, serve, node.metrics, node.audit, permits)
    return evidence, permits, peering, network


def _driver(node: Node, signer: GuardedSigner, sync: Sync, peering: Peering) -> Driver:
    production, spec = node.settings.production, node.chain.reader.spec
    engine = CliqueEngine(
        spec.engine,
        signer.address,
        production.extra_vanity.encode().ljust(32, b"\0"),
        production.empty_blocks,
        standing_proposals(node.kv),
        out_of_turn_lead_ms=OUT_OF_TURN_LEAD_MS,
    )
    builder = BlockBuilder(
        node.chain.reader,
        node.chain.state,
        node.executor,
        production,
        permit=node.chain.account_rules.check if spec.account_permissioning else None,
    )
    driver = Driver(
        engine,
        reader=node.chain.reader,
        importer=node.chain.importer,
        builder=builder,
        pool=node.pool,
        signer=TimelySigner(_outer_signer(node, signer), peering.clocks),
        kv=node.kv,
        announce=sync.announce_block,
        last_signed=lambda: last_signed(signer.last(SIGN_KIND)),
    )
    sync.on_coming(driver.block_coming)
    return driver


def _outer_signer(node: Node, signer: GuardedSigner) -> Signer:
    """The guarded key, every use of it recorded; silent once two executors disagree."""
    recorded = RecordedSigner(signer, node.audit)
    return recorded if node.auditor is None else AuditedSigner(recorded, node.auditor)


async def _seal(driver: Driver, sync: Sync, first_peer_s: float) -> None:
    """Make blocks, but not on a head that the network has left behind."""
    await sync.wait_level(first_peer_s)
    await driver.run()
