"""Importing full blocks: ours, against py-evm's own chain.import_block on the very same bytes.

    python tests/bench/import_blocks.py                          every kind of transaction, 5 blocks each
    python tests/bench/import_blocks.py --blocks 3 --kinds transfers "erc-20, new holders"
    python tests/bench/import_blocks.py --accounts 1000000       the same on a larger state; takes memory
    python tests/bench/import_blocks.py --rows "import (fast)"   one pipeline alone

A Clique network is made with funded accounts, a token of our own (data/Token.sol) and two contracts in
assembler; full blocks are built and sealed. Each pipeline then imports the same encoded blocks in a process
of its own, so that its peak memory is its own:

    import      decode, recover senders, verify seal and header, execute, compare roots, commit to LevelDB,
                a share of bringing the durable state up to the head included
    execution   our executor alone, senders known, on the same state in memory
    py-evm      decode, then chain.import_block under py-evm's Clique rules, on a dict
    both cores  import through the importer, the senders of the next block recovered beside: wall time

"pure" is without the kernels in C. Times are CPU time per transaction of the whole process (but for "both
cores"), garbage collection off, the median of all blocks but the first, which warms the caches. py-evm checks
our state root, receipts root, bloom, gas and seal: a block it takes is one that both agree on.
"""

import argparse
import gc
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import trio

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from node.app.run import SWITCH_INTERVAL_S
from node.chain.opening import Chain
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
from node.storage.leveldb import LevelDB
from tests.chain.harness import KEYS, ChainMaker, make_spec, take
from tests.execution.builders import GWEI, assemble, context, key_of, signed
from tests.execution.worlds import MemoryView

SENDERS = 10_000
"""Accounts that have a key here; the others are there to make the state large."""
TOKEN, STORE, COMPUTE = (Address(bytes((n,)) * 20) for n in (0x70, 0x71, 0x72))
BALANCES_SLOT = 1
SUPPLY = 10**24
DATA = Path(__file__).parent / "data"
EXECUTORS: dict[str, Callable[[], Executor]] = {
    "py-evm": PyEvmExecutor,
    "fast": lambda: FastExecutor(PyEvmExecutor()),
}
PURE = "fast, pure"
KINDS = {
    "transfers": 1_000,
    "erc-20, old holders": 800,
    "erc-20, new holders": 800,
    "storage": 200,
    "compute": 200,
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


def network(accounts: int) -> ChainSpec:
    """One signer; every account owns ether and, if it has a key, tokens."""
    owners = [key_of(number).address for number in range(SENDERS)]
    share = SUPPLY // SENDERS
    balances = {
        keccak256(owner.rjust(32, b"\0") + BALANCES_SLOT.to_bytes(32, "big")): share for owner in owners
    }
    storage = {"0x" + slot.hex(): hex(value) for slot, value in balances.items()}
    storage["0x" + bytes(32).hex()] = hex(SUPPLY)
    alloc: dict[str, Any] = {"0x" + owner.hex(): {"balance": hex(10**21)} for owner in owners}
    for number in range(accounts - SENDERS):
        alloc["0x" + stranger(number).hex()] = {"balance": "0x1"}
    alloc["0x" + TOKEN.hex()] = {"balance": "0x0", "code": "0x" + token_code().hex(), "storage": storage}
    alloc["0x" + STORE.hex()] = {"balance": "0x0", "code": "0x" + STORE_CODE.hex()}
    alloc["0x" + COMPUTE.hex()] = {"balance": "0x0", "code": "0x" + COMPUTE_CODE.hex()}
    return make_spec(alloc=alloc, gas_limit=60_000_000)


def stranger(number: int) -> Address:
    """An account without a key here."""
    return Address(keccak256(b"stranger %d" % number)[:20])


def token_code() -> bytes:
    """What the token's creation code deploys."""
    creation = bytes.fromhex((DATA / "Token.hex").read_text()) + SUPPLY.to_bytes(32, "big")
    call = Call(sender=ZERO_ADDRESS, to=None, data=creation, gas_limit=10_000_000)
    result = PyEvmExecutor().call(context(), MemoryView(), call)
    assert result.error is None, result.error
    return result.output


def make_blocks(spec: ChainSpec, kind: str, count: int) -> list[bytes]:
    """Full blocks of one kind of transaction, sealed."""
    maker = ChainMaker(spec, executor=EXECUTORS["fast"]())
    blocks = []
    for number in range(count):
        transactions = [_transaction(kind, index, number) for index in range(KINDS[kind])]
        blocks.append(encode_block(maker.extend(transactions)))
    return blocks


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


def import_ours(spec: ChainSpec, blocks: Sequence[bytes], executor: Executor) -> list[float]:
    """The whole door, into LevelDB."""
    with tempfile.TemporaryDirectory() as folder:
        kv = LevelDB.open(Path(folder) / "db", StorageSettings())
        maker = ChainMaker(spec, executor=executor, kv=kv)
        times = [_timed(partial(_import, maker.chain, each)) for each in blocks]
        assert maker.chain.reader.head.hash == decode_block(blocks[-1]).hash
        # So few blocks are still in memory as a state: what brings them to the disk is theirs to pay.
        closing = _timed(maker.chain.ledger.close) / len(blocks)
        kv.close()
    return [spent + closing for spent in times]


def _import(chain: Chain, encoded: bytes) -> None:
    block = decode_block(encoded)
    recover_senders(block.transactions)
    take(chain, [block])


def execute_ours(spec: ChainSpec, blocks: Sequence[bytes], executor: Executor) -> list[float]:
    """The executor alone."""
    view = MemoryView()
    for address, account in spec.alloc.items():
        view.put(address, account.balance, account.nonce, account.code, account.storage)
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


def import_stock(spec: ChainSpec, blocks: Sequence[bytes], executor: Executor) -> list[float]:
    """py-evm's own chain under its own Clique rules."""
    from tests.execution.stock import stock_block, stock_chain

    chain = stock_chain(spec)
    times = [_timed(lambda block=each: chain.import_block(stock_block(chain, block))) for each in blocks]
    assert chain.get_canonical_head().hash == decode_block(blocks[-1]).hash
    return times


def import_on_both_cores(spec: ChainSpec, blocks: Sequence[bytes], executor: Executor) -> list[float]:
    """Through the importer, as catching up does: wall time."""

    async def run(chain: Chain, decoded: Sequence[Block]) -> list[float]:
        times = []
        await chain.importer.recover_senders(decoded[0].transactions)
        for block, following in zip(decoded, [*decoded[1:], None], strict=True):
            started = time.perf_counter()
            async with trio.open_nursery() as nursery:
                if following is not None:
                    nursery.start_soon(chain.importer.recover_senders, following.transactions)
                await chain.importer.import_block(block)
            times.append(time.perf_counter() - started)
        return times

    with tempfile.TemporaryDirectory() as folder:
        kv = LevelDB.open(Path(folder) / "db", StorageSettings())
        maker = ChainMaker(spec, executor=executor, kv=kv)
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        return trio.run(run, maker.chain, [decode_block(each) for each in blocks])


PIPELINES = {
    "import": import_ours,
    "execution": execute_ours,
    "py-evm": import_stock,
    "both cores": import_on_both_cores,
}


def _timed(work: Callable[[], object]) -> float:
    gc.collect()
    gc.disable()
    started = time.process_time()
    work()
    spent = time.process_time() - started
    gc.enable()
    return spent


# --- running them


def measure(
    kind: str, pipeline: str, executor: str, accounts: int, blocks: Sequence[bytes]
) -> dict[str, float]:
    """In this process: microseconds per transaction, and peak memory in MiB."""
    spec = network(accounts)
    times = PIPELINES[pipeline](spec, blocks, EXECUTORS[executor]())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"us": statistics.median(times[1:] or times) / KINDS[kind] * 1e6, "peak_mib": peak}


