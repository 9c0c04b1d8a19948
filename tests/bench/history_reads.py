"""What a read of an old state costs beside the same read at the head, on a synthetic chain.

    python tests/bench/history_reads.py                      1,000,000 blocks: some 2 GB of disk, a while
    python tests/bench/history_reads.py --blocks 50000       a quick look

4,096 accounts and a contract of 1,024 slots. Every block changes one busy account, one of 64 others in turn,
and a slot. The blocks repeat a cycle of 64, so that each state and proof is a real one, made by the real
commit, while a million of them are only encoded and written: the database is that of an archive node, with
its before-images, key lists and block rows. Reads go through StateStore as the JSON-RPC's do, view and all;
accounts and slots are drawn anew at every read. CPU time, median of rounds; memory is this process's peak.
"""

import argparse
import random
import resource
import statistics
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

# A script's folder comes first there, and this one has a node.py.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from node.config.settings import StorageSettings
from node.primitives.block import BlockRef
from node.primitives.crypto import EMPTY_HASH, keccak256
from node.primitives.ids import Address, Hash32
from node.primitives.state import Account, StateChanges
from node.state import history
from node.state.before_images import WHOLE_ONE_IN
from node.state.commit import PreparedState
from node.state.store import StateStore
from node.storage import schema
from node.storage.blocks import encode_ref
from node.storage.kv import Batch
from node.storage.leveldb import LevelDB
from node.storage.memory import MemoryKV

CYCLE = 64
ACCOUNTS = [Address(keccak256(b"account %d" % n)[:20]) for n in range(4_096)]
BUSY, CONTRACT = ACCOUNTS[0], ACCOUNTS[1]
SLOTS = 1_024
WRITE_BLOCKS = 2_000
READS, ROUNDS = 400, 5
SETTINGS = StorageSettings(history_blocks=0)


def hash_of(number: int) -> Hash32:
    return keccak256(b"block %d" % number)


def changes_of(number: int) -> StateChanges:
    """What a block does; depends on its place in the cycle alone."""
    place = number % CYCLE
    return StateChanges(
        accounts={
            BUSY: Account(1, 10**18 + place, EMPTY_HASH),
            ACCOUNTS[2 + place]: Account(1, 10**18 + place % 7 + number // CYCLE % 2, EMPTY_HASH),
        },
        storage={CONTRACT: {place: 1 + number // CYCLE % 2}},
        codes={},
    )


def genesis_changes() -> StateChanges:
    accounts: dict[Address, Account | None] = {each: Account(1, 10**18, EMPTY_HASH) for each in ACCOUNTS}
    return StateChanges(accounts=accounts, storage={CONTRACT: dict.fromkeys(range(SLOTS), 1)}, codes={})


def cycle() -> tuple[Batch, list[PreparedState]]:
    """The rows of block 0, and two turns of the cycle after which everything is as it was before them."""
    store, first = StateStore(MemoryKV(), StorageSettings(state_layers_max=10_000)), Batch()
    kv = store._kv
    store.initialise(first, BlockRef(0, hash_of(0)), genesis_changes())
    kv.write(first, sync=False)
    store.flattened(BlockRef(0, hash_of(0)))
    made = []
    for number in range(1, 4 * CYCLE + 1):
        prepared = store.prepare(hash_of(number - 1), changes_of(number))
        store.add(BlockRef(number, hash_of(number)), hash_of(number - 1), prepared)
        made.append(prepared)
    assert made[2 * CYCLE - 1].root == made[4 * CYCLE - 1].root
    return first, made


def remembered(encode: Callable[..., bytes]) -> Callable[..., bytes]:
    """The real encoder, asked once for each change of the cycle and kind of image."""
    known: dict[tuple[bytes | None, bytes | None, bool], bytes] = {}

    def encoded(before: bytes | None, after: bytes | None, place: bytes) -> bytes:
        key = (before, after, zlib.crc32(place) % WHOLE_ONE_IN == 0)
        if key not in known:
            known[key] = encode(before, after, place)
        return known[key]

    return encoded


def build(kv: LevelDB, blocks: int) -> None:
    first, made = cycle()
    kv.write(first, sync=False)
    batch = Batch()
    history.encode_image = remembered(history.encode_image)
    for number in range(1, blocks + 1):
        # The first two turns begin at block 0; all later ones repeat the second two.
        place = number - 1 if number <= 2 * CYCLE else 2 * CYCLE + (number - 1) % (2 * CYCLE)
        ref = BlockRef(number, hash_of(number))
        history.put_state(batch, ref, made[place])
        batch.put(schema.block_number_key(ref.hash), schema.number_bytes(number))
        if number % WRITE_BLOCKS == 0 or number == blocks:
            batch.put(schema.STATE_BASE_KEY, encode_ref(ref))
            kv.write(batch, sync=False)
            batch = Batch()
    batch.put(schema.block_number_key(hash_of(0)), schema.number_bytes(0))
    kv.write(batch, sync=True)


def measure(read: Callable[[random.Random], object]) -> float:
    """Microseconds of CPU a read."""
    rounds = []
    for seed in range(ROUNDS):
        drawn = random.Random(seed)
        started = time.thread_time()
        for _ in range(READS):
            read(drawn)
        rounds.append((time.thread_time() - started) / READS * 1e6)
    return statistics.median(rounds)


def kinds(store: StateStore, block_hash: Hash32) -> dict[str, Callable[[random.Random], object]]:
    view = store.view
    return {
        "busy account": lambda _: view(block_hash).account(BUSY),
        "any account": lambda r: view(block_hash).account(r.choice(ACCOUNTS)),
        "slot": lambda r: view(block_hash).storage(CONTRACT, r.randrange(SLOTS)),
        "proof of account": lambda r: store.proof(block_hash, r.choice(ACCOUNTS), ()),
        "proof of slot": lambda r: store.proof(block_hash, CONTRACT, (r.randrange(SLOTS),)),
    }


def check(store: StateStore, number: int) -> None:
    """What is read is what was written."""
    place = number % CYCLE
    account = store.view(hash_of(number)).account(BUSY)
    assert account is not None
    assert account.balance == 10**18 + (place if number else 0)


def run(folder: Path, blocks: int) -> None:
    started = time.perf_counter()
    kv = LevelDB.open(folder, SETTINGS)
    build(kv, blocks)
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{blocks:,} blocks in {time.perf_counter() - started:.0f} s, {size / 1e6:,.0f} MB on disk")
    store = StateStore(kv, SETTINGS)
    names = list(kinds(store, hash_of(blocks)))
    depths = [0, *(d for d in (1, 100, 10_000, 100_000, blocks - 1) if d < blocks)]
    print(f"{'blocks back':>12}" + "".join(f"{name + ' us':>22}" for name in names))
    head: dict[str, float] = {}
    for depth in depths:
        check(store, blocks - depth)
        found = {name: measure(read) for name, read in kinds(store, hash_of(blocks - depth)).items()}
        head = head or found
        cells = (f"{found[name]:10.1f} x{found[name] / head[name]:<5.2f}" for name in names)
        print(f"{depth:>12,}" + "".join(f"{cell:>22}" for cell in cells))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory {peak:.0f} MB; blocks cached by LevelDB: {SETTINGS.block_cache_bytes >> 20} MB")
    store.close()
    kv.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=1_000_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder), args.blocks)


if __name__ == "__main__":
    main()
