"""All methods that a node's back ends can answer."""

from dataclasses import replace

from node.config.settings import RpcSettings
from node.rpc.backend import Backend
from node.rpc.filters import Filters
from node.rpc.method import Method, Where
from node.rpc.methods import (
    admin,
    clique,
    debug,
    eth_blocks,
    eth_execution,
    eth_fees,
    eth_logs,
    eth_node,
    eth_state,
    eth_transactions,
    net,
    permissioning,
    phoenix,
    txpool,
    web3,
)


def all_methods(backend: Backend, settings: RpcSettings, filters: Filters) -> list[Method]:
    """Every method of every port that is there; settings decide later which namespaces are switched on."""
    reads = [
        *eth_blocks.methods(backend.chain),
        *eth_transactions.methods(backend),
        *eth_state.methods(backend),
        *eth_fees.methods(backend),
        *debug.methods(backend, settings),
    ]
    logs = eth_logs.methods(backend, settings, filters)
    if backend.execution is not None:
        reads += eth_execution.methods(backend.chain, backend.execution, settings)
    if backend.remote:
        reads = [_off_the_loop(method) for method in reads]
        # Filters and subscriptions touch no block, and live on the loop.
        logs = [replace(method, light=None) for method in logs]
    table = [
        *eth_node.methods(backend),
        *reads,
        *logs,
        *net.methods(backend.network),
        *web3.methods(backend.client_version),
    ]
    if backend.pool is not None:
        table += txpool.methods(backend.pool)
    if backend.clique is not None:
        table += clique.methods(backend.chain, backend.clique)
    if backend.admin is not None:
        table += admin.methods(backend, backend.admin)
    if backend.permissioning is not None:
        table += permissioning.methods(backend.permissioning)
    if backend.log_index is not None:
        table += phoenix.methods(backend.chain, backend.log_index, settings)
    table.append(Method("rpc_modules", lambda: _modules(table, settings)))
    return table


def _off_the_loop(method: Method) -> Method:
    """The same method in a worker thread: its reads may wait for another machine."""
    if method.where is not Where.LOOP:
        return replace(method, light=None)
    handler = method.handler
    return replace(method, handler=lambda _, *arguments: handler(*arguments), where=Where.READ, light=None)


def _modules(table: list[Method], settings: RpcSettings) -> dict[str, str]:
    """Namespaces that are switched on, each with geth's version number."""
    there = {method.namespace for method in table}
    return {name: "1.0" for name in (*settings.namespaces, "rpc") if name in there}
