"""Answers held to the OpenRPC description of the Ethereum JSON-RPC (ethereum/execution-apis).

Every method that a London client offers is asked for all shapes of answer it has. Where geth and the
description differ, we follow geth: see `_in_the_dress_of_today`.
"""

import json
from typing import Any, Final

import jsonschema
import msgspec
import pytest
import trio

from node.rpc.api import RpcApi
from node.rpc.encoding import contract_address
from tests.chain.harness import ACCOUNTS, GWEI, ChainMaker, sign, transfer
from tests.rpc.desk import creation_code, take_call
from tests.rpc.node import TestNode, make_node
from tests.vectors import require

LATER_FORKS: Final = frozenset(
    {
        "debug_getRawBlockAccessList",
        "eth_blobBaseFee",
        "eth_getBlockAccessList",
    }
)
LATER_METHODS: Final = frozenset(
    {
        "debug_getBadBlocks",
        "eth_capabilities",
        "eth_config",
        "eth_fillTransaction",
        "eth_getStorageValues",
        "eth_simulateV1",
    }
)
"""Added to the description after London; no client of that time had them."""
KEYLESS: Final = frozenset({"eth_sendTransaction", "eth_sign", "eth_signTransaction"})
"""Answered with an error: the node keeps no account keys."""

ALICE = ACCOUNTS[0]
DESK = contract_address(bytes.fromhex(ALICE.address[2:]), 0)  # type: ignore[arg-type]
NOTHING = "0x" + "00" * 32
NOBODY = "0x" + "99" * 20


def hexed(value: bytes) -> str:
    return "0x" + value.hex()


DESK_HEX = hexed(DESK)
ALICE_HEX = ALICE.address.lower()
TAKE = {"from": ALICE_HEX, "to": DESK_HEX, "input": hexed(take_call(ALICE.address, [("pen", 1)]))}


@pytest.fixture(scope="module")
def description() -> Any:
    document = json.loads(require("openrpc.json").read_text())
    results = document["components"]["schemas"]["FilterResults"]
    # No events and no hashes look the same, and "exactly one of" then fails on an empty list.
    results["anyOf"] = results.pop("oneOf")
    return document


@pytest.fixture(scope="module")
def maker() -> ChainMaker:
    """Block 1 creates a contract, block 2 uses it in all three kinds of transaction, block 3 is empty."""
    maker = ChainMaker()
    maker.extend([sign(ALICE, nonce=0, to=None, data=creation_code(), gas=1_000_000)])
    data = take_call(ALICE.address, [("pen", 1)])
    maker.extend(
        [
            sign(ALICE, nonce=1, to=DESK, data=data, gas=300_000),
            sign(ALICE, nonce=2, to=DESK, data=data, gas=300_000, gasPrice=5 * GWEI),
            sign(
                ALICE,
                nonce=3,
                to=DESK,
                data=data,
                gas=300_000,
                gasPrice=5 * GWEI,
                accessList=[{"address": DESK_HEX, "storageKeys": [NOTHING]}],
                type=1,
            ),
        ]
    )
    maker.extend()
    return maker


class Asked:
    """A node with transactions waiting, asked without a server."""

    def __init__(self, maker: ChainMaker) -> None:
        self.node: TestNode = make_node(maker)
        self.node.pool.add(transfer(ALICE, 4), local=True)
        self.node.pool.add(transfer(ALICE, 9), local=True)
        self.api = RpcApi(self.node.backend(), self.node.settings.rpc)

    async def __call__(self, method: str, *params: Any) -> Any:
        body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        dispatcher = self.api.dispatcher
        answer = msgspec.json.decode(await dispatcher.answer(dispatcher.parse(body)) or b"")
        assert "error" not in answer, answer
        return answer["result"]


