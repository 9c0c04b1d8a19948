"""What a validator costs that does nothing but seal: start-up time, memory, CPU.

    python tests/bench/node.py                       five starts of each kind, 60 s idle
    python tests/bench/node.py --starts 2 --seconds 10

Start-up is from the start of the process until JSON-RPC has answered, by the clock; beside it stands the CPU
time the process had used by then, which a busy machine does not change. Fresh: an empty data directory. With
a chain: one of CHAIN_BLOCKS blocks, whose validator was killed. The idle validator seals an empty block every
2 s.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from devnet.layout import Layout
from tests.faults import flood
from tests.faults.live import ask, cpu_seconds, make_network, start

CHAIN_BLOCKS = 300
ACCOUNTS = 64
RATE = 30.0


def resident_mb(pid: int) -> tuple[float, float]:
    """Now, and at its highest."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    table = dict(line.split(":", 1) for line in lines)
    return int(table["VmRSS"].split()[0]) / 1024, int(table["VmHWM"].split()[0]) / 1024


def timed_starts(layouts: Sequence[Layout]) -> str:
    """Start and kill each network's node once."""
    clock, cpu = [], []
    for layout in layouts:
        life = start(layout.nodes[0])
        clock.append(life.wait_answering())
        cpu.append(cpu_seconds(life.pid))
        life.kill()
    middle, used = statistics.median(clock), statistics.median(cpu)
    return f"median {middle:.2f} s, best {min(clock):.2f} s; CPU {used:.2f} s"


def make_chain(folder: Path) -> Layout:
    """A network whose node was killed with CHAIN_BLOCKS blocks of transfers."""
    layout = make_network(folder, accounts=ACCOUNTS, period_s=0, production={"empty_blocks": False})
    (node,) = layout.nodes
    life = start(node)
    life.wait_answering()
    sent = 0
    while int(ask(node, "eth_blockNumber"), 16) < CHAIN_BLOCKS:
        network = layout.network
        flood.ended(
            flood.start(
                flood.send, seed=network.seed, chain_id=network.chain_id, accounts=ACCOUNTS, kind="transfer",
                urls=[node.rpc_url], rate=RATE, seconds=10, first_nonce=sent,
            )
        )  # fmt: skip
        sent += flood.nonces_of(RATE, 10, ACCOUNTS)
    life.kill()
    return layout


def idle(layout: Layout, seconds: float) -> None:
    """An idle validator, watched."""
    life = start(layout.nodes[0])
    life.wait_answering()
    time.sleep(5)
    began, used = time.monotonic(), cpu_seconds(life.pid)
    time.sleep(seconds)
    share = (cpu_seconds(life.pid) - used) / (time.monotonic() - began)
    now, most = resident_mb(life.pid)
    blocks = int(ask(layout.nodes[0], "eth_blockNumber"), 16)
    life.stop()
    print(f"idle at a period of 2 s: {share:.1%} of a core, {now:.0f} MB resident (at most {most:.0f} MB),")
    print(f"  over {seconds:g} s, head {blocks}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=60.0, help="of idleness")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        fresh = [make_network(Path(folder) / f"fresh{n}", period_s=2) for n in range(options.starts)]
        print(f"start, fresh:             {timed_starts(fresh)}", flush=True)
        chain = make_chain(Path(folder) / "chain")
        print(f"start, {CHAIN_BLOCKS} blocks, killed: {timed_starts([chain] * options.starts)}", flush=True)
        idle(make_network(Path(folder) / "idle", period_s=2), options.seconds)


if __name__ == "__main__":
    main()
