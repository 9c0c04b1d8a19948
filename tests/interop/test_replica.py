"""web3.py and foundry's cast, unchanged, know nothing but a read replica: reads, transactions, subscriptions.

A real network: the validator is another process, which they never speak to. Once the replica's node answers
them itself, and once its worker processes do.
"""

import asyncio
import functools
import time
from collections.abc import Iterator
from typing import Any

import pytest
import trio
from eth_account import Account
from web3 import AsyncWeb3, HTTPProvider, Web3, WebSocketProvider
from web3.exceptions import ContractCustomError
from web3.middleware import ExtraDataToPOAMiddleware, SignAndSendRawMiddlewareBuilder
from web3.utils.subscriptions import NewHeadsSubscription

from devnet.generate import encode_toml, generate, settings_of
from devnet.layout import HOST, Layout, NodeFiles
from devnet.manifest import Accounts, Network, NodePlan, Ports
from tests.faults.live import end_all, start
from tests.interop.npm import npm_install
from tests.interop.test_cast import PACKAGE, TAKE, Cast
from tests.ports import free_ports
from tests.rpc.desk import artifact

pytestmark = pytest.mark.interop

CHAIN_ID = 325_012
PATIENCE_S = 120.0
KINDS = {"the node itself": 1, "two workers": 2}


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Layout]:
    first = free_ports(12)
    network = Network(
        name="interop",
        chain_id=CHAIN_ID,
        seed="strangers at a replica: these keys are public",
        period_s=1,
        contract_suite=False,
        ports=Ports(p2p=first, rpc=first + 3, metrics=first + 6, admin=first + 9),
        accounts=Accounts(count=6),
        nodes=(NodePlan(name="core"), *(NodePlan(name=name, role="replica") for name in ("plain", "shared"))),
    )
    layout = generate(network, tmp_path_factory.mktemp("replica"))
    settings = settings_of(layout, layout.nodes[2])
    settings["replica"] = settings.get("replica", {}) | {"workers": 2}
    layout.nodes[2].config.write_text(encode_toml(settings))
    try:
        for life in [start(node) for node in layout.nodes]:
            life.wait_answering(PATIENCE_S)
        yield layout
    finally:
        end_all()


@pytest.fixture(params=KINDS.values(), ids=KINDS.keys())
def replica(request: pytest.FixtureRequest, layout: Layout) -> NodeFiles:
    return layout.nodes[request.param]


def key_of(layout: Layout, replica: NodeFiles, number: int) -> str:
    """An account for each replica, so that their nonces are their own."""
    account = layout.accounts[2 * number + (replica.name == "shared")]
    return str(account["private_key"])


async def test_cast_unchanged(layout: Layout, replica: NodeFiles) -> None:
    await trio.to_thread.run_sync(functools.partial(npm_install, PACKAGE))
    cast, key = Cast(replica.rpc_url), key_of(layout, replica, 0)
    alice = Account.from_key(key).address
    with_key = ("--private-key", key, "--json")
    assert await cast("chain-id") == str(CHAIN_ID)
    assert await cast("nonce", alice) == "0"
    before = int(await cast("balance", alice))
    for kind in ([], ["--legacy"], ["--access-list", "[]"]):
        receipt = await cast.json("send", *with_key, *kind, "0x" + "11" * 20, "--value", "1ether")
        assert receipt["status"] == "0x1"
    assert await cast("nonce", alice) == "3"
    assert before - int(await cast("balance", alice)) > 3 * 10**18
    tx_hash, number = receipt["transactionHash"], str(int(receipt["blockNumber"], 16))
    block = await cast.json("block", number, "--json")
    assert tx_hash in block["transactions"]
    assert (await cast.json("tx", tx_hash, "--json"))["blockHash"] == block["hash"]
    assert (await cast.json("receipt", tx_hash, "--json"))["gasUsed"] == receipt["gasUsed"]
    assert "successfully executed" in await cast("run", tx_hash)
    made = await cast.json("send", *with_key, "--create", artifact()["bytecode"])
    desk = str(made["contractAddress"])
    taken = await cast.json("send", *with_key, desk, TAKE, f"({alice},[(pen,3),(ink,4)])")
    assert (taken["status"], len(taken["logs"])) == ("0x1", 1)
    assert await cast("call", desk, "orders()(uint256)") == "1"
    event = "OrderTaken(address indexed,uint256 indexed,uint256)"
    assert len(await cast.json("logs", "--json", "--from-block", "0", "--address", desk, event)) == 1
    assert int(await cast("storage", desk, "0"), 16) == 1
    assert int(await cast("estimate", desk, TAKE, f"({alice},[(pen,3)])")) > 50_000
    assert (await cast.json("proof", desk, "0"))["storageProof"][0]["value"] == "0x1"
    assert "execution reverted" in await cast.complaint("call", desk, TAKE, f"({alice},[])")
    assert len(await cast.json("rpc", "clique_getSigners")) == 1
    assert "nonce too low" in await cast.complaint("send", "--private-key", key, "--nonce", "0", alice)


