"""Roles -> methods and parameters: the one table. A method that is not in it is for admins only. Pure.

A rule says who may call, what parameters need more, whether the method is served on the admin listener only,
and what of it is recorded in the audit log. A test holds the table against the methods that exist.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from node.rpc.backend import BlockOverride, TraceOptions
from node.rpc.blocks import NumberOrTag, Tag
from node.rpc.identity import Role
from node.rpc.logs import LogFilter

Arguments = Sequence[Any]
"""As the method's parameters have read them."""

Need = tuple[str, frozenset[Role]]
"""What in the parameters asks for more, in words, and the roles that may."""


class Recorded(Enum):
    """What the audit log keeps of a call."""

    NOTHING = "nothing"
    TRANSACTION = "transaction"
    """Written before the pool has it."""
    ADMIN = "admin"
    """Durable before it is done; its outcome after it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may call a method."""

    roles: frozenset[Role]
    needs: Callable[[Arguments, int], Need | None] | None = None
    """Of the arguments and the head's number."""
    admin_listener_only: bool = False
    recorded: Recorded = Recorded.NOTHING


ANYBODY: Final = frozenset((Role.ANONYMOUS,))
READERS: Final = frozenset((Role.READER,))
SUBMITTERS: Final = frozenset((Role.SUBMITTER,))
LOOKERS: Final = frozenset((Role.OPERATOR, Role.AUDITOR))
"""Who may make the node work hard, or see more than the chain."""
ADMINS: Final = frozenset((Role.ADMIN,))

LOGS_RANGE_BLOCKS_OF_READERS: Final = 10_000


def _call_needs(arguments: Arguments, _: int) -> Need | None:
    """eth_call, eth_estimateGas, eth_createAccessList: (args, block, accounts, block override)."""
    if arguments[2]:
        return "state overrides", LOOKERS
    if len(arguments) > 3 and arguments[3] != BlockOverride():
        return "block overrides", LOOKERS
    return None


def _trace_needs(arguments: Arguments, _: int) -> Need | None:
    """debug_traceTransaction: (hash, options). One entry per instruction with all memory is the costliest."""
    options = arguments[1]
    assert isinstance(options, TraceOptions)
    if options.tracer is None and options.with_memory:
        return "traces with memory", LOOKERS
    return None


def _trace_call_needs(arguments: Arguments, head: int) -> Need | None:
    """debug_traceCall: (args, block, (options, state overrides, block overrides))."""
    if arguments[2] is None:
        return None
    options, accounts, block = arguments[2]
    if accounts or block != BlockOverride():
        return "state and block overrides", LOOKERS
    return _trace_needs((None, options), head)


def _logs_needs(arguments: Arguments, head: int) -> Need | None:
    """eth_getLogs and eth_newFilter: how many blocks are to be looked through."""
    wanted = arguments[0]
    assert isinstance(wanted, LogFilter)
    start, stop = _number(wanted.start, head), min(head, _number(wanted.stop, head))
    if wanted.block_hash is None and stop - start >= LOGS_RANGE_BLOCKS_OF_READERS:
        return f"a range of more than {LOGS_RANGE_BLOCKS_OF_READERS} blocks", LOOKERS
    return None


def _number(block: NumberOrTag | None, head: int) -> int:
    if isinstance(block, int):
        return block
    return 0 if block is Tag.EARLIEST else head


def _anybody(*names: str) -> dict[str, Rule]:
    return dict.fromkeys(names, Rule(ANYBODY))


def _readers(*names: str) -> dict[str, Rule]:
    return dict.fromkeys(names, Rule(READERS))


def _lookers(*names: str) -> dict[str, Rule]:
    return dict.fromkeys(names, Rule(LOOKERS))


def _admins(*names: str) -> dict[str, Rule]:
    """What changes the node, or shows its insides."""
    return dict.fromkeys(names, Rule(ADMINS, admin_listener_only=True, recorded=Recorded.ADMIN))


