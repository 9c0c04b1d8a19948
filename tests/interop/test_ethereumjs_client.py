"""A client in another language, which nobody here wrote: we follow it from genesis, and it follows us."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from web3 import Web3
from web3.exceptions import TransactionNotFound
from web3.middleware import ExtraDataToPOAMiddleware

from node.primitives.ids import hex_of
from tests.chain.harness import ACCOUNTS, ETHER, KEYS
from tests.interop.npm import node as nodejs
from tests.interop.npm import npm_install
from tests.interop.ours import OurNode, our_node, wait_until
from tests.interop.test_geth_chain import ALL_AT_ONCE, genesis_of
from tests.ports import free_port

pytestmark = pytest.mark.interop

SEALS_CLIQUE = "0.8.1"
"""The last that was made to seal Clique; it runs blocks with transactions, too."""
LATER = "0.10.5"
"""Seals empty blocks; fails on its own at one with a transaction ("Must include cliqueSigner function")."""
versions = pytest.mark.parametrize("version", [SEALS_CLIQUE, LATER])


class Js:
    """A running @ethereumjs/client."""

    def __init__(self, client: Web3, log: Path) -> None:
        self.client = client
        self.log = log


def program_of(version: str) -> Path:
    """The program; skips where it cannot be had."""
    # The older one has its polynomial commitments, which nothing before Cancun asks for, in C++.
    compiled = "c-kzg" if version == SEALS_CLIQUE else None
    folder = npm_install(f"@ethereumjs/client@{version}", compiled=compiled)
    return folder / "node_modules" / ".bin" / "ethereumjs"


@contextmanager
def js_client(version: str, folder: Path, genesis: dict, *options: str, port: int) -> Iterator[Js]:
    """Start it on a data directory of its own; end it by SIGTERM."""
    program = program_of(version)
    folder.mkdir()
    # 0.8.1 was compiled for a module system that adds this name; without it, it cannot unlock a key.
    shim = folder / "readline.cjs"
    shim.write_text("const readline = require('readline')\nreadline.default = readline\n")
    (folder / "genesis.json").write_text(json.dumps(genesis))
    http, log = free_port(), folder / "client.log"
    command = [
        *(nodejs(), "--require", str(shim), str(program)),
        *("--gethGenesis", str(folder / "genesis.json"), "--dataDir", str(folder / "data")),
        *("--port", str(port), "--extIP", "127.0.0.1", "--rpc", "--rpcPort", str(http)),
        *("--rpcAddr", "127.0.0.1", "--discDns=false", *options),
    ]
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
        try:
            client = Web3(Web3.HTTPProvider(f"http://127.0.0.1:{http}"))
            client.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
            wait_until(lambda: process.poll() is not None or client.is_connected(), "js answers", log)
            assert process.poll() is None, log.read_text()[-3000:]
            yield Js(client, log)
        finally:
            process.terminate()
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def js_genesis() -> dict:
    """One signer, London; with every field spelled out, as this client wants it."""
    genesis = genesis_of(1, period=1, epoch=30_000, timestamp=int(time.time()) - 10, forks=ALL_AT_ONCE)
    zero = hex_of(bytes(32))
    return genesis | {
        "nonce": "0x0000000000000000",
        "mixHash": zero,
        "parentHash": zero,
        "coinbase": hex_of(bytes(20)),
        "number": "0x0",
        "gasUsed": "0x0",
    }


def enode_of(js: Js) -> str:
    """Where it can be dialled."""
    enode = js.client.provider.make_request("admin_nodeInfo", [])["result"]["enode"]
    return enode.replace("[::]", "127.0.0.1").replace("0.0.0.0", "127.0.0.1")


def send(client: Web3, nonce: int, *, to: str | None, data: bytes = b"", value: int = 0) -> bytes:
    """A signed transaction of the first account; its hash."""
    fields = {
        "chainId": client.eth.chain_id, "nonce": nonce, "gas": 100_000, "value": value, "data": data,
        "maxFeePerGas": 10**10, "maxPriorityFeePerGas": 10**9,
    }  # fmt: skip
    signed = ACCOUNTS[0].sign_transaction(fields | ({"to": to} if to else {}))
    return bytes(client.eth.send_raw_transaction(signed.raw_transaction))


def receipt(client: Web3, digest: bytes) -> dict | None:
    """What became of a transaction; None while it is in no block."""
    try:
        return client.eth.get_transaction_receipt(digest)
    except TransactionNotFound:
        return None


def same_chain(ours: OurNode, js: Js, target: int) -> None:
    """Every block up to `target` is the same on both."""
    for number in range(target + 1):
        assert ours.client.eth.get_block(number)["hash"] == js.client.eth.get_block(number)["hash"]


@versions
def test_we_follow_it_from_genesis(tmp_path: Path, version: str) -> None:
    genesis = js_genesis()
    key = tmp_path / "sealer.key"
    key.write_text(KEYS[0].secret_bytes().hex())
    sealer = hex_of(KEYS[0].address)
    options = ("--mine", "--unlock", str(key), "--minerCoinbase", sealer, "--discV4=true", "--saveReceipts")
    port = free_port()
    with js_client(version, tmp_path / "js", genesis, *options, port=port) as js:
        wait_until(lambda: js.client.eth.block_number >= 5, "it seals", js.log)
        with our_node(tmp_path, "follower", genesis, static_peers=[enode_of(js)]) as ours:
            target = js.client.eth.block_number
            wait_until(lambda: ours.client.eth.block_number >= target, "we have its chain", ours.log, js.log)
            same_chain(ours, js, target)
            assert ours.rpc("clique_getSigner", hex(target)) == sealer
            # Long enough to see that none of its announcements is held against it.
            further = target + 6
            wait_until(
                lambda: ours.client.eth.block_number >= further, "we go on following", ours.log, js.log
            )
            if version == SEALS_CLIQUE:
                paid = send(js.client, 0, to=ACCOUNTS[5].address, value=7)
                wait_until(lambda: receipt(ours.client, paid), "we have what it sealed", ours.log, js.log)
                further = receipt(ours.client, paid)["blockNumber"]
                assert ours.client.eth.get_balance(ACCOUNTS[5].address) == 1000 * ETHER + 7
            same_chain(ours, js, further)
            assert "penalised" not in ours.log.read_text()


@versions
def test_it_follows_us_from_genesis(tmp_path: Path, version: str) -> None:
    genesis = js_genesis()
    with our_node(tmp_path, "sealer", genesis, signer=KEYS[0]) as ours:
        paid = 0
        if version == SEALS_CLIQUE:
            # Runtime code that is one STOP, and a payment.
            made = send(ours.client, 0, to=None, data=bytes.fromhex("60016000f3"))
            paid = 7
            sent = [made, send(ours.client, 1, to=ACCOUNTS[5].address, value=paid)]
            for each in sent:
                assert ours.client.eth.wait_for_transaction_receipt(each)["status"] == 1
        wait_until(lambda: ours.client.eth.block_number >= 5, "we seal", ours.log)
        target = ours.client.eth.block_number
        port = free_port()
        with js_client(version, tmp_path / "js", genesis, "--discV4=false", port=port) as js:
            assert ours.rpc("admin_addPeer", enode_of(js))
            wait_until(lambda: js.client.eth.block_number >= target, "it has our chain", js.log, ours.log)
            same_chain(ours, js, target)
            # It executes some time after it has the blocks, and knows no state until then.
            params = [ACCOUNTS[5].address, hex(target)]
            wait_until(
                lambda: (
                    int(js.client.provider.make_request("eth_getBalance", params).get("result", "0x0"), 16)
                    == 1000 * ETHER + paid
                ),
                "it has executed our chain",
                js.log,
            )
