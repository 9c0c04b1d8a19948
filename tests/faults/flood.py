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
from collections.abc import Callable
from typing import Any, Final

from devnet.client import RpcClient, RpcError
from devnet.generate import genesis_of
from devnet.keys import account_key
from devnet.layout import Layout, NodeFiles
from node.primitives.crypto import keccak256
from node.primitives.ids import Address
from node.primitives.transaction import TransactionType
from tests.execution.builders import GWEI, signed
from tests.faults.live import ROOT, Announcements
from tests.faults.model import TRANSFER
from tests.faults.traffic import TOKEN_CODE

TOKEN: Final = Address(b"\x70" * 20)
SHARE: Final = 10**18
BATCH: Final = 20
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

    A batch waits for the answer to the one before, on each of `urls`: a node that is slow slows us down.
    """
    seed, chain_id, accounts = order["seed"], order["chain_id"], order["accounts"]
    keys = [account_key(seed, place) for place in range(accounts)]
    # As many from each account, so that a later flood finds no gap in anybody's nonces.
    total = nonces_of(order["rate"], order["seconds"], accounts) * accounts
    urls = order["urls"]
    items: dict[str, list[str]] = {url: [] for url in urls}
    for number in range(total):
        nonce, place = divmod(number, accounts)
        to = keys[(place + 1 + nonce % (accounts - 1)) % accounts].address
        nonce += order["first_nonce"]
        is_token = order["kind"] == "token"
        data = TRANSFER + to.rjust(32, b"\0") + (1).to_bytes(32, "big") if is_token else b""
        tx = signed(
            keys[place], nonce, to=TOKEN if is_token else to, value=0 if is_token else 1, data=data,
            gas=60_000 if is_token else 21_000, fee=1000 * GWEI, tip=GWEI, kind=TransactionType.FEE_MARKET,
            chain_id=chain_id,
        )  # fmt: skip
        items[urls[place % len(urls)]].append("0x" + tx.encoded.hex())
    clients = [(RpcClient(url, 60.0), items[url], order["rate"] / len(urls)) for url in urls]
    print("ready", flush=True)
    refused: list[str] = []
    threads = [threading.Thread(target=_pour, args=(*each, refused)) for each in clients]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {
        "sent": total,
        "refused": len(refused),
        "refused_for": refused[:1],
        "seconds": time.monotonic() - began,
    }


def _pour(client: RpcClient, items: list[str], rate: float, refused: list[str]) -> None:
    began, sent = time.monotonic(), 0
    while sent < len(items):
        due = min(len(items), int((time.monotonic() - began) * rate) + 1, sent + BATCH)
        answers = client.batch([("eth_sendRawTransaction", (raw,)) for raw in items[sent:due]])
        refused += [answer.message for answer in answers if isinstance(answer, RpcError)]
        sent = due
        time.sleep(max(0.0, began + sent / rate - time.monotonic()))
    client.close()


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
