"""Importing full blocks: ours, against py-evm's own chain.import_block on the very same bytes.

    python tests/bench/import_blocks.py                 transfers and ERC-20 transfers, 5 blocks each
    python tests/bench/import_blocks.py --blocks 2      a quick look

A Clique network is made with thousands of funded accounts and a token of our own (data/Token.sol); full
blocks are built and sealed. Each pipeline then imports the same encoded blocks in a process of its own, so
that its peak memory is its own:

    import      decode, recover senders, verify seal and header, execute, compare roots, commit to LevelDB
    execution   our executor alone, senders known, on the same state in memory
    py-evm      decode, then chain.import_block under py-evm's Clique rules, on a dict

Times are CPU time per transaction of the whole process, garbage collection off, the median of all blocks but
the first, which warms the caches. py-evm checks our state root, receipts root, bloom, gas and seal: a block
it takes is one that both agree on to the last byte.
"""

import argparse
import gc
import json
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

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from node.config.settings import StorageSettings
from node.execution.context import context_of
from node.execution.evm.executor import FastExecutor
from node.execution.executor import Call, Executor, execute_block
from node.execution.py_evm import PyEvmExecutor
from node.primitives import rlp
from node.primitives.block import Block, decode_block, encode_block
from node.primitives.chain_spec import ChainSpec
from node.primitives.crypto import keccak256
from node.primitives.ids import ZERO_ADDRESS, Address
from node.primitives.state import StateChanges
from node.primitives.transaction import Transaction
from node.storage.leveldb import LevelDB
from tests.chain.harness import KEYS, ChainMaker, make_spec, take
from tests.execution.builders import GWEI, context, key_of, signed
from tests.execution.worlds import MemoryView

ACCOUNTS = 10_000
TRANSFERS_PER_BLOCK = 1_000
TOKEN_TRANSFERS_PER_BLOCK = 800
TOKEN = Address(b"\x70" * 20)
BALANCES_SLOT = 1
SUPPLY = 10**24
DATA = Path(__file__).parent / "data"
EXECUTORS: dict[str, Callable[[], Executor]] = {
    "py-evm": PyEvmExecutor,
    "fast": lambda: FastExecutor(PyEvmExecutor()),
}


# --- the network and its blocks


def network() -> ChainSpec:
    """One signer; every account owns ether and tokens."""
    owners = [key_of(number).address for number in range(ACCOUNTS)]
    share = SUPPLY // ACCOUNTS
    balances = {
        keccak256(owner.rjust(32, b"\0") + BALANCES_SLOT.to_bytes(32, "big")): share for owner in owners
    }
    storage = {"0x" + slot.hex(): hex(value) for slot, value in balances.items()}
    storage["0x" + bytes(32).hex()] = hex(SUPPLY)
    alloc: dict[str, Any] = {"0x" + owner.hex(): {"balance": hex(10**21)} for owner in owners}
    alloc["0x" + TOKEN.hex()] = {"balance": "0x0", "code": "0x" + token_code().hex(), "storage": storage}
    return make_spec(alloc=alloc, gas_limit=60_000_000)


def token_code() -> bytes:
    """What the token's creation code deploys."""
    creation = bytes.fromhex((DATA / "Token.hex").read_text()) + SUPPLY.to_bytes(32, "big")
    call = Call(sender=ZERO_ADDRESS, to=None, data=creation, gas_limit=10_000_000)
    result = PyEvmExecutor().call(context(), MemoryView(), call)
    assert result.error is None, result.error
    return result.output


def make_blocks(kind: str, count: int) -> list[bytes]:
    """Full blocks of one kind of transaction, sealed."""
    maker = ChainMaker(network())
    blocks = []
    for number in range(count):
        transactions = [_transaction(kind, index, number) for index in range(_per_block(kind))]
        blocks.append(encode_block(maker.extend(transactions)))
    return blocks