def test_web3_py_unchanged(layout: Layout, replica: NodeFiles) -> None:
    signer = Account.from_key(key_of(layout, replica, 1))
    w3 = Web3(HTTPProvider(replica.rpc_url))
    w3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
    w3.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build(signer), layer=0)
    w3.eth.default_account = signer.address
    assert w3.is_connected()
    assert w3.eth.chain_id == CHAIN_ID
    factory = w3.eth.contract(abi=artifact()["abi"], bytecode=artifact()["bytecode"])
    made = mined(w3, factory.constructor().transact())
    desk = w3.eth.contract(made["contractAddress"], abi=artifact()["abi"])
    heads, taken = w3.eth.filter("latest"), desk.events.OrderTaken.create_filter(from_block="latest")
    # One after the other without waiting: the pending nonce counts what went over other connections.
    orders = [desk.functions.take((signer.address, [("pen", count)])).transact() for count in (1, 2, 3)]
    receipts = [mined(w3, order) for order in orders]
    assert desk.functions.orders().call() == 3
    found = desk.events.OrderTaken().get_logs(from_block=made["blockNumber"])
    assert [each["transactionHash"] for each in found] == orders
    assert {receipt["blockHash"] for receipt in receipts} <= set(told(heads, receipts[-1]["blockHash"]))
    assert [each["transactionHash"] for each in told(taken, None, 3)] == orders
    with w3.batch_requests() as batch:
        batch.add(w3.eth.get_balance(signer.address))
        batch.add(w3.eth.get_block("latest"))
        balance, block = batch.execute()
    assert balance > 0
    assert "proofOfAuthorityData" in block
    assert w3.eth.get_proof(desk.address, [0], "latest")["storageProof"][0]["value"] == b"\x03"
    with pytest.raises(ContractCustomError):
        desk.functions.take((signer.address, [])).call()
    numbers = asyncio.run(heads_over_websocket(replica, 3))
    assert numbers == list(range(numbers[0], numbers[0] + 3))


def mined(w3: Web3, tx_hash: Any) -> Any:
    receipt = w3.eth.wait_for_transaction_receipt(tx_hash, timeout=PATIENCE_S, poll_latency=0.1)
    assert receipt["status"] == 1
    return receipt


def told(polled: Any, last: Any, count: int = 0) -> list[Any]:
    """What a filter tells until it has told a certain thing, or so many."""
    found: list[Any] = []
    until_s = time.monotonic() + PATIENCE_S
    while (last is not None and last not in found) or len(found) < count:
        assert time.monotonic() < until_s, "the filter tells too little"
        found += polled.get_new_entries()
        time.sleep(0.1)
    return found


async def heads_over_websocket(replica: NodeFiles, count: int) -> list[int]:
    numbers: list[int] = []
    async with AsyncWeb3(WebSocketProvider(f"ws://{HOST}:{replica.rpc_port}")) as w3:
        w3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)

        async def on_head(context: Any) -> None:
            numbers.append(int(context.result["number"]))
            if len(numbers) == count:
                await context.subscription.unsubscribe()

        await w3.subscription_manager.subscribe(NewHeadsSubscription(handler=on_head))
        await asyncio.wait_for(w3.subscription_manager.handle_subscriptions(), PATIENCE_S)
    return numbers
