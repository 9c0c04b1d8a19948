"""A light client put together: no database, no peers, no pool; headers, upstreams and JSON-RPC.

Imports nothing that a light client does without (LevelDB, peers, signing), so that it fits where memory is
short.
"""

import dataclasses
import logging
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Final

import trio

from consensus.clique.rules import CliqueRules
from node.app.auditing import open_audit
from node.app.hangup import Hangup
from node.app.light_observe import observe_light
from node.app.memory import give_back, share_one_arena
from node.app.rpc_service import RpcService
from node.backends.light import light_backend, tell_moves
from node.chain.events import ChainEvents
from node.chain.genesis import genesis_block
from node.chain.genesis_json import load_genesis
from node.config import data_dir
from node.config.settings import LightSettings, Settings
from node.execution.evm.executor import FastExecutor
from node.light.catch_up import Follower
from node.light.chain import HeaderChain
from node.light.checkpoint import decode_checkpoint, verify_checkpoint
from node.light.client import LightClient
from node.light.errors import InvalidClaim, Withheld
from node.light.json_rpc import JsonRpc
from node.light.provider import Provider, RpcProvider
from node.light.trust import TrustFile
from node.light.upstreams import Source, Upstreams
from node.light.verifier import Trusted, state_at_epoch, verify_links
from node.observability.build import program_version
from node.observability.health import Check
from node.observability.metrics import Metrics
from node.primitives.block import Header
from node.primitives.chain_spec import ChainSpec
from node.primitives.errors import ChainError, ConfigError, RequestError
from node.primitives.ids import Address, Hash32
from node.rpc.backend import Backend

AUTHORS_REMEMBERED: Final = 1_024
"""Seals whose recovery is not done again: more than a branch has."""
TRIM_EVERY_S: Final = 10.0

log = logging.getLogger(__name__)


async def run_light(
    settings: Settings, closing: AsyncExitStack, hangup: Hangup, task_status: trio.TaskStatus[None]
) -> None:
    """Open a light client and serve it until cancelled; started once its port is bound."""
    share_one_arena()
    client = await trio.to_thread.run_sync(open_light, settings)
    closing.callback(client.close)
    audit = await open_audit(settings, closing)
    metrics = Metrics(program_version(), settings.role)
    events = ChainEvents()
    async with trio.open_nursery() as nursery:
        checks: Sequence[Check] = ()
        if settings.rpc.enabled:
            backend = light_backend(client, FastExecutor(None), events)
            backend = with_queries(backend, settings.light.contract_names)
            rpc = RpcService(settings, backend, audit, metrics, hangup=hangup)
            checks = rpc.checks
            await nursery.start(rpc.run)
        await nursery.start(client.run)
        nursery.start_soon(tell_moves, client, events)
        nursery.start_soon(_trim)
        if settings.observability.metrics_port is not None:
            await nursery.start(observe_light, client, metrics, checks, settings.observability)
        log.info("node is running", extra={"node": settings.name, "role": "light", "head": client.head.ref})
        task_status.started()


def with_queries(backend: Backend, contract_names: str | None) -> Backend:
    """The query API beside JSON-RPC, where the operator named the suite's address book."""
    if contract_names is None:
        return backend
    # The suite's interfaces and the types of answers: memory that only who asks for them pays.
    from node.backends.light_queries import LightQueries
    from node.backends.query_pages import QueryPages
    from node.replica.registry import DOOR

    assert backend.execution is not None
    queries = LightQueries(
        backend.chain,
        backend.state.state_at,
        backend.execution,
        Address(bytes.fromhex(contract_names[2:])),
        has_door=DOOR in backend.chain.spec.alloc,
        unix_time=time.time,
    )
    return dataclasses.replace(backend, pages=QueryPages(queries))


async def _trim() -> None:
    """Decoded headers and proofs come and go; a little system call keeps what is left of them small."""
    while True:
        await trio.sleep(TRIM_EVERY_S)
        await trio.to_thread.run_sync(give_back)


def open_light(settings: Settings) -> LightClient:
    """The parts of a light client; ConfigError for a checkpoint that is none. May ask upstreams."""
    return light_client(load_genesis(settings.genesis), settings.light, settings.data_dir)


