"""Keys are changed on a network of real processes under load, and no epoch is missed."""

import itertools
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from devnet.client import RpcClient
from devnet.layout import Layout, NodeFiles, open_layout
from devnet.load import Outcome, Plan, run_load
from devnet.network import RunningNetwork
from tests.faults.live import ROOT, free_ports

pytestmark = pytest.mark.long(40)

EPOCH = 10
MANIFEST = """\
name = "rotating"
chain_id = 77
period_s = 1
epoch_blocks = {epoch}
contract_suite = false
seed = "rotating keys"
[ports]
rpc = {rpc}
p2p = {p2p}
metrics = {metrics}
[[nodes]]
name = "alpha"
[[nodes]]
name = "beta"
[[nodes]]
name = "gamma"
"""


def run(*words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == code, f"{words}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
    return done


class Others(RunningNetwork):
    """All but the node whose key is changed: it is started again on the way."""

    @property
    def nodes(self) -> tuple[NodeFiles, ...]:
        return tuple(node for node in self.layout.nodes if node.name != "beta")


class Net:
    """The network, and commands about it."""

    def __init__(self, home: Path) -> None:
        self.home = home

    @property
    def layout(self) -> Layout:
        return open_layout(self.home)

    def devnet(self, *words: str) -> str:
        return run("devnet", "--home", str(self.home), *words).stdout

    def call(self, name: str, method: str, *params: object) -> object:
        client = RpcClient(self.layout.node(name).admin_url)
        try:
            return client.call(method, *params)
        finally:
            client.close()

    def load_others(self, seconds: float) -> Outcome:
        """Transfers through the nodes that stay up."""
        with Others(self.layout) as network:
            return run_load(network, Plan(5.0, seconds), lambda line: None)

    def rotate(self, to: str, *more: str, code: int = 0) -> dict[str, str]:
        beta, others = self.layout.node("beta"), [self.layout.node(name) for name in ("alpha", "gamma")]
        rpcs = [word for node in (beta, *others) for word in ("--rpc", node.admin_url)]
        restart = f"{sys.executable} -m devnet --home {self.home} perturb restart beta"
        done = run(
            "node", "keys", "rotate", "--config", str(beta.config), *rpcs, "--restart", restart,
            "--light", "--to", to, "--timeout", "90", "--json", *more, code=code,
        )  # fmt: skip
        return json.loads(done.stdout[done.stdout.index("{\n") :]) if code == 0 else {"said": done.stderr}

    def header(self, number: int) -> dict[str, str]:
        block = self.call("alpha", "eth_getBlockByNumber", hex(number), False)
        assert isinstance(block, dict)
        return block


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    folder = tmp_path_factory.mktemp("rotation")
    first = free_ports(9)
    manifest = folder / "rotating.toml"
    manifest.write_text(MANIFEST.format(epoch=EPOCH, rpc=first, p2p=first + 3, metrics=first + 6))
    net = Net(folder / "net")
    try:
        net.devnet("up", "--network", str(manifest))
        yield net
    finally:
        net.devnet("down", "--clean")


def test_a_validators_key_is_changed_under_load_forth_back_and_forth_again(net: Net) -> None:
    journal = ("--state", str(net.home.parent / "rotation.json"))
    begin = int(str(net.call("alpha", "eth_blockNumber")), 16)
    loaded: list[Outcome] = []
    load = threading.Thread(target=lambda: loaded.append(net.load_others(seconds=40.0)))
    load.start()
    facts = net.rotate("admitted", *journal)
    old, new = facts["old_address"], facts["new_address"]
    assert {old, new} <= set(net.call("gamma", "clique_getSigners"))  # type: ignore[call-overload]
    assert net.rotate("begun", *journal)["done"] == "begun"
    assert new not in net.call("gamma", "clique_getSigners")  # type: ignore[operator]
    facts = net.rotate("disabled", *journal)
    new = facts["new_address"]
    for name in ("alpha", "beta", "gamma"):
        signers = net.call(name, "clique_getSigners")
        assert (new in signers, old in signers) == (True, False)  # type: ignore[operator]
    assert net.call("beta", "clique_getSealing")["signer"] == new  # type: ignore[index]
    assert net.rotate("destroyed", *journal)["done"] == "destroyed"
    assert "does not come back" in net.rotate("disabled", *journal, code=2)["said"]
    load.join()
    (outcome,) = loaded
    assert (outcome.refused.total(), outcome.missing, len(outcome.sent_at)) == (0, 0, 200)
    end = int(str(net.call("alpha", "eth_blockNumber")), 16)
    headers = [net.header(number) for number in range(begin, end + 1)]
    epochs = [header for header in headers if int(header["number"], 16) % EPOCH == 0]
    assert len(epochs) >= 3
    for header in epochs:
        # Vanity, the signers that the checkpoint lists, seal.
        assert len(header["extraData"]) > 2 + 2 * (32 + 65)
    times = [int(header["timestamp"], 16) for header in headers]
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) < 30
    net.devnet("check")


def test_a_node_gets_another_identity_and_its_peers_know_it(net: Net) -> None:
    layout = net.layout
    peers = [word for name in ("alpha", "gamma") for word in (
        "--peer", layout.node(name).admin_url, "--peer-config", str(layout.node(name).config)
    )]  # fmt: skip
    journal = ("--node-key", "--state", str(net.home.parent / "identity.json"), *peers)
    before = net.call("beta", "admin_nodeInfo")["enode"]  # type: ignore[index]
    facts = net.rotate("forgotten", *journal)
    assert net.call("beta", "admin_nodeInfo")["enode"] == facts["new_enode"] != before  # type: ignore[index]
    for name in ("alpha", "gamma"):
        known = [peer["enode"] for peer in net.call(name, "admin_peers")]  # type: ignore[attr-defined]
        assert any(facts["new"] in enode for enode in known)
        assert not any(facts["old"] in enode for enode in known)
        assert facts["new"] in layout.node(name).config.read_text()
    # And back again: the old file is still there.
    facts = net.rotate("begun", *journal)
    assert facts["old"] in net.call("beta", "admin_nodeInfo")["enode"]  # type: ignore[index]
