"""The network seen from outside: what each node says of itself, and waiting until all say the same."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from devnet import launcher
from devnet.client import RpcClient, RpcError, Unreachable, on_all
from devnet.errors import DevnetError, NodeFailed
from devnet.layout import Layout, NodeFiles
from devnet.ports import listens

POLL_S: Final = 0.25

Say = Callable[[str], None]
"""Shows one line of progress."""


@dataclass(frozen=True, slots=True)
class NodeView:
    """What one node answers; None where it does not answer."""

    head: int | None
    peers: int | None


def view(client: RpcClient) -> NodeView:
    """Ask one node."""
    try:
        head, peers = client.batch([("eth_blockNumber", ()), ("net_peerCount", ())])
    except Unreachable:
        return NodeView(None, None)
    return NodeView(_number(head), _number(peers))


def _number(answer: object) -> int | None:
    return None if isinstance(answer, RpcError) else int(str(answer), 16)


class RunningNetwork:
    """All nodes of a layout with a connection to each; close it, or use it as a context."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.clients = {node.name: RpcClient(node.rpc_url) for node in layout.nodes}

    def __enter__(self) -> "RunningNetwork":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let all connections go."""
        for client in self.clients.values():
            client.close()

    @property
    def nodes(self) -> tuple[NodeFiles, ...]:
        """In order of the manifest."""
        return self.layout.nodes

    def views(self) -> dict[str, NodeView]:
        """Ask every node; one whose port somebody else has does not answer, whatever the other one says."""
        seen = on_all(
            self.nodes,
            lambda node: view(self.clients[node.name]) if self.is_ours(node) else NodeView(None, None),
        )
        return dict(zip(self.layout.network.names, seen, strict=True))

    def is_ours(self, node: NodeFiles) -> bool:
        """Whether the process that we started is the one that answers at the node's URL."""
        pid = launcher.process_of(node).pid
        return pid is not None and listens(pid, node.rpc_port)

    def wait_connected(self, timeout_s: float, say: Say) -> None:
        """Until every node has every other one as peer; a light client, every one that it asks."""
        layout = self.layout
        light = {node.name for node in self.nodes if node.plan.role == "light"}
        wanted = {
            name: len(layout.upstreams) if name in light else len(layout.peers) - 1
            for name in layout.network.names
        }
        self._wait(
            lambda name, seen: seen.peers is not None and seen.peers >= wanted[name],
            lambda name, seen: (
                "no RPC yet"
                if seen.peers is None
                else f"{seen.peers}/{wanted[name]} {'upstreams' if name in light else 'peers'}"
            ),
            timeout_s,
            "connected",
            say,
        )

    def wait_heads(self, least: int, timeout_s: float, say: Say) -> None:
        """Until every node's head has at least this number."""
        self._wait(
            lambda _, seen: seen.head is not None and seen.head >= least,
            lambda _, seen: "no answer" if seen.head is None else f"block {seen.head}",
            timeout_s,
            "sealing",
            say,
        )

    def _wait(
        self,
        is_done: Callable[[str, NodeView], bool],
        describe: Callable[[str, NodeView], str],
        timeout_s: float,
        goal: str,
        say: Say,
    ) -> None:
        deadline, shown = time.monotonic() + timeout_s, ""
        while True:
            launcher.verify_alive(self.nodes)
            views = self.views()
            line = "  ".join(f"{name} {describe(name, seen)}" for name, seen in views.items())
            if line != shown:
                say(line)
                shown = line
            behind = [name for name, seen in views.items() if not is_done(name, seen)]
            if not behind:
                return
            if time.monotonic() > deadline:
                what = describe(behind[0], views[behind[0]])
                raise NodeFailed(behind[0], f"not {goal} after {timeout_s:.0f} s: {what}")
            time.sleep(POLL_S)


def wait_until(done: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Poll until `done`; DevnetError naming what did not come true."""
    deadline = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > deadline:
            raise DevnetError(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(POLL_S)


def status_table(running: RunningNetwork) -> str:
    """node, role, state, head, peers, RPC URL, pid."""
    views = running.views()
    rows: list[tuple[object, ...]] = []
    for node in running.nodes:
        process, seen = launcher.process_of(node), views[node.name]
        head = "-" if seen.head is None else seen.head
        peers = "-" if seen.peers is None else seen.peers
        rows.append((node.name, node.plan.role, process.state, head, peers, node.rpc_url, process.pid or "-"))
    for node in running.nodes:
        if node.has_signer:
            signer = launcher.process_of(node.signer)
            pid = "-" if signer.pid is None else signer.pid
            rows.append((node.signer.name, "signer", signer.state, "-", "-", node.signer.url, pid))
    return table(rows, ("NODE", "ROLE", "STATE", "HEAD", "PEERS", "RPC", "PID"))


def table(rows: Sequence[Sequence[object]], head: Sequence[str]) -> str:
    """Rows under a head, in columns."""
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    return "\n".join(line.rstrip() for line in lines)
