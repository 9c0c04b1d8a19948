"""What must hold of light clients: they prove of the suite what a replica's index says of it."""

import tomllib
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final

from devnet.client import RpcClient
from devnet.finding import Finding
from devnet.layout import NodeFiles
from devnet.network import RunningNetwork
from devnet.replica_checks import read_page
from devnet.suite_genesis import REGISTRY

PAGES: Final = ("/v1/invoices/1", "/v1/allocations/1", "/v1/sla/agreements/1")
"""There after a cloud day; before it, that there is no such thing is what is proved."""


def check_light_clients(network: RunningNetwork, clients: Mapping[str, RpcClient]) -> Iterator[Finding]:
    """For every one that has the suite's address book in its settings, once the suite is deployed."""
    replicas = [node for node in network.nodes if node.plan.role == "replica" and node.name in clients]
    if not replicas or not (network.layout.home / REGISTRY).exists():
        return
    for node in network.nodes:
        if node.plan.role == "light" and node.name in clients and _has_book(node):
            yield _same_pages(node, clients[node.name], replicas[0])


def _has_book(node: NodeFiles) -> bool:
    return "contract_names" in tomllib.loads(node.config.read_text()).get("light", {})


def _same_pages(node: NodeFiles, client: RpcClient, replica: NodeFiles) -> Finding:
    """At the newest block that both have: at a settled one the suite may not have been there yet."""
    what, shown = f"{node.name} proves the query API's answers", []
    indexed_to = int(read_page(replica, "/v1/status")[1]["block"]["number"])
    number = min(int(client.call("eth_blockNumber"), 16), indexed_to)
    for page in PAGES:
        target = f"{page}?as_of={number}"
        (mine, proved), (theirs, indexed) = read_page(node, target), read_page(replica, target)
        if mine != theirs or mine not in (HTTPStatus.OK, HTTPStatus.NOT_FOUND):
            said = f"{mine} {proved.get('detail', '')}; {replica.name} says {theirs}"
            return Finding(what, False, f"{target}: {said}")
        # Of two blocks with this number one is about to go: the next look shows the one that stays.
        is_same_block = mine == HTTPStatus.OK and proved["block"]["hash"] == indexed["block"]["hash"]
        if is_same_block and not _agrees(proved["data"], indexed["data"]):
            return Finding(what, False, f"{target}: {replica.name} says something else")
        shown.append(f"{page} {mine}")
    return Finding(what, True, f"as of block {number}: {', '.join(shown)}")


def _agrees(proved: Any, indexed: Any) -> bool:
    """Whether all that is told is what the index says; what follows from events alone is told as null."""
    if isinstance(proved, dict):
        return all(_agrees(value, indexed[name]) for name, value in proved.items())
    return proved is None or proved == indexed
