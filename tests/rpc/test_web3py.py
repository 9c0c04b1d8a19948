"""web3.py 8 does a day's work against a whole node, over HTTP and over WebSocket.

web3.py knows no trio: its synchronous half runs in a thread, its asynchronous half in an asyncio loop of its
own in a thread.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
import trio
from eth_abi.abi import decode
from web3 import AsyncWeb3, HTTPProvider, Web3, WebSocketProvider
from web3.contract import Contract
from web3.exceptions import (
    ContractCustomError,
    ContractLogicError,
    ContractPanicError,
    TransactionNotFound,
    Web3RPCError,
)
from web3.middleware import ExtraDataToPOAMiddleware, SignAndSendRawMiddlewareBuilder
from web3.utils.subscriptions import NewHeadsSubscription

from tests.chain.harness import ACCOUNTS, CHAIN_ID, ETHER
from tests.rpc.desk import artifact
from tests.rpc.node import running_node

ALICE, BOB = ACCOUNTS[0], ACCOUNTS[1]
NOBODY = "0x" + "00" * 20


def connect(port: int) -> Web3:
    """web3.py as an application sets it up for a Clique network, with a local key."""
    w3 = Web3(HTTPProvider(f"http://127.0.0.1:{port}"))
    w3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
    w3.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build(ALICE), layer=0)
    w3.eth.default_account = ALICE.address
    return w3


def mined(w3: Web3, tx_hash: Any) -> Any:
    receipt = w3.eth.wait_for_transaction_receipt(tx_hash, timeout=60, poll_latency=0.02)
    assert receipt["status"] == 1
    return receipt


def news(polled: Any) -> Any:
    """What a filter tells next: a client may ask for it a moment before the node has told the filter."""
    until = time.monotonic() + 60
    while not (entries := polled.get_new_entries()):
        assert time.monotonic() < until, "the filter tells nothing"
        time.sleep(0.02)
    return entries


def deploy(w3: Web3) -> Contract:
    factory = w3.eth.contract(abi=artifact()["abi"], bytecode=artifact()["bytecode"])
    receipt = mined(w3, factory.constructor().transact())
    return w3.eth.contract(address=receipt["contractAddress"], abi=artifact()["abi"])


async def at_work(work: Callable[[Web3], None], **settings: Any) -> None:
    """Run `work` in a thread against a node that seals whatever arrives."""
    async with running_node(sealing=True, **settings) as node:
        await trio.to_thread.run_sync(lambda: work(connect(node.place.port)))


async def test_the_chain_as_an_explorer_reads_it() -> None:
    def work(w3: Web3) -> None:
        assert w3.is_connected()
        assert w3.eth.chain_id == CHAIN_ID
        assert w3.net.version == str(CHAIN_ID)
        assert w3.client_version.startswith("phoenix-ledger/")
        assert w3.eth.syncing is False
        assert w3.eth.accounts == []
        receipt = mined(w3, w3.eth.send_transaction({"to": BOB.address, "value": 5}))
        assert w3.eth.get_balance(BOB.address) == 1000 * ETHER + 5
        assert w3.eth.get_balance(BOB.address, "earliest") == 1000 * ETHER
        block = w3.eth.get_block(receipt["blockNumber"], full_transactions=True)
        assert len(block["proofOfAuthorityData"]) == 97
        assert block["totalDifficulty"] > 1
        assert w3.eth.get_block(block["hash"])["transactions"] == [receipt["transactionHash"]]
        [tx] = block["transactions"]
        assert (tx["from"], tx["to"], tx["value"], tx["type"]) == (ALICE.address, BOB.address, 5, 2)
        assert w3.eth.get_transaction(receipt["transactionHash"]) == tx
        assert w3.eth.get_raw_transaction(receipt["transactionHash"])[0] == 2
        assert w3.eth.get_block_receipts(block["number"]) == [receipt]
        assert w3.eth.get_transaction_count(ALICE.address) == 1
        with pytest.raises(TransactionNotFound):
            w3.eth.get_transaction(b"\x01" * 32)

    await at_work(work)


async def test_every_kind_of_transaction() -> None:
    def work(w3: Web3) -> None:
        price = w3.eth.gas_price
        to = {"to": BOB.address, "value": 1, "gas": 30_000}
        kinds = [
            {"gasPrice": price * 2},
            {"gasPrice": price * 2, "accessList": [], "type": 1, "chainId": CHAIN_ID},
            {"maxFeePerGas": price * 2, "maxPriorityFeePerGas": 1},
        ]
        receipts = [mined(w3, w3.eth.send_transaction(to | kind)) for kind in kinds]
        assert [receipt["type"] for receipt in receipts] == [0, 1, 2]
        assert receipts[0]["effectiveGasPrice"] == price * 2
        assert receipts[2]["effectiveGasPrice"] < price * 2

    await at_work(work)


async def test_a_contract_with_struct_arguments_events_and_filters() -> None:
    def work(w3: Web3) -> None:
        desk = deploy(w3)
        assert w3.eth.get_code(desk.address)
        events = desk.events.OrderTaken
        polled = events.create_filter(from_block="latest")
        for number in range(2):
            receipt = mined(w3, desk.functions.take((ALICE.address, [("pen", 3), ("ink", 4)])).transact())
            [event] = events().process_receipt(receipt)
            expected = {"customer": ALICE.address, "number": number, "amount": 7}
            assert dict(event["args"]) == expected
            [event] = news(polled)
            assert dict(event["args"]) == expected
        assert desk.functions.read(1).call() == (ALICE.address, [("pen", 3), ("ink", 4)])
        [event] = events.get_logs(from_block=0, argument_filters={"number": 1})
        assert event["args"]["number"] == 1
        assert len(polled.get_all_entries()) == 1  # from the latest block on
        assert len(w3.eth.get_logs({"address": desk.address, "fromBlock": 0})) == 2
        assert w3.eth.uninstall_filter(polled.filter_id)
        blocks = w3.eth.filter("latest")
        receipt = mined(w3, desk.functions.take((ALICE.address, [("pen", 1)])).transact())
        assert receipt["blockHash"] in news(blocks)

    await at_work(work)


async def test_refusals_arrive_as_what_they_are() -> None:
    def work(w3: Web3) -> None:
        desk = deploy(w3)
        with pytest.raises(ContractCustomError) as custom:
            desk.functions.take((ALICE.address, [])).call()
        data = str(custom.value.data)
        assert decode(["address", "uint256"], bytes.fromhex(data[10:])) == (ALICE.address.lower(), 0)
        with pytest.raises(ContractLogicError, match="execution reverted: Desk: no customer"):
            desk.functions.take((NOBODY, [("pen", 1)])).call()
        with pytest.raises(ContractPanicError, match="0x12"):
            desk.functions.share(1, 0).call()
        with pytest.raises(ContractCustomError):
            desk.functions.take((ALICE.address, [])).estimate_gas()
        with pytest.raises(ContractPanicError):
            desk.functions.share(1, 0).estimate_gas()
        with pytest.raises(Web3RPCError, match="nonce too low"):
            w3.eth.send_transaction({"to": BOB.address, "nonce": 0})

    await at_work(work)


async def test_calls_that_pretend() -> None:
    def work(w3: Web3) -> None:
        desk = deploy(w3)
        slot = "0x" + "00" * 32
        pretended = {desk.address: {"stateDiff": {slot: "0x" + (41).to_bytes(32, "big").hex()}}}
        assert desk.functions.orders().call(state_override=pretended) == 41
        assert desk.functions.orders().call() == 0
        number, time, _, sealer, chain = desk.functions.here().call()
        head = w3.eth.get_block("latest")
        assert (number, time, chain) == (head["number"], head["timestamp"], CHAIN_ID)
        assert sealer.lower() == w3.provider.make_request("clique_getSigner", ["latest"])["result"]
        assert desk.functions.here().call(block_identifier="pending")[0] == number + 1
        assert desk.functions.here().call(block_identifier=head["hash"])[0] == number
        listed = w3.eth.create_access_list({"to": desk.address, "data": desk.encode_abi("orders")})
        assert listed["accessList"][0]["storageKeys"] == [slot]

    await at_work(work)


async def test_proofs_fees_and_batches() -> None:
    def work(w3: Web3) -> None:
        desk = deploy(w3)
        mined(w3, desk.functions.take((ALICE.address, [("pen", 1)])).transact())
        proof = w3.eth.get_proof(desk.address, [0], "latest")
        assert int.from_bytes(proof["storageProof"][0]["value"], "big") == 1
        assert len(proof["accountProof"]) > 0
        history = w3.eth.fee_history(2, "latest", [25, 75])
        assert len(history["baseFeePerGas"]) == 3
        assert [len(row) for row in history["reward"]] == [2, 2]
        assert w3.eth.max_priority_fee >= 0
        with w3.batch_requests() as batch:
            batch.add(w3.eth.get_block("latest"))
            batch.add(w3.eth.get_balance(ALICE.address))
            batch.add(desk.functions.orders())
            block, balance, orders = batch.execute()
        assert (block["number"], orders) == (w3.eth.block_number, 1)
        assert balance == w3.eth.get_balance(ALICE.address)

    await at_work(work)


async def test_traces() -> None:
    def work(w3: Web3) -> None:
        desk = deploy(w3)
        receipt = mined(w3, desk.functions.take((ALICE.address, [("pen", 1)])).transact())
        tx_hash = receipt["transactionHash"].to_0x_hex()
        options = {"tracer": "callTracer", "tracerConfig": {"withLog": True}}
        tree = w3.geth.debug.trace_transaction(tx_hash, options)
        assert (tree["type"], tree["gasUsed"]) == ("CALL", receipt["gasUsed"])
        assert len(tree["logs"]) == 1
        found = w3.geth.debug.trace_transaction(tx_hash, {"tracer": "prestateTracer"})
        assert {ALICE.address, desk.address} <= found.keys()
        diff = {"tracer": "prestateTracer", "tracerConfig": {"diffMode": True}}
        changed = w3.geth.debug.trace_transaction(tx_hash, diff)
        before, after = (changed[part][ALICE.address] for part in ("pre", "post"))
        assert after["nonce"] == before.get("nonce", 0) + 1
        steps = w3.geth.debug.trace_transaction(tx_hash, {})
        assert steps["gas"] == receipt["gasUsed"]
        assert not steps["failed"]
        assert {"SSTORE", "LOG3"} <= {step["op"] for step in steps["structLogs"]}

    await at_work(work)


async def test_the_pool_as_geth_shows_it() -> None:
    def work(w3: Web3) -> None:
        w3.eth.send_transaction({"to": BOB.address, "value": 1, "nonce": 0})
        w3.eth.send_transaction({"to": BOB.address, "value": 1, "nonce": 5})
        assert dict(w3.geth.txpool.status()) == {"pending": "0x1", "queued": "0x1"}
        content = w3.geth.txpool.content()
        assert list(content["pending"][ALICE.address]) == ["0"]
        assert list(content["queued"][ALICE.address]) == ["5"]
        assert "wei + " in w3.geth.txpool.inspect()["queued"][ALICE.address]["5"]
        assert w3.eth.get_transaction_count(ALICE.address, "pending") == 1
        assert w3.eth.get_transaction_count(ALICE.address) == 0

    async with running_node() as node:
        await trio.to_thread.run_sync(lambda: work(connect(node.place.port)))


async def test_subscriptions_over_websocket() -> None:
    async def work(port: int) -> None:
        async with AsyncWeb3(WebSocketProvider(f"ws://127.0.0.1:{port}")) as w3:
            w3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
            assert await w3.eth.chain_id == CHAIN_ID
            heads: list[int] = []

            async def on_head(context: Any) -> None:
                heads.append(context.result["number"])
                if len(heads) == 2:
                    await context.subscription.unsubscribe()

            subscription = NewHeadsSubscription(handler=on_head)
            await w3.subscription_manager.subscribe(subscription)
            for nonce in range(2):
                signed = ALICE.sign_transaction(
                    {
                        "to": BOB.address,
                        "value": 1,
                        "nonce": nonce,
                        "gas": 21_000,
                        "maxFeePerGas": 10**10,
                        "maxPriorityFeePerGas": 1,
                        "chainId": CHAIN_ID,
                    }
                )
                tx_hash = await w3.eth.send_raw_transaction(signed.raw_transaction)
                await w3.eth.wait_for_transaction_receipt(tx_hash, timeout=60, poll_latency=0.02)
            await w3.subscription_manager.handle_subscriptions()
            assert heads == [1, 2]

    async with running_node(sealing=True) as node:
        await trio.to_thread.run_sync(lambda: asyncio.run(asyncio.wait_for(work(node.place.port), 30)))
