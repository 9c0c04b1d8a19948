"""What an honest client, the chain and the memory of a node do while it is attacked."""

import threading
import time
from pathlib import Path
from typing import Any

from devnet.client import RpcClient, Unreachable
from tests.faults.live import Life, ask

POLL_S = 0.1
MIB = 1 << 20


def rss_mib(life: Life) -> float:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{life.pid}/statm").read_text().split()[1])
    return pages * 4096 / MIB


class Watch(threading.Thread):
    """An honest client of one node, from `with` to its end."""

    def __init__(self, life: Life) -> None:
        super().__init__(daemon=True)
        self.life = life
        self.took: list[float] = []
        self.failed = 0
        self.peak_mib = 0.0
        self._stop_now = threading.Event()

    def __enter__(self) -> "Watch":
        self.first_head = int(ask(self.life.node, "eth_blockNumber"), 16)
        self.first_mib = rss_mib(self.life)
        self.began = time.monotonic()
        self.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stop_now.set()
        self.join(60)
        self.seconds = time.monotonic() - self.began

    def run(self) -> None:
        client = RpcClient(self.life.node.rpc_url, 30.0)
        while not self._stop_now.wait(POLL_S):
            began = time.monotonic()
            try:
                client.call("eth_blockNumber")
                self.took.append(time.monotonic() - began)
            except Unreachable:
                self.failed += 1
            self.peak_mib = max(self.peak_mib, rss_mib(self.life))
        client.close()

    @property
    def growth_mib(self) -> float:
        """Of resident memory, at its peak."""
        return max(0.0, self.peak_mib - self.first_mib)

    def figures(self) -> str:
        """One line for the record."""
        ordered = sorted(self.took)
        head = int(ask(self.life.node, "eth_blockNumber"), 16)
        return (
            f"{self.seconds:4.1f} s  {head - self.first_head:3d} blocks  "
            f"client p50 {ordered[len(ordered) // 2] * 1000:5.0f} ms  worst {ordered[-1] * 1000:5.0f} ms  "
            f"failed {self.failed}  memory +{self.growth_mib:.0f} MiB"
        )
