"""Networks of real processes below a temporary directory, on free ports, and what they announce."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Request, TextMessage

from devnet.client import RpcClient, RpcError, Unreachable
from devnet.generate import encode_toml, generate, settings_of
from devnet.layout import HOST, Layout, NodeFiles
from devnet.manifest import Accounts, Network, NodePlan, Ports
from tests.ports import free_ports

ROOT = Path(__file__).resolve().parents[2]
SECTIONS = ("production", "storage", "pool", "rpc", "p2p", "execution")
NAMES = ("alpha", "beta", "gamma", "delta")
START_TIMEOUT_S = 60.0
BATCH_MAX = 200
PATIENCE_S = 60.0
"""For one answer: a machine may be busy with much else."""


def make_network(
    home: Path, *, validators: int = 1, accounts: int = 10, epoch: int = 30, **more: Any
) -> Layout:
    """Keys, genesis and settings. `more`: fields of Network, and node settings by section."""
    sections = {key: more.pop(key) for key in SECTIONS if key in more}
    first = free_ports(4 * validators)
    network = Network(
        name="faults",
        chain_id=325_001,
        seed="phoenix fault tests: these keys are public",
        epoch_blocks=epoch,
        contract_suite=False,  # the model begins with plain accounts
        ports=Ports(
            **{use: first + i * validators for i, use in enumerate(("p2p", "rpc", "metrics", "admin"))}
        ),
        accounts=Accounts(count=accounts),
        nodes=tuple(NodePlan(name=name) for name in NAMES[:validators]),
        **more,
    )
    layout = generate(network, home)
    for node in layout.nodes:
        settings = settings_of(layout, node)
        for section, values in sections.items():
            settings[section] = settings.get(section, {}) | values
        node.config.write_text(encode_toml(settings))
    return layout


LIVES: list["Life"] = []
"""All that were started; `end_all` ends those that a failed test left behind."""


class Life:
    """One process of a node, from its start to its end."""

    def __init__(self, node: NodeFiles, pid: int, child: subprocess.Popen[bytes] | None = None) -> None:
        self.node = node
        self.pid = pid
        self.child = child
        self.descriptor = os.pidfd_open(pid)
        LIVES.append(self)

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return not select.select([self.descriptor], [], [], 0)[0]

    def kill(self) -> None:
        """As a power cut of the process would; returns when it has gone."""
        self.signal(signal.SIGKILL)
        self.wait(10.0)

    def stop(self) -> None:
        """The way an operator does."""
        self.signal(signal.SIGTERM)
        self.wait(30.0)

    def signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.descriptor, number)

    def wait(self, timeout_s: float) -> int | None:
        """Until it ends; the exit code when it is our own child."""
        ended = select.select([self.descriptor], [], [], timeout_s)[0]
        assert ended, f"{self.node.name} did not end within {timeout_s:g} s\n{log_of(self.node)}"
        return None if self.child is None else self.child.wait()

    def wait_answering(self, timeout_s: float = START_TIMEOUT_S) -> float:
        """Seconds until JSON-RPC answered."""
        began = time.monotonic()
        while time.monotonic() - began < timeout_s:
            assert self.is_alive, f"{self.node.name} ended at its start\n{log_of(self.node)}"
            try:
                ask(self.node, "eth_blockNumber")
            except Unreachable:
                time.sleep(0.01)
            else:
                return time.monotonic() - began
        raise AssertionError(f"{self.node.name} does not answer\n{log_of(self.node)}")


def end_all() -> None:
    """Kill what still runs."""
    while LIVES:
        life = LIVES.pop()
        life.kill()
        if life.child is not None:
            life.child.wait()
        os.close(life.descriptor)


def ask(node: NodeFiles, method: str, *params: Any) -> Any:
    """One request over a connection of its own."""
    client = RpcClient(node.rpc_url, PATIENCE_S)
    try:
        return client.call(method, *params)
    finally:
        client.close()


def start(node: NodeFiles, **options: Any) -> Life:
    """A node as operators start it; `options` go to Popen."""
    with open(node.log, "ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "node", "run", "--config", str(node.config)],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **options,
        )  # fmt: skip
    return Life(node, child.pid, child)


class Forker:
    """Starts nodes without the time that importing takes."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.forker"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def start(self, node: NodeFiles) -> Life:
        """A new process of this node."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"config": str(node.config), "log": str(node.log)}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return Life(node, int(self._process.stdout.readline()))

    def close(self) -> None:
        """No more starts."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


@contextmanager
def forker() -> Iterator[Forker]:
    """A forker that is closed."""
    found = Forker()
    try:
        yield found
    finally:
        found.close()


def log_of(node: NodeFiles, lines: int = 30) -> str:
    """The end of a node's log."""
    return "\n".join(node.log.read_text(errors="replace").splitlines()[-lines:]) if node.log.exists() else ""


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Announcements(threading.Thread):
    """Hears `newHeads` of one life of a node until it ends: what the node has announced, by block."""

    def __init__(self, node: NodeFiles) -> None:
        super().__init__(daemon=True)
        self.heads: list[tuple[int, str]] = []
        """(number, hash), in the order they came."""
        self.late_s: list[float] = []
        """Of each: seconds between its timestamp and hearing of it."""
        self._socket = socket.create_connection((HOST, node.rpc_port), timeout=10)
        self._text = ""
        self._websocket = WSConnection(ConnectionType.CLIENT)
        self._say(Request(host=f"{HOST}:{node.rpc_port}", target="/"))
        self.start()

    def run(self) -> None:
        request = {"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]}
        with suppress(OSError), self._socket:
            self._socket.settimeout(None)
            while data := self._socket.recv(1 << 16):
                self._websocket.receive_data(data)
                for event in self._websocket.events():
                    if isinstance(event, AcceptConnection):
                        self._say(TextMessage(json.dumps(request)))
                    elif isinstance(event, TextMessage):
                        self._text += event.data
                        if event.message_finished:
                            self._note(json.loads(self._text))
                            self._text = ""

    def _say(self, event: Request | TextMessage) -> None:
        self._socket.sendall(self._websocket.send(event))

    def _note(self, message: dict[str, Any]) -> None:
        if message.get("method") == "eth_subscription":
            head = message["params"]["result"]
            self.heads.append((int(head["number"], 16), head["hash"]))
            self.late_s.append(time.time() - int(head["timestamp"], 16))


def results(client: RpcClient, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
    """Results in order of the requests; the first error is raised."""
    found: list[Any] = []
    for place in range(0, len(requests), BATCH_MAX):
        for answer in client.batch(requests[place : place + BATCH_MAX]):
            if isinstance(answer, RpcError):
                raise answer
            found.append(answer)
    return found
