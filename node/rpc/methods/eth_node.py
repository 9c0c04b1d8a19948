"""eth_: about this node and the chain as a whole, and the methods that would need keys it does not have."""

from functools import partial
from typing import Any, Final

from node.primitives.ids import hex_of
from node.rpc.backend import Backend
from node.rpc.jsonrpc import Json, RpcError
from node.rpc.method import Method
from node.rpc.params import Param
from node.rpc.subscriptions import syncing_json

PROTOCOL_VERSION: Final = 68
"""eth/68."""
KEYLESS: Final = (
    "eth_sendTransaction",
    "eth_sign",
    "eth_signTransaction",
    "eth_signTypedData",
    "eth_signTypedData_v4",
)


class UnsupportedMethod(RpcError):
    """A method this node knows of and will not offer (EIP-1474)."""

    code = -32004


def methods(backend: Backend) -> list[Method]:
    """chainId, syncing, accounts, coinbase, mining, hashrate, protocolVersion."""
    chain_id = hex(backend.chain.spec.chain_id)
    anything = tuple(Param(_any, None) for _ in range(4))
    return [
        Method("eth_chainId", lambda: chain_id),
        Method("eth_syncing", partial(_syncing, backend)),
        Method("eth_accounts", list),
        Method("eth_coinbase", partial(_coinbase, backend)),
        Method("eth_mining", lambda: backend.sealer is not None),
        Method("eth_hashrate", lambda: "0x0"),
        Method("eth_protocolVersion", lambda: hex(PROTOCOL_VERSION)),
        *(Method(name, partial(_keyless, name), anything) for name in KEYLESS),
    ]


def _syncing(backend: Backend) -> Json:
    progress = backend.network.sync_progress()
    return False if progress is None else syncing_json(progress)


def _coinbase(backend: Backend) -> str:
    if backend.sealer is None:
        raise RpcError("etherbase must be explicitly specified: this node does not seal blocks")
    return hex_of(backend.sealer)


def _keyless(name: str, *_: Any) -> Json:
    raise UnsupportedMethod(
        f"{name} is not offered: this node keeps no account keys; "
        "sign with the client's own key and use eth_sendRawTransaction"
    )


def _any(value: Any) -> Any:
    return value
