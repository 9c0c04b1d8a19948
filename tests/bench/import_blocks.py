"""Importing full blocks: ours, against py-evm's own chain.import_block on the very same bytes.

    python tests/bench/import_blocks.py                          every kind of transaction, 5 blocks each
    python tests/bench/import_blocks.py --blocks 3 --kinds transfers "erc-20, new holders"
    python tests/bench/import_blocks.py --accounts 5000000       the same on a larger state (minutes, 4 GiB)
    python tests/bench/import_blocks.py --rows "import (fast)"   one pipeline alone

A Clique network is made with funded accounts, a token of our own (data/Token.sol), two contracts in assembler
and, for `cloud-day`, the contract suite with people in all roles (suite_day.py); full blocks are built and
sealed. The state is made once (states.py). Each pipeline then imports the same encoded blocks on a copy of
it, in a process of its own, so that its peak memory is its own:

    import      decode, recover senders, verify seal and header, execute, compare roots, commit to LevelDB,
                a share of bringing the durable state up to the head included
    execution   our executor alone, senders known, on a state in memory without the accounts that nobody has
                a key of
    py-evm      decode, then chain.import_block under py-evm's Clique rules, on a dict of all nodes
    both cores  import through the importer, the senders of the next block recovered beside: wall time

"pure" is without the kernels in C. Times are CPU time per transaction of the whole process (but for "both
cores"), the median of all blocks but the first, which warms the caches. The garbage collector works as in a
node, and counts: it passes by what stands before the first block, and goes through what comes later. py-evm
checks our state root, receipts root, bloom, gas and seal: a block it takes is one that both agree on.

"recovery" is what libsecp256k1 alone takes for a signature, before and after the row's blocks: where others
use the machine, too, it says how much of its speed they left for this row.
"""

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import trio
from coincurve import PrivateKey, PublicKey

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from node.app.run import SWITCH_INTERVAL_S
from node.chain.opening import Chain
from node.cli.run import YOUNG_OBJECTS
from node.config.settings import StorageSettings
from node.execution.context import context_of
from node.execution.evm.executor import FastExecutor
from node.execution.executor import Call, Executor, execute_block
from node.execution.py_evm import PyEvmExecutor
from node.native import PURE_VARIABLE, in_words
from node.primitives import rlp
from node.primitives.block import Block, decode_block, encode_block
from node.primitives.chain_spec import ChainSpec
from node.primitives.crypto import keccak256
from node.primitives.ids import ZERO_ADDRESS, Address
from node.primitives.state import StateChanges
from node.primitives.transaction import Transaction, recover_senders
from tests.bench.states import genesis_header, make_state, nodes_by_hash, open_copy, spec_of, stranger
from tests.bench.suite_day import TRANSACTIONS, SuiteDay
from tests.chain.harness import KEYS, ChainMaker, make_genesis, take
from tests.execution.builders import GWEI, assemble, context, key_of, signed
from tests.execution.worlds import MemoryView

SENDERS = 10_000
"""Accounts that have a key here; the others are there to make the state large."""
TOKEN, STORE, COMPUTE = (Address(bytes((n,)) * 20) for n in (0x70, 0x71, 0x72))
BALANCES_SLOT = 1
SUPPLY = 10**24
RECOVERIES = 500
DATA = Path(__file__).parent / "data"
EXECUTORS: dict[str, Callable[[], Executor]] = {
    "py-evm": PyEvmExecutor,
    "fast": lambda: FastExecutor(PyEvmExecutor()),
}
PURE = "fast, pure"
CLOUD_DAY = "cloud-day"
KINDS = {
    "transfers": 1_000,
    "erc-20, old holders": 800,
    "erc-20, new holders": 800,
    "storage": 200,
    "compute": 200,
    CLOUD_DAY: TRANSACTIONS,
}
"""Kind of transaction -> how many of them are in a block."""
STORE_CODE = assemble(
    # Twenty slots from the word given on: half of them are new to every transaction, half are there.
    "0 CALLDATALOAD 20 JUMPDEST DUP1 DUP3 ADD NUMBER SWAP1 SSTORE 1 SWAP1 SUB DUP1 5 JUMPI STOP"
)
COMPUTE_CODE = assemble(
    "0 CALLDATALOAD 1000 JUMPDEST SWAP1 DUP1 MUL 7 ADD SWAP1 1 SWAP1 SUB DUP1 6 JUMPI STOP"
)


