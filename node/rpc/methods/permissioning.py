"""perm_: who may connect and transact, and why; the members' file in Besu's words. For operators: off unless
the setting rpc.namespaces names it."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from node.permissioning.allowlist import (
    AllowList,
    ListedAccount,
    Member,
    node_id,
    with_accounts,
    with_members,
    without_accounts,
    without_members,
)
from node.permissioning.policy import Decision, Right, Sending, Tier
from node.primitives.ids import Address, hex_of
from node.rpc.backend import PermissioningBackend
from node.rpc.call_args import read_call_args
from node.rpc.jsonrpc import Json
from node.rpc.method import Method, Where
from node.rpc.params import (
    BadValue,
    Param,
    read_address,
    read_bool,
    read_list,
    read_member,
    read_object,
    read_text,
)

ENTRIES_MAX: Final = 10_000
"""Nodes or accounts of one request."""
SUCCESS: Final = "Success"


def methods(backend: PermissioningBackend) -> list[Method]:
    """perm_explain is ours; the others are Besu's, with who and which tier beside the new entries."""
    nodes, accounts = Param(_read_nodes), Param(_read_accounts)
    extra = Param(read_object, default=None)
    return [
        Method("perm_explain", partial(_explain, backend), (Param(_read_subject),)),
        Method("perm_peerSets", partial(_peer_sets, backend)),
        Method("perm_getNodesAllowlist", lambda: _nodes(backend.members())),
        Method("perm_getAccountsAllowlist", lambda: _accounts(backend.members())),
        Method("perm_addNodesToAllowlist", partial(_add_nodes, backend), (nodes, extra), Where.TASK),
        Method("perm_removeNodesFromAllowlist", partial(_remove_nodes, backend), (nodes,), Where.TASK),
        Method("perm_addAccountsToAllowlist", partial(_add_accounts, backend), (accounts, extra), Where.TASK),
        Method(
            "perm_removeAccountsFromAllowlist", partial(_remove_accounts, backend), (accounts,), Where.TASK
        ),
        Method("perm_reloadPermissionsFromFile", partial(_reload, backend), (), Where.TASK),
    ]


def decision_json(decision: Decision) -> dict[str, Json]:
    """A decision as the API shows it."""
    return {
        "allowed": decision.allowed,
        "rule": decision.rule,
        "reason": decision.reason,
        "block": None if decision.block is None else hex(decision.block),
    }


Subject = Callable[[PermissioningBackend], Json]


def _explain(backend: PermissioningBackend, subject: Subject) -> Json:
    return subject(backend)


def _read_subject(value: Any) -> Subject:
    """A node (text, or {"node", "inbound", "host"}), or a transaction object."""
    if isinstance(value, str):
        return partial(_explain_node, identity=_read_node(value), host=None, inbound=None)
    fields = read_object(value)
    if "node" not in fields:
        return partial(_explain_sending, sending=_sending(value))
    return partial(
        _explain_node,
        identity=_read_node(fields["node"]),
        host=read_member(fields, "host", read_text),
        inbound=read_member(fields, "inbound", read_bool),
    )


def _explain_node(
    backend: PermissioningBackend, *, identity: bytes, host: str | None, inbound: bool | None
) -> Json:
    if inbound is not None:
        return decision_json(backend.explain_node(identity, host, inbound))
    ways = {"dial": False, "accept": True}
    return {name: decision_json(backend.explain_node(identity, host, way)) for name, way in ways.items()}


def _explain_sending(backend: PermissioningBackend, *, sending: Sending) -> Json:
    return decision_json(backend.explain_transaction(sending))


def _sending(value: Any) -> Sending:
    args = read_call_args(value)
    price = args.gas_price if args.gas_price is not None else args.max_fee_per_gas
    return Sending(
        sender=args.sender,
        to=args.to,
        value=args.value,
        gas_price=price or 0,
        gas_limit=args.gas or 0,
        data=args.data,
    )


