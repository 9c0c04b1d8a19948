"""What peers are answered: every form of request, and its bounds."""

import pytest

from node.primitives.block import Body
from node.sync import serving
from node.sync.serving import (
    HEADERS_MAX,
    answer_bodies,
    answer_headers,
    answer_pooled,
    answer_receipts,
)
from p2p.eth.messages import GetBlockBodies, GetBlockHeaders, GetPooledTransactions, GetReceipts
from tests.sync.world import Branch, FakeChain, cached_transaction, long_chain

MAIN = long_chain(60)
SIDE = MAIN.fork(40).grow(10, out_of_turn=True)


@pytest.fixture(scope="module")
def chain() -> FakeChain:
    """Sixty blocks, and a branch of ten that leaves at forty."""
    chain = FakeChain(MAIN)
    for block, state in zip(SIDE.blocks[41:], SIDE.states[41:], strict=True):
        chain._keep(block, state)
    assert chain.head == MAIN.head.header
    return chain


def asked(chain: FakeChain, origin, amount, skip=0, reverse=False) -> list[int]:
    answer = answer_headers(chain, GetBlockHeaders(7, origin, amount, skip, reverse))
    assert answer.request_id == 7
    return [header.number for header in answer.headers]


@pytest.mark.parametrize(
    ("origin", "amount", "skip", "reverse", "numbers"),
    [
        (0, 3, 0, False, [0, 1, 2]),
        (58, 9, 0, False, [58, 59, 60]),
        (61, 1, 0, False, []),
        (10, 4, 4, False, [10, 15, 20, 25]),
        (50, 9, 9, False, [50, 60]),
        (3, 9, 0, True, [3, 2, 1, 0]),
        (60, 4, 19, True, [60, 40, 20, 0]),
        (60, 0, 0, False, []),
        (5, 3, 2**64 - 1, False, [5]),
        (5, 3, 2**64 - 1, True, [5]),
        (2**64 - 1, 1, 0, True, []),
    ],
)
def test_headers_by_number(chain, origin, amount, skip, reverse, numbers) -> None:
    assert asked(chain, origin, amount, skip, reverse) == numbers


def test_headers_by_hash_of_the_canonical_chain(chain: FakeChain) -> None:
    block_hash = MAIN.blocks[30].hash
    assert asked(chain, block_hash, 3) == [30, 31, 32]
    assert asked(chain, block_hash, 3, 9) == [30, 40, 50]
    assert asked(chain, block_hash, 3, 9, True) == [30, 20, 10]
    assert asked(chain, b"\x01" * 32, 3) == []


def test_headers_by_hash_of_a_side_branch(chain: FakeChain) -> None:
    top = SIDE.head.hash
    assert asked(chain, top, 3) == [50]  # upwards there is nothing of its branch that we would vouch for
    assert asked(chain, top, 13, 0, True) == list(range(50, 37, -1))
    assert asked(chain, top, 4, 14, True) == [50, 35, 20, 5]
    answer = answer_headers(chain, GetBlockHeaders(0, top, 4, 3, True))
    expected = [SIDE.blocks[number].header for number in (50, 46, 42)] + [MAIN.blocks[38].header]
    assert list(answer.headers) == expected


def test_a_long_walk_down_a_side_branch_ends(chain: FakeChain, monkeypatch) -> None:
    monkeypatch.setattr(serving, "SIDE_STEPS_MAX", 5)
    assert asked(chain, SIDE.head.hash, 10, 0, True) == [50, 49, 48, 47, 46]


def test_no_more_headers_than_the_bound(monkeypatch) -> None:
    chain = FakeChain(long_chain(1500))
    assert asked(chain, 0, 10_000) == list(range(HEADERS_MAX))
    monkeypatch.setattr(serving, "ANSWER_BYTES_MAX", 10_000)
    assert asked(chain, 0, 10_000) == list(range(16))


def test_bodies_and_receipts_leave_out_what_is_not_here(chain: FakeChain) -> None:
    hashes = (MAIN.blocks[5].hash, b"\x01" * 32, SIDE.head.hash, MAIN.blocks[10].hash)
    bodies = answer_bodies(chain, GetBlockBodies(3, hashes))
    assert (bodies.request_id, bodies.bodies) == (3, (MAIN.blocks[5].body, Body(), MAIN.blocks[10].body))
    receipts = answer_receipts(chain, GetReceipts(4, hashes))
    assert (receipts.request_id, receipts.receipts) == (4, ((), (), ()))


def test_answers_are_cut_by_size(monkeypatch) -> None:
    branch = Branch().grow(9, lambda number: [cached_transaction(number)])
    chain = FakeChain(branch)
    hashes = tuple(block.hash for block in branch.blocks[1:])
    monkeypatch.setattr(serving, "ANSWER_BYTES_MAX", 500)
    assert answer_bodies(chain, GetBlockBodies(0, hashes)).bodies == tuple(
        block.body for block in branch.blocks[1:4]
    )
    txs = {tx.hash: tx for block in branch.blocks for tx in block.transactions}
    answer = answer_pooled(txs.get, GetPooledTransactions(5, (b"\0" * 32, *txs)))
    assert answer.transactions == tuple(txs.values())[: len(answer.transactions)]
    assert len(answer.transactions) < 5
