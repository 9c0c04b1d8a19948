"""Complete history: every answer about an old block is the one that was given while it was the head."""

import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import trio

from node.app.parts import open_node
from node.chain.genesis_json import parse_genesis
from node.config.settings import Settings, StorageSettings
from node.primitives.errors import ConfigError
from node.primitives.transaction import Transaction
from node.rpc.encoding import contract_address
from node.storage.kv import KeyValue
from node.storage.leveldb import LevelDB
from tests.chain.harness import ACCOUNTS, ETHER, GENESIS_TIME, KEYS, ChainMaker, sign, transfer
from tests.rpc.node import TestNode, running_node

ALICE, BOB, CAROL = ACCOUNTS[:3]
FIRST = contract_address(bytes.fromhex(ALICE.address[2:]), 0)
# No call data: return slot 0. The word 0xdead: destroy itself. Any other word: put it into slot 0.
RUNTIME = bytes.fromhex("36600f5760005460005260206000f35b60003580" + "61dead14601f57600055005b33ff")
INIT = bytes.fromhex("6022600c60003960226000f3") + RUNTIME
BLOCKS = 24
GENESIS = {
    "config": {"chainId": 7, "clique": {"period": 1, "epoch": 30_000}},
    "timestamp": GENESIS_TIME,
    "extraData": (bytes(32) + KEYS[0].address + bytes(65)).hex(),
    "gasLimit": 30_000_000,
    "difficulty": 1,
    "alloc": {},
}
KEPT = 10


def work() -> Iterator[list[Transaction]]:
    """Transactions block by block: transfers, a contract that changes, dies, and another in its place."""
    nonces = {ALICE: 1, BOB: 0}
    yield [sign(ALICE, nonce=0, to=None, data=INIT, gas=300_000)]
    for number in range(2, BLOCKS + 1):
        if number % 6 == 0:
            yield []
            continue
        word = 0xDEAD if number == 15 else number * 7 % 5
        made = [sign(ALICE, nonce=nonces[ALICE], to=FIRST, data=word.to_bytes(32, "big"), gas=100_000)]
        nonces[ALICE] += 1
        if number % 2:
            made.append(transfer(BOB, nonces[BOB], value=number * ETHER))
            nonces[BOB] += 1
        yield made


QUESTIONS: list[tuple[str, list[Any]]] = [
    *[("eth_getBalance", [account.address]) for account in (ALICE, BOB, CAROL)],
    ("eth_getTransactionCount", [ALICE.address]),
    ("eth_getCode", ["0x" + FIRST.hex()]),
    ("eth_getStorageAt", ["0x" + FIRST.hex(), "0x0"]),
    ("eth_call", [{"to": "0x" + FIRST.hex()}]),
    ("eth_getProof", ["0x" + FIRST.hex(), ["0x0", "0x1"]]),
    ("eth_getProof", [BOB.address, []]),
    ("eth_getProof", ["0x" + "77" * 20, ["0x0"]]),
    ("debug_traceCall", [{"to": "0x" + FIRST.hex()}]),
]


async def answers(node: TestNode, block: str) -> list[Any]:
    """Everything that can be asked of the state after a block, and the traces of the block itself."""
    client = await node.place.http()
    found = [await client.result(method, *params, block) for method, params in QUESTIONS]
    header = await client.result("eth_getBlockByNumber", block, False)
    number = header["number"]
    found += [header, await client.result("eth_getBlockReceipts", number)]
    found.append(await client.result("debug_traceBlockByNumber", number, {"tracer": "callTracer"}))
    found.append(await client.result("debug_traceBlockByNumber", number, {"tracer": "prestateTracer"}))
    for tx_hash in header["transactions"]:
        found.append(await client.result("debug_traceTransaction", tx_hash))
    return found


async def recorded(node: TestNode) -> dict[str, list[Any]]:
    """What was said of each block while it was the head."""
    found = {}
    for transactions in work():
        await node.chain.importer.import_block(node.maker.unimported(node.maker.head, transactions))
        found[hex(node.maker.head.number)] = await answers(node, "latest")
    return found


def maker_on(kv: KeyValue, history_blocks: int) -> ChainMaker:
    archive = "http://archive:1"
    settings = StorageSettings(history_blocks=history_blocks, state_layers_max=2, history_url=archive)
    return ChainMaker(kv=kv, settings=settings)


async def test_every_old_block_is_answered_for_as_when_it_was_the_head(tmp_path: Path) -> None:
    """In memory above the durable state, below it, and after the node was started again."""
    kv = LevelDB.open(tmp_path, StorageSettings())
    async with running_node(maker_on(kv, 0)) as node:
        then = await recorded(node)
        for number, answer in then.items():
            assert await answers(node, number) == answer, number
        await node.chain.importer.close()
        node.chain.state.close()
    kv.close()
    kv = LevelDB.open(tmp_path, StorageSettings())
    async with running_node(maker_on(kv, 0)) as node:
        assert node.maker.head.number == BLOCKS
        for number, answer in then.items():
            assert await answers(node, number) == answer, number
        storages = [answer[5] for answer in then.values()]
        assert len(set(storages)) > 3
        assert {answer[4] for answer in then.values()} == {"0x", "0x" + RUNTIME.hex()}
        node.chain.state.close()
    kv.close()


async def test_a_full_node_says_what_it_no_longer_has_and_who_has_it(tmp_path: Path) -> None:
    kv = LevelDB.open(tmp_path, StorageSettings())
    async with running_node(maker_on(kv, KEPT)) as node:
        then = await recorded(node)
        oldest = node.chain.state.oldest
        assert 0 < oldest <= BLOCKS - KEPT
        for number in range(oldest, BLOCKS + 1):
            client = await node.place.http()
            said = [await client.result(method, *params, hex(number)) for method, params in QUESTIONS]
            assert said == then[hex(number)][: len(QUESTIONS)]
        client = await node.place.http()
        for method, params in QUESTIONS:
            refused = (await client.call(method, *params, hex(oldest - 1)))["error"]
            assert refused["message"].endswith(
                f"is not kept; the oldest state kept is that of block #{oldest}; an archive node has earlier "
                "ones, such as http://archive:1"
            ), method
        # Blocks, receipts and logs are kept by every node, for ever.
        assert (await client.result("eth_getBlockByNumber", "0x1", False)) == then["0x1"][len(QUESTIONS)]
        node.chain.state.close()
    kv.close()


async def test_a_database_that_was_pruned_is_refused_as_an_archive(tmp_path: Path) -> None:
    kv = LevelDB.open(tmp_path / "database", StorageSettings())
    maker = ChainMaker(parse_genesis(GENESIS), kv=kv, settings=StorageSettings(history_blocks=KEPT))
    maker.extend_by(4 * BLOCKS)
    maker.chain.ledger.close()
    maker.chain.state.close()
    kv.close()
    genesis = tmp_path / "genesis.json"
    genesis.write_text(json.dumps(GENESIS))
    settings = Settings(
        data_dir=tmp_path, genesis=genesis, role="archive", storage=StorageSettings(history_blocks=0)
    )
    async with AsyncExitStack() as closing:
        with pytest.raises(ConfigError, match=r"forgotten the states before block #\d+: it was run"):
            await open_node(settings, closing, trio.sleep_forever)