def light_client(spec: ChainSpec, light: LightSettings, folder: Path) -> LightClient:
    """A light client of this network that keeps its headers below `folder`; see open_light."""
    rules = CliqueRules(spec.engine, AUTHORS_REMEMBERED)
    genesis = genesis_block(spec).header
    upstreams = Upstreams(_sources(light), data_dir.evidence_path(folder))
    start, tag = _start(light, spec, rules, genesis, upstreams)
    chain = HeaderChain(
        spec,
        rules,
        start,
        TrustFile(data_dir.light_path(folder)),
        tag=tag,
        headers_kept=light.headers_kept,
        witnesses=light.witnesses,
        unix_time=time.time,
    )
    log.info("headers are open", extra={"head": chain.head.ref, "floor": chain.floor})
    follower = Follower(
        chain,
        rules,
        spec.engine.epoch_blocks,
        trust_period_s=light.trust_period_s,
        unix_time=time.time,
        clock=time.monotonic,
    )
    return LightClient(
        spec,
        rules,
        genesis,
        chain,
        upstreams,
        follower,
        poll_interval_s=light.poll_interval_s,
        counts_from_genesis=light.checkpoint_hash is None,
    )


def _sources(light: LightSettings) -> list[Source]:
    context, token = None, None
    if any(url.startswith("https:") for url in light.upstreams):
        context = ssl.create_default_context(cafile=light.upstream_ca)
        if light.upstream_certificate is not None:
            context.load_cert_chain(light.upstream_certificate, light.upstream_key)
    if light.upstream_token_file is not None:
        from node.signing.keystore import read_secret_file

        token = read_secret_file(light.upstream_token_file).decode().strip()
    return [
        Source(
            RpcProvider(
                JsonRpc(
                    url,
                    timeout_s=light.request_timeout_s,
                    bytes_max=light.answer_bytes_max,
                    context=context,
                    token=token,
                )
            )
        )
        for url in light.upstreams
    ]


def _start(
    light: LightSettings, spec: ChainSpec, rules: CliqueRules, genesis: Header, upstreams: Upstreams
) -> tuple[Callable[[], Trusted], bytes]:
    """How to get what is trusted, and a tag by which kept headers are known to follow from it."""
    block_zero = Trusted(genesis, rules.initial(genesis), genesis.difficulty)
    if light.checkpoint is not None:
        try:
            checkpoint = decode_checkpoint(light.checkpoint.read_bytes(), rules)
            authorities = [Address(bytes.fromhex(text[2:])) for text in light.authorities]
            verify_checkpoint(checkpoint, spec.chain_id, genesis.hash, authorities, light.authorities_min)
        except (ChainError, OSError) as error:
            raise ConfigError([f"light.checkpoint: {light.checkpoint}: {error}"]) from error
        trusted = checkpoint.trusted
        return lambda: trusted, genesis.hash + trusted.header.hash
    wanted = genesis.hash
    if light.checkpoint_hash is not None:
        wanted = Hash32(bytes.fromhex(light.checkpoint_hash[2:]))
    if wanted == genesis.hash:
        return lambda: block_zero, genesis.hash

    def ask() -> Trusted:
        try:
            return upstreams.ask("the checkpoint", partial(_trusted_epoch, rules, spec, wanted))
        except RequestError as error:
            raise ConfigError([f"light.checkpoint_hash: {error}"]) from error

    return ask, genesis.hash + wanted


def _trusted_epoch(rules: CliqueRules, spec: ChainSpec, wanted: Hash32, provider: Provider) -> Trusted:
    header = provider.header(wanted)
    if header is None:
        raise Withheld("it does not have it")
    if header.hash != wanted:
        raise InvalidClaim("another header than was asked for")
    if not rules.is_checkpoint(header.number):
        raise ConfigError(
            [
                f"light.checkpoint_hash: block {header.number} does not list the signers; multiples of"
                f" {spec.engine.epoch_blocks} do, and `phoenix light checkpoint` makes a file for any block"
            ]
        )
    first = max(1, header.number - len(rules.initial(header).signers))
    before = provider.headers(first, header.number - first)
    verify_links([*before, header])
    return Trusted(header, state_at_epoch(rules, before, header), 0)
