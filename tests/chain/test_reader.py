"""The read-only face: what is there, what is not, and on which branch a question is asked."""

import pytest

from node.execution.context import Ancestors
from node.execution.executor import execute_block
from node.primitives.block import Header
from node.primitives.ids import Hash32
from node.state.store import StateUnavailable
from node.storage.blocks import read_refs
from tests.chain.harness import ACCOUNTS, KEYS, ChainMaker, make_spec, sign, transfer

NOBODY = Hash32(b"\x42" * 32)


@pytest.fixture
def maker() -> ChainMaker:
    """A chain of four blocks and a side block."""
    maker = ChainMaker(make_spec(KEYS[:3]))
    maker.extend([transfer(ACCOUNTS[0], 0)])
    maker.extend([transfer(ACCOUNTS[0], 1), transfer(ACCOUNTS[1], 0)])
    maker.extend([transfer(ACCOUNTS[2], 0)])
    side_parent = maker.reader.header_by_number(2)
    assert side_parent is not None
    maker.make(side_parent, signer=KEYS[1])
    maker.extend()
    return maker


def side_of(maker: ChainMaker) -> Header:
    refs = read_refs(maker.reader._kv, 3)
    hashes = [ref.hash for ref in refs if maker.reader.canonical_hash(ref.number) != ref.hash]
    header = maker.reader.header(hashes[0])
    assert header is not None
    return header


def test_what_is_there(maker: ChainMaker) -> None:
    reader = maker.reader
    head = reader.head
    assert (head.number, reader.genesis.number) == (4, 0)
    assert reader.header(head.hash) == reader.header_by_number(4) == head
    assert reader.block(head.hash) == reader.block_by_number(4)
    assert reader.body(head.hash) == reader.block(head.hash).body
    second = reader.header_by_number(2)
    assert [receipt.cumulative_gas_used for receipt in reader.receipts(second.hash)] == [21_000, 42_000]
    assert reader.total_difficulty(reader.genesis.hash) == 1
    assert reader.is_canonical(second)
    assert not reader.is_canonical(side_of(maker))


def test_what_is_not_there_is_none(maker: ChainMaker) -> None:
    reader = maker.reader
    assert reader.header(NOBODY) is None
    assert reader.body(NOBODY) is None
    assert reader.block(NOBODY) is None
    assert reader.receipts(NOBODY) is None
    assert reader.total_difficulty(NOBODY) is None
    assert reader.transaction_location(NOBODY) is None
    assert reader.engine_state(NOBODY) is None
    for number in (5, -1):
        assert reader.canonical_hash(number) is None
        assert reader.header_by_number(number) is None
        assert reader.block_by_number(number) is None
    with pytest.raises(StateUnavailable):
        reader.state_at(NOBODY)


def test_the_author_is_who_sealed_and_genesis_has_its_beneficiary(maker: ChainMaker) -> None:
    authors = [maker.reader.author_of(maker.reader.header_by_number(number)) for number in range(4)]
    assert authors == [bytes(20), KEYS[1].address, KEYS[2].address, KEYS[0].address]


def test_a_block_runs_again_in_its_context(maker: ChainMaker) -> None:
    reader = maker.reader
    block = reader.block_by_number(2)
    parent = reader.state_at(block.header.parent_hash)
    outcome = execute_block(maker.executor, reader.context_of(block.header), parent, block.transactions)
    assert outcome.receipts == reader.receipts(block.hash)
    assert outcome.gas_used == block.header.gas_used


def test_an_imagined_block_follows_its_parent(maker: ChainMaker) -> None:
    head = maker.head
    context = maker.reader.context_after(head, head.timestamp + 7, KEYS[0].address)
    assert (context.number, context.timestamp, context.author) == (5, head.timestamp + 7, KEYS[0].address)
    assert (context.gas_limit, context.difficulty) == (head.gas_limit, head.difficulty)
    assert context.base_fee_per_gas == maker.unimported(head).header.base_fee_per_gas
    assert context.block_hash(4) == head.hash
    assert context.block_hash(5) is None


def test_ancestors_are_those_of_the_branch(maker: ChainMaker) -> None:
    reader, side = maker.reader, side_of(maker)
    hashes = reader.ancestors(side)
    assert hashes(3) == side.hash != reader.canonical_hash(3)
    assert [hashes(number) for number in (2, 1, 0)] == [reader.canonical_hash(n) for n in (2, 1, 0)]
    assert hashes(4) is None
    assert hashes(-1) is None


def test_ancestors_stay_right_while_the_chain_reorganises_under_them() -> None:
    maker = ChainMaker(make_spec(KEYS[:3]))
    blocks = maker.extend_by(5)
    asked = []

    def canonical_hash(number: int) -> Hash32 | None:
        asked.append(number)
        # Between the first and the second look the block has left the chain.
        return NOBODY if len(asked) > 1 else maker.reader.canonical_hash(number)

    hashes = Ancestors(blocks[4].header, maker.reader.header, canonical_hash)
    assert hashes(2) == blocks[1].hash


def test_the_blockhash_instruction_sees_the_branch_it_runs_on() -> None:
    # PUSH1 1, NUMBER, SUB, BLOCKHASH, PUSH1 0, SSTORE: keeps the parent's hash.
    code = bytes.fromhex("6001430340600055")
    keeper = "00000000000000000000000000000000000000aa"
    maker = ChainMaker(make_spec(KEYS[:3], alloc={keeper: {"code": code.hex()}}))
    stem = maker.extend()
    call = sign(ACCOUNTS[0], nonce=0, to=bytes.fromhex(keeper), gas=100_000)
    one = maker.make(stem.header, signer=KEYS[2])
    other = maker.make(stem.header, signer=KEYS[0])
    for parent in (one, other):
        block = maker.make(parent.header, [call], signer=KEYS[1])
        view = maker.reader.state_at(block.hash)
        assert view.storage(bytes.fromhex(keeper), 0).to_bytes(32, "big") == parent.hash
