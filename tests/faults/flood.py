"""Load in a process of its own, so that who measures is not in its way: `python -m tests.faults.flood`.

    flood.start(send, ...)    signed transactions at a steady rate, signed before the first is sent
    flood.start(call, ...)    one eth_call after another, over some connections
    flood.start(probe, ...)   eth_blockNumber at a steady rate, and newHeads: how late is everything?

The order comes as JSON on standard input, the outcome leaves as JSON on standard output.
"""

import json
import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from devnet.client import RpcClient
from devnet.generate import genesis_of
from devnet.keys import account_key
from devnet.layout import Layout, NodeFiles
from node.primitives.crypto import keccak256
from node.primitives.ids import Address
from node.primitives.transaction import TransactionType
from tests.execution.builders import GWEI, signed
from tests.faults.live import ROOT, Announcements
from tests.faults.model import TRANSFER
from tests.faults.prepared import Lane, batch_of, errors_in, pour
from tests.faults.traffic import TOKEN_CODE

TOKEN: Final = Address(b"\x70" * 20)
SHARE: Final = 10**18
BATCH: Final = 20
"""Transactions in one request, at most: a second's worth where that is less."""
LANES: Final = 4
"""Connections to each node."""
TICK_S: Final = 0.02
LOOP: Final = "0x5b600056"
"""JUMPDEST PUSH1 0 JUMP: as init code of a call to nobody, it runs until its gas is gone."""

Order = dict[str, Any]


def nonces_of(rate: float, seconds: float, accounts: int) -> int:
    """How many transactions of each account `send` sends."""
    return math.ceil(rate * seconds / accounts)


def put_token(layout: Layout) -> None:
    """Give every account tokens in genesis; before the first start of any node."""
    runtime = TOKEN_CODE.removeprefix("0x")
    balances = {}
    for account in layout.accounts:
        owner = bytes.fromhex(account["address"][2:])
        slot = keccak256(owner.rjust(32, b"\0") + (1).to_bytes(32, "big"))
        balances["0x" + slot.hex()] = hex(SHARE)
    genesis = genesis_of(layout.network)
    code = "0x" + runtime[runtime.index("f3fe") + 4 :]
    genesis["alloc"]["0x" + TOKEN.hex()] = {"balance": "0x0", "code": code, "storage": balances}
    layout.genesis.write_text(json.dumps(genesis))


def start(role: Callable[[Order], Any], **order: Any) -> "subprocess.Popen[str]":
    """Begin; `ended` gives the outcome."""
    command = [sys.executable, "-m", "tests.faults.flood", role.__name__]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    process.stdin.write(json.dumps(order))
    process.stdin.close()
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def ended(process: "subprocess.Popen[str]") -> Any:
    """Wait for the outcome."""
    assert process.stdout is not None
    outcome = json.loads(process.stdout.readline())
    process.stdout.close()
    process.wait()
    return outcome


def send(order: Order) -> Any:
    """`rate` transactions a second for `seconds` to `urls` in turns; `kind` is "transfer" or "token".

    In batches over `LANES` connections to each of `urls`. A batch waits for the answer to the one before on
    its connection: a node that is slow slows us down.
    """
    accounts, urls, rate = order["accounts"], order["urls"], order["rate"]
    # As many from each account, so that a later flood finds no gap in anybody's nonces.
    nonces = nonces_of(rate, order["seconds"], accounts)
    total = nonces * accounts
    lanes = []
    shares = min(LANES * len(urls), accounts)
    for share in range(shares):
        url = urls[share % len(urls)]
        places = range(share, accounts, shares)
        batch = max(1, min(BATCH, round(rate * len(places) / accounts)))
        items = _signed(order, places, nonces)
        requests = [
            batch_of(url, "eth_sendRawTransaction", items[first : first + batch])
            for first in range(0, len(items), batch)
        ]
        every_s = batch * accounts / (rate * len(places))
        lanes.append(Lane(url, requests, every_s, every_s * share / shares))
    print("ready", flush=True)
    used_s = time.process_time()
    seconds = pour(lanes)
    used_s = time.process_time() - used_s
    refused = errors_in(lanes)
    return {
        "sent": total,
        "refused": len(refused),
        "refused_for": refused[:1],
        "seconds": seconds,
        "cpu_seconds": used_s,
    }


def _signed(order: Order, places: Sequence[int], nonces: int) -> list[str]:
    """Encoded transactions of some of the accounts, all of one nonce before those of the next."""
    keys = [account_key(order["seed"], place) for place in range(order["accounts"])]
    is_token = order["kind"] == "token"
    items = []
    for nonce in range(nonces):
        for place in places:
            to = keys[(place + 1 + nonce % (len(keys) - 1)) % len(keys)].address
            data = TRANSFER + to.rjust(32, b"\0") + (1).to_bytes(32, "big") if is_token else b""
            tx = signed(
                keys[place], order["first_nonce"] + nonce, to=TOKEN if is_token else to,
                value=0 if is_token else 1, data=data, gas=60_000 if is_token else 21_000, fee=1000 * GWEI,
                tip=GWEI, kind=TransactionType.FEE_MARKET, chain_id=order["chain_id"],
            )  # fmt: skip
            items.append("0x" + tx.encoded.hex())
    return items


def call(order: Order) -> Any:
    """`connections` times one endless eth_call after another, of `gas` each, for `seconds`."""
    until, done = time.monotonic() + order["seconds"], [0]
    request = {"data": LOOP, "gas": hex(order["gas"])}

    def ask() -> None:
        client = RpcClient(order["url"], 60.0)
        while time.monotonic() < until:
            client.batch([("eth_call", (request, "latest"))])
            done[0] += 1
        client.close()

    threads = [threading.Thread(target=ask) for _ in range(order["connections"])]
    print("ready", flush=True)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"calls": done[0]}


def probe(order: Order) -> Any:
    """For `seconds`: how long eth_blockNumber took, how late heads and we ourselves came; in seconds."""
    node = NodeFiles(**order["node"] | {"plan": None, "folder": None})
    heads, client = Announcements(node), RpcClient(node.rpc_url, 60.0)
    took, overslept = [], []
    print("ready", flush=True)
    until = time.monotonic() + order["seconds"]
    while (began := time.monotonic()) < until:
        client.call("eth_blockNumber")
        answered = time.monotonic()
        took.append(answered - began)
        time.sleep(TICK_S)
        # How late a process that does nothing is woken: what the machine, and not the node, adds.
        overslept.append(time.monotonic() - answered - TICK_S)
    client.close()
    return {"took": took, "overslept": overslept, "late": heads.late_s}


if __name__ == "__main__":
    chosen = {"send": send, "call": call, "probe": probe}[sys.argv[1]]
    print(json.dumps(chosen(json.loads(sys.stdin.read()))), flush=True)
