"""Reads of a replica beside anvil's, method by method and mixed, per CPU second and per second, in one run.

    python tests/bench/replica.py                  four seconds for each method
    python tests/bench/replica.py --seconds 1      a quick look

Both hold the same transactions: a contract, an event of it in every block, plain transfers. Each is a process
of its own on the loopback, asked over keep-alive connections, one request at a time on each, by `wrk` (apt
install wrk), which is told apart in the last column: what it takes of the machine's cores the servers do not
get. Without wrk the load is that of `tests/bench/rpc.py`, whose Python takes a whole core. Anvil (npm
@foundry-rs/anvil) is native code on as many threads as it likes; it is left out where npm cannot bring it. A
replica is measured without workers, with one and with two, and without workers and with nothing remembered
("anew"), as when no two questions are alike: CPU time is that of all its processes. First comes what indexing
costs: blocks a second into SQLite, with and without running each block a second time for its internal
transfers, and the size of the index.
"""

import argparse
import dataclasses
import json
import os
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import pytest
import trio

from devnet.client import RpcClient, Unreachable
from node.app.replica import moves_source, open_index_to_read
from node.app.rpc_service import RpcService
from node.app.run import SWITCH_INTERVAL_S
from node.app.workers import Workers
from node.audit.trail import NoTrail
from node.backends.chain import node_backend
from node.config.data_dir import index_path
from node.config.settings import ReplicaSettings, RpcSettings, Settings, StorageSettings
from node.execution.evm.executor import FastExecutor
from node.execution.py_evm import PyEvmExecutor
from node.observability.metrics import Metrics
from node.primitives.transaction import Transaction
from node.replica.sqlite import SqliteDatabase
from node.replica.writer import IndexWriter
from node.rpc.encoding import contract_address
from node.storage.opening import open_database
from tests.bench.rpc import CONNECTIONS, _step, cpu_seconds, request
from tests.chain.harness import ACCOUNTS, CHAIN_ID, ChainMaker, make_genesis, sign, transfer
from tests.interop.npm import npm_install
from tests.rpc.desk import call, creation_code, take_call
from tests.rpc.node import NoNetwork, NoSync, make_node

Figures = dict[str, tuple[float, float, float]]
"""By method: answers per CPU second of the server, per second, and the asker's share of a core."""
REMEMBERED = RpcSettings().answers_bytes_max
VARIANTS = {
    "0 anew": (0, 0),
    "0": (0, REMEMBERED),
    "1": (1, REMEMBERED),
    "2": (2, REMEMBERED),
}
"""Workers, and bytes of answers that are remembered."""
ANVIL = "@foundry-rs/anvil@1.7.1"
BLOCKS = 300
TRANSFERS_PER_BLOCK = 5
LOGS_ASKED = 20
"""Blocks, and so events, of one eth_getLogs."""
ALICE = ACCOUNTS[0]
DESK = contract_address(bytes.fromhex(ALICE.address[2:]), 0)  # type: ignore[arg-type]


# --- the same history for both


def history() -> Iterator[list[Transaction]]:
    """Transactions of each block."""
    yield [sign(ALICE, nonce=0, to=None, data=creation_code(), gas=1_000_000)]
    for number in range(BLOCKS):
        order = take_call(ALICE.address, [("pen", 1)])
        yield [
            sign(ALICE, nonce=1 + number, to=DESK, data=order, gas=300_000),
            *(transfer(ACCOUNTS[1], number * TRANSFERS_PER_BLOCK + i) for i in range(TRANSFERS_PER_BLOCK)),
        ]


# --- the replica's process


