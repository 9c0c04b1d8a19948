"""One validator that is killed again and again under load, and what must hold after each of its restarts."""

import json
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from devnet.client import RpcClient
from devnet.keys import sealing_key
from devnet.layout import Layout, NodeFiles
from node.primitives.ids import hex_of
from tests.faults.live import PATIENCE_S, ROOT, Announcements, Life, results
from tests.faults.model import Model
from tests.faults.traffic import Traffic

BLOCKS_AT_ONCE = 32
EARLY_KILLS = 0.15
"""Share of the kills that come while the node is still starting."""
LIFE_S = 0.8
"""At most so long is a node left alive under load; a node that seals at once has lived as much in less."""
PAUSE_S = 0.02
SETTLE_S = 60.0


class Ordeal:
    """A network of one, its model, its traffic, and all it has ever announced."""

    def __init__(
        self, layout: Layout, seed: int, start: Callable[[NodeFiles], Life], life_s: float = LIFE_S
    ) -> None:
        print(f"seed {seed}")
        self._life_s = life_s
        self.kills = 0
        (self.node,) = layout.nodes
        self._start = start
        self._rng = random.Random(seed)
        self._traffic = Traffic(layout, self.node, self._rng)
        self._announced: dict[int, str] = {}
        signer = hex_of(sealing_key(layout.network.seed, self.node.name).address)
        balance = layout.network.accounts.balance_ether * 10**18
        balances = {account["address"]: balance for account in layout.accounts}
        self.model = Model(balances, lambda _: signer)

    def begin(self) -> None:
        """The first life: deploys the token, ends cleanly."""
        life = self._start(self.node)
        life.wait_answering()
        client = RpcClient(self.node.rpc_url, PATIENCE_S)
        created = self._traffic.deploy(client)
        _wait(lambda: client.call("eth_getTransactionReceipt", created) is not None, SETTLE_S)
        self._traffic.token = client.call("eth_getTransactionReceipt", created)["contractAddress"]
        client.close()
        life.stop()

    def live_and_die(self) -> None:
        """One life: everything is checked, then it works, then it is killed."""
        life = self._start(self.node)
        if self._rng.random() < EARLY_KILLS:
            time.sleep(self._rng.random() * self._life_s)
            life.kill()
        else:
            heads = self._rise(life)
            stop, worker = self._work()
            time.sleep(self._rng.random() * self._life_s)
            life.kill()
            stop.set()
            worker.join()
            heads.join()
            self._announced |= dict(heads.heads)
        self.kills += 1
        assert not self._traffic.refused, f"refused: {self._traffic.refused[:5]}"

    def end(self) -> None:
        """The last life: all that was ever accepted is mined; then the database is audited."""
        life = self._start(self.node)
        heads = self._rise(life)
        stop, worker = self._work()
        time.sleep(self._life_s)
        stop.set()
        worker.join()
        client = RpcClient(self.node.rpc_url, PATIENCE_S)
        _wait(lambda: not self._unmined(client), SETTLE_S)
        client.close()
        life.stop()
        heads.join()
        audited = audit(self.node.data_dir)
        assert audited["head_number"] == self.model.number
        assert audited["state_root"] == self.model.root
        print(
            f"{self.kills} kills; {self.model.number} blocks, {len(self._announced)} of them heard; "
            f"{len(self.model.mined)} transactions mined, {len(self._traffic.accepted)} accepted"
        )

    def audit_copy(self, folder: Path) -> None:
        """Look into a copy of the database as the kill left it, without starting the node."""
        shutil.copytree(self.node.data_dir, folder)
        found = audit(folder)
        assert found["head_number"] >= max(self._announced, default=0)
        shutil.rmtree(folder)

    def _rise(self, life: Life) -> Announcements:
        life.wait_answering()
        heads = Announcements(self.node)
        client = RpcClient(self.node.rpc_url, PATIENCE_S)
        self._check(client)
        client.close()
        return heads

    def _work(self) -> tuple[threading.Event, threading.Thread]:
        stop = threading.Event()
        worker = threading.Thread(target=self._traffic.flow, args=(stop, PAUSE_S))
        worker.start()
        return stop, worker

    def _check(self, client: RpcClient) -> None:
        head = int(client.call("eth_blockNumber"), 16)
        assert head >= max(self._announced, default=0), "a block that was announced is lost"
        lost = self._unmined(client)
        answers = results(client, [("eth_getTransactionByHash", (each,)) for each in lost])
        assert None not in answers, "a transaction that was accepted is lost"
        wrong = {n: h for n, h in self._announced.items() if self.model.hashes[n] != h}
        assert wrong == {}, "a block that was announced is another one now"
        self._check_accounts(client)
        self._traffic.read_nonces(client)

    def _unmined(self, client: RpcClient) -> list[str]:
        """What was accepted and is in no block, once the model has followed to the head."""
        follow(self.model, client, int(client.call("eth_blockNumber"), 16), self._traffic.raws)
        return sorted(self._traffic.accepted - self.model.mined.keys())

    def _check_accounts(self, client: RpcClient) -> None:
        """The state, read account by account, at the model's block."""
        at, owners = hex(self.model.number), self.model.owners
        asked = [
            (method, ("0x" + address.hex(), at))
            for address in owners
            for method in ("eth_getTransactionCount", "eth_getBalance")
        ]
        found = [int(answer, 16) for answer in results(client, asked)]
        assert found == [value for owner in owners.values() for value in (owner.nonce, owner.wei)]


def follow(model: Model, client: RpcClient, head: int, raws: dict[str, bytes]) -> None:
    """Lead the model up to the node's head; Wrong for a block that should be another."""
    while model.number < head:
        numbers = range(model.number + 1, min(head, model.number + BLOCKS_AT_ONCE) + 1)
        blocks = results(client, [("eth_getBlockByNumber", (hex(number), True)) for number in numbers])
        receipts = results(client, [("eth_getBlockReceipts", (hex(number),)) for number in numbers])
        for block, its_receipts in zip(blocks, receipts, strict=True):
            model.apply(block, its_receipts, [raws[tx["hash"]] for tx in block["transactions"]])


def audit(data_dir: Path) -> dict[str, Any]:
    """What `phoenix inspect --audit` says of a database."""
    command = [sys.executable, "-m", "node", "inspect", "--audit", "--json", "--data-dir", str(data_dir)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _wait(done: Callable[[], bool], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s"
        time.sleep(0.05)
