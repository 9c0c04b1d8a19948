"""Signed transactions by JSON-RPC into four validators, until their receipts are there: how many a second?

    python tests/bench/end_to_end.py                transfers, then ERC-20 transfers: ten minutes each
    python tests/bench/end_to_end.py --kinds token --rows fast anvil --rates 800 1000 --seconds 30

Four processes on this machine, period 2 s, connected to each other as in `make devnet`, but with blocks of
300M gas (7,142 transfers a second at most), so that no block is full. Transactions are signed beforehand, are
batches of HTTP before the first is sent (tests/faults/prepared.py), and go to all nodes alike: each gets a
quarter from clients and the rest by gossip, and executes every block.

A rate is carried when all that was sent at it is in blocks at most SETTLED_S after the last was sent, and the
sender could keep it up: then nothing piles up anywhere. The rates are a stair; a row ends with the first that
is not carried. All that was mined is counted by its receipts, of status 1. Mined a second: over the time from
the first sent to the last in a block, as who measures sees it. CPU is each process's share of a core
meanwhile; the cores are what all share.

Rows, all in one run: the validators with py-evm as their executor (what there was before the fast one), the
same validators with the fast one, and anvil (npm @foundry-rs/anvil): one process that makes blocks of the
same size and period, keeps them in memory, agrees with nobody, and is sent the same transactions.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import pytest

from devnet.client import RpcClient, Unreachable
from devnet.layout import Layout
from tests.bench.node import resident_mb
from tests.faults import flood
from tests.faults.live import cpu_seconds, make_network, results, start
from tests.interop.npm import npm_install
from tests.ports import free_ports

ACCOUNTS = 64
PERIOD_S = 2
SETTLED_S = 3 * PERIOD_S
LATE_S = PERIOD_S
"""What the sender may have fallen behind at the end."""
PATIENCE_S = 60.0
UNSETTLED_BLOCKS = 8
ANVIL = "@foundry-rs/anvil@1.7.1"
STAIR = [200.0, 400.0, 600.0, 800.0, 1000.0, 1250.0, 1500.0, 1750.0, 2000.0, 2500.0, 3000.0, 4000.0]


@dataclass(frozen=True, slots=True)
class Target:
    """Who is measured."""

    title: str
    layout: Layout
    urls: Sequence[str]
    pids: Sequence[int]


@dataclass(frozen=True, slots=True)
class Step:
    """What one rate came to."""

    rate: float
    carried: bool
    sent_per_s: float
    mined_per_s: float
    good: int
    sent: int
    refused: int
    settled_s: float
    """From the last transaction sent until all were in blocks."""
    shares: Sequence[float]
    """Of a core, by process."""
    cpu_us: float
    """CPU time of all processes together, for each transaction; what they do when idle is in it."""
    sender_share: float
    memory_mb: float
    """Of the largest process, at its highest so far."""
    fullest: int
    """Transactions in the fullest block."""


def step_of(target: Target, kind: str, rate: float, seconds: float, first_nonce: int) -> Step:
    """Send at one rate and wait until all is mined."""
    network, client = target.layout.network, RpcClient(target.urls[0], 60.0)
    first = int(client.call("eth_blockNumber"), 16) + 1
    sender = flood.start(
        flood.send, seed=network.seed, chain_id=network.chain_id, accounts=ACCOUNTS, kind=kind,
        urls=list(target.urls), rate=rate, seconds=seconds, first_nonce=first_nonce,
    )  # fmt: skip
    began, used = time.monotonic(), [cpu_seconds(pid) for pid in target.pids]
    outcome = flood.ended(sender)
    ended, wanted = time.monotonic(), outcome["sent"] - outcome["refused"]
    counts = wait_mined(client, first, wanted)
    settled = time.monotonic()
    shares = [
        (cpu_seconds(pid) - before) / (settled - began) for pid, before in zip(target.pids, used, strict=True)
    ]
    asked = [("eth_getBlockReceipts", (hex(number),)) for number, count in counts.items() if count]
    good = sum(receipt["status"] == "0x1" for call in asked for receipt in results(client, [call])[0])
    client.close()
    sent_per_s = outcome["sent"] / outcome["seconds"]
    late_s = outcome["seconds"] - outcome["sent"] / rate
    return Step(
        rate=rate,
        carried=good == outcome["sent"] and settled - ended <= SETTLED_S and late_s <= LATE_S,
        sent_per_s=sent_per_s,
        mined_per_s=good / (settled - began),
        good=good,
        sent=outcome["sent"],
        refused=outcome["refused"],
        settled_s=settled - ended,
        shares=shares,
        cpu_us=1e6 * sum(shares) * (settled - began) / outcome["sent"],
        sender_share=outcome["cpu_seconds"] / outcome["seconds"],
        memory_mb=max(resident_mb(pid)[1] for pid in target.pids),
        fullest=max(counts.values()),
    )


def wait_mined(client: RpcClient, first: int, wanted: int) -> dict[int, int]:
    """How many transactions each block from `first` on has, once they are enough, or after PATIENCE_S."""
    until, counts = time.monotonic() + PATIENCE_S, dict[int, int]()
    while sum(counts.values()) < wanted and time.monotonic() < until:
        head = int(client.call("eth_blockNumber"), 16)
        # Blocks near the head may have been replaced since they were counted.
        fresh = range(max(first, first + len(counts) - UNSETTLED_BLOCKS), head + 1)
        asked = [("eth_getBlockTransactionCountByNumber", (hex(number),)) for number in fresh]
        counts |= {
            number: int(count, 16) for number, count in zip(fresh, results(client, asked), strict=True)
        }
        time.sleep(0.1)
    return counts


def stair(target: Target, kind: str, options: argparse.Namespace) -> Step | None:
    """One rate after the other; the highest that was carried."""
    print(f"{target.title}, {kind}", flush=True)
    best, nonce = None, 0
    for rate in options.rates:
        step = step_of(target, kind, rate, options.seconds, nonce)
        print(told(step), flush=True)
        if not step.carried:
            break
        best = step
        nonce += flood.nonces_of(rate, options.seconds, ACCOUNTS)
        time.sleep(PERIOD_S)
    return best


def told(step: Step) -> str:
    """One line."""
    shares = " ".join(f"{share:.0%}" for share in step.shares)
    return (
        f"  {step.rate:5g}/s {'carried' if step.carried else 'NOT carried'}: {step.sent_per_s:.0f} sent/s, "
        f"{step.mined_per_s:.0f} mined/s, all {step.settled_s:.1f} s after the last; {step.good} of "
        f"{step.sent} good, {step.refused} refused, fullest block {step.fullest}; CPU {shares}, "
        f"{step.cpu_us:.0f} us for each, sender {step.sender_share:.0%}; "
        f"{step.memory_mb:.0f} MB; load {os.getloadavg()[0]:.1f}"
    )


def network_of(folder: Path, options: argparse.Namespace, executor: str) -> Layout:
    """Four validators; every account has tokens."""
    layout = make_network(
        folder,
        validators=4,
        accounts=ACCOUNTS,
        period_s=PERIOD_S,
        epoch=30_000,
        gas_limit=options.gas_limit,
        pool={"per_account_max": 4_000, "transactions_max": 100_000},
        execution={"executor": executor},
    )
    flood.put_token(layout)
    return layout


def ours(folder: Path, kind: str, options: argparse.Namespace, executor: str) -> Step | None:
    """Four validators of a new network."""
    layout = network_of(folder, options, executor)
    lives = [start(node) for node in layout.nodes]
    try:
        for life in lives:
            life.wait_answering()
        time.sleep(3 * PERIOD_S)
        pids = [life.pid for life in lives]
        if options.pids:
            print(f"  pids {pids}", flush=True)
        urls = [node.rpc_url for node in layout.nodes]
        return stair(Target(f"four validators, {executor}", layout, urls, pids), kind, options)
    finally:
        for life in lives:
            life.stop()


def anvil(folder: Path, kind: str, options: argparse.Namespace) -> Step | None:
    """The baseline; left out where npm cannot bring it."""
    try:
        program = npm_install(ANVIL)
    except pytest.skip.Exception as reason:
        print(f"anvil: left out: {reason}")
        return None
    layout, port = network_of(folder, options, "fast"), free_ports(1)
    with running_anvil(program, port, layout, options.gas_limit) as pid:
        url = f"http://127.0.0.1:{port}"
        client = RpcClient(url, 60.0)
        wait_for(lambda: answers(client))
        for account in layout.accounts:
            client.call("anvil_setBalance", account["address"], hex(10**24))
        token = "0x" + flood.TOKEN.hex()
        alloc = json.loads(layout.genesis.read_text())["alloc"][token]
        client.call("anvil_setCode", token, alloc["code"])
        for slot, value in alloc["storage"].items():
            client.call("anvil_setStorageAt", token, slot, f"0x{int(value, 16):064x}")
        client.close()
        return stair(Target("anvil, alone", layout, [url], [pid]), kind, options)


@contextmanager
def running_anvil(folder: Path, port: int, layout: Layout, gas_limit: int) -> Iterator[int]:
    """A process of anvil; its pid."""
    (program,) = folder.glob("node_modules/@foundry-rs/anvil-linux-*/bin/anvil")
    command = [
        str(program), "--silent", "--port", str(port), "--chain-id", str(layout.network.chain_id),
        "--block-time", str(PERIOD_S), "--gas-limit", str(gas_limit), "--hardfork", "london",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def answers(client: RpcClient) -> bool:
    """Whether anybody is there."""
    try:
        return bool(client.call("eth_chainId"))
    except Unreachable:
        return False


def wait_for(done: Callable[[], bool]) -> None:
    """Within PATIENCE_S."""
    until = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < until, "nobody answers"
        time.sleep(0.1)


def table(kind: str, found: dict[str, Step | None]) -> None:
    """The highest rate of each row, and how often it is the first row's."""
    columns = [
        "carried a second",
        "ratio",
        "mined a second",
        "CPU of each",
        "all, us/tx",
        "sender",
        "peak MB",
    ]
    print(f"\n| {' | '.join([kind, *columns])} |")
    print("|---|---|---|---|---|---|---|---|")
    first = next((step for step in found.values() if step is not None), None)
    for title, step in found.items():
        if step is None or first is None:
            print(f"| {title} | none | | | | | | |")
            continue
        shares = f"{min(step.shares):.0%} to {max(step.shares):.0%}"
        print(
            f"| {title} | {step.rate:g} | {step.rate / first.rate:.1f} | {step.mined_per_s:.0f} | "
            f"{shares} | {step.cpu_us:.0f} | {step.sender_share:.0%} | {step.memory_mb:.0f} |"
        )
    print(flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", default=["transfer", "token"], choices=["transfer", "token"])
    parser.add_argument("--rows", nargs="+", default=["py-evm", "fast", "anvil"])
    parser.add_argument("--rates", type=float, nargs="+", default=STAIR)
    parser.add_argument("--seconds", type=float, default=10.0, help="of sending, for each rate")
    parser.add_argument("--gas-limit", type=int, default=300_000_000, help="of a block")
    parser.add_argument("--pids", action="store_true", help="print them, for a profiler")
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, load average before: {os.getloadavg()[0]:.1f}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for kind in options.kinds:
            found = {}
            for row in options.rows:
                place = Path(folder) / f"{kind}-{row}"
                found[row] = (
                    anvil(place, kind, options) if row == "anvil" else ours(place, kind, options, row)
                )
            table(kind, found)


if __name__ == "__main__":
    main()
