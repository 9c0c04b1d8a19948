"""Whole chains across the border: geth takes ours, and we take what geth sealed."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from web3 import Web3

from node.chain.genesis import parse_genesis
from node.execution.py_evm import PyEvmExecutor
from node.primitives import rlp
from node.primitives.block import Block, decode_block, encode_block
from node.primitives.chain_spec import Fork
from node.primitives.ids import hex_of
from node.primitives.transaction import Transaction
from node.state.commit import root_after
from tests.chain.harness import ACCOUNTS, CHAIN_ID, ETHER, GENESIS_TIME, GWEI, KEYS, ChainMaker, sign, take
from tests.interop.geth import geth_binary, run_geth
from tests.ports import free_port

pytestmark = pytest.mark.interop

FORKS = (
    "homesteadBlock",
    "eip150Block",
    "eip155Block",
    "eip158Block",
    "byzantiumBlock",
    "constantinopleBlock",
    "petersburgBlock",
    "istanbulBlock",
    "berlinBlock",
    "londonBlock",
)
ALL_AT_ONCE = dict.fromkeys(FORKS, 0)
ONE_AFTER_ANOTHER = {fork: 6 * place for place, fork in enumerate(FORKS, start=1)} | {"eip155Block": 24}
SEAL_TIMEOUT_S = 60.0
NOBODY = b"\x31" * 20
LISTED = [{"address": hex_of(NOBODY), "storageKeys": [hex_of(bytes(32))]}]
# Init code that returns 18 bytes: keep the first word of the call data, log it, stop.
CONTRACT = bytes.fromhex("6012600c60003960126000f3" + "60003560005560003560005260206000a000")


def genesis_of(
    signers: int, *, period: int, epoch: int, timestamp: int, forks: dict[str, int]
) -> dict[str, Any]:
    listed = b"".join(key.address for key in KEYS[:signers])
    return {
        "config": {"chainId": CHAIN_ID, **forks, "clique": {"period": period, "epoch": epoch}},
        "timestamp": hex(timestamp),
        "extraData": hex_of(bytes(32) + listed + bytes(65)),
        "gasLimit": "0x1c9c380",
        "difficulty": "0x1",
        "alloc": {account.address: {"balance": str(1000 * ETHER)} for account in ACCOUNTS},
    }


def blocks_of(exported: bytes) -> list[Block]:
    """The blocks of a file that geth exported: one RLP list after the other."""
    blocks, position = [], 0
    while position < len(exported):
        _, end, _ = rlp.item_bounds(exported, position, len(exported))
        blocks.append(decode_block(exported[position:end]))
        position = end
    return blocks


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("forks", [ALL_AT_ONCE, ONE_AFTER_ANOTHER], ids=["London", "every fork"])
def test_geth_imports_our_chain(tmp_path: Path, forks: dict[str, int], seed: int) -> None:
    """Every fork's rules and receipts, out of turn, votes in both directions, epochs, a moving gas limit."""
    random = Random(seed)
    genesis = genesis_of(3, period=2, epoch=20, timestamp=GENESIS_TIME, forks=forks)
    maker = ChainMaker(parse_genesis(genesis), executor=PyEvmExecutor(root_of=root_after))
    nonces: dict[str, int] = {}
    chain: list[Block] = []
    for number in range(1, 80):
        state = maker.reader.engine_state(maker.head.hash)
        able = [k for k in KEYS if k.address in state.signers and state.last_signed(k.address) is None]
        vote = (random.choice(KEYS[3:5]).address, random.random() < 0.7)
        fork = maker.spec.fork_at(number)
        chain.append(
            maker.extend(
                [drawn(random, nonces, fork) for _ in range(random.randrange(5))],
                signer=random.choice(able),
                vote=vote if number % 20 and random.random() < 0.5 else None,
                delay_s=random.randrange(3),
                gas_limit_target=random.choice([10**7, 5 * 10**7]),
            )
        )
    (tmp_path / "genesis.json").write_text(json.dumps(genesis))
    (tmp_path / "chain.rlp").write_bytes(b"".join(map(encode_block, chain)))
    run_geth(tmp_path / "geth", "init", str(tmp_path / "genesis.json"))
    run_geth(tmp_path / "geth", "import", str(tmp_path / "chain.rlp"))
    run_geth(tmp_path / "geth", "export", str(tmp_path / "again.rlp"))
    again = blocks_of((tmp_path / "again.rlp").read_bytes())
    assert [block.hash for block in again[1:]] == [block.hash for block in chain]


