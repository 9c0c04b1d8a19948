import dataclasses
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devnet import launcher
from devnet.errors import DevnetError, NodeFailed
from devnet.generate import generate
from devnet.layout import Layout
from devnet.manifest import Network, NodePlan, Ports
from devnet.network import NodeView, RunningNetwork, status_table, wait_until
from devnet.perturb import perturb
from tests.ports import free_ports

FAKE = Path(__file__).parent / "fakes" / "node_process.py"
SERVE = (sys.executable, str(FAKE), "serve")


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    first = free_ports(4)
    ports = Ports(p2p=first, rpc=first + 1, metrics=first + 2, admin=first + 3)
    network = Network(name="one", chain_id=7, seed="s", ports=ports, nodes=(NodePlan(name="solo"),))
    made = generate(network, tmp_path)
    yield made
    for node in made.nodes:
        launcher.stop(node, grace_s=5)


@pytest.fixture
def running(layout: Layout) -> Iterator[RunningNetwork]:
    with RunningNetwork(layout) as made:
        yield made


def test_a_node_is_started_seen_and_stopped(layout: Layout, running: RunningNetwork) -> None:
    (node,) = layout.nodes
    process = launcher.start(node, SERVE)
    said: list[str] = []
    running.wait_connected(20, said.append)
    running.wait_heads(7, 20, said.append)
    assert said[-2:] == ["solo 0/0 peers", "solo block 7"]
    assert launcher.process_of(node) == launcher.NodeProcess("running", process.pid)
    row = status_table(running).splitlines()[1].split()
    assert row == ["solo", "validator", "running", "7", "0", node.rpc_url, str(process.pid)]
    assert launcher.stop(node) == "stopped"
    assert launcher.stop(node) == "was not running"
    assert status_table(running).splitlines()[1].split()[2:] == ["stopped", "-", "-", node.rpc_url, "-"]


def test_endpoints_have_the_promised_shape(layout: Layout) -> None:
    (node,) = layout.nodes
    found = launcher.endpoints(layout)
    accounts = found["accounts"]
    assert isinstance(accounts, list)
    assert set(found) == {"chain_id", "accounts", "nodes"}
    assert set(accounts[0]) == {"address", "private_key"}
    assert found["nodes"] == {
        "solo": {
            "role": "validator",
            "rpc": f"http://127.0.0.1:{node.rpc_port}",
            "ws": f"ws://127.0.0.1:{node.rpc_port}",
            "admin": f"http://127.0.0.1:{node.admin_port}",
            "enode": node.enode,
            "pid": None,
            "data_dir": str(node.data_dir.absolute()),
        }
    }


def test_a_taken_port_is_reported_with_use_node_owner_and_cure(layout: Layout) -> None:
    (node,) = layout.nodes
    with (
        socket.create_server(("127.0.0.1", node.metrics_port)),
        pytest.raises(DevnetError) as caught,
    ):
        launcher.start(node, SERVE)
    text = str(caught.value)
    assert f"port {node.metrics_port} (metrics of solo) is taken by process {os.getpid()}" in text
    assert "--metrics-port" in text
    assert launcher.process_of(node).state == "stopped"


def test_a_node_that_dies_is_named_and_its_log_has_the_reason(
    layout: Layout, running: RunningNetwork
) -> None:
    (node,) = layout.nodes
    launcher.start(node, (sys.executable, str(FAKE), "die"))
    with pytest.raises(NodeFailed) as caught:
        running.wait_connected(20, lambda line: None)
    assert (caught.value.node, str(caught.value)) == ("solo", "solo: its process has ended")
    assert launcher.log_tail(node).endswith("the disk is on fire")
    launcher.start(node, SERVE)
    running.wait_connected(20, lambda line: None)
    assert "the disk is on fire" in launcher.log_tail(node)
    assert "the disk is on fire" not in launcher.log_tail(node, this_run=True)


def test_a_node_that_does_not_get_there_is_named_with_where_it_stands(
    layout: Layout, running: RunningNetwork
) -> None:
    (node,) = layout.nodes
    launcher.start(node, (sys.executable, str(FAKE), "stubborn"))
    with pytest.raises(NodeFailed, match=r"solo: not connected after 0 s: no RPC yet"):
        running.wait_connected(0.3, lambda line: None)
    wait_until(lambda: "ready" in launcher.log_tail(node), 20, "the fake is ready")
    assert launcher.stop(node, grace_s=0.1).startswith("did not stop within 0 s and was killed")


def test_an_answer_from_somebody_elses_node_is_not_taken_for_ours(
    layout: Layout, running: RunningNetwork, tmp_path: Path
) -> None:
    (node,) = layout.nodes
    launcher.start(node, SERVE)
    running.wait_connected(20, lambda line: None)
    with RunningNetwork(generate(layout.network, tmp_path / "twin")) as twin:
        assert twin.views() == {"solo": NodeView(None, None)}
        with pytest.raises(NodeFailed, match="solo: its process has ended"):
            twin.wait_connected(20, lambda line: None)


def test_perturb_kills_and_pauses(layout: Layout, running: RunningNetwork) -> None:
    (node,) = layout.nodes
    launcher.start(node, SERVE)
    said: list[str] = []
    perturb(running, "stop", ["solo"], said.append)
    assert launcher.process_of(node).state == "paused"
    perturb(running, "kill", ["solo"], said.append)
    assert launcher.process_of(node).state == "stopped"
    assert said == ["solo: paused; `python -m devnet heal` lets it go on", "solo: killed"]
    with pytest.raises(NodeFailed, match="solo: does not run"):
        perturb(running, "kill", ["solo"], said.append)
    with pytest.raises(DevnetError, match="there is no node 'sola'; the network has solo"):
        perturb(running, "kill", ["sola"], said.append)


def test_one_changing_command_at_a_time(tmp_path: Path) -> None:
    with (
        launcher.exclusive(tmp_path),
        pytest.raises(DevnetError, match=rf"another devnet command \(pid {os.getpid()}\) is at work"),
        launcher.exclusive(tmp_path),
    ):
        pass
    with launcher.exclusive(tmp_path):
        pass


def test_the_log_tail_of_a_node_that_never_ran_says_so(layout: Layout) -> None:
    node = dataclasses.replace(layout.nodes[0], folder=layout.home / "nowhere")
    assert launcher.log_tail(node) == "(it has written no log)"