def _peer_sets(backend: PermissioningBackend) -> Json:
    report = backend.peer_sets()
    return {
        "sets": [
            {"node": each.node.hex(), "block": hex(each.block), "peers": [peer.hex() for peer in each.peers]}
            for each in report.sets
        ],
        "strangers": [
            {"node": each.id.hex(), "connectedTo": each.host.hex(), "block": hex(each.block)}
            for each in report.strangers
        ],
        "silent": [each.hex() for each in report.silent],
        "findings": [
            {"fault": each.fault.value, "node": each.says.hex(), "connectedTo": each.of.hex()}
            for each in report.findings
        ],
        "clockDriftMs": report.drift_ms,
    }


# --- the file


async def _add_nodes(
    backend: PermissioningBackend, ids: Sequence[bytes], extra: dict[str, Any] | None
) -> Json:
    organisation, tier = _text(extra, "organisation", "unnamed"), _text(extra, "tier", Tier.REGIONAL.value)
    if tier not in {each.value for each in Tier}:
        raise BadValue(f"tier {tier!r} is none; it is core, regional or edge")
    validator, known = read_member(extra or {}, "validator", read_bool) or False, backend.members().members
    new = [
        Member(id=each, organisation=organisation, tier=Tier(tier), validator=validator)
        for each in ids
        if each not in known
    ]
    await backend.change_members(lambda found: with_members(found, new))
    return SUCCESS


async def _remove_nodes(backend: PermissioningBackend, ids: Sequence[bytes]) -> Json:
    await backend.change_members(lambda found: without_members(found, ids))
    return SUCCESS


async def _add_accounts(
    backend: PermissioningBackend, addresses: Sequence[Address], extra: dict[str, Any] | None
) -> Json:
    organisation = _text(extra, "organisation", "unnamed")
    rights = frozenset(_read_rights((extra or {}).get("rights", [right.value for right in Right])))
    new = [ListedAccount(address=each, organisation=organisation, rights=rights) for each in addresses]
    await backend.change_members(lambda found: with_accounts(found, new))
    return SUCCESS


async def _remove_accounts(backend: PermissioningBackend, addresses: Sequence[Address]) -> Json:
    await backend.change_members(lambda found: without_accounts(found, addresses))
    return SUCCESS


async def _reload(backend: PermissioningBackend) -> Json:
    await backend.reload()
    return SUCCESS


def _nodes(found: AllowList) -> Json:
    return [_node(member) for member in found.members.values()]


def _node(member: Member) -> Json:
    return {
        "id": member.id.hex(),
        "name": member.name,
        "organisation": member.organisation,
        "tier": member.tier.value,
        "validator": member.validator,
        "addresses": list(member.addresses),
    }


def _accounts(found: AllowList) -> Json:
    return [
        {
            "address": hex_of(each.address),
            "organisation": each.organisation,
            "rights": sorted(right.value for right in each.rights),
        }
        for each in (found.accounts or {}).values()
    ]


def _text(extra: dict[str, Any] | None, name: str, default: str) -> str:
    return read_member(extra or {}, name, read_text) or default


def _read_rights(value: Any) -> list[Right]:
    names = {right.value: right for right in Right}
    wanted = [read_text(item) for item in read_list(value)]
    if unknown := [name for name in wanted if name not in names]:
        raise BadValue(f"{unknown[0]!r} is no right; there are {', '.join(names)}")
    return [names[name] for name in wanted]


def _read_node(value: Any) -> bytes:
    found = node_id(read_text(value))
    if found is None:
        raise BadValue("a node is its key: 128 hex digits, or an enode URL")
    return found


def _read_nodes(value: Any) -> list[bytes]:
    return [_read_node(item) for item in _bounded(value)]


def _read_accounts(value: Any) -> list[Address]:
    return [read_address(item) for item in _bounded(value)]


def _bounded(value: Any) -> list[Any]:
    found = read_list(value)
    if not 0 < len(found) <= ENTRIES_MAX:
        raise BadValue(f"1 to {ENTRIES_MAX} entries are expected, not {len(found)}")
    return found
