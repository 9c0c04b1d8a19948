"""How fast the encrypted channel is: python tests/bench/rlpx.py

CPU time of one core, both directions of one session in one process; figures do not include sockets.
"""

import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from p2p.rlpx.handshake import new_private_key
from p2p.rlpx.session import Session

SIZES = (200, 1_400, 16_384, 131_072)
MEASURED_S = 0.5


def pair() -> tuple[Session, Session]:
    """Two sessions past their handshake."""
    entropy = random.Random(1).randbytes
    here, there = new_private_key(entropy), new_private_key(entropy)
    a = Session.initiator(here, there.public_key, entropy)
    b = Session.responder(there, entropy)
    b.receive_data(a.bytes_to_send())
    b.shake_hands()
    a.receive_data(b.bytes_to_send())
    a.shake_hands()
    return a, b


def per_second(work: Callable[[], object], batch: int) -> float:
    """How often a second of CPU time does what `work` does `batch` times."""
    done, started = 0, time.process_time()
    while (spent := time.process_time() - started) < MEASURED_S:
        work()
        done += batch
    return done / spent


def measure(size: int, *, snappy: bool) -> tuple[float, float]:
    """(messages encoded, messages decoded) per second for payloads that do not compress."""
    a, b = pair()
    if snappy:
        a.enable_snappy()
        b.enable_snappy()
    payload = random.Random(2).randbytes(size)
    batch = max(1, 1_000_000 // size)
    encode = per_second(lambda: [a.encode(5, payload) for _ in range(batch)], batch)
    a, b = pair()
    if snappy:
        a.enable_snappy()
        b.enable_snappy()
    spent, done = 0.0, 0
    while spent < MEASURED_S:
        wire = b"".join(a.encode(5, payload) for _ in range(batch))
        started = time.process_time()
        for start in range(0, len(wire), 65_536):
            b.receive_data(wire[start : start + 65_536])
            while b.next_message() is not None:
                done += 1
        spent += time.process_time() - started
    return encode, done / spent


def main() -> None:
    """Print the table."""
    print(f"handshake, both sides: {1000 / per_second(pair, 1):.2f} ms")
    print(f"{'bytes':>8} {'snappy':>7} {'encode/s':>10} {'decode/s':>10} {'MB/s':>6}")
    for size in SIZES:
        for snappy in (False, True):
            encode, decode = measure(size, snappy=snappy)
            slower = min(encode, decode) * size / 1e6
            print(f"{size:>8} {snappy!s:>7} {encode:>10,.0f} {decode:>10,.0f} {slower:>6.0f}")


if __name__ == "__main__":
    main()
