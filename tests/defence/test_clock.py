"""A live validator with a wrong clock: warned of; then it seals nothing and is sent away until it is set."""

import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devnet.client import RpcClient
from devnet.keys import sealing_key
from devnet.layout import HOST, NodeFiles
from node.audit.records import Kind
from node.config.data_dir import audit_path
from node.primitives.ids import hex_of
from p2p.enode import parse_enode
from tests.audit.logs import records
from tests.faults.live import ROOT, Life, ask, end_all, log_of, make_network, start

pytestmark = pytest.mark.long(30)

WITHIN_S = 90.0
DRIFT = re.compile(r"^phoenix_clock_drift_seconds (\S+)$", re.MULTILINE)


def start_skewed(node: NodeFiles, shift: Path) -> Life:
    """The same node, in a process whose time of day is shifted by what the file says."""
    with open(node.log, "ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.defence.skewed", str(shift), "run", "--config", str(node.config)],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    return Life(node, child.pid, child)


def wait(done: Callable[[], Any], what: str, node: NodeFiles) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not done():
        assert time.monotonic() < deadline, f"{what}\n{log_of(node)}"
        time.sleep(0.1)


def page(node: NodeFiles, path: str) -> tuple[int, str]:
    """What operators and scrapers see."""
    try:
        with urllib.request.urlopen(f"http://{HOST}:{node.metrics_port}{path}", timeout=30) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def drift_s(node: NodeFiles) -> float:
    found = DRIFT.search(page(node, "/metrics")[1])
    assert found is not None
    return float(found[1])


def peers(node: NodeFiles) -> set[bytes]:
    client = RpcClient(node.admin_url, 60.0)
    try:
        return {parse_enode(peer["enode"]).public_key for peer in client.call("admin_peers")}
    finally:
        client.close()


def is_recorded(node: NodeFiles, key: bytes) -> bool:
    """Whether its audit log says that this peer was sent away for its clock."""
    found = [each for each in records(audit_path(node.data_dir)) if each.facts.get("rule") == "clock"]
    return any(
        each.kind == Kind.PEER_REFUSED.label and each.actor.startswith(f"peer:{key[:16].hex()}@")
        for each in found
    )


def head(node: NodeFiles) -> int:
    return int(ask(node, "eth_blockNumber"), 16)


def sealed(node: NodeFiles, sealer: str, last: int) -> int:
    """How many of the newest `last` blocks that `node` has are this validator's."""
    newest = head(node)
    numbers = range(max(1, newest - last + 1), newest + 1)
    return sum(ask(node, "clique_getSigner", hex(number)) == sealer for number in numbers)


def test_a_wrong_clock_is_warned_of_then_refused_and_taken_back_when_it_is_set(
    tmp_path: Path,
) -> None:
    layout = make_network(tmp_path, validators=4, period_s=1)
    *others, delta = layout.nodes
    shift = tmp_path / "shift"
    shift.write_text("2.5")
    key, sealer = (
        parse_enode(delta.enode).public_key,
        hex_of(sealing_key(layout.network.seed, delta.name).address),
    )
    try:
        lives = [start(node) for node in others]
        skewed = start_skewed(delta, shift)
        for life in (*lives, skewed):
            life.wait_answering()
        # Above a second: measured, said, and all goes on.
        wait(lambda: len(peers(delta)) == 3 and drift_s(delta) > 2, "it does not measure", delta)
        assert drift_s(delta) == pytest.approx(2.5, abs=1.0)
        assert "our clock is 2." in log_of(delta, 1_000)
        wait(lambda: page(delta, "/health/ready")[0] == 200, "it is not ready", delta)
        assert "beyond 5 s it seals nothing" in page(delta, "/health/ready")[1]
        assert abs(drift_s(others[0])) < 1.5
        # Beyond five: it seals nothing, says why, and the others send it away.
        shift.write_text("30")
        skewed.signal(signal.SIGUSR1)
        wait(lambda: "set it (NTP)" in page(delta, "/health/ready")[1], "it does not notice", delta)
        assert page(delta, "/health/ready")[0] == 503
        wait(lambda: all("a peer is sent away: its clock is" in log_of(each, 1_000) for each in others),
             "nobody sends it away", others[0])  # fmt: skip
        wait(lambda: all(is_recorded(each, key) for each in others), "it is not on record", others[0])
        before = int(ask(others[0], "eth_blockNumber"), 16)
        wait(
            lambda: int(ask(others[0], "eth_blockNumber"), 16) >= before + 8,
            "the chain stands still",
            others[0],
        )
        assert sealed(others[0], sealer, 4) == 0
        assert page(others[0], "/health/ready")[0] == 200
        # Set, it is one of them again.
        shift.write_text("0")
        skewed.signal(signal.SIGUSR1)
        wait(lambda: all(key in peers(each) for each in others), "it does not come back", delta)
        wait(lambda: sealed(others[0], sealer, 8) > 0, "it seals nothing", delta)
        assert abs(drift_s(delta)) < 1.5
    finally:
        end_all()
