"""What a read of an old state costs beside the same read at the head, on a synthetic chain.

    python tests/bench/history_reads.py                      1,000,000 blocks: some 3 GB of disk, a while
    python tests/bench/history_reads.py --blocks 50000       a quick look
    python tests/bench/history_reads.py --folder F           keep the chain there, or measure the one in it

4,096 accounts and a contract of 1,024 slots. Every block changes one busy account, one of 64 others in turn,
and a slot. The blocks repeat a cycle of 64, so that each state and proof is a real one, made by the real
commit, while a million of them are only encoded and written: the database is that of an archive node, with
its headers, bodies, receipts, before-images and key lists. First, rows are read through StateStore, view and
all; then JSON-RPC requests are answered, in this process and without a socket, by the whole dispatcher.
Accounts, slots and one of 64 blocks at the depth are drawn
anew at every read, but for eth_call, which asks one block. CPU time, the best of rounds; memory is this
process's peak. Before anything is read, LevelDB has merged what was written, as on a node that runs: each
new table that it has not merged costs every old read a block more.
"""

import argparse
import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

# A script's folder comes first there, and this one has a node.py.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import trio

from consensus.clique.extra_data import seal_hash, sealed
from consensus.clique.rules import CliqueRules
from node.backends.chain import node_backend
from node.chain.opening import Chain, open_chain
from node.config.settings import PoolSettings, RpcSettings, Settings, StorageSettings
from node.execution.evm.executor import FastExecutor
from node.execution.executor import Executor
from node.primitives.block import Block, BlockRef, Body, Header
from node.primitives.crypto import EMPTY_HASH, keccak256
from node.primitives.ids import Address, Hash32, hex_of
from node.primitives.state import Account, StateChanges, StateView
from node.rpc.api import RpcApi
from node.state import history
from node.state.commit import PreparedState
from node.state.store import StateStore
from node.storage import schema
from node.storage.blocks import encode_ref, put_block, put_canonical, put_head
from node.storage.kv import Batch, KeyValue
from node.storage.leveldb import LevelDB
from node.storage.locks import put_engine_state
from node.storage.memory import MemoryKV
from node.txpool.pool import TransactionPool
from tests.chain.harness import KEYS, make_spec
from tests.rpc.node import NoNetwork, NoSync

CYCLE = 64
ACCOUNTS = [Address(keccak256(b"account %d" % n)[:20]) for n in range(4_096)]
BUSY, CONTRACT = ACCOUNTS[0], ACCOUNTS[1]
SLOTS = 1_024
CODE = bytes.fromhex("6000358054906001015401600052" + "60206000f3")
"""Returns the sum of the slot in the calldata and the one behind it."""
WRITE_BLOCKS = 2_000
TOGETHER = 5
"""Blocks whose state a node writes at once."""
READS, REQUESTS, ROUNDS = 400, 100, 5
SPREAD = 64
SETTLED_S = 2.0
DEPTHS = (0, 1, 100, 10_000, 100_000)
SETTINGS = StorageSettings(history_blocks=0)
SPEC = make_spec(
    KEYS[:1],
    alloc={
        hex_of(each): {"nonce": "0x1", "balance": str(10**18)}
        | (
            {"code": hex_of(CODE), "storage": {hex(n): "0x1" for n in range(SLOTS)}}
            if each == CONTRACT
            else {}
        )
        for each in ACCOUNTS
    },
)
RULES = CliqueRules(SPEC.engine, 1)


def opened(kv: KeyValue) -> Chain:
    return open_chain(kv, SPEC, RULES, FastExecutor(None), SETTINGS)


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


def cycle() -> list[PreparedState]:
    """Two turns of the cycle from genesis, and two more after which everything is as it was before them."""
    chain = opened(MemoryKV())
    genesis = chain.reader.genesis
    store = StateStore(chain.state._kv, StorageSettings(state_layers_max=10_000))
    parent, made = genesis.hash, []
    for number in range(1, 4 * CYCLE + 1):
        prepared = store.prepare(parent, changes_of(number))
        layer = keccak256(b"layer %d" % number)
        store.add(BlockRef(number, layer), parent, prepared)
        made.append(prepared)
        parent = layer
    assert made[2 * CYCLE - 1].root == made[4 * CYCLE - 1].root
    return made


