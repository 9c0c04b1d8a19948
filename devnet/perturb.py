"""Hurt nodes on purpose, and heal them.

A kill is a power cut; stop freezes a process in the middle of whatever it does; partition cuts the named
nodes off from all others while they keep talking to one another and to their clients.
"""

import time
from collections.abc import Sequence
from contextlib import closing
from typing import Final

from devnet import launcher, signers
from devnet.client import RpcClient, RpcError, Unreachable
from devnet.errors import NodeFailed
from devnet.launcher import Service
from devnet.layout import NodeFiles, SignerFiles
from devnet.network import POLL_S, RunningNetwork, Say

ACTIONS: Final = ("kill", "stop", "restart", "partition")
ANSWER_TIMEOUT_S: Final = 30.0
"""How long a node that has just started may take to answer."""


def perturb(network: RunningNetwork, action: str, names: Sequence[str], say: Say) -> None:
    """Do one of ACTIONS to the named nodes; DevnetError when it cannot be done to one of them."""
    if action == "partition":
        for name in names:
            network.layout.node(name)
        partition(network, names, say)
        return
    for service in [network.layout.service(name) for name in names]:
        say(f"{service.name}: {_hurt(action, service)}")


def partition(network: RunningNetwork, names: Sequence[str], say: Say) -> None:
    """Cut the named nodes off from the others, on both sides."""
    inside = [node for node in network.nodes if node.name in names]
    outside = [node for node in network.nodes if node.name not in names]
    for side, other in ((inside, outside), (outside, inside)):
        for node in side:
            if launcher.is_running(node):
                _block_peers(network, node, [peer.enode for peer in other])
    apart = " | ".join(" ".join(node.name for node in side) for side in (inside, outside) if side)
    say(f"partitioned: {apart}")


def heal(network: RunningNetwork, say: Say) -> None:
    """Let paused nodes go on, start stopped ones, lift every partition."""
    kept = [node for node in network.nodes if launcher.process_of(node).state != "stopped"]
    for node in network.nodes:
        if node.has_signer and signers.start(node.signer) is not None:
            say(f"{node.signer.name}: started")
        state = launcher.process_of(node).state
        if state == "paused":
            launcher.resume(node)
            say(f"{node.name}: goes on")
        elif state == "stopped":
            launcher.start(node)
            say(f"{node.name}: started")
    for node in kept:
        # A node that has just started knows of no partition.
        _block_peers(network, node, [])


def _hurt(action: str, node: Service) -> str:
    if action == "kill":
        launcher.kill(node)
        return "killed"
    if action == "stop":
        launcher.pause(node)
        return "paused; `python -m devnet heal` lets it go on"
    assert action == "restart", action
    if isinstance(node, SignerFiles):
        signers.stop(node, launcher.STOP_GRACE_S)
        signers.start(node)
        return "stopped, started again"
    how = launcher.stop(node)
    launcher.start(node)
    return f"{how}, started again"


def _block_peers(network: RunningNetwork, node: NodeFiles, enodes: Sequence[str]) -> None:
    """Tell a node whom not to talk to; the list replaces the one before. A light client has no peers."""
    if node.plan.role == "light":
        return
    deadline = time.monotonic() + ANSWER_TIMEOUT_S
    while True:
        try:
            with closing(RpcClient(node.admin_url)) as client:
                client.call("admin_setBlockedPeers", list(enodes))
            return
        except RpcError as error:
            raise NodeFailed(node.name, str(error)) from error
        except Unreachable as error:
            # One that was restarted a moment ago does not listen yet.
            if not launcher.is_running(node) or time.monotonic() > deadline:
                raise NodeFailed(node.name, str(error)) from error
            time.sleep(POLL_S)
