"""Senders are recovered in batches, off the event loop, and none of them twice."""

import pytest
import trio

from node.chain import senders
from node.chain.senders import AT_ONCE_MAX, BATCH_TRANSACTIONS_MAX, SenderRecovery
from node.primitives import rlp
from node.primitives.transaction import Transaction, decode_transaction, recover_senders
from tests.chain.harness import KEYS
from tests.execution.builders import signed


def fresh(count: int) -> list[Transaction]:
    """Transactions as they come from the wire."""
    return [decode_transaction(signed(KEYS[0], nonce).encoded) for nonce in range(count)]


@pytest.fixture
def batches(monkeypatch) -> list[int]:
    """The sizes of what is recovered in one go."""
    sizes: list[int] = []

    def counted(transactions) -> None:
        sizes.append(len(transactions))
        recover_senders(transactions)

    monkeypatch.setattr(senders, "recover_senders", counted)
    return sizes


@pytest.mark.parametrize("count", [0, 1, AT_ONCE_MAX, AT_ONCE_MAX + 1, 40, BATCH_TRANSACTIONS_MAX + 1])
async def test_every_sender_is_recovered(count, batches):
    transactions = fresh(count)
    await SenderRecovery().recover(transactions)
    assert {tx._sender for tx in transactions} <= {KEYS[0].address}
    assert all(tx.has_sender for tx in transactions)
    assert sum(batches) == count


async def test_what_is_known_is_not_recovered(batches):
    known, remembered, unknown = transactions = fresh(3)
    known.remember_sender(KEYS[1].address)
    recovery = SenderRecovery({remembered.hash: KEYS[2].address}.get)
    await recovery.recover(transactions)
    assert [tx.sender for tx in transactions] == [KEYS[n].address for n in (1, 2, 0)]
    assert batches == [1]
    assert unknown.has_sender


async def test_a_signature_that_nobody_made_leaves_the_others_alone():
    transactions = fresh(20)
    fields = rlp.as_list(rlp.decode(transactions[3].encoded))
    nobody = decode_transaction(rlp.encode([*fields[:7], 5, 1]))  # no point of the curve has the x of r
    await SenderRecovery().recover([*transactions, nobody])
    assert [tx.has_sender for tx in (*transactions, nobody)] == [True] * 20 + [False]


async def test_those_who_come_at_a_time_share_a_batch(batches):
    transactions, recovery = fresh(50), SenderRecovery()
    async with trio.open_nursery() as nursery:
        for tx in transactions:
            nursery.start_soon(recovery.recover_with_others, tx)
    assert all(tx.has_sender for tx in transactions)
    assert len(batches) < 10