# --- the network and its blocks


def genesis_of(kinds: Sequence[str]) -> tuple[dict[str, Any], SuiteDay | None]:
    """One signer; every account that has a key owns ether and tokens. The suite, where a kind needs it."""
    day = SuiteDay() if CLOUD_DAY in kinds else None
    owners = [key_of(number).address for number in range(SENDERS)]
    share = SUPPLY // SENDERS
    balances = {
        keccak256(owner.rjust(32, b"\0") + BALANCES_SLOT.to_bytes(32, "big")): share for owner in owners
    }
    storage = {"0x" + slot.hex(): hex(value) for slot, value in balances.items()}
    storage["0x" + bytes(32).hex()] = hex(SUPPLY)
    alloc: dict[str, Any] = {} if day is None else day.alloc
    alloc |= {"0x" + owner.hex(): {"balance": hex(10**21)} for owner in owners}
    alloc["0x" + TOKEN.hex()] = {"balance": "0x0", "code": "0x" + token_code().hex(), "storage": storage}
    alloc["0x" + STORE.hex()] = {"balance": "0x0", "code": "0x" + STORE_CODE.hex()}
    alloc["0x" + COMPUTE.hex()] = {"balance": "0x0", "code": "0x" + COMPUTE_CODE.hex()}
    return make_genesis(alloc=alloc, gas_limit=60_000_000), day


def token_code() -> bytes:
    """What the token's creation code deploys."""
    creation = bytes.fromhex((DATA / "Token.hex").read_text()) + SUPPLY.to_bytes(32, "big")
    call = Call(sender=ZERO_ADDRESS, to=None, data=creation, gas_limit=10_000_000)
    result = PyEvmExecutor().call(context(), MemoryView(), call)
    assert result.error is None, result.error
    return result.output


def make_network(folder: Path, kinds: Sequence[str], accounts: int, count: int) -> None:
    """The state in a folder, and beside it a file of full, sealed blocks for each kind of transaction."""
    genesis, day = genesis_of(kinds)
    make_state(folder, genesis, max(0, accounts - SENDERS))
    for kind in kinds:
        with on_a_copy(folder, EXECUTORS["fast"](), StorageSettings()) as maker:
            made = []
            for number in range(count):
                if kind == CLOUD_DAY:
                    assert day is not None
                    transactions = day.block(number + 1)
                else:
                    transactions = [_transaction(kind, index, number) for index in range(KINDS[kind])]
                made.append(encode_block(maker.extend(transactions)))
        _blocks_file(folder, kind).write_bytes(rlp.encode(made))


