"""The chain of a node that does not run, for commands: opened, used, closed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from consensus.clique.rules import CliqueRules
from node.app.executor import py_evm
from node.chain.genesis_json import load_genesis
from node.chain.opening import Chain, open_chain
from node.config.settings import Settings
from node.execution.evm.executor import FastExecutor
from node.execution.on_demand import OnDemandExecutor
from node.primitives.chain_spec import ChainSpec
from node.storage.kv import KeyValue
from node.storage.migrations import migrate
from node.storage.opening import open_database


@dataclass(frozen=True, slots=True)
class OfflineChain:
    """What a command gets."""

    kv: KeyValue
    spec: ChainSpec
    open_chain: Callable[[], Chain]
    """Brings the state up to the head and can take blocks in; whoever calls it closes the importer."""


@contextmanager
def offline_chain(settings: Settings) -> Iterator[OfflineChain]:
    """The database of a stopped node, made if absent. ConfigError; StorageError while a node runs on it."""
    spec = load_genesis(settings.genesis)
    kv, _ = open_database(settings.data_dir, settings.storage)
    try:
        migrate(kv)
        executor = FastExecutor(OnDemandExecutor("py-evm", py_evm))
        rules = CliqueRules(spec.engine)
        yield OfflineChain(kv, spec, lambda: open_chain(kv, spec, rules, executor, settings.storage))
    finally:
        kv.close()
