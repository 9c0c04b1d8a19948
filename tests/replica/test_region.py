"""A region of real replicas under load loses a member, and another, and no read fails at the client."""

import threading
import time
from collections.abc import Iterator

import pytest

from devnet.client import Unreachable
from devnet.layout import Layout
from devnet.load import Plan, run_load
from devnet.network import RunningNetwork, wait_until
from devnet.perturb import heal, perturb
from devnet.wallet import Wallet, read_fees
from node.replica.client import ClientOptions, ReplicaClient
from tests.replica.network import running_network

pytestmark = pytest.mark.long(15)

MANIFEST = """
name = "region"
chain_id = 325_007
period_s = 1
contract_suite = false
seed = "a region: these keys are public"
[[nodes]]
name = "core"
[[nodes]]
name = "replica-1"
role = "replica"
[[nodes]]
name = "replica-2"
role = "replica"
"""
READERS = 4
DEADLINE_S = 90.0


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Layout]:
    with running_network(tmp_path_factory.mktemp("region"), MANIFEST) as layout:
        yield layout


class Readers:
    """Threads that read all the time, and write down every failure."""

    def __init__(self, client: ReplicaClient, account: str) -> None:
        self._client, self._account = client, account
        self._stop = threading.Event()
        self.reads = 0
        self.failures: list[BaseException] = []
        self.threads = [threading.Thread(target=self._run) for _ in range(READERS)]

    def __enter__(self) -> "Readers":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self.threads:
            thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                answer = self._client.get(f"/v1/accounts/{self._account}/transactions", limit=5)
                assert answer.block_number >= 0
                assert int(self._client.call("eth_getBalance", self._account, "latest"), 16) > 0
                self._client.call("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest"})
            except BaseException as error:
                self.failures.append(error)
            else:
                self.reads += 3

    def wait_more(self, reads: int = 30) -> None:
        """Until so many more have been done."""
        wanted, until_s = self.reads + reads, time.monotonic() + DEADLINE_S
        while self.reads < wanted and time.monotonic() < until_s:
            time.sleep(0.05)
        assert self.reads >= wanted, self.failures


def test_no_read_fails_while_replicas_die_and_come_back(layout: Layout) -> None:
    replicas = [node.rpc_url for node in layout.nodes if node.plan.role == "replica"]
    account = layout.accounts[0]["address"]
    options = ClientOptions(patience_s=60, probe_interval_s=0.3)
    with RunningNetwork(layout) as running, ReplicaClient(replicas, options) as client:
        run_load(running, Plan(20, 1, 20), lambda _: None)
        with Readers(client, account) as readers:
            readers.wait_more()
            for name, url in zip(("replica-1", "replica-2"), replicas, strict=True):
                perturb(running, "kill", [name], lambda _: None)
                readers.wait_more()
                heal(running, lambda _: None)
                _wait_well(client, url)
                readers.wait_more()
        assert readers.failures == []
        assert all(replica.served for replica in client.replicas)


def _wait_well(client: ReplicaClient, url: str) -> None:
    """Until the probe has found the replica well again."""
    (replica,) = [each for each in client.replicas if each.url == url]
    until_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < until_s:
        if replica.failures == 0 and replica.number:
            return
        time.sleep(0.1)
    raise AssertionError(f"{url} was not found well again: {replica.reason}")


def test_what_a_replica_has_taken_reaches_a_block_though_both_it_and_the_core_die(layout: Layout) -> None:
    """Nobody else has heard of the transactions when the replica is killed."""
    with RunningNetwork(layout) as running:
        core, replica = running.clients["core"], running.clients["replica-1"]
        wallet = Wallet(layout.accounts[1]["private_key"], layout.network.chain_id)
        wallet.read_nonce(core)
        fees = read_fees(core)
        perturb(running, "kill", ["core", "replica-2"], lambda _: None)
        sent = [wallet.fee_market(fees, 21_000, "0x" + "99" * 20, 1) for _ in range(5)]
        for signed in sent:
            assert replica.call("eth_sendRawTransaction", signed.raw) == signed.hash
        perturb(running, "kill", ["replica-1"], lambda _: None)
        heal(running, lambda _: None)

        def is_settled() -> bool:
            try:
                receipts = [core.call("eth_getTransactionReceipt", signed.hash) for signed in sent]
            except Unreachable:
                return False  # it is on its way up
            return all(receipt is not None and receipt["status"] == "0x1" for receipt in receipts)

        wait_until(is_settled, DEADLINE_S, "every transaction in a block")
