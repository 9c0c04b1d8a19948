"""The one door: what it lets in, what it refuses, and whom it tells when."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from node.chain.errors import (
    FutureBlock,
    InvalidBlock,
    InvalidBody,
    InvalidHeader,
    KnownBadBlock,
    UnknownParent,
    WrongOutcome,
)
from node.chain.events import HeadChanged
from node.chain.importer import RUN_BLOCKS_PER_WRITE, ImportResult
from node.chain.opening import Chain, open_chain
from node.chain.validation import transactions_root
from node.execution.executor import BlockContext, BlockSession
from node.execution.py_evm import PyEvmExecutor
from node.primitives.block import Block, Body, Header
from node.primitives.errors import StorageError
from node.primitives.ids import Address, Hash32
from node.primitives.state import StateView
from node.primitives.transaction import decode_transaction
from node.storage.kv import Batch
from node.storage.memory import MemoryKV
from tests.chain.harness import ACCOUNTS, GENESIS_TIME, KEYS, ChainMaker, make_spec, seal, transfer

THREE = KEYS[:3]


class CountingExecutor(PyEvmExecutor):
    """py-evm that counts the blocks it begins."""

    begun = 0

    def begin(self, context: BlockContext, parent: StateView) -> BlockSession:
        self.begun += 1
        return super().begin(context, parent)


class Heard:
    """A subscriber that keeps all it hears."""

    def __init__(self, chain: Chain) -> None:
        self._channel = chain.reader.events.subscribe(1000)

    def events(self) -> list[HeadChanged]:
        heard = []
        while True:
            try:
                heard.append(self._channel.receive_nowait())
            except trio.WouldBlock:
                return heard


def altered(block: Block, key_index: int = 0, **fields: Any) -> Block:
    """The block with other header fields, sealed again."""
    return seal(Block(dataclasses.replace(block.header, **fields), block.body), KEYS[key_index])


# --- what is let in


async def test_a_block_on_the_head_extends_the_chain() -> None:
    maker = ChainMaker()
    block = maker.extend([transfer(ACCOUNTS[0], 0, value=5)])
    chain = maker.open()
    heard = Heard(chain)
    assert await chain.importer.import_block(block) is ImportResult.EXTENDED
    assert chain.reader.head == block.header
    assert chain.reader.block_by_number(1) == block
    (event,) = heard.events()
    assert (event.removed, [executed.block for executed in event.added]) == ((), [block])
    assert event.added[0].receipts == chain.reader.receipts(block.hash)
    location = chain.reader.transaction_location(block.transactions[0].hash)
    assert location is not None
    assert (location.block_hash, location.number, location.index) == (block.hash, 1, 0)
    nobody = chain.reader.state_at(block.hash).account(Address(b"\x99" * 20))
    assert nobody is not None
    assert nobody.balance == 5
    assert chain.reader.total_difficulty(block.hash) == 3


async def test_a_known_block_changes_nothing() -> None:
    maker = ChainMaker()
    block = maker.extend()
    chain = maker.open()
    await chain.importer.import_block(block)
    heard = Heard(chain)
    assert await chain.importer.import_block(block) is ImportResult.KNOWN
    assert (
        await chain.importer.import_block(maker.reader.block(maker.reader.genesis.hash)) is ImportResult.KNOWN
    )
    assert heard.events() == []


async def test_a_lighter_branch_stays_beside_and_a_heavier_one_takes_over() -> None:
    maker = ChainMaker(make_spec(THREE))
    stem = maker.extend()
    mine = maker.make(stem.header, [transfer(ACCOUNTS[0], 0)], signer=KEYS[2])  # in turn: 2 % 3
    theirs = maker.make(stem.header, [transfer(ACCOUNTS[1], 0)], signer=KEYS[0])
    theirs2 = maker.make(theirs.header, [transfer(ACCOUNTS[1], 1)], signer=KEYS[2])
    theirs3 = maker.make(theirs2.header, signer=KEYS[1])
    chain = maker.open()
    heard = Heard(chain)
    results = [await chain.importer.import_block(block) for block in (stem, mine, theirs, theirs2, theirs3)]
    assert results == [
        ImportResult.EXTENDED,
        ImportResult.EXTENDED,
        ImportResult.SIDE,
        ImportResult.SIDE,
        ImportResult.REORGED,
    ]
    event = heard.events()[-1]
    assert [executed.block for executed in event.removed] == [mine]
    assert [executed.block for executed in event.added] == [theirs, theirs2, theirs3]
    assert [len(executed.receipts) for executed in (*event.removed, *event.added)] == [1, 1, 1, 0]
    assert chain.reader.transaction_location(mine.transactions[0].hash) is None
    assert chain.reader.transaction_location(theirs2.transactions[0].hash) is not None
    assert chain.reader.canonical_hash(2) == theirs.hash
    assert chain.reader.block(mine.hash) == mine, "a side block can still be asked for"


async def test_transactions_in_both_branches_are_found_where_the_chain_has_them() -> None:
    maker = ChainMaker(make_spec(THREE))
    tx = transfer(ACCOUNTS[0], 0)
    mine = maker.make(maker.head, [tx], signer=KEYS[0])
    theirs = maker.make(maker.reader.genesis, signer=KEYS[1])
    theirs2 = maker.make(theirs.header, [tx], signer=KEYS[2])
    chain = maker.open()
    for block in (mine, theirs, theirs2):
        await chain.importer.import_block(block)
    location = chain.reader.transaction_location(tx.hash)
    assert location is not None
    assert location.block_hash == chain.reader.canonical_hash(location.number)


async def test_a_run_is_written_in_parts_and_told_part_by_part() -> None:
    maker = ChainMaker()
    blocks = maker.extend_by(2 * RUN_BLOCKS_PER_WRITE + 3)
    chain = maker.open()
    heard = Heard(chain)
    assert await chain.importer.import_run(blocks) is ImportResult.EXTENDED
    assert [len(event.added) for event in heard.events()] == [RUN_BLOCKS_PER_WRITE, RUN_BLOCKS_PER_WRITE, 3]
    assert chain.reader.head == blocks[-1].header
    assert 12 <= len(blocks) - chain.state.base.number <= maker.settings.state_layers_max == 16
    assert await chain.importer.import_run(blocks) is ImportResult.KNOWN


async def test_a_run_may_begin_with_known_blocks() -> None:
    maker = ChainMaker()
    blocks = maker.extend_by(6)
    chain = maker.open()
    await chain.importer.import_run(blocks[:4])
    assert await chain.importer.import_run(blocks[2:]) is ImportResult.EXTENDED
    assert chain.reader.head == blocks[-1].header


async def test_the_state_leaves_memory_in_the_batch_that_writes_the_block() -> None:
    maker = ChainMaker()
    writes: list[Batch] = []

    class Watched(MemoryKV):
        def write(self, batch: Batch, *, sync: bool) -> None:
            assert sync, "a block is durable when its write returns"
            writes.append(batch)
            super().write(batch, sync=sync)

    chain = maker.open(Watched())
    writes.clear()
    for number in range(1, 30):
        await chain.importer.import_block(maker.extend([transfer(ACCOUNTS[0], number - 1)]))
        assert len(writes) == number, "one write for each block"
    assert chain.state.base.number == 15, "over a quarter of the layers at once: 5, 10, 15"


async def test_known_senders_are_not_recovered_again() -> None:
    maker = ChainMaker()
    block = maker.extend([transfer(ACCOUNTS[0], 0)])
    (tx,) = block.transactions
    fresh = decode_transaction(tx.encoded)
    chain = maker.open()
    asked: list[Hash32] = []

    def known_sender(tx_hash: Hash32) -> Address:
        asked.append(tx_hash)
        return tx.sender

    chain.importer.senders.known_sender = known_sender
    await chain.importer.import_block(Block(block.header, Body((fresh,))))
    assert asked == [tx.hash]
    assert fresh._sender == tx.sender


async def test_our_own_sealed_block_is_not_executed_again() -> None:
    executor = CountingExecutor()
    maker = ChainMaker(executor=executor)
    block = maker.unimported(maker.head, [transfer(ACCOUNTS[0], 0)])
    built = maker.built
    assert built is not None
    begun = executor.begun
    chain = maker.chain
    await chain.importer.remember_built(built)
    assert await chain.importer.import_block(block) is ImportResult.EXTENDED
    assert executor.begun == begun
    await chain.importer.import_block(maker.unimported(maker.head))
    assert executor.begun == begun + 2, "built once, and imported without being handed over: executed again"


async def test_what_was_built_is_not_taken_for_another_block() -> None:
    executor = CountingExecutor()
    maker = ChainMaker(executor=executor)
    block = maker.unimported(maker.head, [transfer(ACCOUNTS[0], 0)])
    built = maker.built
    assert built is not None
    await maker.chain.importer.remember_built(built)
    other = altered(block, timestamp=block.header.timestamp + 1)
    begun = executor.begun
    await maker.chain.importer.import_block(other)
    assert executor.begun == begun + 1
    assert not built.is_sealed_as(other.header, built.author)
    assert not built.is_sealed_as(block.header, KEYS[1].address)
    assert built.is_sealed_as(block.header, KEYS[0].address)


# --- what is refused


async def test_a_block_without_its_parent_is_not_judged() -> None:
    maker = ChainMaker()
    first, second = maker.extend_by(2)
    chain = maker.open()
    with pytest.raises(UnknownParent) as caught:
        await chain.importer.import_block(second)
    assert caught.value.parent_hash == first.hash
    await chain.importer.import_run([first, second])
    assert chain.reader.head == second.header


Breaking = Callable[[Block], Block]


@pytest.mark.parametrize(
    ("broken", "error", "text"),
    [
        (lambda b: altered(b, gas_limit=b.header.gas_limit * 2), InvalidHeader, "gas limit"),
        (lambda b: altered(b, difficulty=1), InvalidHeader, "difficulty"),
        (lambda b: altered(b, key_index=1), InvalidHeader, "signer"),
        (lambda b: altered(b, timestamp=b.header.timestamp - 1), InvalidHeader, "block #1"),
        (lambda b: altered(b, state_root=Hash32(b"\x01" * 32)), WrongOutcome, "state root"),
        (lambda b: altered(b, receipts_root=Hash32(b"\x01" * 32)), WrongOutcome, "receipts root"),
        (lambda b: altered(b, gas_used=42_000), WrongOutcome, "gas used 21000 where the header has 42000"),
        (lambda b: altered(b, logs_bloom=b"\x01" + bytes(255)), WrongOutcome, "bloom"),
    ],
    ids=["gas limit", "turn", "signer", "time", "state root", "receipts root", "gas used", "bloom"],
)
async def test_a_bad_block_is_refused_and_remembered(broken: Breaking, error: type, text: str) -> None:
    maker = ChainMaker()
    good = maker.extend([transfer(ACCOUNTS[0], 0)])
    chain = maker.open()
    bad = broken(good)
    with pytest.raises(error, match=text):
        await chain.importer.import_block(bad)
    assert chain.reader.header(bad.hash) is None
    with pytest.raises(KnownBadBlock, match=text):
        await chain.importer.import_block(bad)
    child = Block(dataclasses.replace(good.header, number=2, parent_hash=bad.hash), Body())
    with pytest.raises(KnownBadBlock):
        await chain.importer.import_block(child)
    assert await chain.importer.import_block(good) is ImportResult.EXTENDED
    assert chain.importer.statistics.refused == 3


async def test_a_transaction_that_may_not_be_there_is_named() -> None:
    maker = ChainMaker()
    good = maker.extend([transfer(ACCOUNTS[0], 0), transfer(ACCOUNTS[0], 1)])
    swapped = tuple(reversed(good.transactions))
    root = transactions_root(swapped)
    bad = seal(Block(dataclasses.replace(good.header, transactions_root=root), Body(swapped)), KEYS[0])
    with pytest.raises(InvalidBlock, match=rf"transaction 0, 0x{swapped[0].hash.hex()}: .*nonce"):
        await maker.open().importer.import_block(bad)


async def test_a_wrong_body_says_nothing_about_its_header() -> None:
    maker = ChainMaker()
    good = maker.extend([transfer(ACCOUNTS[0], 0)])
    chain = maker.open()
    with pytest.raises(InvalidBody):
        await chain.importer.import_block(Block(good.header, Body()))
    assert await chain.importer.import_block(good) is ImportResult.EXTENDED


async def test_a_run_keeps_what_comes_before_the_refused_block() -> None:
    maker = ChainMaker()
    first, second, third = maker.extend_by(3)
    chain = maker.open()
    bad = Block(third.header, Body((transfer(ACCOUNTS[0], 0),)))
    heard = Heard(chain)
    with pytest.raises(InvalidBody):
        await chain.importer.import_run([first, second, bad])
    assert chain.reader.head == second.header
    assert [len(event.added) for event in heard.events()] == [2]


async def test_headers_of_a_run_are_verified_before_anything_is_executed() -> None:
    executor = CountingExecutor()
    maker = ChainMaker(executor=executor)
    blocks = maker.extend_by(3)
    bad = altered(blocks[2], difficulty=1)
    chain = maker.open()
    executor.begun = 0
    with pytest.raises(InvalidHeader):
        await chain.importer.import_run([*blocks[:2], bad])
    assert (executor.begun, chain.reader.head.number) == (0, 0)


def at_time(maker: ChainMaker, unix_time: Callable[[], float]) -> Chain:
    return open_chain(
        MemoryKV(), maker.spec, maker.rules, maker.executor, maker.settings, unix_time=unix_time
    )


async def test_a_block_a_little_early_waits_and_one_far_ahead_is_refused(autojump_clock: MockClock) -> None:
    maker = ChainMaker()
    first, second = maker.extend_by(2)
    chain = at_time(maker, lambda: GENESIS_TIME - 2 + trio.current_time())
    assert await chain.importer.import_block(first) is ImportResult.EXTENDED
    assert 3.0 <= trio.current_time() < 5.0
    late = maker.extend(delay_s=60)
    with pytest.raises(FutureBlock):
        await chain.importer.import_run([second, late])
    assert chain.reader.head == first.header
    await trio.sleep(100)
    assert await chain.importer.import_run([second, late]) is ImportResult.EXTENDED, "a clock is no sin"


# --- what is our own fault


class BrokenExecutor(PyEvmExecutor):
    """An executor with a bug."""

    def begin(self, context: BlockContext, parent: StateView) -> BlockSession:
        raise ZeroDivisionError("a bug of ours")


async def test_a_bug_of_ours_condemns_no_block_and_closes_the_door() -> None:
    maker = ChainMaker()
    block = maker.extend()
    kv = MemoryKV()
    broken = open_chain(kv, maker.spec, maker.rules, BrokenExecutor(), maker.settings)
    with pytest.raises(ZeroDivisionError):
        await broken.importer.import_block(block)
    with pytest.raises(RuntimeError, match="no block is taken in any more"):
        await broken.importer.import_block(block)
    assert await maker.open(kv).importer.import_block(block) is ImportResult.EXTENDED


async def test_a_full_disk_announces_nothing_and_stops_the_import() -> None:
    maker = ChainMaker()
    first, second = maker.extend_by(2)
    kv = MemoryKV()
    chain = maker.open(kv)
    await chain.importer.import_block(first)
    heard = Heard(chain)
    kv.fail_after(0)
    with pytest.raises(StorageError, match="no space left"):
        await chain.importer.import_block(second)
    assert heard.events() == []
    assert chain.reader.head == first.header
    with pytest.raises(RuntimeError, match="no space left"):
        await chain.importer.import_block(second)
    await chain.importer.close()  # tries nothing more, and hides nothing of what happened


async def test_nothing_is_imported_after_closing() -> None:
    maker = ChainMaker()
    blocks = maker.extend_by(5)
    kv = MemoryKV()
    chain = maker.open(kv)
    await chain.importer.import_run(blocks[:4])
    assert chain.state.base.number == 0
    await chain.importer.close()
    assert chain.state.base == blocks[3].ref
    with pytest.raises(RuntimeError, match="closed"):
        await chain.importer.import_block(blocks[4])
    assert maker.open(kv).state.base == blocks[3].ref


async def test_imports_from_many_tasks_take_turns() -> None:
    maker = ChainMaker(make_spec(THREE))
    blocks: Sequence[Block] = maker.extend_by(12)
    chain = maker.open()
    heard = Heard(chain)

    async def push(header: Header) -> None:
        block = maker.reader.block(header.hash)
        assert block is not None
        while True:
            try:
                await chain.importer.import_block(block)
            except UnknownParent:
                await trio.lowlevel.checkpoint()
            else:
                return

    async with trio.open_nursery() as nursery:
        for block in (*reversed(blocks), *blocks):
            nursery.start_soon(push, block.header)
    heads = [event.head.number for event in heard.events()]
    assert heads == list(range(1, 13))
