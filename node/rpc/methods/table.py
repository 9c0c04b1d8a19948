"""All methods that a node's back ends can answer."""

from node.config.settings import RpcSettings
from node.rpc.backend import Backend
from node.rpc.filters import Filters
from node.rpc.method import Method
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
    txpool,
    web3,
)


def all_methods(backend: Backend, settings: RpcSettings, filters: Filters) -> list[Method]:
    """Every method of every port that is there; settings decide later which namespaces are switched on."""
    table = [
        *eth_node.methods(backend),
        *eth_blocks.methods(backend.chain),
        *eth_transactions.methods(backend),
        *eth_state.methods(backend),
        *eth_fees.methods(backend),
        *eth_logs.methods(backend, settings, filters),
        *net.methods(backend.network),
        *web3.methods(backend.client_version),
        *debug.methods(backend, settings),
    ]
    if backend.execution is not None:
        table += eth_execution.methods(backend.chain, backend.execution, settings)
    if backend.pool is not None:
        table += txpool.methods(backend.pool)
    if backend.clique is not None:
        table += clique.methods(backend.chain, backend.clique)
    if backend.admin is not None:
        table += admin.methods(backend, backend.admin)
    table.append(Method("rpc_modules", lambda: _modules(table, settings)))
    return table


def _modules(table: list[Method], settings: RpcSettings) -> dict[str, str]:
    """Namespaces that are switched on, each with geth's version number."""
    there = {method.namespace for method in table}
    return {name: "1.0" for name in (*settings.namespaces, "rpc") if name in there}
