"""Signed transfers by JSON-RPC into four validators, until they are in blocks: how many a second?

    python tests/bench/end_to_end.py                     100, 200 and 400 a second, 20 s each
    python tests/bench/end_to_end.py --rates 300 --seconds 60

Four processes on this machine, period 2 s, blocks of 30M gas (714 transfers a second at most), connected to
each other as in `make devnet`. Transactions are signed beforehand and sent to all nodes alike; each node gets
a quarter from clients and the rest by gossip, and executes every block. What is counted is in blocks, with a
receipt of status 1. Mined a second is from the first block with a transaction of the round to the last, that
block's period included. CPU is each node's share of a core while we send; the cores are what all share.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from devnet.client import RpcClient
from devnet.layout import Layout
from tests.faults import flood
from tests.faults.live import Life, cpu_seconds, make_network, results, start

ACCOUNTS = 64
PERIOD_S = 2
PATIENCE_S = 60.0


def round_of(layout: Layout, lives: list[Life], rate: float, seconds: float, first_nonce: int) -> None:
    """Send at one rate, wait until all is mined, print."""
    network, client = layout.network, RpcClient(layout.nodes[0].rpc_url, 60.0)
    first = int(client.call("eth_blockNumber"), 16) + 1
    sender = flood.start(
        flood.send, seed=network.seed, chain_id=network.chain_id, accounts=ACCOUNTS, kind="transfer",
        urls=[node.rpc_url for node in layout.nodes], rate=rate, seconds=seconds, first_nonce=first_nonce,
    )  # fmt: skip
    began, used = time.monotonic(), [cpu_seconds(life.pid) for life in lives]
    outcome = flood.ended(sender)
    shares = [
        (cpu_seconds(life.pid) - before) / (time.monotonic() - began)
        for life, before in zip(lives, used, strict=True)
    ]
    blocks = wait_mined(client, first, outcome["sent"] - outcome["refused"])
    busy = [block for block in blocks if block["transactions"]]
    stamps = [int(block["timestamp"], 16) for block in busy]
    mined = sum(len(block["transactions"]) for block in busy)
    receipts = results(client, [("eth_getBlockReceipts", (block["hash"],)) for block in busy])
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rates", type=float, nargs="+", default=[100.0, 200.0, 400.0])
    parser.add_argument("--seconds", type=float, default=20.0, help="of sending, for each rate")
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, load average before: {os.getloadavg()[0]:.1f}", flush=True)
    pool = {"per_account_max": 2_000, "transactions_max": 50_000}
    with tempfile.TemporaryDirectory() as folder:
        layout = make_network(
            Path(folder) / "net", validators=4, accounts=ACCOUNTS, period_s=PERIOD_S, epoch=30_000, pool=pool
        )
        lives = [start(node) for node in layout.nodes]
        try:
            for life in lives:
                life.wait_answering()
            time.sleep(3 * PERIOD_S)
            nonce = 0
            for rate in options.rates:
                round_of(layout, lives, rate, options.seconds, nonce)
                nonce += flood.nonces_of(rate, options.seconds, ACCOUNTS)
                time.sleep(PERIOD_S)
        finally:
            for life in lives:
                life.stop()


if __name__ == "__main__":
    main()
