"""From a database and a chain spec to an open chain: the first thing that happens."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from consensus.rules import SealRules
from node.chain.engine_states import EngineStates
from node.chain.errors import BranchTooOld, InvalidBlock
from node.chain.genesis import open_genesis
from node.chain.importer import Importer
from node.chain.ledger import Ledger
from node.chain.reader import ChainReader
from node.chain.senders import nobody_knows
from node.config.settings import StorageSettings
from node.execution.executor import Executor
from node.permissioning.accounts import ChainAccountRules
from node.permissioning.contract import ContractCaller
from node.primitives.chain_spec import ChainSpec
from node.primitives.errors import StorageError
from node.primitives.ids import Address, Hash32
from node.state.store import StateStore
from node.storage import blocks
from node.storage.kv import KeyValue
from node.storage.migrations import migrate

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Chain:
    """An open chain."""

    reader: ChainReader
    importer: Importer
    state: StateStore
    ledger: Ledger
    """The importer's own; for tools and tests that run without an event loop."""
    account_rules: ChainAccountRules
    """What may stand in a block; whoever builds one asks the same."""
    caller: ContractCaller
    """Asks contracts for all permissioning, and remembers their answers."""


def open_chain(
    kv: KeyValue,
    spec: ChainSpec,
    rules: SealRules[Any],
    executor: Executor,
    settings: StorageSettings,
    *,
    known_sender: Callable[[Hash32], Address | None] = nobody_knows,
    unix_time: Callable[[], float] = time.time,
) -> Chain:
    """Open the chain in `kv`, or begin it; blocks that the durable state lags behind are executed again.

    May take seconds after a crash, so call it in a worker thread. ConfigError when the database belongs to
    another genesis or to other rules; StorageError when it does not hold together.
    """
    for line in migrate(kv):
        log.info(line)
    state = StateStore(kv, settings)
    genesis = open_genesis(kv, state, spec)
    head_ref = blocks.read_head(kv)
    head = None if head_ref is None else blocks.read_header(kv, head_ref.hash)
    if head is None:
        raise StorageError(f"the head {head_ref} is missing from the database")
    engine_states = EngineStates(rules, kv, genesis, spec.engine.epoch_blocks)
    caller = ContractCaller(executor, spec)
    account_rules = ChainAccountRules(spec, caller)
    reader = ChainReader(
        spec=spec, kv=kv, state=state, engine_states=engine_states, genesis=genesis, head=head
    )
    ledger = Ledger(
        kv=kv,
        state=state,
        engine_states=engine_states,
        executor=executor,
        reader=reader,
        settings=settings,
        permit=account_rules.check if spec.account_permissioning else None,
    )
    if state.base != head.ref:
        log.info("executing again what the state lags behind", extra={"base": state.base, "head": head.ref})
    try:
        resumed = ledger.resume()
    except (InvalidBlock, BranchTooOld) as error:
        raise StorageError(f"the state cannot be brought up to the head {head.ref}: {error}") from error
    if resumed.failure is not None:
        log.warning("a better branch cannot be taken: %s", resumed.failure)
    if resumed.change is not None:
        reader.move_head(resumed.change.head.header)
    importer = Importer(ledger, reader, known_sender=known_sender, unix_time=unix_time)
    return Chain(reader, importer, state, ledger, account_rules, caller)
