"""The light client among programs that nobody here wrote: cast asks it, and it asks geth, which is proved."""

import functools
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trio
from web3 import Web3

from node.app.light import light_client
from node.chain.genesis_json import parse_genesis
from node.config.settings import LightSettings
from node.light.client import LightClient
from node.light.json_rpc import JsonRpc
from node.light.provider import RpcProvider
from node.light.reads import ProofClaim, account_of, slot_of
from node.primitives.block import Header
from node.primitives.errors import ChainError
from node.primitives.ids import Address, Hash32, hex_of
from tests.chain.harness import ACCOUNTS, CHAIN_ID, ETHER, KEYS, sign
from tests.interop.npm import npm_install
from tests.interop.ours import wait_until
from tests.interop.test_cast import PACKAGE, Cast
from tests.interop.test_geth_chain import ALL_AT_ONCE, CONTRACT, genesis_of
from tests.interop.test_geth_network import Geth, geth_node
from tests.light.conftest import Edge, Served, edge, served  # noqa: F401

pytestmark = pytest.mark.interop


async def test_cast_against_a_light_client(edge: Edge, served: Served) -> None:  # noqa: F811
    await trio.to_thread.run_sync(functools.partial(npm_install, PACKAGE))
    cast = Cast(f"http://127.0.0.1:{served.place.port}")
    alice, desk = ACCOUNTS[8], hex_of(edge.desk)
    key = "0x" + alice.key.hex()
    async with trio.open_nursery() as nursery:
        await nursery.start(edge.node.seal_on_arrival)
        assert await cast("chain-id") == str(CHAIN_ID)
        assert await cast("balance", alice.address) == str(1000 * ETHER)
        receipt = await cast.json("send", "--private-key", key, "--json", alice.address, "--value", "1ether")
        assert receipt["status"] == "0x1"
        assert await cast("nonce", alice.address) == "1"
        block = await cast.json("block", "latest", "--json")
        assert block["transactions"] == [receipt["transactionHash"]]
        assert (await cast.json("tx", receipt["transactionHash"], "--json"))["blockHash"] == block["hash"]
        assert await cast("call", desk, "orders()(uint256)") == "1"
        event = "OrderTaken(address indexed,uint256 indexed,uint256)"
        assert len(await cast.json("logs", "--json", "--from-block", "0", "--address", desk, event)) == 1
        assert int(await cast("storage", desk, "0"), 16) == 1
        assert int(await cast("estimate", desk, "share(uint256,uint256)", "9", "3")) > 21_000
        proof = await cast.json("proof", desk, "0")
        assert proof["storageProof"][0]["value"] == "0x1"
        said = await cast.complaint("call", desk, "share(uint256,uint256)", "1", "0")
        assert "division or modulo by zero" in said
        nursery.cancel_scope.cancel()


def altered(nodes: tuple[bytes, ...]) -> list[tuple[bytes, ...]]:
    """The nodes with one bit changed somewhere, each once."""
    found = []
    for place, node in enumerate(nodes):
        for at in (0, len(node) // 2, len(node) - 1):
            raw = bytearray(node)
            raw[at] ^= 1
            found.append((*nodes[:place], bytes(raw), *nodes[place + 1 :]))
    return found


def check_proofs(geth: Geth, contract: Address) -> None:
    """geth's eth_getProof verifies against its header's state root; altered ones do not."""
    rpc = JsonRpc(geth.client.provider.endpoint_uri, timeout_s=20.0, bytes_max=1 << 24)  # type: ignore[attr-defined]
    rich = Address(bytes.fromhex(ACCOUNTS[0].address[2:]))
    nobody = Address(b"\x07" * 20)
    provider = RpcProvider(rpc)
    head = provider.head()
    claims = provider.proofs(head.hash, [(rich, ()), (nobody, ()), (contract, (0, 1, 99))])
    check_claims(geth.client, head, claims)


def check_claims(client: Web3, head: Header, claims: Sequence[ProofClaim]) -> None:
    """A program's proofs show what its other methods say, and not with any bit changed."""
    for claim in claims:
        proved = account_of(head.state_root, claim.address, claim.nodes)
        balance = client.eth.get_balance(hex_checksum(claim.address), head.number)
        assert (proved.account.balance if proved.account else 0) == balance
        for nodes in altered(claim.nodes):
            with pytest.raises(ChainError):
                account_of(head.state_root, claim.address, nodes)
        for slot, nodes in claim.slots:
            value = slot_of(proved.storage_root, slot, nodes)
            assert value == int.from_bytes(
                client.eth.get_storage_at(hex_checksum(claim.address), slot, head.number), "big"
            )
            for wrong in altered(nodes):
                with pytest.raises(ChainError):
                    slot_of(proved.storage_root, slot, wrong)


def hex_checksum(address: Address) -> Any:
    return Web3.to_checksum_address(address)


def test_geth_is_an_upstream_whose_answers_are_proved(tmp_path: Path) -> None:
    """A geth that seals, without its debug methods: headers, blocks and receipts come as JSON."""
    genesis = genesis_of(1, period=1, epoch=12, timestamp=int(time.time()) - 5, forks=ALL_AT_ONCE)
    (tmp_path / "genesis.json").write_text(json.dumps(genesis))
    with geth_node(tmp_path / "geth", tmp_path / "genesis.json", KEYS[0]) as geth:
        send = geth.client.eth.send_raw_transaction
        created = send(sign(ACCOUNTS[0], nonce=0, data=CONTRACT, gas=200_000).encoded)
        receipt = geth.client.eth.wait_for_transaction_receipt(created, timeout=60)
        contract = Address(bytes.fromhex(str(receipt["contractAddress"])[2:]))
        wait_until(lambda: geth.client.eth.block_number >= 14, "past an epoch", geth.log)
        check_proofs(geth, contract)
        url = geth.client.provider.endpoint_uri  # type: ignore[attr-defined]
        client = light_client(parse_genesis(genesis), LightSettings(upstreams=(url,)), tmp_path / "light")
        try:
            follow(client, 14)
            assert client.upstreams.lies == []
            placed = client.transaction_place(Hash32(bytes(created)))
            assert placed is not None
            assert placed[0].number == receipt["blockNumber"]
            receipts = client.receipts(placed[0].hash)
            assert receipts is not None
            assert receipts[placed[1]].cumulative_gas_used == receipt["cumulativeGasUsed"]
            view = client.state.view(client.head)
            account = view.account(contract)
            assert account is not None
            assert view.code(account.code_hash) == bytes(geth.client.eth.get_code(hex_checksum(contract)))
        finally:
            client.close()


def follow(client: LightClient, least: int) -> None:
    deadline = time.monotonic() + 30
    while client.head.number < least and time.monotonic() < deadline:
        client.poll(client.upstreams.sources[0])
        assert client.upstreams.lies == [], client.upstreams.lies
    assert client.head.number >= least
