"""Methods on a real chain: what a block, a tag or an absence means, and the words of refusals."""

from typing import Any

import msgspec
import pytest

from node.config.settings import RpcSettings
from node.primitives import rlp
from node.primitives.block import decode_block, decode_header
from node.primitives.crypto import EMPTY_HASH, keccak256
from node.primitives.ids import Address
from node.primitives.receipt import decode_receipt
from node.primitives.transaction import decode_transaction
from node.rpc.encoding import contract_address
from node.trie.proof import verify_proof
from p2p.enode import Enode
from tests.chain.harness import ACCOUNTS, ETHER, GWEI, KEYS, ChainMaker, make_spec, sign, transfer
from tests.rpc.client import HttpClient, call_bytes, request_bytes
from tests.rpc.desk import call, creation_code, decode_numbers, take_call
from tests.rpc.node import TestNode, running_node

ALICE, BOB = ACCOUNTS[0], ACCOUNTS[1]
ALICE_ADDRESS = Address(bytes.fromhex(ALICE.address[2:]))
DESK = contract_address(ALICE_ADDRESS, 0)
NOTHING = "0x" + "00" * 32
NOBODY = "0x" + "99" * 20


def hexed(value: bytes) -> str:
    return "0x" + value.hex()


def error(answer: Any) -> tuple[int, str]:
    return answer["error"]["code"], answer["error"]["message"]


def make_chain() -> ChainMaker:
    """Five signers; block 1 creates a contract, block 2 uses it, then seven empty ones."""
    maker = ChainMaker(make_spec(KEYS[:5]))
    maker.extend([sign(ALICE, nonce=0, to=None, data=creation_code(), gas=1_000_000)])
    maker.extend([sign(ALICE, nonce=1, to=DESK, data=take_call(ALICE.address, [("pen", 1)]), gas=300_000)])
    maker.extend_by(7)
    return maker


async def client_of(node: TestNode) -> HttpClient:
    return await node.place.http()


# --- blocks by name


async def test_tags_name_blocks_at_their_depth() -> None:
    async with running_node(make_chain()) as node:
        client = await client_of(node)
        numbers = {
            tag: int((await client.result("eth_getBlockByNumber", tag, False))["number"], 16)
            for tag in ("earliest", "finalized", "safe", "latest", "pending")
        }
        # Five signers: two more make a majority with the block's own, five make a round.
        assert numbers == {"earliest": 0, "finalized": 4, "safe": 7, "latest": 9, "pending": 9}


async def test_a_chain_younger_than_a_round_is_final_up_to_genesis() -> None:
    async with running_node(ChainMaker(make_spec(KEYS[:5]))) as node:
        client = await client_of(node)
        assert (await client.result("eth_getBlockByNumber", "finalized", False))["number"] == "0x0"


async def test_a_side_block_can_be_refused() -> None:
    maker = make_chain()
    parent = maker.reader.header_by_number(8)
    assert parent is not None
    side = maker.make(parent, delay_s=1, vanity=b"side")
    canonical = maker.reader.canonical_hash(9)
    assert canonical is not None
    async with running_node(maker) as node:
        client = await client_of(node)
        loser = side.hash if side.hash != canonical else canonical
        assert loser != canonical
        by_hash = {"blockHash": hexed(loser)}
        assert (await client.result("eth_getBlockByHash", hexed(loser), False))["number"] == "0x9"
        await client.result("eth_getBlockReceipts", by_hash)
        refused = await client.call("eth_getBlockReceipts", by_hash | {"requireCanonical": True})
        assert error(refused) == (-32000, f"hash {hexed(loser)} is not currently canonical")
        assert "result" in await client.call(
            "eth_getBalance", ALICE.address, {"blockHash": hexed(canonical), "requireCanonical": True}
        )


async def test_what_is_not_there_is_null_or_an_error_as_geth_has_it() -> None:
    async with running_node(make_chain()) as node:
        client = await client_of(node)
        for method, params in [
            ("eth_getBlockByNumber", ["0x99", False]),
            ("eth_getBlockByHash", [NOTHING, False]),
            ("eth_getBlockReceipts", ["0x99"]),
            ("eth_getTransactionByHash", [NOTHING]),
            ("eth_getTransactionReceipt", [NOTHING]),
            ("eth_getTransactionByBlockNumberAndIndex", ["0x1", "0x5"]),
            ("eth_getUncleByBlockNumberAndIndex", ["0x1", "0x0"]),
            ("eth_getUncleCountByBlockNumber", ["0x99"]),
        ]:
            assert await client.result(method, *params) is None
        assert error(await client.call("eth_getBalance", NOBODY, "0x99")) == (-32000, "header not found")
        assert error(await client.call("eth_call", {}, NOTHING)) == (-32000, "header for hash not found")
        assert error(await client.call("debug_traceTransaction", NOTHING)) == (
            -32000,
            "transaction not found",
        )
        assert await client.result("eth_getUncleCountByBlockNumber", "0x1") == "0x0"