def build(kv: LevelDB, blocks: int) -> None:
    chain = opened(kv)
    header, signers = chain.reader.genesis, RULES.initial(chain.reader.genesis)
    chain.state.close()
    made, batch = cycle(), Batch()
    states: list[tuple[BlockRef, PreparedState]] = []
    for number in range(1, blocks + 1):
        # The first two turns begin at block 0; all later ones repeat the second two.
        place = number - 1 if number <= 2 * CYCLE else 2 * CYCLE + (number - 1) % (2 * CYCLE)
        header = following(header, made[place].root)
        if blocks - number in DEPTHS or number == 1:
            # Asked who made the block, the node recovers it from the seal.
            header = sealed(header, KEYS[0].sign(seal_hash(header)))
        block = Block(header, Body())
        put_block(batch, block, (), number + 1)
        put_canonical(batch, block)
        states.append((header.ref, made[place]))
        if len(states) == TOGETHER or number == blocks:
            history.put_states(batch, states)
            states.clear()
        if number % WRITE_BLOCKS == 0 or number == blocks:
            batch.put(schema.STATE_BASE_KEY, encode_ref(header.ref))
            put_head(batch, header.ref)
            # Nobody sealed these headers; who may seal the next one is said by a row, as every 128 blocks.
            put_engine_state(batch, header.hash, RULES.encode_state(signers))
            kv.write(batch, sync=number == blocks)
            batch = Batch()


def wait_settled(kv: LevelDB) -> None:
    """Until LevelDB has merged what it wants to merge."""
    before = None
    while (tables := tables_of(kv)) != before:
        before = tables
        time.sleep(SETTLED_S)
    print(f"tables by level: {', '.join(tables)}", flush=True)


def tables_of(kv: LevelDB) -> list[str]:
    names = (b"leveldb.num-files-at-level%d" % level for level in range(7))
    return [kv._database.get_property(name).decode() for name in names]


def following(parent: Header, root: Hash32) -> Header:
    return replace(
        parent,
        parent_hash=parent.hash,
        number=parent.number + 1,
        timestamp=parent.timestamp + 1,
        state_root=root,
        difficulty=2,
        extra_data=bytes(97),
    )


def measure(read: Callable[[random.Random], object], seed: int) -> float:
    """Microseconds of CPU a read."""
    drawn = random.Random(seed)
    started = time.thread_time()
    for _ in range(READS):
        read(drawn)
    return (time.thread_time() - started) / READS * 1e6


def rows(store: StateStore, blocks: list[Hash32]) -> dict[str, Callable[[random.Random], object]]:
    def view(r: random.Random) -> StateView:
        return store.view(r.choice(blocks))

    return {
        "busy account": lambda r: view(r).account(BUSY),
        "any account": lambda r: view(r).account(r.choice(ACCOUNTS)),
        "slot": lambda r: view(r).storage(CONTRACT, r.randrange(SLOTS)),
        "proof of account": lambda r: store.proof(r.choice(blocks), r.choice(ACCOUNTS), ()),
        "proof of slot": lambda r: store.proof(r.choice(blocks), CONTRACT, (r.randrange(SLOTS),)),
    }


def requests(numbers: list[int]) -> dict[str, Callable[[random.Random], tuple[str, list[object]]]]:
    contract = hex_of(CONTRACT)

    def at(r: random.Random) -> str:
        return hex(r.choice(numbers))

    # A call asks who made the block, and only the last of these is sealed.
    called = hex(numbers[-1])
    return {
        "eth_getBalance": lambda r: ("eth_getBalance", [hex_of(r.choice(ACCOUNTS)), at(r)]),
        "eth_getStorageAt": lambda r: ("eth_getStorageAt", [contract, hex(r.randrange(SLOTS)), at(r)]),
        "eth_call": lambda r: (
            "eth_call",
            [{"to": contract, "data": f"0x{r.randrange(SLOTS - 1):064x}"}, called],
        ),
        "eth_getProof": lambda r: ("eth_getProof", [contract, [hex(r.randrange(SLOTS))], at(r)]),
    }


def numbers_at(head: int, depth: int) -> list[int]:
    """The block so deep, and those below it that are read in its stead, but for the head."""
    return [head] if depth == 0 else list(range(max(1, head - depth - SPREAD + 1), head - depth + 1))