def questions(maker: ChainMaker) -> dict[str, list[list[Any]]]:
    """Parameters for every method, so that each shape of answer comes up."""
    one, two = (maker.reader.block_by_number(number) for number in (1, 2))
    assert one is not None
    assert two is not None
    block, tx_hashes = hexed(two.hash), [hexed(tx.hash) for tx in two.transactions]
    waiting = hexed(transfer(ALICE, 4).hash)
    blocks = ["latest", "0x2", "earliest", "0x99"]
    known = [*blocks[:3], block, {"blockHash": block}, "pending", "safe", "finalized"]
    return {
        "eth_getBlockByHash": [[block, True], [block, False], [NOTHING, True]],
        "eth_getBlockByNumber": [[name, full] for name in blocks for full in (True, False)],
        "eth_getBlockTransactionCountByHash": [[block], [NOTHING]],
        "eth_getBlockTransactionCountByNumber": [[name] for name in blocks],
        "eth_getBlockReceipts": [[name] for name in (*blocks, hexed(one.hash), block)],
        "eth_chainId": [[]],
        "eth_syncing": [[]],
        "eth_accounts": [[]],
        "eth_blockNumber": [[]],
        "net_version": [[]],
        "eth_call": [[TAKE], [TAKE, "latest"], [TAKE, block], [{"to": NOBODY}, "pending"]],
        "eth_estimateGas": [[TAKE], [TAKE, "latest"], [{"to": NOBODY}]],
        "eth_createAccessList": [[TAKE], [TAKE, "latest"], [{"from": ALICE_HEX, "to": DESK_HEX}]],
        "eth_gasPrice": [[]],
        "eth_baseFee": [[]],
        "eth_maxPriorityFeePerGas": [[]],
        "eth_feeHistory": [["0x4", "latest", [10, 50.5]], ["0x1", "0x2", []], ["0x400", "pending", []]],
        "eth_newFilter": [[{"address": DESK_HEX}]],
        "eth_newBlockFilter": [[]],
        "eth_newPendingTransactionFilter": [[]],
        "eth_getLogs": [[{"fromBlock": "0x0"}], [{"blockHash": block}], [{"address": NOBODY}]],
        "eth_getBalance": [[ALICE_HEX], *([ALICE_HEX, name] for name in known), [NOBODY, "latest"]],
        "eth_getStorageAt": [[DESK_HEX, "0x0"], [DESK_HEX, NOTHING, "latest"], [NOBODY, "0x5", block]],
        "eth_getTransactionCount": [[ALICE_HEX], [ALICE_HEX, "pending"], [NOBODY, "latest"]],
        "eth_getCode": [[DESK_HEX], [NOBODY, "latest"], [DESK_HEX, "earliest"]],
        "eth_getProof": [[DESK_HEX, [NOTHING, "0x5"], "latest"], [NOBODY, [NOTHING], "0x1"], [ALICE_HEX, []]],
        "eth_sendRawTransaction": [[hexed(transfer(ALICE, 5).encoded)]],
        "eth_getTransactionByHash": [*([tx_hash] for tx_hash in tx_hashes), [NOTHING]],
        "eth_getTransactionByBlockHashAndIndex": [[block, "0x0"], [block, "0x9"], [NOTHING, "0x0"]],
        "eth_getTransactionByBlockNumberAndIndex": [["0x1", "0x0"], ["0x2", "0x2"], ["0x99", "0x0"]],
        "eth_getTransactionReceipt": [*([tx_hash] for tx_hash in tx_hashes), [waiting], [NOTHING]],
        "debug_getRawHeader": [["0x2"]],
        "debug_getRawBlock": [["0x2"]],
        "debug_getRawTransaction": [[tx_hashes[0]]],
        "debug_getRawReceipts": [["0x2"], ["0x0"]],
        "debug_traceBlockByNumber": [["0x2", {"limit": 20}], ["0x2", {"tracer": "callTracer"}]],
        "debug_traceBlockByHash": [[block, {"limit": 20}]],
        "debug_traceTransaction": [
            [tx_hashes[0], {"enableMemory": True, "limit": 99}],
            [tx_hashes[1], {"tracer": "callTracer"}],
        ],
        "txpool_status": [[]],
        "txpool_content": [[]],
        "txpool_contentFrom": [[ALICE_HEX], [NOBODY]],
    }


