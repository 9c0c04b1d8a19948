"""Where the time of importing a block goes, stage by stage: CPU time per transaction, on one core.

    python tests/bench/import_stages.py                                    transfers and both kinds of ERC-20
    python tests/bench/import_stages.py --kinds "erc-20, old holders" --blocks 8 --layers 1

The blocks are those of `import_blocks.py`, imported one after another into LevelDB by the fast executor, in
this process. A stage is what a function of the importer takes without the stages that it calls. The least of
all blocks is shown, because other programs on the machine only ever add, and the mean, because some stages
come with every fifth block only: with more layers than `--layers` the oldest quarter is written. Blocks
before the first such write are not counted; the default is what a node has. The garbage collector works as
in a node, too: what it takes is in the stage in which it happens to run.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from node.chain import ledger, state_keeper
from node.config.settings import StorageSettings
from node.execution.evm.session import FastSession
from node.native import in_words
from node.primitives.block import decode_block
from node.primitives.transaction import recover_senders
from node.state.store import StateStore
from node.storage import blocks as rows
from node.storage.leveldb import LevelDB
from tests.bench.import_blocks import EXECUTORS, KINDS, SENDERS, blocks_of, make_network, on_a_copy, settle
from tests.chain.harness import take

STAGES: Final[tuple[tuple[Any, str, str], ...]] = (
    (ledger.Ledger, "verify_headers", "header and seal"),
    (ledger, "verify_body", "transactions root"),
    (state_keeper, "run_block", "execution"),
    (FastSession, "finish", "what changed"),
    (StateStore, "prepare", "state root and rows"),
    (state_keeper, "verify_outcome", "receipts root"),
    (rows, "put_block", "body and receipts packed"),
    (rows, "put_canonical", "transaction index"),
    (StateStore, "flatten", "before-images"),
    (LevelDB, "write", "LevelDB write"),
)
WARM_UP: Final = 2
"""Blocks that are not counted, besides those that fill the layers."""


class Clock:
    """CPU seconds of this thread by stage, each without those inside it."""

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()
        self._inner: list[float] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """What happens inside is this stage's."""
        started = time.thread_time()
        self._inner.append(0.0)
        try:
            yield
        finally:
            spent = time.thread_time() - started
            self.spent[name] += spent - self._inner.pop()
            if self._inner:
                self._inner[-1] += spent

    def watch(self, owner: Any, function: str, name: str) -> None:
        """From now on this function is a stage."""
        original = getattr(owner, function)

        def timed(*args: Any, **options: Any) -> Any:
            with self.stage(name):
                return original(*args, **options)

        setattr(owner, function, timed)


def measure(kind: str, folder: Path, layers: int, clock: Clock) -> list[Counter[str]]:
    """Stages of every block but the first ones."""
    settings = replace(StorageSettings(), state_layers_max=layers)
    found = []
    with on_a_copy(folder, EXECUTORS["fast"](), settings) as maker:
        settle()
        for each in blocks_of(folder, kind):
            clock.spent.clear()
            with clock.stage("the rest"):
                with clock.stage("decoding"):
                    block = decode_block(each)
                with clock.stage("senders"):
                    recover_senders(block.transactions)
                take(maker.chain, [block])
            found.append(Counter(clock.spent))
    # Whole rounds of writes, each with the blocks before it.
    return found[max(WARM_UP, layers + 1) :]


def report(kind: str, blocks: Sequence[Counter[str]]) -> None:
    """A line for each stage, the dearest first."""
    write, share = sys.stdout.write, 1e6 / KINDS[kind]
    write(f"\n{kind}: {len(blocks)} blocks of {KINDS[kind]}\n{'us/tx':28}{'least':>8}{'mean':>8}\n")
    names = {name for block in blocks for name in block}
    least = {name: min(block[name] for block in blocks) * share for name in names}
    mean = {name: statistics.mean(block[name] for block in blocks) * share for name in names}
    for name in sorted(names, key=lambda name: -mean[name]):
        write(f"{name:28}{least[name]:8.1f}{mean[name]:8.1f}\n")
    write(f"{'sum':28}{sum(least.values()):8.1f}{sum(mean.values()):8.1f}\n")
    whole = [sum(block.values()) * 1e3 for block in blocks]
    write(
        f"a block: median {statistics.median(whole):.0f} ms, with a write of the state {max(whole):.0f} ms\n"
    )


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--blocks", type=int, default=32)
    parser.add_argument("--accounts", type=int, default=SENDERS)
    layers = StorageSettings().state_layers_max
    parser.add_argument("--layers", type=int, default=layers, help="blocks whose state is in memory alone")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS)[:3])
    options = parser.parse_args()
    left_out = max(WARM_UP, options.layers + 1)
    if options.blocks <= left_out:
        parser.error(f"--blocks: more than {left_out}, the first of which are not counted; or fewer --layers")
    clock = Clock()
    sys.stdout.write(f"kernels: {in_words()}; load {os.getloadavg()[0]:.1f}\n")
    with tempfile.TemporaryDirectory() as place:
        make_network(Path(place), options.kinds, options.accounts, options.blocks)
        for stage in STAGES:
            clock.watch(*stage)
        for kind in options.kinds:
            report(kind, measure(kind, Path(place), options.layers, clock))


if __name__ == "__main__":
    main()