@dataclass
class Parts:
    """What a back end is made of."""

    chain: Chain
    pool: TransactionPool
    settings: Settings
    executor: Executor


def api_of(chain: Chain) -> RpcApi:
    reader = chain.reader
    settings = Settings(data_dir=Path(), genesis=Path(), rpc=RpcSettings(port=0))
    pool = TransactionPool(PoolSettings(), reader.spec, reader.head, reader.state_at(reader.head.hash))
    parts = Parts(chain, pool, settings, FastExecutor(None))
    return RpcApi(node_backend(parts, NoNetwork(), NoSync(), None), settings.rpc)  # type: ignore[arg-type]


async def measure_requests(
    api: RpcApi, make: Callable[[random.Random], tuple[str, list[object]]], seed: int
) -> float:
    """Microseconds of CPU a request, worker threads and all."""
    drawn = random.Random(seed)
    asked = [make(drawn) for _ in range(REQUESTS)]
    bodies = [
        json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        for method, params in asked
    ]
    started = time.process_time()
    for body in bodies:
        answer = await api.dispatcher.answer(api.dispatcher.parse(body))
        assert answer is not None
        assert b'"result"' in answer, answer
    return (time.process_time() - started) / REQUESTS * 1e6


def check(chain: Chain, number: int) -> Hash32:
    """What is read is what was written; the block's hash."""
    block_hash = chain.reader.canonical_hash(number)
    assert block_hash is not None
    account = chain.state.view(block_hash).account(BUSY)
    assert account is not None
    assert account.balance == 10**18 + (number % CYCLE if number else 0)
    return block_hash


def show(columns: Iterable[str], depths: list[int], rounds: list[list[list[float]]]) -> None:
    """The least of the rounds, each line beside the first one, which is the head's."""
    print(f"{'blocks back':>16}" + "".join(f"{name:>24}" for name in columns))
    lines = [[min(each) for each in zip(*line, strict=True)] for line in zip(*rounds, strict=True)]
    for depth, line in zip(depths, lines, strict=True):
        cells = (f"{each:10.1f} us x{each / head:<5.2f}" for each, head in zip(line, lines[0], strict=True))
        print(f"{depth:>16,}" + "".join(f"{cell:>24}" for cell in cells), flush=True)


# All depths in every round: a machine whose speed goes up and down is the same for all of them.


def measure_rows(chain: Chain, depths: list[int]) -> None:
    head = chain.reader.head.number
    blocks = [[check(chain, number) for number in numbers_at(head, depth)] for depth in depths]
    reads = [rows(chain.state, each) for each in blocks]
    rounds = [[[measure(read, seed) for read in line.values()] for line in reads] for seed in range(ROUNDS)]
    show(reads[0], depths, rounds)


async def measure_json_rpc(chain: Chain, depths: list[int]) -> None:
    api, head = api_of(chain), chain.reader.head.number
    asked = [requests(numbers_at(head, depth)) for depth in depths]
    rounds = [
        [[await measure_requests(api, make, seed) for make in line.values()] for line in asked]
        for seed in range(ROUNDS)
    ]
    show(asked[0], depths, rounds)


def run(folder: Path, blocks: int) -> None:
    started, is_new = time.perf_counter(), not (folder / "CURRENT").exists()
    kv = LevelDB.open(folder, SETTINGS)
    if is_new:
        build(kv, blocks)
        size = sum(file.stat().st_size for file in folder.iterdir())
        print(f"{blocks:,} blocks in {time.perf_counter() - started:.0f} s, {size / 1e6:,.0f} MB on disk")
    wait_settled(kv)
    chain = opened(kv)
    blocks = chain.reader.head.number
    depths = [depth for depth in (*DEPTHS, blocks - 1) if depth < blocks]

    measure_rows(chain, depths)
    trio.run(measure_json_rpc, chain, depths)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"peak memory {peak:.0f} MB with mapped files; LevelDB's cache: {SETTINGS.block_cache_bytes >> 20} MB"
    )
    chain.state.close()
    kv.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where the chain is kept; built there when it is empty")
    args = parser.parse_args()
    if args.folder is not None:
        run(args.folder, args.blocks)
        return
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder), args.blocks)


if __name__ == "__main__":
    main()