# --- state


async def test_state_at_any_block() -> None:
    async with running_node(make_chain()) as node:
        client = await client_of(node)
        assert await client.result("eth_getBalance", ALICE.address, "0x0") == hex(1000 * ETHER)
        assert int(await client.result("eth_getBalance", ALICE.address), 16) < 1000 * ETHER
        assert await client.result("eth_getTransactionCount", ALICE.address, "0x1") == "0x1"
        assert await client.result("eth_getCode", hexed(DESK), "0x0") == "0x"
        assert len(await client.result("eth_getCode", hexed(DESK))) > 100
        for key in ("0x0", "0x", NOTHING):
            assert await client.result("eth_getStorageAt", hexed(DESK), key) == f"0x{1:064x}"
        assert await client.result("eth_getStorageAt", hexed(DESK), "0x0", "0x1") == NOTHING
        assert await client.result("eth_getBalance", NOBODY) == "0x0"


async def test_proofs_hold_against_the_header() -> None:
    async with running_node(make_chain()) as node:
        client = await client_of(node)
        root = bytes.fromhex((await client.result("eth_getBlockByNumber", "0x2", False))["stateRoot"][2:])
        proof = await client.result("eth_getProof", hexed(DESK), ["0x0", f"0x{5:064x}"], "0x2")
        nodes = [bytes.fromhex(node_hex[2:]) for node_hex in proof["accountProof"]]
        leaf = verify_proof(root, keccak256(DESK), nodes)
        assert leaf is not None
        _, _, storage_root, code_hash = rlp.as_list(rlp.decode(leaf))
        assert (proof["storageHash"], proof["codeHash"]) == (hexed(storage_root), hexed(code_hash))  # type: ignore[arg-type]
        taken, free = proof["storageProof"]
        assert (taken["key"], taken["value"], free["value"]) == ("0x0", "0x1", "0x0")
        assert free["key"] == f"0x{5:064x}"
        slot_nodes = [bytes.fromhex(node_hex[2:]) for node_hex in taken["proof"]]
        assert verify_proof(storage_root, keccak256(bytes(32)), slot_nodes) == b"\x01"  # type: ignore[arg-type]
        absent = await client.result("eth_getProof", NOBODY, [], "latest")
        assert (absent["balance"], absent["codeHash"]) == ("0x0", hexed(EMPTY_HASH))


# --- calls


async def test_calls_see_what_they_are_told_to_see() -> None:
    async with running_node(make_chain()) as node:
        client = await client_of(node)
        here = {"to": hexed(DESK), "input": hexed(call("here()"))}
        number, time, fee, author, chain = decode_numbers(await client.result("eth_call", here, "0x3"), 5)
        header = node.chain.reader.header_by_number(3)
        assert header is not None
        assert (number, time, fee, chain) == (3, header.timestamp, 0, 1337)
        assert author == int.from_bytes(node.chain.reader.author_of(header), "big")
        change = {"number": "0x64", "time": "0x65", "feeRecipient": NOBODY, "baseFeePerGas": "0x7"}
        priced = here | {"gasPrice": "0x7", "from": ALICE.address, "gas": "0x186a0"}
        told = decode_numbers(await client.result("eth_call", priced, "latest", None, change), 5)
        assert told == (100, 101, 7, int(NOBODY, 16), 1337)
        funded = {NOBODY: {"balance": hex(ETHER)}}
        spend = {"from": NOBODY, "to": ALICE.address, "value": "0x1"}
        assert await client.result("eth_call", spend, "latest", funded) == "0x"
        code, message = error(await client.call("eth_call", spend))
        assert (code, message.startswith("err: insufficient funds")) == (-32000, True)


async def test_a_call_for_another_chain_is_refused() -> None:
    async with running_node(make_chain()) as node:
        client = await client_of(node)
        code, message = error(await client.call("eth_call", {"chainId": "0x1"}))
        assert (code, message) == (-32000, "chainId does not match node's (have=1, want=1337)")


async def test_a_call_gets_no_more_gas_than_the_node_allows() -> None:
    async with running_node(make_chain(), call_gas_max=100_000) as node:
        client = await client_of(node)
        spin = {"to": hexed(DESK), "input": hexed(call("spin()")), "gas": "0xffffffffff"}
        assert error(await client.call("eth_call", spin)) == (-32000, "out of gas")
        assert error(await client.call("eth_estimateGas", spin)) == (
            -32000,
            "gas required exceeds allowance (100000)",
        )


