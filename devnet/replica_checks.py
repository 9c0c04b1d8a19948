"""What must hold of read replicas: their index is the chain's, and answers as a scan of the blocks does."""

import http.client
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from devnet.client import TIMEOUT_S, RpcClient, Unreachable
from devnet.finding import Finding
from devnet.layout import HOST, NodeFiles
from devnet.network import RunningNetwork

WINDOW_BLOCKS: Final = 256
"""Settled blocks whose events are compared."""
LAG_BLOCKS_MAX: Final = 6


def check_replicas(
    network: RunningNetwork, clients: Mapping[str, RpcClient], settled: int
) -> Iterator[Finding]:
    """Nothing where there are no replicas, or nobody to compare them with."""
    replicas = [node for node in network.nodes if node.plan.role == "replica" and node.name in clients]
    scanning = [node for node in network.nodes if node.plan.role == "validator" and node.name in clients]
    if not replicas or not scanning:
        return
    yield _indexes_follow(replicas, clients)
    yield _same_events(replicas, scanning[0], clients, settled)


def _indexes_follow(replicas: list[NodeFiles], clients: Mapping[str, RpcClient]) -> Finding:
    shown, wrong = [], []
    for node in replicas:
        block = read_page(node, "/v1/status")[1]["block"]
        number = int(block["number"])
        head = int(clients[node.name].call("eth_blockNumber"), 16)
        ours = clients[node.name].call("eth_getBlockByNumber", hex(number), False)
        shown.append(f"{node.name} {number} of {head}")
        # A block that is no longer canonical has only just been replaced: the next look shows the next one.
        if head - number > LAG_BLOCKS_MAX or (ours["hash"] != block["hash"] and head - number > 1):
            wrong.append(node.name)
    return Finding("indexes follow the chain", not wrong, ", ".join(shown))


def _same_events(
    replicas: list[NodeFiles], scanning: NodeFiles, clients: Mapping[str, RpcClient], settled: int
) -> Finding:
    first = max(0, settled - WINDOW_BLOCKS + 1)
    query = {"fromBlock": hex(first), "toBlock": hex(settled)}
    scanned = clients[scanning.name].call("eth_getLogs", query)
    for node in replicas:
        if clients[node.name].call("eth_getLogs", query) != scanned:
            detail = f"{node.name} says something else of blocks {first} to {settled} than {scanning.name}"
            return Finding("same events from index and scan", False, detail)
    detail = f"{len(scanned)} events of blocks {first} to {settled}"
    return Finding("same events from index and scan", True, detail)


def read_page(node: NodeFiles, target: str) -> tuple[int, Any]:
    """Status and answer of a node's query API; Unreachable when there is none."""
    connection = http.client.HTTPConnection(HOST, node.rpc_port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", target)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unreachable(node.rpc_url, error) from error
    finally:
        connection.close()
