"""A client in another language, which nobody here wrote: we follow it from genesis, and it follows us."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from web3 import Web3
from web3.middleware import ExtraDataToPOAMiddleware

from node.primitives.ids import hex_of
from tests.chain.harness import ACCOUNTS, ETHER, KEYS
from tests.interop.npm import node as nodejs
from tests.interop.npm import npm_install
from tests.interop.ours import our_node, wait_until
from tests.interop.ports import free_port
from tests.interop.test_geth_chain import ALL_AT_ONCE, genesis_of

pytestmark = pytest.mark.interop

CLIENT = "@ethereumjs/client@0.10.5"


class Js:
    """A running @ethereumjs/client."""

    def __init__(self, client: Web3, log: Path) -> None:
        self.client = client
        self.log = log


@contextmanager
def js_client(folder: Path, genesis: dict, *options: str, port: int) -> Iterator[Js]:
    """Start it on a data directory of its own; end it by SIGTERM."""
    program = npm_install(CLIENT) / "node_modules" / ".bin" / "ethereumjs"
    folder.mkdir()
    (folder / "genesis.json").write_text(json.dumps(genesis))
    http, log = free_port(), folder / "client.log"
    command = [
        nodejs(),
        str(program),
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


def test_we_follow_it_from_genesis(tmp_path: Path) -> None:
    genesis = js_genesis()
    key = tmp_path / "sealer.key"
    key.write_text(KEYS[0].secret_bytes().hex())
    sealer = hex_of(KEYS[0].address)
    options = ("--mine", "--unlock", str(key), "--minerCoinbase", sealer, "--discV4=true", "--saveReceipts")
    port = free_port()
    with js_client(tmp_path / "js", genesis, *options, port=port) as js:
        wait_until(lambda: js.client.eth.block_number >= 5, "it seals", js.log)
        enode = js.client.provider.make_request("admin_nodeInfo", [])["result"]["enode"]
        enode = enode.replace("[::]", "127.0.0.1").replace("0.0.0.0", "127.0.0.1")
        with our_node(tmp_path, "follower", genesis, static_peers=[enode]) as ours:
            target = js.client.eth.block_number
            wait_until(lambda: ours.client.eth.block_number >= target, "we have its chain", ours.log, js.log)
            for number in range(target + 1):
                assert ours.client.eth.get_block(number)["hash"] == js.client.eth.get_block(number)["hash"]
            assert ours.rpc("clique_getSigner", hex(target)) == sealer
            head = js.client.eth.block_number
            wait_until(lambda: ours.client.eth.block_number > head, "we go on following", ours.log, js.log)


def test_it_follows_us_from_genesis(tmp_path: Path) -> None:
    genesis = js_genesis()
    with our_node(tmp_path, "sealer", genesis, signer=KEYS[0]) as ours:
        # Empty blocks only: a follower of this version fails on its own at the first block with a transaction
        # ("Must include cliqueSigner function").
        wait_until(lambda: ours.client.eth.block_number >= 5, "we seal", ours.log)
        target = ours.client.eth.block_number
        port = free_port()
        with js_client(tmp_path / "js", genesis, "--discV4=false", port=port) as js:
            enode = js.client.provider.make_request("admin_nodeInfo", [])["result"]["enode"]
            enode = enode.replace("[::]", "127.0.0.1").replace("0.0.0.0", "127.0.0.1")
            assert ours.rpc("admin_addPeer", enode)
            wait_until(lambda: js.client.eth.block_number >= target, "it has our chain", js.log, ours.log)
            for number in range(target + 1):
                assert ours.client.eth.get_block(number)["hash"] == js.client.eth.get_block(number)["hash"]
            # It executes some time after it has the blocks, and knows no state until then.
            params = [ACCOUNTS[0].address, hex(target)]
            wait_until(
                lambda: (
                    int(js.client.provider.make_request("eth_getBalance", params).get("result", "0x0"), 16)
                    == 1000 * ETHER
                ),
                "it has executed our chain",
                js.log,
            )