async def check(description: Any, method: str, params: list[Any], result: Any) -> None:
    schema = {"components": description["components"], **description["methods"][method]["result"]["schema"]}
    validator = jsonschema.Draft202012Validator(schema)
    problems = [
        f"{method}{params} {error.json_path}: {error.message[:200]}"
        for error in validator.iter_errors(_in_the_dress_of_today(method, result))
    ]
    assert problems == []


def _in_the_dress_of_today(method: str, result: Any) -> Any:
    """geth gave return values and storage in traces without 0x until 2025, and tools expect that."""
    if not method.startswith("debug_trace"):
        return result
    return json.loads(json.dumps(result), object_hook=_with_prefix)


def _with_prefix(value: dict[str, Any]) -> dict[str, Any]:
    if "returnValue" in value:
        value["returnValue"] = "0x" + value["returnValue"]
    if "storage" in value:
        value["storage"] = {"0x" + slot: "0x" + word for slot, word in value["storage"].items()}
    return value


def test_every_method_of_the_description_has_its_place(description: Any, maker: ChainMaker) -> None:
    api = RpcApi(make_node(maker).backend(), make_node(maker).settings.rpc)
    known = LATER_FORKS | LATER_METHODS | KEYLESS
    later = {"eth_coinbase", "eth_uninstallFilter", "eth_getFilterChanges", "eth_getFilterLogs"}
    asked = set(questions(maker))
    assert set(description["methods"]) == asked | known | later
    assert set(api.dispatcher.methods) >= asked | KEYLESS | later
    assert not set(api.dispatcher.methods) & (LATER_FORKS | LATER_METHODS)


async def test_answers_have_the_described_shape(description: Any, maker: ChainMaker) -> None:
    ask = Asked(maker)
    for method, calls in questions(maker).items():
        for params in calls:
            await check(description, method, params, await ask(method, *params))


async def test_answers_of_filters_have_the_described_shape(description: Any, maker: ChainMaker) -> None:
    ask = Asked(maker)
    async with trio.open_nursery() as nursery:
        await nursery.start(ask.api.run)
        logs = await ask("eth_newFilter", {"fromBlock": "0x0"})
        blocks = await ask("eth_newBlockFilter")
        await check(description, "eth_getFilterLogs", [logs], await ask("eth_getFilterLogs", logs))
        for key in (logs, blocks):
            await check(description, "eth_getFilterChanges", [key], await ask("eth_getFilterChanges", key))
            await check(description, "eth_uninstallFilter", [key], await ask("eth_uninstallFilter", key))
        nursery.cancel_scope.cancel()


async def test_a_waiting_transaction_has_the_described_shape(description: Any, maker: ChainMaker) -> None:
    # eth_getTransactionByHash is described for mined transactions alone; the pool's methods know both.
    ask = Asked(maker)
    waiting = await ask("eth_getTransactionByHash", hexed(transfer(ALICE, 4).hash))
    pooled = (await ask("txpool_contentFrom", ALICE_HEX))["pending"]["4"]
    assert waiting == pooled
    schema = {
        "components": description["components"],
        "$ref": "#/components/schemas/PendingTransactionInfo",
    }
    jsonschema.Draft202012Validator(schema).validate(waiting)


async def test_a_node_that_is_behind_says_how_far(description: Any, maker: ChainMaker) -> None:
    from node.rpc.backend import SyncProgress

    ask = Asked(maker)
    ask.node.sync.progress = SyncProgress(1, 2, 3)
    result = await ask("eth_syncing")
    assert result == {"startingBlock": "0x1", "currentBlock": "0x2", "highestBlock": "0x3"}
    await check(description, "eth_syncing", [], result)