async def test_an_estimate_is_no_more_than_fits_into_a_block() -> None:
    async with running_node(make_chain()) as node:
        client = await client_of(node)
        greedy = {hexed(DESK): {"code": "0x65ffffffffffff51"}}  # reads memory that no gas pays for
        answer = await client.call("eth_estimateGas", {"to": hexed(DESK)}, "latest", greedy)
        limit = int((await client.call("eth_getBlockByNumber", "latest", False))["result"]["gasLimit"], 16)
        assert error(answer) == (-32000, f"gas required exceeds allowance ({limit})")


async def test_a_long_call_holds_up_neither_short_ones_nor_reads() -> None:
    async with running_node(make_chain(), reply_timeout_s=1.0) as node:
        slow, quick = await client_of(node), await client_of(node)
        spin = {"to": hexed(DESK), "input": hexed(call("spin()"))}
        await slow.stream.send_all(request_bytes(call_bytes("eth_call", spin)))
        orders = {"to": hexed(DESK), "input": hexed(call("orders()"))}
        for _ in range(20):
            assert int(await quick.result("eth_call", orders), 16) == 1
        status, _, body = await slow.read()
        assert status == 200
        assert b"-32002" in body


# --- transactions


async def test_a_transaction_that_cannot_be_taken_says_why() -> None:
    async with running_node(make_chain()) as node:
        client = await client_of(node)
        good = transfer(BOB, 0)
        for raw, words in [
            ("0x", "empty transaction"),
            ("0x05", "transaction type 0x5"),
            ("0xc0", "invalid transaction"),
            (hexed(good.encoded[:-1]), "invalid transaction"),
            (hexed(transfer(ALICE, 0).encoded), "nonce too low"),
            (hexed(transfer(BOB, 0, value=2000 * ETHER).encoded), "insufficient funds"),
            (hexed(sign(BOB, nonce=0, to=DESK, gas=20_000).encoded), "intrinsic gas too low"),
            (hexed(sign(BOB, nonce=0, to=DESK, chainId=1).encoded), "chain id"),
        ]:
            code, message = error(await client.call("eth_sendRawTransaction", raw))
            assert code == -32000
            assert words in message
        assert await client.result("eth_sendRawTransaction", hexed(good.encoded)) == hexed(good.hash)
        assert error(await client.call("eth_sendRawTransaction", hexed(good.encoded)))[1] == "already known"


async def test_a_batch_takes_what_is_good_and_says_of_each_why_not() -> None:
    async with running_node(make_chain()) as node:
        client = await client_of(node)
        good = [transfer(BOB, nonce) for nonce in range(3)]
        raws = [good[0].encoded, b"\x05", good[1].encoded, good[0].encoded, good[2].encoded]
        calls = [
            {"jsonrpc": "2.0", "id": n, "method": "eth_sendRawTransaction", "params": [hexed(raw)]}
            for n, raw in enumerate(raws)
        ]
        _, _, body = await client.exchange(request_bytes(msgspec.json.encode(calls)))
        answers = msgspec.json.decode(body)
        said = [answer.get("result") or answer["error"]["message"] for answer in answers]
        assert [said[0], said[2], said[4]] == [hexed(tx.hash) for tx in good]
        assert "transaction type 0x5" in said[1]
        assert said[3] == "already known"
        assert await client.result("txpool_status") == {"pending": "0x3", "queued": "0x0"}


async def test_a_waiting_transaction_is_found_and_counted() -> None:
    async with running_node(make_chain()) as node:
        client = await client_of(node)
        tx = transfer(BOB, 0)
        await client.result("eth_sendRawTransaction", hexed(tx.encoded))
        found = await client.result("eth_getTransactionByHash", hexed(tx.hash))
        assert (found["blockHash"], found["nonce"]) == (None, "0x0")
        assert await client.result("eth_getRawTransactionByHash", hexed(tx.hash)) == hexed(tx.encoded)
        assert await client.result("eth_getTransactionReceipt", hexed(tx.hash)) is None
        assert await client.result("eth_getTransactionCount", BOB.address, "pending") == "0x1"
        assert await client.result("eth_getTransactionCount", BOB.address, "latest") == "0x0"


@pytest.mark.parametrize("method", ["eth_sendTransaction", "eth_sign", "eth_signTransaction"])
async def test_methods_that_need_keys_say_what_to_do_instead(method: str) -> None:
    async with running_node(make_chain()) as node:
        client = await client_of(node)
        code, message = error(await client.call(method, {}, "0x"))
        assert code == -32004
        assert "eth_sendRawTransaction" in message


# --- fees


async def test_suggestions_follow_what_recent_blocks_paid() -> None:
    maker = ChainMaker()
    async with running_node(maker) as node:
        client = await client_of(node)
        assert await client.result("eth_maxPriorityFeePerGas") == "0x0"
        await node.seal(sign(BOB, nonce=0, to=ALICE_ADDRESS, maxPriorityFeePerGas=2 * GWEI))
        assert await client.result("eth_maxPriorityFeePerGas") == hex(2 * GWEI)
        base_fee = int(await client.result("eth_baseFee"), 16)
        assert await client.result("eth_gasPrice") == hex(2 * GWEI + base_fee)


