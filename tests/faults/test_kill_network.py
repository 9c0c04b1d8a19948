"""Validators of a network of four are killed in turns: the others go on, and who comes back loses nothing.

Short forks are part of the life of such a network, so a block that a node announced need not be in the chain
at the end; but the node that announced it must still have it, and its head is never a worse one than before.
"""

import os
import random
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from consensus.clique.extra_data import recover_author
from devnet.checks import header_of
from devnet.client import RpcClient
from devnet.layout import Layout, NodeFiles
from node.primitives.ids import hex_of
from tests.faults.live import PATIENCE_S, Announcements, Forker, Life, forker, make_network, results
from tests.faults.model import Model
from tests.faults.ordeal import follow
from tests.faults.traffic import Traffic

SEED = int(os.environ.get("PHOENIX_SEED", "3"))
KILLS = 30
LIMIT_S = 150.0
SETTLED_BLOCKS = 6
SETTLE_S = 90.0


class Member:
    """One validator: its lives, the transactions sent through it, what it announced in its last life."""

    def __init__(self, layout: Layout, node: NodeFiles, place: int, rng: random.Random) -> None:
        self.node = node
        self.traffic = Traffic(layout, node, rng, first=2 * place, count=2)
        self.life: Life | None = None
        self.heads: Announcements | None = None
        self._deep: set[str] = set()
        """Transactions in blocks that no fork will undo."""
        self._stop = threading.Event()
        self._worker: threading.Thread | None = None

    def rise(self, fork: Forker) -> None:
        """Start, check what the last life left, go to work."""
        self.life = fork.start(self.node)
        self.life.wait_answering()
        client = RpcClient(self.node.rpc_url, PATIENCE_S)
        if self.heads is not None:
            self._check(client, self.heads.heads)
        # The nonces are the sender's own: a head that lags behind the others' would lead to using one twice.
        self.traffic.send_again(client)
        client.close()
        self.heads = Announcements(self.node)
        self._stop = threading.Event()
        self._worker = threading.Thread(target=self.traffic.flow, args=(self._stop, 0.3))
        self._worker.start()

    def fall(self) -> None:
        """Be killed."""
        assert self.life is not None
        assert self.heads is not None
        self.life.kill()
        self.rest()
        self.heads.join()

    def rest(self) -> None:
        """Send no more."""
        self._stop.set()
        assert self._worker is not None
        self._worker.join()

    def _check(self, client: RpcClient, heard: list[tuple[int, str]]) -> None:
        blocks = results(client, [("eth_getBlockByHash", (each, False)) for _, each in heard])
        assert None not in blocks, f"{self.node.name} lost a block that it had announced"
        head = client.call("eth_getBlockByNumber", "latest", False)
        weights = [int(block["totalDifficulty"], 16) for block in blocks]
        assert int(head["totalDifficulty"], 16) >= max(weights, default=0)
        asked = [("eth_getTransactionByHash", (each,)) for each in sorted(self.traffic.accepted - self._deep)]
        found = results(client, asked)
        assert None not in found, f"{self.node.name} lost a transaction it had accepted"
        deep = int(head["number"], 16) - SETTLED_BLOCKS
        self._deep |= {tx["hash"] for tx in found if int(tx["blockNumber"] or hex(deep), 16) < deep}


@pytest.mark.long(80)
def test_killed_validators_come_back_to_the_chain_of_the_others(tmp_path: Path) -> None:
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    layout = make_network(tmp_path / "net", validators=4, period_s=1, pool={"journal_interval_s": 0.5})
    members = [Member(layout, node, place, rng) for place, node in enumerate(layout.nodes)]
    until, kills = time.monotonic() + LIMIT_S, 0
    with forker() as fork:
        for member in members:
            member.rise(fork)
        while kills < KILLS and time.monotonic() < until:
            victim = rng.choice(members)
            time.sleep(rng.random())
            victim.fall()
            time.sleep(rng.random())
            victim.rise(fork)
            kills += 1
        for member in members:
            member.rest()
        model = settle(layout, members)
    assert [member.traffic.refused for member in members] == [[]] * 4
    print(f"{kills} kills; {model.number} blocks, {len(model.mined)} transactions mined")
    assert kills >= KILLS / 3, "this machine is too slow to say much"


def settle(layout: Layout, members: list[Member]) -> Model:
    """Wait until all that was accepted lies SETTLED_BLOCKS deep; all nodes agree, with each other and us."""
    balance = layout.network.accounts.balance_ether * 10**18
    balances = {account["address"]: balance for account in layout.accounts}
    model = Model(balances, lambda block: hex_of(recover_author(header_of(block))))
    clients = [RpcClient(member.node.rpc_url, PATIENCE_S) for member in members]
    accepted = set().union(*(member.traffic.accepted for member in members))
    raws: dict[str, bytes] = {}
    for member in members:
        raws |= member.traffic.raws
    deadline = time.monotonic() + SETTLE_S
    while accepted - model.mined.keys():
        assert time.monotonic() < deadline, _missing(accepted - model.mined.keys(), clients)
        time.sleep(0.5)
        follow(model, clients[0], _head(clients[0]) - SETTLED_BLOCKS, raws)
    at: list[tuple[str, list[Any]]] = [("eth_getBlockByNumber", [hex(model.number), False])]
    while min(map(_head, clients)) < model.number + SETTLED_BLOCKS:
        assert time.monotonic() < deadline, f"heads stay apart: {list(map(_head, clients))}"
        time.sleep(0.5)
    assert [results(client, at)[0]["hash"] for client in clients] == [model.hashes[-1]] * 4
    for client in clients:
        client.close()
    return model


def _missing(hashes: Iterable[str], clients: list[RpcClient]) -> str:
    """What the nodes know of transactions that no block holds."""
    asked = [("eth_getTransactionByHash", (each,)) for each in sorted(hashes)[:8]]
    return f"never mined, by node: {[results(client, asked) for client in clients]}"


def _head(client: RpcClient) -> int:
    return int(client.call("eth_blockNumber"), 16)
