"""What a loaded node does to its event loop: how late timers fire, RPC answers and blocks come.

    python tests/bench/loop_delay.py                    20 s idle, then three loads of 30 s
    python tests/bench/loop_delay.py --rate 200 --calls 1

One validator at a period of 2 s. The load: ERC-20 transfers at `--rate` a second (425 fill blocks of 30M
gas), and `--calls` connections that ask for one endless eth_call of 50M gas after another. The load and the
probe are processes of their own. The loop's delay is the node's own histogram (phoenix_loop_delay_seconds);
beside it stands how late the probe, which does nothing but sleep, was woken: what the machine's other work
adds to everything.
"""

import argparse
import re
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from devnet.client import RpcClient
from devnet.layout import HOST, Layout, NodeFiles
from tests.faults import flood
from tests.faults.live import make_network, start

ACCOUNTS = 64
CALL_GAS = 50_000_000
BUCKET = re.compile(r'^phoenix_loop_delay_seconds_bucket\{.*?le="([^"]+)"\} (\S+)$', re.MULTILINE)


def delays(node: NodeFiles) -> dict[str, float]:
    """The histogram: how many ticks were at most so late, by bound in seconds."""
    with urllib.request.urlopen(f"http://{HOST}:{node.metrics_port}/metrics") as reply:
        return {bound: float(count) for bound, count in BUCKET.findall(reply.read().decode())}


def phase(layout: Layout, seconds: float, rate: float, calls: int, first_nonce: int = 0) -> None:
    """Measure for some seconds under some load, and print."""
    (node,) = layout.nodes
    head, network, load = _head(node), layout.network, []
    about = {"p2p_port": 0, "rpc_port": node.rpc_port, "metrics_port": 0, "admin_port": 0, "enode": ""}
    if rate:
        load.append(
            flood.start(
                flood.send, seed=network.seed, chain_id=network.chain_id, accounts=ACCOUNTS, kind="token",
                urls=[node.rpc_url], rate=rate, seconds=seconds, first_nonce=first_nonce,
            )
        )  # fmt: skip
    if calls:
        load.append(
            flood.start(flood.call, url=node.rpc_url, gas=CALL_GAS, connections=calls, seconds=seconds)
        )
    # Last: the others sign for seconds before they begin.
    before = delays(node)
    seen = flood.ended(flood.start(flood.probe, node=about, seconds=seconds))
    after = delays(node)
    outcomes = [flood.ended(each) for each in load]
    ticks = {bound: after[bound] - before[bound] for bound in after}
    worst = next(bound for bound, count in ticks.items() if count == ticks["+Inf"])
    most = next(bound for bound, count in ticks.items() if count >= 0.99 * ticks["+Inf"])
    print(f"{rate:g} transactions/s, {calls} endless calls, {seconds:g} s {outcomes or ''}")
    print(f"  loop delay            99 % below {most} s, worst below {worst} s, {ticks['+Inf']:.0f} ticks")
    print(f"  eth_blockNumber       {_spread(seen['took'])}")
    print(f"  heads after their slot {_spread(seen['late'])}")
    print(f"  a sleeper elsewhere   {_spread(seen['overslept'])}")
    print(f"  blocks: {_fullness(node, head)}", flush=True)


def _fullness(node: NodeFiles, first: int) -> str:
    client = RpcClient(node.rpc_url)
    blocks = [client.call("eth_getBlockByNumber", hex(n), False) for n in range(first + 1, _head(node) + 1)]
    client.close()
    shares = [int(block["gasUsed"], 16) / int(block["gasLimit"], 16) for block in blocks]
    return ", ".join(
        f"{len(b['transactions'])} tx {share:.0%}" for b, share in zip(blocks, shares, strict=True)
    )


def _head(node: NodeFiles) -> int:
    client = RpcClient(node.rpc_url)
    try:
        return int(client.call("eth_blockNumber"), 16)
    finally:
        client.close()


def _spread(seconds: Sequence[float]) -> str:
    ordered = sorted(1000 * each for each in seconds)
    if not ordered:
        return "none"
    median, most = (ordered[int(share * (len(ordered) - 1))] for share in (0.5, 0.99))
    return f"median {median:.1f} ms, 99 % {most:.1f} ms, worst {ordered[-1]:.1f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=425.0, help="ERC-20 transfers a second")
    parser.add_argument("--calls", type=int, default=2, help="connections with endless calls")
    parser.add_argument("--seconds", type=float, default=30.0, help="of load")
    options = parser.parse_args()
    pool: dict[str, Any] = {"per_account_max": 2_000, "transactions_max": 50_000}
    with tempfile.TemporaryDirectory() as folder:
        layout = make_network(Path(folder) / "net", accounts=ACCOUNTS, period_s=2, epoch=30_000, pool=pool)
        flood.put_token(layout)
        life = start(layout.nodes[0])
        try:
            life.wait_answering()
            time.sleep(2)
            phase(layout, 20.0, 0, 0)
            phase(layout, options.seconds, options.rate, 0)
            phase(layout, options.seconds, 0, options.calls)
            nonces = flood.nonces_of(options.rate, options.seconds, ACCOUNTS)
            phase(layout, options.seconds, options.rate, options.calls, nonces)
        finally:
            life.stop()


if __name__ == "__main__":
    main()