@contextmanager
def on_a_copy(folder: Path, executor: Executor, settings: StorageSettings) -> Iterator[ChainMaker]:
    """A node of the network at block 0, in a directory that is gone afterwards."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        kv = open_copy(folder, Path(place) / "db", settings)
        maker = ChainMaker(spec_of(folder), executor=executor, kv=kv, settings=settings)
        yield maker
        maker.chain.state.close()
        kv.close()


def blocks_of(folder: Path, kind: str) -> list[bytes]:
    """The encoded blocks that `make_network` left."""
    return [rlp.as_bytes(item) for item in rlp.as_list(rlp.decode(_blocks_file(folder, kind).read_bytes()))]


def _blocks_file(folder: Path, kind: str) -> Path:
    return folder / f"{kind}.blocks"


def _transaction(kind: str, index: int, number: int) -> Transaction:
    sender, recipient = key_of(index), key_of(SENDERS - 1 - index).address
    fee = 100 * GWEI
    if kind == "transfers":
        return signed(sender, number, to=recipient, value=1, gas=21_000, fee=fee)
    if kind == "compute":
        return signed(sender, number, to=COMPUTE, data=index.to_bytes(32, "big"), gas=120_000, fee=fee)
    if kind == "storage":
        first = 10 * (number * KINDS[kind] + index)
        return signed(sender, number, to=STORE, data=first.to_bytes(32, "big"), gas=290_000, fee=fee)
    if kind == "erc-20, new holders":
        recipient = stranger(number * KINDS[kind] + index)
    data = bytes.fromhex("a9059cbb") + recipient.rjust(32, b"\0") + (1).to_bytes(32, "big")
    return signed(sender, number, to=TOKEN, data=data, gas=60_000, fee=fee)


# --- the pipelines; each yields CPU seconds per block


def import_ours(folder: Path, blocks: Sequence[bytes], executor: Executor) -> list[float]:
    """The whole door, into LevelDB."""
    with on_a_copy(folder, executor, StorageSettings()) as maker:
        settle()
        times = [_timed(partial(_import, maker.chain, each)) for each in blocks]
        assert maker.chain.reader.head.hash == decode_block(blocks[-1]).hash
        # So few blocks are still in memory as a state: what brings them to the disk is theirs to pay.
        closing = _timed(maker.chain.ledger.close) / len(blocks)
    return [spent + closing for spent in times]


def _import(chain: Chain, encoded: bytes) -> None:
    block = decode_block(encoded)
    recover_senders(block.transactions)
    take(chain, [block])


def execute_ours(folder: Path, blocks: Sequence[bytes], executor: Executor) -> list[float]:
    """The executor alone."""
    spec, view = spec_of(folder), MemoryView()
    for address, account in spec.alloc.items():
        view.put(address, account.balance, account.nonce, account.code, account.storage)
    settle()
    times = []
    for encoded in blocks:
        block = decode_block(encoded)
        for tx in block.transactions:
            assert tx.sender
        run = partial(_execute, spec, view, block, executor)
        times.append(_timed(run))
        view = view.after(run())
    return times


def _execute(spec: ChainSpec, view: MemoryView, block: Block, executor: Executor) -> StateChanges:
    where = context_of(spec, block.header, KEYS[0].address, lambda number: None)
    outcome = execute_block(executor, where, view, block.transactions)
    assert outcome.gas_used == block.header.gas_used
    return outcome.changes


def import_stock(folder: Path, blocks: Sequence[bytes], executor: Executor) -> list[float]:
    """py-evm's own chain under its own Clique rules."""
    from tests.execution.stock import stock_block, stock_chain_on

    chain = stock_chain_on(spec_of(folder), genesis_header(folder), nodes_by_hash(folder))
    settle()
    times = [_timed(lambda block=each: chain.import_block(stock_block(chain, block))) for each in blocks]
    assert chain.get_canonical_head().hash == decode_block(blocks[-1]).hash
    return times


def import_on_both_cores(folder: Path, blocks: Sequence[bytes], executor: Executor) -> list[float]:
    """Through the importer, as catching up does: wall time."""

    async def run(chain: Chain, decoded: Sequence[Block]) -> list[float]:
        times = []
        settle()
        await chain.importer.recover_senders(decoded[0].transactions)
        for block, following in zip(decoded, [*decoded[1:], None], strict=True):
            started = time.perf_counter()
            async with trio.open_nursery() as nursery:
                if following is not None:
                    nursery.start_soon(chain.importer.recover_senders, following.transactions)
                await chain.importer.import_block(block)
            times.append(time.perf_counter() - started)
        return times

    with on_a_copy(folder, executor, StorageSettings()) as maker:
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        return trio.run(run, maker.chain, [decode_block(each) for each in blocks])


PIPELINES = {
    "import": import_ours,
    "execution": execute_ours,
    "py-evm": import_stock,
    "both cores": import_on_both_cores,
}


