"""web3.py, unchanged, does its work against a light client."""

from typing import Any

import pytest
import trio
from web3 import HTTPProvider, Web3
from web3.exceptions import ContractCustomError, ContractPanicError, TransactionNotFound
from web3.middleware import ExtraDataToPOAMiddleware, SignAndSendRawMiddlewareBuilder

from node.primitives.ids import hex_of
from tests.chain.harness import ACCOUNTS, CHAIN_ID, ETHER
from tests.light.conftest import Edge, Served
from tests.rpc.desk import artifact

ALICE, BOB = ACCOUNTS[8], ACCOUNTS[9]


def connect(port: int) -> Web3:
    w3 = Web3(HTTPProvider(f"http://127.0.0.1:{port}"))
    w3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
    w3.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build(ALICE), layer=0)
    w3.eth.default_account = ALICE.address
    return w3


def mined(w3: Web3, tx_hash: Any) -> Any:
    receipt = w3.eth.wait_for_transaction_receipt(tx_hash, timeout=60, poll_latency=0.05)
    assert receipt["status"] == 1
    return receipt


def work(w3: Web3) -> None:
    assert w3.eth.chain_id == CHAIN_ID
    assert w3.eth.get_balance(ALICE.address) == 1000 * ETHER
    assert len(w3.eth.get_block("latest")["proofOfAuthorityData"]) == 97
    factory = w3.eth.contract(abi=artifact()["abi"], bytecode=artifact()["bytecode"])
    receipt = mined(w3, factory.constructor().transact())
    desk = w3.eth.contract(address=receipt["contractAddress"], abi=artifact()["abi"])
    order = (BOB.address, [("pen", 3), ("ink", 4)])
    receipt = mined(w3, desk.functions.take(order).transact())
    (event,) = desk.events.OrderTaken().process_receipt(receipt)
    assert desk.events.OrderTaken().get_logs(from_block=0)[-1]["transactionHash"] == event["transactionHash"]
    assert desk.functions.orders().call() == 1
    assert desk.functions.read(0).call() == order
    with pytest.raises(ContractPanicError):
        desk.functions.share(1, 0).call()
    with pytest.raises(ContractCustomError):
        desk.functions.take((BOB.address, [])).call()
    proof = w3.eth.get_proof(desk.address, [0])
    assert int.from_bytes(proof["storageProof"][0]["value"], "big") == 1
    assert w3.eth.get_transaction_count(ALICE.address) == 2
    with pytest.raises(TransactionNotFound):
        w3.eth.get_transaction("0x" + "77" * 32)


async def test_a_day_of_web3py(edge: Edge, served: Served) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(edge.node.seal_on_arrival)
        await trio.to_thread.run_sync(lambda: work(connect(served.place.port)))
        nursery.cancel_scope.cancel()
    assert served.client.upstreams.lies == []
    assert hex_of(served.client.head.hash) == hex_of(edge.maker.head.hash)