def _per_block(kind: str) -> int:
    return TRANSFERS_PER_BLOCK if kind == "transfers" else TOKEN_TRANSFERS_PER_BLOCK


def _transaction(kind: str, index: int, number: int) -> Transaction:
    sender, recipient = key_of(index), key_of(ACCOUNTS - 1 - index).address
    fee = 100 * GWEI
    if kind == "transfers":
        return signed(sender, number, to=recipient, value=1, gas=21_000, fee=fee)
    data = bytes.fromhex("a9059cbb") + recipient.rjust(32, b"\0") + (1).to_bytes(32, "big")
    return signed(sender, number, to=TOKEN, data=data, gas=60_000, fee=fee)


# --- the pipelines; each yields CPU seconds per block


def import_ours(spec: ChainSpec, blocks: Sequence[bytes], executor: Executor) -> list[float]:
    """The whole door, into LevelDB."""
    with tempfile.TemporaryDirectory() as folder:
        kv = LevelDB.open(Path(folder) / "db", StorageSettings())
        maker = ChainMaker(spec, executor=executor, kv=kv)
        times = [_timed(lambda block=each: take(maker.chain, [decode_block(block)])) for each in blocks]
        assert maker.chain.reader.head.hash == decode_block(blocks[-1]).hash
    return times


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


PIPELINES = {"import": import_ours, "execution": execute_ours, "py-evm": import_stock}


def _timed(work: Callable[[], object]) -> float:
    gc.collect()
    gc.disable()
    started = time.process_time()
    work()
    spent = time.process_time() - started
    gc.enable()
    return spent


# --- running them


def measure(kind: str, pipeline: str, executor: str, blocks: Sequence[bytes]) -> dict[str, float]:
    """In this process: microseconds per transaction, and peak memory before and after, in MiB."""
    spec = network()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    times = PIPELINES[pipeline](spec, blocks, EXECUTORS[executor]())
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    per_transaction = statistics.median(times[1:] or times) / _per_block(kind) * 1e6
    return {"us": per_transaction, "before_mib": before, "peak_mib": after}


def apart(kind: str, pipeline: str, executor: str, folder: Path) -> dict[str, float]:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--child", kind, pipeline, executor, str(folder)]
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    measured: dict[str, float] = json.loads(result.stdout)
    return measured


def report(kind: str, count: int) -> None:
    """One table."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "blocks").write_bytes(rlp.encode(make_blocks(kind, count)))
        rows = [("py-evm import_block", apart(kind, "py-evm", "py-evm", Path(folder)))]
        for executor in EXECUTORS:
            rows += [
                (f"{pipeline} ({executor})", apart(kind, pipeline, executor, Path(folder)))
                for pipeline in ("import", "execution")
            ]
    stock = rows[0][1]["us"]
    sys.stdout.write(f"\n{kind}: {count} blocks of {_per_block(kind)} transactions, {ACCOUNTS:,} accounts\n")
    sys.stdout.write(f"{'':28}{'us/tx':>10}{'tx/s':>10}{'ratio':>8}{'peak MiB':>10}\n")
    for name, each in rows:
        us, peak = each["us"], each["peak_mib"]
        sys.stdout.write(f"{name:28}{us:10.1f}{1e6 / us:10.0f}{stock / us:8.1f}{peak:10.0f}\n")


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--blocks", type=int, default=5, help="blocks of each kind")
    parser.add_argument("--child", nargs=4, metavar=("KIND", "PIPELINE", "EXECUTOR", "FOLDER"))
    options = parser.parse_args()
    if options.child:
        kind, pipeline, executor, folder = options.child
        blocks = [rlp.as_bytes(item) for item in rlp.as_list(rlp.decode(Path(folder, "blocks").read_bytes()))]
        sys.stdout.write(json.dumps(measure(kind, pipeline, executor, blocks)))
        return
    for kind in ("transfers", "erc-20 transfers"):
        report(kind, options.blocks)


if __name__ == "__main__":
    main()
