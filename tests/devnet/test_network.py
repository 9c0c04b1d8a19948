"""A real network of four processes, used as a person would: up, load, hurt, heal, check, down."""

import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devnet.layout import Layout, open_layout
from devnet.network import RunningNetwork, wait_until
from tests.devnet.commands import devnet_command

pytestmark = pytest.mark.long(15)

NODES = 4


MANIFEST = """
name = "four"
chain_id = 325_004
period_s = 1
seed = "four validators: these keys are public"
""" + "".join(f'[[nodes]]\nname = "{name}"\n' for name in ("alpha", "beta", "gamma", "delta"))


class Devnet:
    """`python -m devnet` with a home of its own, and validators only."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._manifest = home.with_suffix(".toml")
        self._manifest.write_text(MANIFEST)

    def run(self, *arguments: str, code: int = 0) -> str:
        """Standard output; fails with everything it said when the exit code is another one."""
        more = ["--network", str(self._manifest)] if arguments[0] == "up" else []
        done = devnet_command(self.home, *arguments, *more)
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def json(self, *arguments: str) -> Any:
        """What a command prints with --json."""
        return json.loads(self.run(*arguments, "--json"))

    @property
    def layout(self) -> Layout:
        return open_layout(self.home)

    def call(self, name: str, method: str, *params: Any) -> Any:
        """A JSON-RPC answer of one node."""
        with RunningNetwork(self.layout) as running:
            return running.clients[name].call(method, *params)


def free_range(start: int) -> int:
    """The first of NODES free ports from `start` on."""
    for first in range(start, 60_000, NODES):
        try:
            for port in range(first, first + NODES):
                socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return first
    raise AssertionError("no free ports")


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    made = Devnet(tmp_path_factory.mktemp("devnet") / "home")
    # Apart from the ports of a network that a person may have running, and from another test process.
    base = 20_000 + os.getpid() % 20_000
    rpc = free_range(base)
    p2p = free_range(rpc + NODES)
    metrics = free_range(p2p + NODES)
    flags = ("--rpc-port", str(rpc), "--p2p-port", str(p2p), "--metrics-port", str(metrics))
    try:
        print(made.run("up", *flags))
        yield made
    finally:
        made.run("down")


def heads(devnet: Devnet) -> dict[str, int | None]:
    with RunningNetwork(devnet.layout) as running:
        return {name: seen.head for name, seen in running.views().items()}


def wait_all_beyond(devnet: Devnet, number: int) -> None:
    wait_until(
        lambda: all(head is not None and head > number for head in heads(devnet).values()),
        90,
        f"every head beyond {number}",
    )


def test_a_network_that_is_up_is_proved_again_and_not_started_twice(devnet: Devnet) -> None:
    before = devnet.json("endpoints")
    said = devnet.run("up")
    assert said.count("already") == NODES
    assert "works" in said
    assert devnet.json("endpoints") == before


def test_load_is_accepted_and_mined(devnet: Devnet) -> None:
    summary = devnet.json("load", "--rate", "40", "--seconds", "5")
    assert (summary["accepted"], summary["mined"], summary["refused"]) == (200, 200, 0)


def test_two_killed_nodes_halt_the_network_and_it_recovers_with_every_block(devnet: Devnet) -> None:
    head = devnet.call("alpha", "eth_getBlockByNumber", "latest", False)
    devnet.run("perturb", "kill", "beta", "gamma")
    devnet.run("status", code=1)
    devnet.run("heal")
    wait_all_beyond(devnet, int(head["number"], 16) + 8)
    assert devnet.call("beta", "eth_getBlockByHash", head["hash"], False)["hash"] == head["hash"]
    devnet.run("check")


def test_a_paused_node_is_missed_by_nobody_and_catches_up(devnet: Devnet) -> None:
    devnet.run("perturb", "stop", "delta")
    number = int(devnet.call("alpha", "eth_blockNumber"), 16)
    wait_until(lambda: (heads(devnet)["alpha"] or 0) > number + 3, 60, "three validators go on")
    devnet.run("heal")
    wait_all_beyond(devnet, number + 3)
    devnet.run("check")


def test_the_smaller_part_of_a_partition_stands_still_and_joins_again(devnet: Devnet) -> None:
    devnet.run("perturb", "partition", "delta")
    wait_until(lambda: devnet.call("delta", "net_peerCount") == "0x0", 30, "delta is alone")
    alone = int(devnet.call("delta", "eth_blockNumber"), 16)
    wait_until(lambda: (heads(devnet)["alpha"] or 0) > alone + 4, 60, "the others go on")
    assert (heads(devnet)["delta"] or 0) <= alone + 1
    devnet.run("heal")
    wait_all_beyond(devnet, alone + 6)
    devnet.run("check")


def test_a_restarted_node_keeps_its_chain(devnet: Devnet) -> None:
    number = int(devnet.call("beta", "eth_blockNumber"), 16)
    said = devnet.run("perturb", "restart", "beta")
    assert "stopped, started again" in said
    wait_all_beyond(devnet, number)
    devnet.run("check")


def test_down_and_up_again_goes_on_with_the_same_chain_and_between_the_database_can_be_looked_into(
    devnet: Devnet,
) -> None:
    node = devnet.layout.node("alpha")
    inspect = [sys.executable, "-m", "node", "inspect", "--data-dir", str(node.data_dir), "--json"]
    running = subprocess.run(inspect, capture_output=True, text=True)
    assert running.returncode == 3
    assert "another process has it open" in running.stderr
    genesis = devnet.call("alpha", "eth_getBlockByNumber", "0x0", False)["hash"]
    number = int(devnet.call("alpha", "eth_blockNumber"), 16)
    assert devnet.run("down").count("stopped") == NODES
    stopped = subprocess.run(inspect, capture_output=True, text=True, check=True)
    seen = json.loads(stopped.stdout)
    assert len(seen["signers"]) == NODES
    assert seen["last_signed"][0]["height"] <= seen["head_number"] + 1
    said = devnet.run("up")
    assert said.count("again, on its own data") == NODES
    assert devnet.call("alpha", "eth_getBlockByNumber", "0x0", False)["hash"] == genesis
    wait_all_beyond(devnet, number)


def test_a_running_node_shows_metrics_and_health(devnet: Devnet) -> None:
    base = f"http://127.0.0.1:{devnet.layout.node('alpha').metrics_port}"
    with urllib.request.urlopen(f"{base}/health/ready", timeout=5) as reply:
        assert json.loads(reply.read()) == {"status": "ok", "reasons": []}
    with urllib.request.urlopen(f"{base}/metrics", timeout=5) as reply:
        text = reply.read().decode()
    assert "phoenix_loop_delay_seconds_bucket" in text
    assert 'phoenix_build_info{role="validator"' in text