RULES: Final[dict[str, Rule]] = {
    **_anybody(
        "web3_clientVersion", "web3_sha3", "net_version", "net_listening", "eth_chainId", "eth_syncing",
        "eth_protocolVersion", "eth_blockNumber", "rpc_modules",
    ),
    **_readers(
        "net_peerCount", "eth_accounts", "eth_coinbase", "eth_mining", "eth_hashrate",
        "eth_getBlockByNumber", "eth_getBlockByHash", "eth_getHeaderByNumber", "eth_getHeaderByHash",
        "eth_getBlockReceipts", "eth_getBlockTransactionCountByNumber", "eth_getBlockTransactionCountByHash",
        "eth_getUncleCountByBlockNumber", "eth_getUncleCountByBlockHash", "eth_getUncleByBlockNumberAndIndex",
        "eth_getUncleByBlockHashAndIndex", "eth_getTransactionByHash", "eth_getTransactionReceipt",
        "eth_getTransactionByBlockNumberAndIndex", "eth_getTransactionByBlockHashAndIndex",
        "eth_getRawTransactionByHash", "eth_getRawTransactionByBlockNumberAndIndex",
        "eth_getRawTransactionByBlockHashAndIndex", "eth_getBalance", "eth_getCode", "eth_getStorageAt",
        "eth_getTransactionCount", "eth_getProof", "eth_gasPrice", "eth_baseFee", "eth_maxPriorityFeePerGas",
        "eth_feeHistory", "eth_newBlockFilter", "eth_newPendingTransactionFilter",
        "eth_uninstallFilter", "eth_getFilterChanges", "eth_getFilterLogs", "eth_subscribe",
        "eth_unsubscribe",
        # The node holds no accounts; these say so.
        "eth_sendTransaction", "eth_sign", "eth_signTransaction", "eth_signTypedData", "eth_signTypedData_v4",
    ),
    **dict.fromkeys(("eth_call", "eth_estimateGas", "eth_createAccessList"), Rule(READERS, _call_needs)),
    **dict.fromkeys(("eth_getLogs", "eth_newFilter"), Rule(READERS, _logs_needs)),
    "eth_sendRawTransaction": Rule(SUBMITTERS, recorded=Recorded.TRANSACTION),
    **_readers("debug_getRawHeader", "debug_getRawBlock", "debug_getRawReceipts", "debug_getRawTransaction"),
    "debug_traceTransaction": Rule(READERS, _trace_needs),
    "debug_traceCall": Rule(READERS, _trace_call_needs),
    **_lookers("debug_traceBlockByNumber", "debug_traceBlockByHash"),
    **_readers("txpool_status", "txpool_contentFrom"),
    **_lookers("txpool_content", "txpool_inspect"),
    **_readers(
        "clique_getSnapshot", "clique_getSnapshotAtHash", "clique_getSigners", "clique_getSignersAtHash",
        "clique_getSigner", "clique_status", "clique_proposals", "clique_getEvidence", "clique_getSealing",
    ),
    **_admins("clique_propose", "clique_discard"),
    **_readers("phoenix_getLogs"),
    **_readers("perm_explain"),
    **_lookers("perm_peerSets", "perm_getNodesAllowlist", "perm_getAccountsAllowlist"),
    **_admins(
        "perm_addNodesToAllowlist", "perm_removeNodesFromAllowlist", "perm_addAccountsToAllowlist",
        "perm_removeAccountsFromAllowlist", "perm_reloadPermissionsFromFile",
    ),
    **_admins(
        "admin_nodeInfo", "admin_peers", "admin_addPeer", "admin_removePeer", "admin_setBlockedPeers"
    ),
}  # fmt: skip
"""Every method that there is."""

NO_RULE: Final = Rule(ADMINS, admin_listener_only=True, recorded=Recorded.ADMIN)


def rule_of(method: str) -> Rule:
    """The method's rule; the strictest for one that is in no list."""
    return RULES.get(method, NO_RULE)


def refusal_of(rule: Rule, roles: frozenset[Role], arguments: Arguments, head: int) -> Need | None:
    """What a caller with these roles lacks; None when the call is allowed."""
    if roles.isdisjoint(rule.roles) and Role.ADMIN not in roles:
        return "it", rule.roles
    if rule.needs is not None:
        need = rule.needs(arguments, head)
        if need is not None and roles.isdisjoint(need[1]) and Role.ADMIN not in roles:
            return need
    return None
