"""The JSON-RPC of a light client: the answers of the node behind it, each proved before it is given."""

from typing import Any

import pytest
import trio

from node.primitives.ids import hex_of
from tests.chain.harness import ACCOUNTS, sign, transfer
from tests.light.conftest import Edge, Served
from tests.rpc import desk

RICH = ACCOUNTS[3].address


@pytest.fixture
async def both(edge: Edge, served: Served) -> Any:
    """A client of the light client, and one of the node."""
    return await served.place.http(), await edge.node.place.http()


def questions(edge: Edge) -> list[tuple[str, list[Any]]]:
    contract, order, three = hex_of(edge.desk), hex_of(edge.order.hash), "0x3"
    block_hash = hex_of(edge.maker.reader.canonical_hash(3) or b"")
    call = {"to": contract, "data": hex_of(desk.call("read(uint256)", 0)), "from": RICH}
    share = {"to": contract, "data": hex_of(desk.call("share(uint256,uint256)", 9, 3))}
    broken = {"to": contract, "data": hex_of(desk.call("share(uint256,uint256)", 9, 0))}
    here = {"to": contract, "data": hex_of(desk.call("here()"))}
    logs = {"fromBlock": "0x0", "toBlock": "latest"}
    return [
        ("eth_chainId", []),
        ("eth_blockNumber", []),
        ("eth_syncing", []),
        ("eth_getBlockByNumber", ["latest", False]),
        ("eth_getBlockByNumber", [three, True]),
        ("eth_getBlockByNumber", ["earliest", False]),
        ("eth_getBlockByNumber", ["0x1000", False]),
        ("eth_getBlockByNumber", ["safe", False]),
        ("eth_getBlockByNumber", ["finalized", False]),
        ("eth_getBlockByHash", [block_hash, True]),
        ("eth_getBlockByHash", ["0x" + "77" * 32, True]),
        ("eth_getHeaderByNumber", [three]),
        ("eth_getBlockTransactionCountByNumber", [three]),
        ("eth_getTransactionByBlockNumberAndIndex", [three, "0x1"]),
        ("eth_getRawTransactionByBlockHashAndIndex", [block_hash, "0x0"]),
        ("eth_getBlockReceipts", [three]),
        ("eth_getBalance", [RICH, "latest"]),
        ("eth_getBalance", [ACCOUNTS[1].address, "0x1"]),
        ("eth_getBalance", ["0x" + "77" * 20, "latest"]),
        ("eth_getTransactionCount", [ACCOUNTS[0].address, "latest"]),
        ("eth_getTransactionCount", [ACCOUNTS[0].address, "pending"]),
        ("eth_getCode", [contract, "latest"]),
        ("eth_getCode", [RICH, "latest"]),
        ("eth_getStorageAt", [contract, "0x0", "latest"]),
        ("eth_getStorageAt", [contract, "0x99", three]),
        ("eth_getProof", [contract, ["0x0", "0x99"], "latest"]),
        ("eth_call", [call, "latest"]),
        ("eth_call", [share, three]),
        ("eth_call", [broken, "latest"]),
        ("eth_call", [here, three]),
        ("eth_call", [call, "latest", {contract: {"code": "0x60005460005260206000f3"}}]),
        ("eth_estimateGas", [{"to": RICH, "from": ACCOUNTS[5].address, "value": "0x1"}]),
        ("eth_estimateGas", [call]),
        ("eth_estimateGas", [broken]),
        ("eth_createAccessList", [call, "latest"]),
        ("eth_getTransactionByHash", [order]),
        ("eth_getTransactionByHash", ["0x" + "77" * 32]),
        ("eth_getRawTransactionByHash", [order]),
        ("eth_getTransactionReceipt", [order]),
        ("eth_getTransactionReceipt", ["0x" + "77" * 32]),
        ("eth_getLogs", [logs]),
        ("eth_getLogs", [logs | {"address": contract, "topics": [hex_of(desk.ORDER_TAKEN)]}]),
        ("eth_getLogs", [logs | {"address": RICH}]),
        ("eth_getLogs", [{"blockHash": block_hash}]),
        ("eth_gasPrice", []),
        ("eth_feeHistory", ["0x4", "latest", [10, 90]]),
        ("clique_getSnapshot", ["latest"]),
        ("clique_getSigners", ["0x2"]),
        ("debug_getRawHeader", [three]),
        ("debug_getRawBlock", [three]),
        ("debug_getRawReceipts", [three]),
        ("net_version", []),
        ("net_listening", []),
    ]


async def test_every_answer_is_that_of_the_node(edge: Edge, both: Any) -> None:
    light, full = both
    different = {}
    for method, params in questions(edge):
        mine, theirs = await light.call(method, *params), await full.call(method, *params)
        if mine != theirs and method != "net_listening":
            different[f"{method} {params}"] = (mine, theirs)
    assert different == {}


async def test_what_a_light_client_cannot_do_is_refused_with_the_reason(edge: Edge, both: Any) -> None:
    light, _ = both
    for method, params, reason in (
        ("debug_traceTransaction", [hex_of(edge.order.hash)], "no reference executor"),
        ("clique_propose", [RICH, True], "seals no blocks"),
        ("admin_peers", [], "does not exist"),
    ):
        answer = await light.call(method, *params)
        assert reason in answer["error"]["message"]


async def test_a_transaction_is_handed_on_and_counted_until_it_is_in_a_block(edge: Edge, both: Any) -> None:
    light, full = both
    tx = transfer(ACCOUNTS[7], 0)
    assert (await light.call("eth_sendRawTransaction", hex_of(tx.encoded)))["result"] == hex_of(tx.hash)
    assert (await full.call("eth_getTransactionByHash", hex_of(tx.hash)))["result"]["blockHash"] is None
    count = await light.call("eth_getTransactionCount", ACCOUNTS[7].address, "pending")
    assert count["result"] == "0x1"
    pending = await light.call("eth_getTransactionByHash", hex_of(tx.hash))
    assert pending["result"]["blockNumber"] is None
    too_much = transfer(ACCOUNTS[7], 0, value=10**30)
    refused = await light.call("eth_sendRawTransaction", hex_of(too_much.encoded))
    assert "insufficient funds" in refused["error"]["message"]


async def test_subscribers_hear_of_proved_blocks_and_logs(edge: Edge, served: Served) -> None:
    socket = await served.place.websocket()
    heads = (await socket.call("eth_subscribe", "newHeads"))["result"]
    logs = (await socket.call("eth_subscribe", "logs", {"address": hex_of(edge.desk)}))["result"]
    data = desk.take_call(ACCOUNTS[2].address, [("tin", 1)])
    order = sign(ACCOUNTS[6], nonce=0, gas=1_000_000, to=edge.desk, data=data)
    await edge.node.seal(order)
    found: dict[str, Any] = {}
    with trio.fail_after(60):
        while ("0x8", hex_of(order.hash)) != (
            found.get(heads, {}).get("number"),
            found.get(logs, {}).get("transactionHash"),
        ):
            message = await socket.receive()
            found[message["params"]["subscription"]] = message["params"]["result"]