def settle() -> None:
    """What a node does once it has started (node.cli.run): the garbage collector passes by what stands."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)


def _timed(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


# --- running them


def measure(kind: str, pipeline: str, executor: str, folder: Path) -> dict[str, float]:
    """In this process: microseconds per transaction, of a recovery meanwhile, and peak memory in MiB."""
    before = _recovery_us()
    times = PIPELINES[pipeline](folder, blocks_of(folder, kind), EXECUTORS[executor]())
    recovery = (before + _recovery_us()) / 2
    us = statistics.median(times[1:] or times) / KINDS[kind] * 1e6
    return {"us": us, "recovery_us": recovery, "peak_mib": _peak_mib()}


def _recovery_us() -> float:
    """What libsecp256k1 takes for one signature, now: how quick the machine is at the moment."""
    signer = PrivateKey(bytes(31) + b"\1")
    signature = signer.sign_recoverable(bytes(32), hasher=None)
    started = time.process_time()
    for _ in range(RECOVERIES):
        PublicKey.from_signature_and_message(signature, bytes(32), hasher=None)
    return (time.process_time() - started) / RECOVERIES * 1e6


def _peak_mib() -> float:
    # getrusage would give the parent's where that was larger: it passes through fork and exec.
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
    return int(peak.split()[1]) / 1024


def apart(kind: str, pipeline: str, executor: str, folder: Path) -> dict[str, float]:
    """The same in a process of its own."""
    environment = os.environ | {PURE_VARIABLE: "1" if executor == PURE else "0"}
    name = "fast" if executor == PURE else executor
    command = [sys.executable, __file__, "--child", kind, pipeline, name, str(folder)]
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    measured: dict[str, float] = json.loads(result.stdout)
    return measured


ROWS = (
    ("py-evm", "py-evm"),
    ("import", "py-evm"),
    ("import", PURE),
    ("import", "fast"),
    ("both cores", "fast"),
    ("execution", "py-evm"),
    ("execution", PURE),
    ("execution", "fast"),
)
"""Pipeline and executor; the first is what the others are compared with."""


def name_of(pipeline: str, executor: str) -> str:
    """What a row is called."""
    return "py-evm import_block" if pipeline == "py-evm" else f"{pipeline} ({executor})"


def report(kind: str, count: int, accounts: int, rows: Sequence[str], folder: Path) -> None:
    """One table, line by line."""
    write = sys.stdout.write
    write(f"\n{kind}: {count} blocks of {KINDS[kind]} transactions, {accounts:,} accounts\n")
    write(f"{'':28}{'us/tx':>10}{'tx/s':>10}{'ratio':>8}{'recovery us':>13}{'peak MiB':>10}\n")
    stock = 0.0
    for pipeline, executor in ROWS:
        name = name_of(pipeline, executor)
        if name not in rows:
            continue
        each = apart(kind, pipeline, executor, folder)
        us, recovery, peak = each["us"], each["recovery_us"], each["peak_mib"]
        stock = stock or us
        write(f"{name:28}{us:10.1f}{1e6 / us:10.0f}{stock / us:8.1f}{recovery:13.1f}{peak:10.0f}\n")
        sys.stdout.flush()


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--blocks", type=int, default=5, help="blocks of each kind")
    parser.add_argument("--accounts", type=int, default=SENDERS)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    names = [name_of(*row) for row in ROWS]
    parser.add_argument("--rows", nargs="+", choices=names, default=names, help="the first is the baseline")
    parser.add_argument("--child", nargs=4, metavar=("KIND", "PIPELINE", "EXECUTOR", "FOLDER"))
    options = parser.parse_args()
    if options.child:
        sys.stdout.write(json.dumps(measure(*options.child[:3], Path(options.child[3]))))
        return
    sys.stdout.write(f"kernels: {in_words()}; load {os.getloadavg()[0]:.1f}\n")
    with tempfile.TemporaryDirectory() as place:
        folder, started = Path(place), time.perf_counter()
        make_network(folder, options.kinds, options.accounts, options.blocks)
        sys.stdout.write(f"state and blocks made in {time.perf_counter() - started:.0f} s\n")
        for kind in options.kinds:
            report(kind, options.blocks, options.accounts, options.rows, folder)


if __name__ == "__main__":
    main()
