"""Signed transfers by JSON-RPC into four validators, until they are in blocks: how many a second?

    python tests/bench/end_to_end.py                     200, 400 and 800 a second, 20 s each, and anvil
    python tests/bench/end_to_end.py --rates 300 --seconds 60 --gas-limit 30000000

Four processes on this machine, period 2 s, connected to each other as in `make devnet`, but with blocks of
300M gas (7,142 transfers a second at most), so that no block is full. Transactions are signed beforehand and
sent to all nodes alike; each gets a quarter from clients and the rest by gossip, and executes every block.
What is counted is in blocks, with a receipt of status 1. Mined a second is from the first block with a
transaction of the round to the last, that period included. CPU is each node's share of a core while we
send; the cores are what all share.

The baseline, in the same run: anvil (npm @foundry-rs/anvil), one process that makes blocks of the same
size and period, keeps them in memory, agrees with nobody, and is sent the same transactions.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import pytest

from devnet.client import RpcClient, Unreachable
from devnet.layout import Layout
from tests.faults import flood
from tests.faults.live import cpu_seconds, free_ports, make_network, results, start
from tests.interop.npm import npm_install

ACCOUNTS = 64
PERIOD_S = 2
PATIENCE_S = 60.0
ANVIL = "@foundry-rs/anvil@1.7.1"


def round_of(
    layout: Layout, urls: Sequence[str], pids: Sequence[int], rate: float, seconds: float, first_nonce: int
) -> None:
    """Send at one rate, wait until all is mined, print."""
    network, client = layout.network, RpcClient(urls[0], 60.0)
    first = int(client.call("eth_blockNumber"), 16) + 1
    sender = flood.start(
        flood.send, seed=network.seed, chain_id=network.chain_id, accounts=ACCOUNTS, kind="transfer",
        urls=list(urls), rate=rate, seconds=seconds, first_nonce=first_nonce,
    )  # fmt: skip
    began, used = time.monotonic(), [cpu_seconds(pid) for pid in pids]
    outcome = flood.ended(sender)
    shares = [
        (cpu_seconds(pid) - before) / (time.monotonic() - began)
        for pid, before in zip(pids, used, strict=True)
    ]
    blocks = wait_mined(client, first, outcome["sent"] - outcome["refused"])
    busy = [block for block in blocks if block["transactions"]]
    stamps = [int(block["timestamp"], 16) for block in busy]
    mined = sum(len(block["transactions"]) for block in busy)
    receipts = results(client, [("eth_getBlockReceipts", (block["number"],)) for block in busy])
    good = sum(receipt["status"] == "0x1" for each in receipts for receipt in each)
    client.close()
    span = stamps[-1] - stamps[0] + PERIOD_S
    fullest = max(len(block["transactions"]) for block in busy)
    print(
        f"{rate:5g} wanted/s: {outcome['sent'] / outcome['seconds']:6.1f} sent/s, {good / span:6.1f} mined/s "
        f"({good} of {mined} good, {outcome['refused']} refused), fullest block {fullest}; "
        f"CPU {' '.join(f'{share:.0%}' for share in shares)}",
        flush=True,
    )


def wait_mined(client: RpcClient, first: int, count: int) -> list[dict[str, Any]]:
    """Blocks from `first` on, once they hold so many transactions, or after PATIENCE_S."""
    until = time.monotonic() + PATIENCE_S
    while True:
        head = int(client.call("eth_blockNumber"), 16)
        blocks = results(
            client, [("eth_getBlockByNumber", (hex(number), False)) for number in range(first, head + 1)]
        )
        found = sum(len(block["transactions"]) for block in blocks)
        if found >= count or time.monotonic() > until:
            return blocks
        time.sleep(0.5)


def rounds(
    title: str, layout: Layout, urls: Sequence[str], pids: Sequence[int], options: argparse.Namespace
) -> None:
    """All rates, one after the other."""
    print(title, flush=True)
    nonce = 0
    for rate in options.rates:
        round_of(layout, urls, pids, rate, options.seconds, nonce)
        nonce += flood.nonces_of(rate, options.seconds, ACCOUNTS)
        time.sleep(PERIOD_S)


def ours(layout: Layout, options: argparse.Namespace) -> None:
    """Four validators."""
    lives = [start(node) for node in layout.nodes]
    try:
        for life in lives:
            life.wait_answering()
        time.sleep(3 * PERIOD_S)
        urls = [node.rpc_url for node in layout.nodes]
        rounds("four validators", layout, urls, [life.pid for life in lives], options)
    finally:
        for life in lives:
            life.stop()


def anvil(layout: Layout, options: argparse.Namespace) -> None:
    """The baseline; left out where npm cannot bring it."""
    try:
        folder = npm_install(ANVIL)
    except pytest.skip.Exception as reason:
        print(f"anvil: left out: {reason}")
        return
    port = free_ports(1)
    with running_anvil(folder, port, layout, options.gas_limit) as pid:
        url = f"http://127.0.0.1:{port}"
        client = RpcClient(url, 60.0)
        wait_for(lambda: answers(client))
        for account in layout.accounts:
            client.call("anvil_setBalance", account["address"], hex(10**24))
        client.close()
        rounds("anvil, alone", layout, [url], [pid], options)


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rates", type=float, nargs="+", default=[200.0, 400.0, 800.0])
    parser.add_argument("--seconds", type=float, default=20.0, help="of sending, for each rate")
    parser.add_argument("--gas-limit", type=int, default=300_000_000, help="of a block")
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, load average before: {os.getloadavg()[0]:.1f}", flush=True)
    pool = {"per_account_max": 4_000, "transactions_max": 100_000}
    with tempfile.TemporaryDirectory() as folder:
        layout = make_network(
            Path(folder) / "net",
            validators=4,
            accounts=ACCOUNTS,
            period_s=PERIOD_S,
            epoch=30_000,
            gas_limit=options.gas_limit,
            pool=pool,
        )
        ours(layout, options)
        anvil(layout, options)


if __name__ == "__main__":
    main()
