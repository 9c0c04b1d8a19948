"""The four validators of `make devnet` on free ports: brought up, hurt in every way, healed, judged, loaded.

Every step is the command that an operator types; what changes the network, in a process of its own.
"""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from devnet import signers
from devnet.client import RpcClient
from devnet.layout import NodeFiles, open_layout
from devnet.manifest import load_manifest
from devnet.network import wait_until
from tests.devnet.commands import devnet_command
from tests.devnet.informer import inform, twins
from tests.faults.live import PATIENCE_S
from tests.ports import free_ports

pytestmark = pytest.mark.long(50)

NODES = load_manifest("local").nodes
SERVICES = len(NODES) + (signers.missing() is None)
"""The signer of delta is one where SoftHSM2 is installed."""
Devnet = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("live") / "net"


@pytest.fixture(scope="module")
def devnet(home: Path) -> Iterator[Devnet]:
    """A command on a network that runs; it is gone at the end."""

    def command(*words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = devnet_command(home, *words)
        assert done.returncode == code, (
            f"{' '.join(words)}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done

    size = len(NODES)
    first = free_ports(4 * size + 1)
    ports = [f"--rpc-port={first}", f"--p2p-port={first + size}", f"--metrics-port={first + 2 * size}"]
    ports.append(f"--admin-port={first + 3 * size + 1}")
    try:
        command("up", *ports)
        yield command
    finally:
        command("down", "--clean")


def findings(devnet: Devnet) -> dict[str, bool]:
    """What `check` finds, by its name."""
    rows: list[dict[str, Any]] = json.loads(devnet("check", "--json").stdout)
    return {row["what"]: row["holds"] for row in rows}


def states(devnet: Devnet, code: int = 0) -> list[str]:
    """STATE of each node in `status`."""
    return [line.split()[2] for line in devnet("status", code=code).stdout.splitlines()[1:]]


def test_up_a_second_time_proves_it_again(devnet: Devnet) -> None:
    assert "alpha  already" in devnet("up").stdout
    assert states(devnet) == ["running"] * SERVICES


@pytest.mark.parametrize(
    ("action", "nodes", "meanwhile"),
    [
        ("kill", ["beta"], "stopped"),
        ("stop", ["gamma"], "paused"),
        ("restart", ["delta"], "running"),
        ("partition", ["alpha"], "running"),
        ("partition", ["alpha", "beta"], "running"),
        ("kill", ["alpha", "beta", "gamma", "delta"], "stopped"),
    ],
)
def test_a_hurt_network_heals(devnet: Devnet, action: str, nodes: list[str], meanwhile: str) -> None:
    devnet("perturb", action, *nodes)
    hurt = SERVICES if meanwhile == "running" else len(nodes)
    assert states(devnet, code=int(meanwhile != "running")).count(meanwhile) == hurt
    if meanwhile != "running" and len(nodes) == 1:
        # Three of four go on.
        devnet("load", "--rate", "8", "--seconds", "4")
    devnet("heal")
    devnet("load", "--rate", "20", "--seconds", "6")
    assert all(findings(devnet).values())


def test_load_is_mined(devnet: Devnet) -> None:
    summary = json.loads(devnet("load", "--rate", "40", "--seconds", "5", "--json").stdout)
    assert (summary["refused"], summary["missing"], summary["mined"]) == (0, 0, 200)


@pytest.mark.skipif(signers.missing() is not None, reason="SoftHSM2 is not installed")
def test_a_validator_whose_signer_is_gone_is_a_full_node_and_seals_when_it_is_back(
    devnet: Devnet, home: Path
) -> None:
    client = RpcClient(open_layout(home).node("delta").rpc_url, PATIENCE_S)
    devnet("perturb", "kill", "delta-signer")
    wait_until(
        lambda: "is it running?" in str(client.call("clique_getSealing")["problems"]), 60, "it says so"
    )
    assert states(devnet, code=1).count("stopped") == 1
    devnet("load", "--rate", "8", "--seconds", "4")
    before = client.call("clique_getSealing")["sealedBlocks"]
    devnet("heal")
    wait_until(lambda: client.call("clique_getSealing")["sealedBlocks"] > before, 60, "it seals again")
    wait_until(lambda: client.call("clique_getSealing")["problems"] == [], 60, "nothing is wrong any more")
    client.close()
    assert all(findings(devnet).values())


def test_evidence_told_to_one_node_reaches_every_node(devnet: Devnet, home: Path) -> None:
    layout = open_layout(home)
    pair = twins(layout, "beta", 1_000_000)
    # A light client has an identity as every member, and does not use it.
    inform(layout, layout.node("replica-1"), pair, "light-2")
    hashes = {"0x" + header.hash.hex() for header in pair}

    def is_known(node: NodeFiles) -> bool:
        client = RpcClient(node.rpc_url, PATIENCE_S)
        told = client.call("clique_getEvidence")
        client.close()
        return [{header["hash"] for header in proof["headers"]} for proof in told] == [hashes]

    wait_until(lambda: all(map(is_known, layout.peers)), 60, "every peer knows it")


def test_down_and_up_again_goes_on_with_the_same_chain(devnet: Devnet) -> None:
    devnet("down")
    assert states(devnet, code=1) == ["stopped"] * SERVICES
    assert "again, on its own data" in devnet("up").stdout
    assert all(findings(devnet).values())
