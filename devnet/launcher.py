"""The nodes of a network as processes: start, stop, and what is the matter when one will not."""

import contextlib
import fcntl
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from devnet import processes, signers
from devnet.errors import DevnetError, NodeFailed
from devnet.layout import HOST, Layout, NodeFiles, SignerFiles
from devnet.ports import describe_owner, is_free
from devnet.processes import Process, State

STOP_GRACE_S: Final = 20.0
LOG_TAIL_LINES: Final = 25
START_MARK: Final = "--- started by devnet"
NODE_COMMAND: Final = (sys.executable, "-m", "node", "run", "--config")


Service: TypeAlias = NodeFiles | SignerFiles
"""What runs as a process of its own."""


@dataclass(frozen=True, slots=True)
class NodeProcess:
    """What runs a node, if anything does."""

    state: State
    pid: int | None


def process_of(node: Service) -> NodeProcess:
    """The process that runs this node now."""
    process = processes.recorded(node.process)
    state = processes.state(process)
    return NodeProcess(state, process.pid if process and state != "stopped" else None)


def is_running(node: Service) -> bool:
    """Whether it runs and is not paused."""
    return process_of(node).state == "running"


def start(node: NodeFiles, command: Sequence[str] = NODE_COMMAND) -> Process:
    """Start a node that is stopped, and its signer; DevnetError when one of its ports is taken."""
    refuse_taken_ports([node])
    if node.has_signer:
        signers.start(node.signer)
    with open(node.log, "a") as log:
        log.write(f"{START_MARK}: {' '.join(command)} {node.config}\n")
    return processes.start([*command, str(node.config)], node.log, node.process)


def stop(node: NodeFiles, grace_s: float = STOP_GRACE_S) -> str:
    """Stop a node the way an operator does, and its signer after it; says in words how it went."""
    try:
        return _stop_node(node, grace_s)
    finally:
        signers.stop(node.signer, grace_s)


def _stop_node(node: NodeFiles, grace_s: float) -> str:
    process = processes.recorded(node.process)
    if process is None or processes.state(process) == "stopped":
        return "was not running"
    if processes.stop(process, grace_s):
        return "stopped"
    return f"did not stop within {grace_s:.0f} s and was killed; its log: {node.log}"


def kill(node: Service) -> None:
    """End a node at once, as a power cut would; NodeFailed when it does not run."""
    processes.kill(_running_process(node))


def pause(node: Service) -> None:
    """Freeze a node in the middle of whatever it does; NodeFailed when it does not run."""
    processes.pause(_running_process(node))


def resume(node: Service) -> None:
    """Let a paused node go on."""
    processes.resume(_running_process(node))


def refuse_taken_ports(nodes: Sequence[NodeFiles]) -> None:
    """DevnetError naming every port of these stopped nodes that somebody else has."""
    taken = []
    for node in nodes:
        ports = {
            "p2p": node.p2p_port,
            "rpc": node.rpc_port,
            "metrics": node.metrics_port,
            "admin": node.admin_port,
        }
        if node.has_signer and process_of(node.signer).state == "stopped":
            ports["signer"] = node.signer.port
        for use, port in ports.items():
            if not is_free(HOST, port):
                taken.append(f"port {port} ({use} of {node.name}) is taken by {describe_owner(port)}")
    if taken:
        cure = (
            "stop it, or choose other ports: `python -m devnet up --rpc-port N --p2p-port N "
            '--metrics-port N --admin-port N`, or `make devnet UP="--rpc-port N ..."`'
        )
        raise DevnetError("\n".join([*taken, cure]))


def verify_alive(nodes: Sequence[NodeFiles]) -> None:
    """NodeFailed for the first node whose process, or signer, has ended."""
    for node in nodes:
        if node.has_signer and process_of(node.signer).state == "stopped":
            raise NodeFailed(node.name, f"its signer has ended; its log: {node.signer.log}")
        if process_of(node).state == "stopped":
            raise NodeFailed(node.name, "its process has ended")


def log_tail(node: NodeFiles, lines: int = LOG_TAIL_LINES, *, this_run: bool = False) -> str:
    """The end of its log; with `this_run`, nothing from before its last start."""
    try:
        with open(node.log, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - lines * 1_000))
            tail = file.read().decode(errors="replace").splitlines()[-lines:]
    except FileNotFoundError:
        return "(it has written no log)"
    starts = [place for place, line in enumerate(tail) if line.startswith(START_MARK)]
    return "\n".join(tail[starts[-1] :] if this_run and starts else tail)


@contextlib.contextmanager
def exclusive(home: Path) -> Iterator[None]:
    """One changing command at a time; DevnetError naming the other one's pid. Ends with this process."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(home / "lock", "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise DevnetError(
                f"another devnet command (pid {lock.read().strip() or 'unknown'}) is at work in {home}; "
                "wait for it, or stop it"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
        lock.truncate(0)


def endpoints(layout: Layout) -> dict[str, object]:
    """Where everything is, for scripts."""
    return {
        "chain_id": layout.network.chain_id,
        "accounts": layout.accounts,
        "nodes": {
            node.name: {
                "role": node.plan.role,
                "rpc": node.rpc_url,
                "ws": node.ws_url,
                "admin": node.admin_url,
                "enode": node.enode,
                "pid": process_of(node).pid,
                "data_dir": str(node.data_dir.absolute()),
            }
            for node in layout.nodes
        },
    }


def _running_process(node: Service) -> Process:
    process = processes.recorded(node.process)
    if process is None or processes.state(process) == "stopped":
        raise NodeFailed(node.name, "does not run")
    return process
