"""Which calls a worker process of a replica hands to the process that owns what they are about. Pure.

A worker answers all reads of the chain. Transactions on their way, filters that are polled over any
connection, peers, votes and members exist once, in the process that follows the chain.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import msgspec

from node.rpc.identity import Identity
from node.rpc.jsonrpc import Call, Json

NAMESPACES: Final = frozenset(("admin", "clique", "net", "perm", "rpc", "txpool"))
METHODS: Final = frozenset(
    (
        "eth_sendRawTransaction",
        "eth_syncing",
        "eth_newFilter",
        "eth_newBlockFilter",
        "eth_newPendingTransactionFilter",
        "eth_getFilterChanges",
        "eth_getFilterLogs",
        "eth_uninstallFilter",
    )
)
NOWHERE: Final[Mapping[str, Json]] = {
    "eth_getTransactionByHash": None,
    "eth_getRawTransactionByHash": None,
    "debug_getRawTransaction": "0x",
}
"""What these say of a transaction that stands in no block: it may still be waiting for one."""


class Relay(Protocol):
    """The way to the process that owns."""

    async def answer(self, message: Call | Sequence[Call], identity: Identity) -> bytes | None:
        """Its answer; it decides whether the identity may ask, keeps its records and its quota."""
        ...


def is_owned(call: Call) -> bool:
    """Whether only the owner can answer."""
    name = call.method
    if name in METHODS or name.partition("_")[0] in NAMESPACES:
        return True
    return name == "eth_getTransactionCount" and call.params[1:2] == ["pending"]


def may_be_waiting(method: str, result: Json) -> bool:
    """Whether the owner may know of a transaction that the chain does not."""
    if method not in NOWHERE:
        return False
    nothing = NOWHERE[method]
    if isinstance(result, msgspec.Raw):
        return bytes(result) == msgspec.json.encode(nothing)
    return result == nothing