def drawn(random: Random, nonces: dict[str, int], fork: Fork) -> Transaction:
    """A transfer, also of nothing to nobody, a contract, or a contract that destroys itself."""
    account = random.choice(ACCOUNTS)
    nonce = nonces.get(account.address, 0)
    nonces[account.address] = nonce + 1
    fields: dict[str, Any] = random.choice(
        [
            {"value": random.randrange(ETHER), "to": NOBODY},
            {"value": 0, "to": random.randbytes(20)},
            {"data": CONTRACT, "gas": 200_000},
            {"data": bytes.fromhex("33ff"), "value": 7, "gas": 200_000},
            {"data": bytes.fromhex("fe"), "gas": 90_000},
        ]
    )
    if fork < Fork.LONDON or random.random() < 0.3:
        fields["gasPrice"] = 50 * GWEI
    if fork < Fork.SPURIOUS_DRAGON:
        fields["chainId"] = None
    return sign(account, nonce=nonce, **fields)


def test_we_import_what_geth_seals(tmp_path: Path) -> None:
    genesis = genesis_of(1, period=1, epoch=4, timestamp=int(time.time()) - 10, forks=ALL_AT_ONCE)
    (tmp_path / "genesis.json").write_text(json.dumps(genesis))
    run_geth(tmp_path / "geth", "init", str(tmp_path / "genesis.json"))
    with sealing_geth(tmp_path) as client:
        for nonce in range(8):
            send(client, sign(ACCOUNTS[0], nonce=nonce, data=CONTRACT, gas=200_000))
            send(client, sign(ACCOUNTS[1], nonce=nonce, to=NOBODY, value=5, gasPrice=20 * GWEI))
            send(client, sign(ACCOUNTS[2], nonce=nonce, to=NOBODY, accessList=LISTED, gas=60_000))
            wait_for_blocks(client, client.eth.block_number + 1)
        wait_for_blocks(client, client.eth.block_number + 2)
    run_geth(tmp_path / "geth", "export", str(tmp_path / "chain.rlp"))
    sealed = blocks_of((tmp_path / "chain.rlp").read_bytes())
    maker = ChainMaker(parse_genesis(genesis))
    assert maker.head.hash == sealed[0].hash
    take(maker.chain, sealed[1:])
    assert maker.head == sealed[-1].header
    assert sum(len(block.transactions) for block in sealed) == 24


def send(client: Web3, tx: Any) -> None:
    client.eth.send_raw_transaction(tx.encoded)


def wait_for_blocks(client: Web3, number: int) -> None:
    deadline = time.monotonic() + SEAL_TIMEOUT_S
    while client.eth.block_number < number:
        assert time.monotonic() < deadline, f"geth has not sealed block {number}"
        time.sleep(0.1)


@contextmanager
def sealing_geth(folder: Path) -> Iterator[Web3]:
    """A geth that seals alone, and a client of it; ended by SIGTERM, so that its chain is on disk."""
    (folder / "key").write_text(KEYS[0].secret_bytes().hex())
    (folder / "password").write_text("x\n")
    run_geth(
        folder / "geth", "account", "import", "--password", str(folder / "password"), str(folder / "key")
    )
    port, signer = free_port(), hex_of(KEYS[0].address)
    options = (
        f"--datadir {folder / 'geth'} --networkid {CHAIN_ID} --port 0 --nodiscover --nat none --ipcdisable"
        f" --http --http.port {port} --authrpc.port {free_port()} --syncmode full --cache 64"
        f" --mine --miner.etherbase {signer} --miner.gasprice 0 --unlock {signer}"
        f" --password {folder / 'password'} --allow-insecure-unlock"
    )
    with (folder / "geth.log").open("wb") as log:
        process = subprocess.Popen([str(geth_binary()), *options.split()], stdout=log, stderr=log)
        try:
            client = Web3(Web3.HTTPProvider(f"http://127.0.0.1:{port}"))
            deadline = time.monotonic() + SEAL_TIMEOUT_S
            while not client.is_connected():
                assert process.poll() is None, (folder / "geth.log").read_text()[-2000:]
                assert time.monotonic() < deadline, "geth does not answer"
                time.sleep(0.1)
            yield client
        finally:
            process.terminate()
            process.wait(timeout=30)
