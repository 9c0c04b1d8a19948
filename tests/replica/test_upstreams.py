"""A replica's preferred validator dies: it follows and is heard through the others, and goes back to it."""

import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from devnet.generate import settings_of
from devnet.layout import HOST, Layout, NodeFiles
from devnet.network import RunningNetwork, wait_until
from devnet.perturb import heal, perturb
from devnet.wallet import Wallet, read_fees
from tests.replica.network import running_network

pytestmark = pytest.mark.long(30)

MANIFEST = """
name = "upstreams"
chain_id = 325_008
period_s = 1
contract_suite = false
seed = "upstreams of a replica: these keys are public"
[[nodes]]
name = "alpha"
[[nodes]]
name = "beta"
[[nodes]]
name = "gamma"
[[nodes]]
name = "edge"
role = "replica"
"""
DEADLINE_S = 120.0
TAKEN = 'phoenix_rpc_calls_total{method="eth_sendRawTransaction"}'


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Layout]:
    with running_network(tmp_path_factory.mktemp("upstreams"), MANIFEST) as layout:
        yield layout


def taken_by(node: NodeFiles) -> float:
    """Transactions that a node was given by JSON-RPC since it started."""
    text = urllib.request.urlopen(f"http://{HOST}:{node.metrics_port}/metrics", timeout=30).read().decode()
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(TAKEN))


def test_a_replica_moves_to_the_next_upstream_and_back(layout: Layout) -> None:
    edge = next(node for node in layout.nodes if node.name == "edge")
    upstreams: list[str] = settings_of(layout, edge)["replica"]["upstreams"]
    preferred, *others = [next(node for node in layout.nodes if node.rpc_url == url) for url in upstreams]
    with RunningNetwork(layout) as running:
        client = running.clients["edge"]
        wallet = Wallet(layout.accounts[1]["private_key"], layout.network.chain_id)
        wallet.read_nonce(client)
        fees = read_fees(client)

        def send_and_settle() -> None:
            signed = wallet.fee_market(fees, 21_000, "0x" + "96" * 20, 1)
            assert client.call("eth_sendRawTransaction", signed.raw) == signed.hash

            def receipt() -> Any:
                return client.call("eth_getTransactionReceipt", signed.hash)

            wait_until(lambda: receipt() is not None, DEADLINE_S, "the transaction is in a block")

        send_and_settle()
        wait_until(lambda: taken_by(preferred) >= 1, DEADLINE_S, "the preferred upstream was asked")
        perturb(running, "kill", [preferred.name], lambda _: None)
        before, head = sum(map(taken_by, others)), int(client.call("eth_blockNumber"), 16)
        send_and_settle()
        wait_until(lambda: sum(map(taken_by, others)) > before, DEADLINE_S, "another upstream was asked")
        follows = lambda: int(client.call("eth_blockNumber"), 16) >= head + 3  # noqa: E731
        wait_until(follows, DEADLINE_S, "the replica follows the others")
        heal(running, lambda _: None)
        # A process that has started again has counted nothing: whatever it counts has come since.
        wait_until(lambda: is_asked_again(preferred, send_and_settle), DEADLINE_S, "the preferred one again")


def is_asked_again(node: NodeFiles, send: Any) -> bool:
    send()
    try:
        return taken_by(node) > 0
    except OSError:
        return False  # it is on its way up