async def serve(folder: Path, workers: int, remembered: int) -> None:
    """A chain, its index, and its server; what to ask for and what indexing cost go to standard output."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    settings = Settings(
        data_dir=folder,
        genesis=folder / "genesis.json",
        role="replica",
        rpc=RpcSettings(port=0, answers_bytes_max=remembered),
        replica=ReplicaSettings(workers=workers, query_timeout_s=60),
        storage=StorageSettings(state_layers_max=0 if workers else 16),
    )
    settings.genesis.write_text(json.dumps(make_genesis()))
    kv, _ = open_database(folder, settings.storage, shared=bool(workers))
    maker = ChainMaker(kv=kv, settings=settings.storage, executor=FastExecutor(PyEvmExecutor()))
    block = None
    for transactions in history():
        block = maker.extend(transactions)
    assert block is not None
    about: dict[str, Any] = {"transaction": "0x" + block.transactions[0].hash.hex()}
    if not workers:
        about["plain"] = index(maker, folder / "plain.sqlite", traced=False)
    about["traced"] = index(maker, index_path(folder), traced=True)
    about["index_bytes"] = index_path(folder).stat().st_size
    async with trio.open_nursery() as nursery, AsyncExitStack() as closing:
        node = make_node(maker)
        backend = node_backend(node, NoNetwork(), NoSync(), None)
        found, pages = open_index_to_read(settings, backend, closing)
        backend = dataclasses.replace(backend, log_index=found, pages=pages)
        metrics = Metrics("bench", "replica")
        rpc = RpcService(settings, backend, NoTrail(), metrics, is_public=not workers)
        await nursery.start(rpc.run)
        pids, port = [os.getpid()], (*rpc.ports, 0)[0]
        if workers:
            parts: Any = SimpleNamespace(
                settings=settings, chain=maker.chain, pool=node.pool, audit=NoTrail(), kv=kv, metrics=metrics
            )
            served = Workers(parts, rpc, backend.network)
            await nursery.start(served.run)
            pids, port = [*served.pids, os.getpid()], served.port
        print(json.dumps(about | {"pids": pids, "port": port}), flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)  # until the parent closes it
        nursery.cancel_scope.cancel()


def index(maker: ChainMaker, path: Path, *, traced: bool) -> float:
    """Blocks indexed per CPU second."""
    database = SqliteDatabase(path)
    moves_of = moves_source(maker.chain, maker.executor) if traced else None
    writer = IndexWriter(
        database, maker.reader, identity="bench", moves_of=moves_of, state_at=lambda _: None, known={}
    )
    writer.open()
    began = time.process_time()
    while writer.step() is not None:
        pass
    took = time.process_time() - began
    database.close()
    return (BLOCKS + 2) / took


# --- anvil


@contextmanager
def running_anvil() -> Iterator[tuple[int, int]]:
    """Pid and port of an anvil with the same history."""
    folder = npm_install(ANVIL)
    (program,) = folder.glob("node_modules/@foundry-rs/anvil-linux-*/bin/anvil")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        str(program), "--silent", "--port", str(port), "--chain-id", str(CHAIN_ID), "--no-mining",
        "--hardfork", "london",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        client = RpcClient(f"http://127.0.0.1:{port}", 60.0)
        _wait_for(client)
        for account in ACCOUNTS[:2]:
            client.call("anvil_setBalance", account.address, hex(10**24))
        for transactions in history():
            for tx in transactions:
                client.call("eth_sendRawTransaction", "0x" + tx.encoded.hex())
            client.call("evm_mine")
        client.close()
        yield process.pid, port
    finally:
        process.terminate()
        process.wait()


def _wait_for(client: RpcClient) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            client.call("eth_chainId")
            return
        except Unreachable:
            assert time.monotonic() < until, "anvil does not answer"
            time.sleep(0.1)


# --- the load


def questions(transaction: str) -> dict[str, tuple[str, list[Any]]]:
    """What is asked of both."""
    orders = {"to": "0x" + DESK.hex(), "input": "0x" + call("orders()").hex()}
    blocks = {"fromBlock": hex(BLOCKS - LOGS_ASKED), "toBlock": hex(BLOCKS - 1)}
    return {
        "eth_blockNumber": ("eth_blockNumber", []),
        "eth_getBalance": ("eth_getBalance", [ALICE.address, "latest"]),
        "eth_call": ("eth_call", [orders, "latest"]),
        "eth_getLogs": ("eth_getLogs", [{"address": "0x" + DESK.hex(), **blocks}]),
        "eth_getTransactionReceipt": ("eth_getTransactionReceipt", [transaction]),
    }


def measure(
    pids: Sequence[int], port: int, requests: Sequence[bytes], seconds: float
) -> tuple[float, float, float]:
    """One entry of Figures. Every question is asked once before, so that an error would be seen."""
    for each in requests:
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(each)
            left = [0]
            while not _step(client, left, each):
                pass
    ask = _ask_with_wrk if shutil.which("wrk") else _ask
    began, began_cpu, began_own = time.perf_counter(), sum(map(cpu_seconds, pids)), own_cpu_seconds()
    done = ask(port, requests, seconds)
    cpu, wall = sum(map(cpu_seconds, pids)) - began_cpu, time.perf_counter() - began
    return done / max(cpu, 0.01), done / wall, (own_cpu_seconds() - began_own) / wall


def own_cpu_seconds() -> float:
    """Of this process and of those that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _ask_with_wrk(port: int, requests: Sequence[bytes], seconds: float) -> int:
    """How many were answered; each connection asks whatever comes next."""
    bodies = [each.partition(b"\r\n\r\n")[2].decode() for each in requests]
    script = (
        f"local bodies = {{{', '.join(f'[[{each}]]' for each in bodies)}}}\n"
        'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\nwrk.body = bodies[1]\n'
    )
    if len(bodies) > 1:
        script += (
            "local formatted, n = {}, 0\n"
            "init = function() for i, b in ipairs(bodies) do "
            "formatted[i] = wrk.format(nil, nil, nil, b) end end\n"
            "request = function() n = n % #formatted + 1 return formatted[n] end\n"
        )
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "-s", file.name]
        told = subprocess.run(
            [*command, f"http://127.0.0.1:{port}/"], check=True, capture_output=True, text=True
        ).stdout
    assert "Non-2xx" not in told, told
    return int(next(line for line in told.splitlines() if " requests in " in line).split()[0])