def apart(kind: str, pipeline: str, executor: str, accounts: int, folder: Path) -> dict[str, float]:
    """The same in a process of its own."""
    environment = os.environ | {PURE_VARIABLE: "1" if executor == PURE else "0"}
    name = "fast" if executor == PURE else executor
    command = [sys.executable, __file__, "--child", kind, pipeline, name, str(accounts), str(folder)]
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


def report(kind: str, count: int, accounts: int, rows: Sequence[str]) -> None:
    """One table, line by line."""
    write = sys.stdout.write
    write(f"\n{kind}: {count} blocks of {KINDS[kind]} transactions, {accounts:,} accounts\n")
    write(f"{'':28}{'us/tx':>10}{'tx/s':>10}{'ratio':>8}{'peak MiB':>10}\n")
    stock = 0.0
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "blocks").write_bytes(rlp.encode(make_blocks(network(accounts), kind, count)))
        for pipeline, executor in ROWS:
            name = name_of(pipeline, executor)
            if name not in rows:
                continue
            each = apart(kind, pipeline, executor, accounts, Path(folder))
            us, peak = each["us"], each["peak_mib"]
            stock = stock or us
            write(f"{name:28}{us:10.1f}{1e6 / us:10.0f}{stock / us:8.1f}{peak:10.0f}\n")
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
    parser.add_argument("--child", nargs=5, metavar=("KIND", "PIPELINE", "EXECUTOR", "ACCOUNTS", "FOLDER"))
    options = parser.parse_args()
    if options.child:
        kind, pipeline, executor, accounts, folder = options.child
        blocks = [rlp.as_bytes(item) for item in rlp.as_list(rlp.decode(Path(folder, "blocks").read_bytes()))]
        sys.stdout.write(json.dumps(measure(kind, pipeline, executor, int(accounts), blocks)))
        return
    sys.stdout.write(f"kernels: {in_words()}\n")
    for kind in options.kinds:
        report(kind, options.blocks, options.accounts, options.rows)


if __name__ == "__main__":
    main()
