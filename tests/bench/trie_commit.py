"""Microseconds per changed leaf: our trie, and our whole state store on LevelDB, against py-trie.

    python tests/bench/trie_commit.py                       10k, 100k and 1M accounts: about five minutes
    python tests/bench/trie_commit.py --sizes 10000         a quick look

Every case runs in a process of its own, so that its peak memory (RSS) is its own. Times are CPU time of the
measured thread, the median of seven commits of 1000 changed accounts. py-trie starts from the very same trie:
its database is filled with our nodes by their hashes, and both must come to the same root.
"""

import argparse
import gc
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from trie import HexaryTrie

from node.config.settings import StorageSettings
from node.primitives.block import BlockRef
from node.primitives.crypto import EMPTY_HASH, keccak256
from node.primitives.ids import Address, Hash32
from node.primitives.state import Account, StateChanges
from node.state.store import StateStore
from node.storage.kv import Batch
from node.storage.leveldb import LevelDB
from node.trie import tree

CHANGED = 1000
COMMITS = 7
CHUNK = 20_000
"""Accounts written at once while a state is made: keeps the making out of the peak memory."""


def addresses(first: int, last: int) -> list[Address]:
    """Account names by index."""
    return [Address(keccak256(b"account %d" % i)[:20]) for i in range(first, last)]


def leaf(draw: random.Random) -> bytes:
    """An account's leaf as the trie holds it: 78 bytes or so."""
    return b"\xf8\x4c" + draw.randbytes(76)


def commits(size: int) -> Iterator[list[Address]]:
    """Which accounts each measured commit changes; the same in every case."""
    draw = random.Random(size)
    for _ in range(COMMITS):
        yield [Address(keccak256(b"account %d" % i)[:20]) for i in draw.sample(range(size), CHANGED)]


def measured(deeds: Iterator[Callable[[], object]]) -> float:
    """Median CPU time of the deeds, in microseconds per changed leaf."""
    times = []
    for deed in deeds:
        gc.collect()
        begin = time.thread_time()
        deed()
        times.append((time.thread_time() - begin) * 1e6 / CHANGED)
    return statistics.median(times)


def built(size: int) -> dict[str, bytes]:
    """The rows of a trie of `size` accounts."""
    draw = random.Random(1)
    rows: dict[str, bytes] = {}
    for first in range(0, size, CHUNK):
        changes = {keccak256(address): leaf(draw) for address in addresses(first, min(first + CHUNK, size))}
        apply(rows, tree.update(rows.get, changes))
    return rows


def apply(rows: dict[str, bytes], done: tree.TrieUpdate) -> None:
    """Bring rows in memory forward."""
    for path, row in done.rows.items():
        if row is None:
            del rows[path]
        else:
            rows[path] = row


def our_trie(size: int) -> dict[str, object]:
    """node.trie over a dict."""
    rows, draw = built(size), random.Random(2)
    root = b""

    def commit(changes: dict[bytes, bytes]) -> None:
        nonlocal root
        done = tree.update(rows.get, changes)
        apply(rows, done)
        root = done.root

    deeds = ({keccak256(a): leaf(draw) for a in chosen} for chosen in commits(size))
    us = measured(lambda changes=changes: commit(changes) for changes in deeds)
    return {"us": us, "root": root.hex()}


def py_trie(size: int) -> dict[str, object]:
    """HexaryTrie over a dict, one `set` per leaf."""
    rows, draw = built(size), random.Random(2)
    root = keccak256(rows[""])
    trie = HexaryTrie({keccak256(row): row for row in rows.values()}, root)
    del rows

    def commit(changes: dict[bytes, bytes]) -> None:
        for key, value in changes.items():
            trie.set(key, value)

    deeds = ({keccak256(a): leaf(draw) for a in chosen} for chosen in commits(size))
    us = measured(lambda changes=changes: commit(changes) for changes in deeds)
    return {"us": us, "root": trie.root_hash.hex()}


def our_store(size: int) -> dict[str, object]:
    """node.state on LevelDB: root, flat rows, trie nodes and before-images, one synced batch a block."""
    with tempfile.TemporaryDirectory() as folder:
        kv = LevelDB.open(Path(folder) / "db", StorageSettings())
        store, head = filled_store(kv, size), BlockRef(size, Hash32(bytes(32)))
        head = store.base
        draw = random.Random(2)

        def block(chosen: list[Address]) -> None:
            nonlocal head
            head = commit_block(
                kv, store, head, dict.fromkeys(chosen, Account(1, draw.getrandbits(80), EMPTY_HASH))
            )

        us = measured(lambda chosen=chosen: block(chosen) for chosen in commits(size))
        store.close()
        kv.close()
        return {"us": us, "root": ""}


def filled_store(kv: LevelDB, size: int) -> StateStore:
    """A state of `size` accounts, made block by block."""
    store = StateStore(kv, StorageSettings())
    batch, genesis = Batch(), BlockRef(0, keccak256(b"genesis"))
    store.initialise(batch, genesis, StateChanges())
    kv.write(batch, sync=True)
    store.flattened(genesis)
    head = genesis
    for first in range(0, size, CHUNK):
        chosen = addresses(first, min(first + CHUNK, size))
        head = commit_block(
            kv, store, head, {a: Account(0, 10**18 + i, EMPTY_HASH) for i, a in enumerate(chosen)}
        )
    return store


def commit_block(
    kv: LevelDB, store: StateStore, parent: BlockRef, accounts: dict[Address, Account]
) -> BlockRef:
    """What the importer does with a block's changes, at once."""
    ref = BlockRef(parent.number + 1, keccak256(parent.hash))
    store.add(ref, parent.hash, store.prepare(parent.hash, StateChanges(accounts)))
    batch = Batch()
    store.flatten(batch, ref)
    kv.write(batch, sync=True)
    store.flattened(ref)
    return ref


CASES = {"py-trie": py_trie, "our trie": our_trie, "our store": our_store}


def run_case(name: str, size: int) -> dict[str, object]:
    """One case in a process of its own."""
    command = [sys.executable, __file__, "--case", name, "--sizes", str(size)]
    result: dict[str, object] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return result


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", default="10000,100000,1000000", help="accounts in the state")
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    sizes = [int(size) for size in args.sizes.split(",")]
    if args.case:
        result = CASES[args.case](sizes[0])
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(json.dumps({**result, "rss_mib": peak}))
        return
    print(f"{CHANGED} changed accounts a commit; microseconds per changed leaf (peak RSS in MiB)")
    titles = ("accounts", "py-trie", "node.trie", "ratio", "node.state on LevelDB", "ratio")
    print("{:>10} {:>16} {:>16} {:>7} {:>24} {:>7}".format(*titles))
    for size in sizes:
        theirs, ours, store = (run_case(name, size) for name in CASES)
        assert theirs["root"] == ours["root"], "the two tries disagree"
        cells = [f"{case['us']:.1f} ({case['rss_mib']})" for case in (theirs, ours, store)]
        ratios = [f"{theirs['us'] / case['us']:.1f}x" for case in (ours, store)]
        print(
            f"{size:>10,} {cells[0]:>16} {cells[1]:>16} {ratios[0]:>7} {cells[2]:>24} {ratios[1]:>7}",
            flush=True,
        )


if __name__ == "__main__":
    main()
