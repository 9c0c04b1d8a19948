"""One network of geth and of ours: both seal, both vote, both include what clients of the other sent."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from web3 import Web3
from web3.middleware import ExtraDataToPOAMiddleware

from node.primitives.ids import hex_of
from tests.chain.harness import ACCOUNTS, CHAIN_ID, KEYS, sign
from tests.interop.geth import geth_binary, run_geth
from tests.interop.ours import our_node, wait_until
from tests.interop.test_geth_chain import ALL_AT_ONCE, CONTRACT, NOBODY, genesis_of
from tests.ports import free_port

pytestmark = pytest.mark.interop


@dataclass(frozen=True, slots=True)
class Geth:
    """A running geth."""

    client: Web3
    enode: str
    log: Path

    def rpc(self, method: str, *params: Any) -> Any:
        answer = self.client.provider.make_request(method, params)
        assert "result" in answer, f"geth: {method}: {answer}"
        return answer["result"]


@contextmanager
def geth_node(folder: Path, genesis_file: Path, key) -> Iterator[Geth]:
    """A geth that seals with a key and can be dialled."""
    folder.mkdir()
    (folder / "key").write_text(key.secret_bytes().hex())
    (folder / "password").write_text("x\n")
    data = folder / "data"
    run_geth(data, "init", str(genesis_file))
    run_geth(data, "account", "import", "--password", str(folder / "password"), str(folder / "key"))
    http, signer, log = free_port(), hex_of(key.address), folder / "geth.log"
    options = (
        f"--datadir {data} --networkid {CHAIN_ID} --port {free_port()} --nodiscover --nat extip:127.0.0.1"
        f" --ipcdisable --http --http.port {http} --http.api eth,net,web3,admin,clique"
        f" --authrpc.port {free_port()}"
        f" --syncmode full --cache 64 --mine --miner.etherbase {signer} --miner.gasprice 0 --unlock {signer}"
        f" --password {folder / 'password'} --allow-insecure-unlock"
    )
    with log.open("wb") as out:
        process = subprocess.Popen([str(geth_binary()), *options.split()], stdout=out, stderr=out)
        try:
            client = Web3(Web3.HTTPProvider(f"http://127.0.0.1:{http}"))
            client.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
            wait_until(lambda: process.poll() is not None or client.is_connected(), "geth answers", log)
            assert process.poll() is None, log.read_text()[-3000:]
            enode = client.provider.make_request("admin_nodeInfo", [])["result"]["enode"]
            yield Geth(client, enode, log)
        finally:
            process.terminate()
            process.wait(timeout=30)


def test_geth_and_ours_seal_one_chain(tmp_path: Path) -> None:
    genesis = genesis_of(3, period=1, epoch=12, timestamp=int(time.time()) - 5, forks=ALL_AT_ONCE)
    with ExitStack() as stack:
        (tmp_path / "genesis.json").write_text(json.dumps(genesis))
        geth = stack.enter_context(geth_node(tmp_path / "geth", tmp_path / "genesis.json", KEYS[0]))
        alpha = stack.enter_context(
            our_node(tmp_path, "alpha", genesis, signer=KEYS[1], static_peers=[geth.enode])
        )
        beta = stack.enter_context(
            our_node(tmp_path, "beta", genesis, signer=KEYS[2], static_peers=[geth.enode, alpha.enode])
        )
        nodes, logs = (geth, alpha, beta), (geth.log, alpha.log, beta.log)
        wait_until(lambda: all(n.client.net.peer_count == 2 for n in nodes), "all are connected", *logs)
        wait_until(lambda: all(n.client.eth.block_number >= 4 for n in nodes), "block 4 everywhere", *logs)

        # Transactions sent to each are included, and mean the same to all.
        hashes = [
            node.client.eth.send_raw_transaction(sign(account, nonce=0, data=CONTRACT, gas=200_000).encoded)
            for node, account in zip(nodes, ACCOUNTS, strict=False)
        ]
        hashes += [
            node.client.eth.send_raw_transaction(sign(account, nonce=1, to=NOBODY, value=7).encoded)
            for node, account in zip(nodes, ACCOUNTS, strict=False)
        ]
        for node in nodes:
            for digest in hashes:
                receipt = node.client.eth.wait_for_transaction_receipt(digest, timeout=60)
                assert receipt["status"] == 1

        # A vote that needs both kinds: two of three let the fourth signer in.
        fourth = hex_of(KEYS[3].address)
        geth.rpc("clique_propose", fourth, True)
        alpha.rpc("clique_propose", fourth, True)
        wait_until(
            lambda: all(fourth in n.rpc("clique_getSigners", "latest") for n in nodes), "voted in", *logs
        )

        # Past an epoch's checkpoint, and everywhere the same.
        target = max(13, max(n.client.eth.block_number for n in nodes)) + 3
        wait_until(lambda: all(n.client.eth.block_number >= target for n in nodes), "past an epoch", *logs)
        agreed = target - 3
        for number in range(agreed + 1):
            blocks = [n.client.eth.get_block(number) for n in nodes]
            assert len({block["hash"] for block in blocks}) == 1, f"block {number}"
        for digest in hashes:
            receipts = [dict(n.client.eth.get_transaction_receipt(digest)) for n in nodes]
            assert receipts[0] == receipts[1] == receipts[2]
        sealers = {alpha.rpc("clique_getSigner", hex(number)) for number in range(1, agreed + 1)}
        assert sealers >= {hex_of(key.address) for key in KEYS[:3]}
        snapshots = [n.rpc("clique_getSnapshot", hex(agreed)) for n in nodes]
        assert snapshots[0]["signers"] == snapshots[1]["signers"] == snapshots[2]["signers"]
        assert snapshots[0]["recents"] == snapshots[1]["recents"]
