"""JSON-RPC requests per CPU second of the server process, against a trivial echo on the same server.

    python tests/bench/rpc.py                  four seconds for each method
    python tests/bench/rpc.py --seconds 1      a quick look

The server is a process of its own: a whole node on LevelDB with a few hundred blocks, accounts and a
contract; nobody seals meanwhile. The load comes from this process: keep-alive connections over the
loopback, one request at a time on each, no pipelining. CPU time is the server's, user and system, so that
the figures hold on a busy machine; requests per second of wall time stand beside them. The baseline is the
same HTTP server with a dispatcher that parses nothing and answers a constant: what remains is the work of
the method.
"""

import argparse
import json
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import trio

from node.backends.chain import node_backend
from node.config.settings import RpcSettings, StorageSettings
from node.execution.evm.executor import FastExecutor
from node.execution.executor import Executor
from node.execution.py_evm import PyEvmExecutor
from node.rpc.api import RpcApi
from node.rpc.encoding import contract_address
from node.rpc.server import RpcServer, serve_rpc
from node.storage.leveldb import LevelDB
from tests.chain.harness import ACCOUNTS, ChainMaker, sign, transfer
from tests.rpc.desk import call, creation_code, take_call
from tests.rpc.node import NoNetwork, NoSync, make_node

CONNECTIONS = 32
BLOCKS = 200
TRANSFERS_PER_BLOCK = 5
EXECUTORS: dict[str, Callable[[], Executor]] = {
    "py-evm": PyEvmExecutor,
    "fast": lambda: FastExecutor(PyEvmExecutor()),
}
ALICE = ACCOUNTS[0]
DESK = contract_address(bytes.fromhex(ALICE.address[2:]), 0)  # type: ignore[arg-type]


# --- the server process


class Echo:
    """A dispatcher that does nothing, in the place of an RpcApi."""

    def __init__(self) -> None:
        self.dispatcher = self

    def parse(self, body: bytes) -> bytes:
        return body

    def wait_s(self, _: object) -> float:
        return 0.0

    async def answer(self, *_: object) -> bytes:
        return b'{"jsonrpc":"2.0","id":1,"result":"0x0"}'


async def serve(folder: Path, executor: str) -> None:
    """Two servers, a whole node and an echo; their ports and what to ask for go to standard output."""
    maker = ChainMaker(kv=LevelDB.open(folder, StorageSettings()), executor=EXECUTORS[executor]())
    maker.extend([sign(ALICE, nonce=0, to=None, data=creation_code(), gas=1_000_000)])
    data = take_call(ALICE.address, [("pen", 1)])
    maker.extend([sign(ALICE, nonce=1, to=DESK, data=data, gas=300_000)])
    block = None
    for number in range(BLOCKS):
        nonce = number * TRANSFERS_PER_BLOCK
        block = maker.extend([transfer(ACCOUNTS[1], nonce + i) for i in range(TRANSFERS_PER_BLOCK)])
    assert block is not None
    node = make_node(maker)
    settings = RpcSettings(port=0)
    echo = RpcServer(settings, Echo())  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        api = RpcApi(node_backend(node, NoNetwork(), NoSync(), None), settings)
        [listener] = await nursery.start(serve_rpc, settings, api)
        [echo_listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, echo.serve, [echo_listener])
        about = {
            "port": listener.socket.getsockname()[1],
            "echo": echo_listener.socket.getsockname()[1],
            "transaction": "0x" + block.transactions[0].hash.hex(),
        }
        print(json.dumps(about), flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)  # until the parent closes it
        nursery.cancel_scope.cancel()


# --- the load


def questions(transaction: str) -> dict[str, tuple[str, list[Any]]]:
    """What is asked, by the name it has in the table."""
    orders = {"to": "0x" + DESK.hex(), "input": "0x" + call("orders()").hex()}
    return {
        "eth_blockNumber": ("eth_blockNumber", []),
        "eth_chainId": ("eth_chainId", []),
        "eth_getBalance": ("eth_getBalance", [ALICE.address, "latest"]),
        "eth_getTransactionReceipt": ("eth_getTransactionReceipt", [transaction]),
        "eth_getBlockByNumber": ("eth_getBlockByNumber", ["latest", False]),
        "eth_call (one SLOAD)": ("eth_call", [orders, "latest"]),
    }


def request(port: int, method: str, params: list[Any]) -> bytes:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    head = (
        f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: bench\r\nAccept: */*\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def measure(pid: int, port: int, data: bytes, seconds: float) -> tuple[float, float]:
    """Requests per CPU second of the server, and per second."""
    selector = selectors.DefaultSelector()
    for _ in range(CONNECTIONS):
        client = socket.create_connection(("127.0.0.1", port))
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.sendall(data)
        selector.register(client, selectors.EVENT_READ, [0])
    began, began_cpu, done = time.perf_counter(), cpu_seconds(pid), 0
    while time.perf_counter() - began < seconds:
        for key, _ in selector.select(1):
            done += _step(key.fileobj, key.data, data)
    cpu, wall = cpu_seconds(pid) - began_cpu, time.perf_counter() - began
    for key in list(selector.get_map().values()):
        key.fileobj.close()  # type: ignore[union-attr]
    return done / cpu, done / wall


def _step(client: Any, left: list[int], data: bytes) -> int:
    """Read; send the next request when the answer is whole. `left` holds the bytes still to come."""
    answer = client.recv(1 << 20)
    if not left[0]:
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), answer
        assert b'"error"' not in body, body
        size = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length: "))
        left[0] = int(size.split(b" ")[1]) - len(body)
    else:
        left[0] -= len(answer)
    if left[0]:
        return 0
    client.sendall(data)
    return 1


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=4.0, help="for each method")
    parser.add_argument("--executor", choices=EXECUTORS, default="py-evm")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        trio.run(serve, options.serve, options.executor)
        return
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            __file__,
            "--serve",
            str(Path(folder) / "db"),
            "--executor",
            options.executor,
        ]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
            assert server.stdin is not None
            assert server.stdout is not None
            report(server.pid, json.loads(server.stdout.readline()), options.seconds, options.executor)
            server.stdin.close()


def report(pid: int, about: dict[str, Any], seconds: float, executor: str) -> None:
    echo, wall = measure(pid, about["echo"], request(about["echo"], "echo", []), seconds)
    print(f"executor {executor}, {CONNECTIONS} connections, {seconds:g} s each")
    print(f"{'method':28} {'per CPU second':>15} {'per second':>12} {'of echo':>8}")
    print(f"{'(echo)':28} {echo:15,.0f} {wall:12,.0f} {1:8.0%}")
    for name, (method, params) in questions(about["transaction"]).items():
        rate, wall = measure(pid, about["port"], request(about["port"], method, params), seconds)
        print(f"{name:28} {rate:15,.0f} {wall:12,.0f} {rate / echo:8.0%}")


if __name__ == "__main__":
    main()