async def test_fee_history() -> None:
    async with running_node(make_chain()) as node:
        client = await client_of(node)
        history = await client.result("eth_feeHistory", "0x3", "0x2", [0, 100])
        assert history["oldestBlock"] == "0x0"
        assert len(history["baseFeePerGas"]) == 4
        assert history["reward"] == [["0x0", "0x0"], [hex(GWEI)] * 2, [hex(GWEI)] * 2]
        assert history["gasUsedRatio"][0] == 0
        assert history["gasUsedRatio"][1] > 0
        following = await client.result("eth_getBlockByNumber", "0x3", False)
        assert history["baseFeePerGas"][3] == following["baseFeePerGas"]
        for shape in (3, "3"):
            assert await client.result("eth_feeHistory", shape, "0x2", [0, 100]) == history
        assert "reward" not in await client.result("eth_feeHistory", "0x1", "latest")
        assert (await client.result("eth_feeHistory", "0x0", "latest"))["baseFeePerGas"] == []
        assert "beyond head" in error(await client.call("eth_feeHistory", "0x1", "0x99"))[1]
        for percentiles in ([50, 10], [101], [-1], ["1"]):
            assert error(await client.call("eth_feeHistory", "0x1", "latest", percentiles))[0] == -32602


async def test_before_london_there_is_no_base_fee() -> None:
    older = ("homestead", "eip150", "eip155", "eip158", "byzantium", "constantinople", "petersburg")
    forks = {f"{fork}Block": 0 for fork in (*older, "istanbul", "berlin")}
    maker = ChainMaker(make_spec(londonBlock=1000, **forks))
    maker.extend([sign(ALICE, nonce=0, to=DESK, gasPrice=3 * GWEI)])
    async with running_node(maker) as node:
        client = await client_of(node)
        assert "baseFeePerGas" not in await client.result("eth_getBlockByNumber", "latest", False)
        assert await client.result("eth_baseFee") is None
        assert await client.result("eth_gasPrice") == hex(3 * GWEI)
        assert (await client.result("eth_feeHistory", "0x1", "latest"))["baseFeePerGas"] == ["0x0", "0x0"]


# --- raw


async def test_raw_forms_decode_to_what_they_are() -> None:
    async with running_node(make_chain()) as node:
        client = await client_of(node)
        block = node.chain.reader.block_by_number(2)
        assert block is not None

        async def raw(method: str, *params: Any) -> bytes:
            return bytes.fromhex((await client.result(method, *params))[2:])

        assert decode_header(await raw("debug_getRawHeader", "0x2")) == block.header
        assert decode_block(await raw("debug_getRawBlock", hexed(block.hash))) == block
        tx_hash = hexed(block.transactions[0].hash)
        assert decode_transaction(await raw("debug_getRawTransaction", tx_hash)) == block.transactions[0]
        [receipt] = await client.result("debug_getRawReceipts", "0x2")
        assert (decode_receipt(bytes.fromhex(receipt[2:])),) == node.chain.reader.receipts(block.hash)


# --- the node itself


async def test_about_the_node() -> None:
    async with running_node(make_chain()) as node:
        client = await client_of(node)
        assert await client.result("net_listening") is True
        assert await client.result("net_peerCount") == "0x0"
        assert await client.result("eth_protocolVersion") == "0x44"
        assert await client.result("eth_mining") is False
        assert await client.result("eth_hashrate") == "0x0"
        assert "does not seal" in error(await client.call("eth_coinbase"))[1]
        assert (await client.result("rpc_modules"))["admin"] == "1.0"
        assert await client.result("web3_sha3", "0x") == hexed(keccak256(b""))


async def test_peers_are_added_and_removed() -> None:
    async with running_node(make_chain()) as node:
        client = await client_of(node)
        url = str(Enode(KEYS[0].public_key, "10.0.0.1", 30303, 30303))
        assert await client.result("admin_addPeer", url) is True
        assert node.network.pool.static == {KEYS[0].public_key}
        assert await client.result("admin_removePeer", url) is True
        assert await client.result("admin_setBlockedPeers", [url]) is True
        assert node.network.blocked == [KEYS[0].public_key]
        assert await client.result("admin_peers") == []
        assert "enode://" in error(await client.call("admin_addPeer", "http://x"))[1]
        info = await client.result("admin_nodeInfo")
        assert info["protocols"]["eth"]["head"] == hexed(node.chain.reader.head.hash)
        assert info["ports"]["listener"] == 30303


def test_admin_is_off_unless_named() -> None:
    assert "admin" not in RpcSettings().namespaces