def _ask(port: int, requests: Sequence[bytes], seconds: float) -> int:
    """The same without wrk; each connection asks the same thing all the time."""
    selector = selectors.DefaultSelector()
    for place in range(CONNECTIONS):
        client = socket.create_connection(("127.0.0.1", port))
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data = requests[place % len(requests)]
        client.sendall(data)
        selector.register(client, selectors.EVENT_READ, ([0], data))
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        for key, _ in selector.select(1):
            done += _step(key.fileobj, *key.data)
    for key in list(selector.get_map().values()):
        key.fileobj.close()  # type: ignore[union-attr]
    return done


def figures(pids: Sequence[int], port: int, transaction: str, seconds: float) -> Figures:
    """By method, and all of them at once."""
    asked = {name: request(port, *each) for name, each in questions(transaction).items()}
    found = {name: measure(pids, port, [data], seconds) for name, data in asked.items()}
    return found | {"mixed": measure(pids, port, list(asked.values()), seconds)}


def replica(variant: str, seconds: float) -> tuple[dict[str, Any], Figures]:
    """What one says of itself, and how it answers."""
    with tempfile.TemporaryDirectory() as folder:
        workers, remembered = map(str, VARIANTS[variant])
        command = [
            sys.executable,
            __file__,
            "--serve",
            folder,
            "--workers",
            workers,
            "--remembered",
            remembered,
        ]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
            assert server.stdin is not None
            assert server.stdout is not None
            about = json.loads(server.stdout.readline())
            found = figures(about["pids"], about["port"], about["transaction"], seconds)
            about["resident_mib"] = [resident_mib(pid) for pid in about["pids"]]
            server.stdin.close()
    return about, found


def resident_mib(pid: int) -> int:
    """Memory of a process, without what it only maps."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")) >> 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=4.0, help="for each method")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--remembered", type=int, default=REMEMBERED, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        trio.run(serve, options.serve, options.workers, options.remembered)
        return
    ours = {variant: replica(variant, options.seconds) for variant in VARIANTS}
    transaction = ours["0"][0]["transaction"]
    try:
        with running_anvil() as (pid, port):
            theirs = figures([pid], port, transaction, options.seconds)
            anvil_mib = resident_mib(pid)
    except pytest.skip.Exception as reason:
        print(f"anvil: left out: {reason}")
        theirs, anvil_mib = {}, 0
    report(ours, theirs, anvil_mib, options.seconds)


def report(
    ours: dict[str, tuple[dict[str, Any], Figures]], theirs: Figures, anvil_mib: int, seconds: float
) -> None:
    """The tables."""
    about, transactions = ours["0"][0], 1 + TRANSFERS_PER_BLOCK
    print(
        f"indexing blocks of {transactions} transactions, one a call: {about['plain']:,.0f} blocks per "
        f"CPU second; {about['traced']:,.0f} when each runs a second time for its internal transfers"
    )
    print(f"index {about['index_bytes'] / 2**20:.1f} MiB for {BLOCKS + 1} blocks (empty tables included)")
    asker = "wrk" if shutil.which("wrk") else "this process"
    print(f"{CONNECTIONS} connections, {seconds:g} s each, asked by {asker}")
    print(f"{'':26} {'replica':>29} {'anvil':>24} {'ratio':>7} {'asker':>7}")
    rates = f"{'per CPU s':>11} {'per s':>9} {'per CPU s':>13} {'per s':>10} {'CPU':>7} {'cores':>7}"
    print(f"{'method':26} {'workers':>7} {rates}")
    for name in ours["0"][1]:
        for workers, (_, found) in ours.items():
            per_cpu, per_s, share = found[name]
            their_cpu, their_s, _ = theirs.get(name, (float("nan"),) * 3)
            print(
                f"{name:26} {workers:>7} {per_cpu:11,.0f} {per_s:9,.0f} {their_cpu:13,.0f} {their_s:10,.0f} "
                f"{per_cpu / their_cpu:7.2f} {share:7.2f}"
            )
    for workers, (told, _) in ours.items():
        *each, node = told["resident_mib"]
        print(f"{workers} workers: node {node} MiB, workers {each} MiB (RssAnon)")
    print(f"anvil: {anvil_mib} MiB")


if __name__ == "__main__":
    main()
