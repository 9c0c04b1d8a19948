"""What asking for every transaction costs: importing blocks with the chain's rules for accounts, and without.

    python -m tests.bench.permissioning [transactions a block] [blocks]

The rules are the contract suite's own, behind their proxies, with every sender entered. All chains import
the same transfers in one process; "kind" passes what an answer can be remembered by, "whole"
runs the contracts for each transaction. Times are of the processor, so that a busy machine changes little;
ratios are what counts.
"""

import resource
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from node.execution.evm.executor import FastExecutor
from node.execution.py_evm import PyEvmExecutor
from node.permissioning.policy import sending_of
from node.primitives.ids import Address, hex_of
from tests.chain.harness import ACCOUNTS, ChainMaker, make_spec, take, transfer
from tests.contracts.sandbox import Sandbox
from tests.permissioning.suite_rules import ALL, SUITE_INGRESS, suite_alloc

SENDERS = len(ACCOUNTS)
ROUNDS = 5


def chain_of(sees: str | None) -> ChainMaker:
    """A chain that begins with the suite; `sees` None asks nobody."""
    alloc = suite_alloc(Sandbox(), dict.fromkeys((account.address for account in ACCOUNTS), ALL))
    phoenix: dict[str, Any] = {}
    if sees is not None:
        phoenix = {"accountPermissioning": {"ingress": hex_of(SUITE_INGRESS), "block": 1, "sees": sees}}
    spec = make_spec(alloc=alloc, gas_limit=100_000_000, phoenix=phoenix)
    return ChainMaker(spec, executor=FastExecutor(PyEvmExecutor()))


class Course:
    """One chain's blocks, imported into a new node again and again."""

    def __init__(self, sees: str | None, size: int, count: int) -> None:
        self.maker = chain_of(sees)
        self.transactions = size * count
        self.best, self.asked, self.executed = float("inf"), 0, 0
        self.blocks = []
        for number in range(count):
            nonces = [number * size // SENDERS + place // SENDERS for place in range(size)]
            # No two alike, so that what sees the whole transaction runs code for each.
            txs = [
                transfer(ACCOUNTS[n % SENDERS], nonces[n], value=1 + number * size + n) for n in range(size)
            ]
            self.blocks.append(self.maker.extend(txs))

    def run(self) -> None:
        """One import of all blocks, whose senders are known as they are from a pool."""
        chain = self.maker.open()
        began = time.process_time()
        for block in self.blocks:
            take(chain, [block])
        self.best = min(self.best, time.process_time() - began)
        self.asked, self.executed = chain.caller.asked, chain.caller.executed

    @property
    def us(self) -> float:
        """Microseconds of the processor a transaction, of the best run."""
        return self.best / self.transactions * 1e6


def cold_and_warm(size: int = 200) -> tuple[float, float]:
    """Microseconds of one question that runs code, and of one that is remembered at a new state."""
    maker = chain_of("kind")
    rules, caller = maker.chain.account_rules, maker.chain.caller
    targets = [Address(bytes([9, *place.to_bytes(19, "big")])) for place in range(size)]
    txs = [transfer(ACCOUNTS[place % SENDERS], 0, to=target) for place, target in enumerate(targets)]
    sendings = [sending_of(tx) for tx in txs]
    took = []
    for nonce in range(2):
        view = maker.reader.state_at(maker.head.hash)
        began = time.process_time()
        assert all(rules.decide(maker.head, view, sending).allowed for sending in sendings)
        took.append((time.process_time() - began) / size * 1e6)
        maker.extend([transfer(ACCOUNTS[0], nonce)])
    assert caller.executed >= size
    return took[0], took[1]


def main() -> None:
    """Three chains, one line each."""
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 4
    courses = {name or "none": Course(name, size, count) for name in (None, "kind", "whole")}
    for _ in range(ROUNDS):
        for course in courses.values():  # in turns, so that a busy moment hits all alike
            course.run()
    base = courses["none"].us
    print(f"{count} blocks of {size} transfers from {SENDERS} senders")
    for name, course in courses.items():
        print(
            f"{name:6} {course.us:8.1f} us a transaction   x{course.us / base:4.2f}"
            f"   asked {course.asked:6d}   ran code {course.executed:6d}"
        )
    cold, warm = cold_and_warm()
    print(f"one question: {cold:.0f} us when code runs, {warm:.1f} us when remembered (at a new state)")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
