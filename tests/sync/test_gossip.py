"""Gossip: everything arrives everywhere, once, and nobody can make us work without end."""

from collections import Counter
from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest
import trio
import trio.testing

from node.primitives.block import Block, BlockRef, Body
from node.primitives.state import Account
from node.sync import block_intake, transaction_intake
from node.sync.block_intake import QUEUE_BLOCKS_MAX
from p2p.eth.messages import (
    BlockBodies,
    BlockHeaders,
    GetBlockBodies,
    GetBlockHeaders,
    GetPooledTransactions,
    GetReceipts,
    Message,
    NewBlock,
    NewBlockHashes,
    NewPooledTransactionHashes,
    PooledTransactions,
    Receipts,
    Transactions,
)
from tests.sync.test_catch_up import honest
from tests.sync.world import (
    NOW_S,
    Branch,
    End,
    FakeChain,
    Node,
    linked,
    long_chain,
    play,
    status_of,
    until,
)
from tests.txpool.world import ETHER, key_of, signed

BASE = long_chain(20)


async def network(nursery: trio.Nursery, size: int, links: Any = None) -> list[Node]:
    """Nodes on the same chain, all linked with all unless `links` are given."""
    nodes = [await Node(f"node{place}", nursery, BASE).start() for place in range(size)]
    for a, b in links or combinations(range(size), 2):
        nodes[a].connect(nodes[b])
    await trio.testing.wait_all_tasks_blocked()
    return nodes


def rich(nodes: list[Node], *numbers: int) -> None:
    for node in nodes:
        for number in numbers:
            node.ledger.set(key_of(number), balance=ETHER)


def sent(nodes: list[Node], kind: type) -> list[Any]:
    return [m for node in nodes for end in node.ends.values() for m in end.sent if isinstance(m, kind)]


async def scripted(node: Node, name: str = "peer", answer: Any = None, **status: Any) -> End:
    """Link with a peer that says only what the test makes it say: the peer's end."""
    ours, theirs = linked(node.name, status_of(node.chain), name, status_of(node.chain, **status))
    node.serve(ours)
    if answer is not None:
        node.nursery.start_soon(play, theirs, answer)
    await trio.testing.wait_all_tasks_blocked()
    return theirs


def grown(**fields: Any) -> Branch:
    branch = BASE.fork(20)
    branch.blocks.append(branch.next_block(**fields))
    return branch


# --- blocks


async def test_a_sealed_block_reaches_every_node_of_a_small_network_in_full_and_once(
    nursery, autojump_clock
) -> None:
    nodes = await network(nursery, 5)
    branch = BASE.fork(20).grow(1)
    await nodes[0].chain.import_block(branch.head)
    nodes[0].sync.announce_block(branch.head)
    await until(lambda: all(node.chain.head == branch.head.header for node in nodes))
    await trio.sleep(10)
    assert not sent(nodes, GetBlockHeaders)
    for node in nodes:
        for end in node.ends.values():
            told = Counter(block_hash for message in end.sent for block_hash in blocks_in(message))
            assert max(told.values(), default=0) <= 1


def blocks_in(message: Message) -> list[bytes]:
    """Hashes of the blocks that a message tells of."""
    match message:
        case NewBlock():
            return [message.block.hash]
        case NewBlockHashes():
            return [ref.hash for ref in message.entries]
    return []


def transactions_in(message: Message) -> list[bytes]:
    """Hashes of the transactions that a message tells of."""
    match message:
        case Transactions():
            return [tx.hash for tx in message.transactions]
        case NewPooledTransactionHashes():
            return list(message.hashes)
    return []


async def test_in_a_large_network_most_fetch_the_block_by_its_hash(nursery, autojump_clock) -> None:
    hub_links = [(0, place) for place in range(1, 31)]
    nodes = await network(nursery, 31, hub_links)
    branch = BASE.fork(20).grow(1, lambda _: [signed(key_of(0), 0)])
    await nodes[0].chain.import_block(branch.head)
    nodes[0].sync.announce_block(branch.head)
    await until(lambda: all(node.chain.head == branch.head.header for node in nodes))
    in_full = sent(nodes[:1], NewBlock)
    by_hash = sent(nodes[:1], NewBlockHashes)
    assert (len(in_full), len(by_hash)) == (6, 24)
    assert len(sent(nodes[1:], GetBlockBodies)) == 24


async def test_a_block_travels_along_a_line(nursery, autojump_clock) -> None:
    nodes = await network(nursery, 6, [(place, place + 1) for place in range(5)])
    branch = BASE.fork(20).grow(1)
    await nodes[0].chain.import_block(branch.head)
    nodes[0].sync.announce_block(branch.head)
    await until(lambda: nodes[5].chain.head == branch.head.header, within_s=1)


async def test_a_block_is_passed_on_before_it_is_imported(nursery, autojump_clock) -> None:
    slow = await Node("slow", nursery, BASE, import_s=60.0).start()
    next_one = await Node("next", nursery, BASE).start()
    slow.connect(next_one)
    branch = BASE.fork(20).grow(1)
    peer = await scripted(slow)
    peer.send(NewBlock(branch.head, branch.total_difficulty))
    await until(lambda: next_one.chain.head == branch.head.header, within_s=1)
    assert slow.chain.head == BASE.head.header


async def test_who_makes_blocks_hears_of_a_good_one_before_it_is_imported_and_of_no_bad_one(
    nursery, autojump_clock
) -> None:
    node = await Node("us", nursery, BASE, import_s=60.0).start()
    coming: list[Any] = []
    node.sync.on_coming(coming.append)
    branch = BASE.fork(20).grow(1)
    liar, honest_peer = await scripted(node, "liar"), await scripted(node, "honest")
    bad = Block(branch.head.header, Body((signed(key_of(0), 0),)))
    liar.send(NewBlock(bad, branch.total_difficulty))
    await trio.sleep(1)
    assert not coming
    honest_peer.send(NewBlock(branch.head, branch.total_difficulty))
    await until(lambda: coming == [branch.head.header], within_s=1)
    assert node.chain.head == BASE.head.header


async def test_children_wait_for_a_parent_that_is_being_imported(nursery, autojump_clock) -> None:
    node = await Node("us", nursery, BASE, import_s=5.0).start()
    branch = BASE.fork(20).grow(4)
    peer = await scripted(node)
    for number in range(21, 25):
        peer.send(NewBlock(branch.blocks[number], BASE.total_difficulty + 2 * (number - 20)))
    await until(lambda: node.chain.head == branch.head.header, within_s=30)
    assert not [m for m in node.ends["peer"].sent if isinstance(m, GetBlockHeaders)]


async def test_a_block_that_is_being_imported_is_not_asked_for_again(nursery, autojump_clock) -> None:
    node = await Node("us", nursery, BASE, import_s=30.0).start()
    branch = BASE.fork(20).grow(1)
    peers = [await scripted(node, name) for name in ("first", "second")]
    for peer in peers:
        peer.send(NewBlock(branch.head, branch.total_difficulty))
    await until(lambda: node.chain.head == branch.head.header)
    assert not sent([node], GetBlockHeaders)


async def test_an_unknown_parent_is_caught_up_with(nursery, autojump_clock) -> None:
    node = await Node("us", nursery, BASE).start()
    branch = BASE.fork(20).grow(40)
    peer = await scripted(node, answer=honest(FakeChain(branch)))
    peer.send(NewBlock(branch.head, branch.total_difficulty))
    await until(lambda: node.chain.head == branch.head.header, within_s=5)


async def test_a_hash_far_ahead_is_caught_up_with(nursery, autojump_clock) -> None:
    node = await Node("us", nursery, BASE).start()
    branch = BASE.fork(20).grow(400)
    peer = await scripted(node, answer=honest(FakeChain(branch)))
    peer.send(NewBlockHashes((branch.head.ref,)))
    await until(lambda: node.chain.head == branch.head.header, within_s=10)


async def test_an_announced_block_is_fetched_from_the_next_who_has_it(nursery, autojump_clock) -> None:
    node = await Node("us", nursery, BASE).start()
    branch = BASE.fork(20).grow(1, lambda _: [signed(key_of(0), 0)])
    silent = await scripted(node, "silent", answer=lambda _: None)
    poor = await scripted(node, "poor", answer=lambda _: BlockHeaders(0, ()))
    good = await scripted(node, "good", answer=honest(FakeChain(branch)))
    for peer in (silent, poor, good):
        peer.send(NewBlockHashes((branch.head.ref,)))
        await trio.sleep(0.01)
    await until(lambda: node.chain.head == branch.head.header, within_s=15)


@pytest.mark.parametrize(
    "what", ["stranger's seal", "no seal", "wrong body", "wrong number", "another difficulty"]
)
async def test_a_block_that_breaks_a_rule_is_not_passed_on(nursery, autojump_clock, what: str) -> None:
    node = await Node("us", nursery, BASE).start()
    bystander = await scripted(node, "bystander")
    good = BASE.fork(20).grow(1).head
    header = good.header
    bad = {
        "stranger's seal": lambda: Block(replace(header, gas_limit=header.gas_limit + 1), good.body),
        "no seal": lambda: Block(replace(header, extra_data=bytes(97)), good.body),
        "wrong body": lambda: Block(header, Body((signed(key_of(0), 0),))),
        "wrong number": lambda: Block(replace(header, number=22), good.body),
        "another difficulty": lambda: Block(replace(header, difficulty=1), good.body),
    }[what]()
    liar = await scripted(node, "liar")
    liar.send(NewBlock(bad, BASE.total_difficulty + bad.header.difficulty))
    await until(lambda: liar.gone.is_set(), within_s=1)
    again = await scripted(node, "again")
    again.send(NewBlock(bad, BASE.total_difficulty + bad.header.difficulty))
    await until(lambda: again.gone.is_set(), within_s=1)
    assert node.chain.head == BASE.head.header
    assert not node.ends["bystander"].sent
    assert not bystander.gone.is_set()


async def test_a_good_header_under_a_wrong_body_does_not_shut_the_real_block_out(
    nursery, autojump_clock
) -> None:
    node = await Node("us", nursery, BASE).start()
    branch = BASE.fork(20).grow(1)
    liar, honest_peer = await scripted(node, "liar"), await scripted(node, "honest")
    liar.send(NewBlock(Block(branch.head.header, Body((signed(key_of(0), 0),))), branch.total_difficulty))
    await until(lambda: liar.gone.is_set(), within_s=1)
    honest_peer.send(NewBlock(branch.head, branch.total_difficulty))
    await until(lambda: node.chain.head == branch.head.header, within_s=1)
    assert not honest_peer.gone.is_set()


async def test_a_block_with_a_wrong_outcome_bans_its_sender_and_is_not_imported(
    nursery, autojump_clock
) -> None:
    node = await Node("us", nursery, BASE).start()
    block = BASE.fork(20).grow(1).head
    node.chain.invalid.add(block.hash)
    liar = await scripted(node, "liar")
    liar.send(NewBlock(block, BASE.total_difficulty + 2))
    await until(lambda: liar.gone.is_set(), within_s=1)
    assert "wrong state root" in node.ends["liar"].reasons[-1]


async def test_a_wrong_total_difficulty_costs_score_and_the_block_is_taken(nursery, autojump_clock) -> None:
    node = await Node("us", nursery, BASE).start()
    block = BASE.fork(20).grow(1).head
    peer = await scripted(node)
    peer.send(NewBlock(block, 10**9))
    await until(lambda: node.chain.head == block.header, within_s=1)
    assert node.ends["peer"].reasons == ["a wrong total difficulty"]


async def test_the_total_difficulty_before_the_block_is_announced_by_some_and_costs_nothing(
    nursery, autojump_clock
) -> None:
    node = await Node("us", nursery, BASE).start()
    branch = BASE.fork(20).grow(1)
    peer = await scripted(node)
    peer.send(NewBlock(branch.head, branch.total_difficulty - branch.head.header.difficulty))
    await until(lambda: node.chain.head == branch.head.header, within_s=1)
    assert node.ends["peer"].reasons == []


async def test_a_block_of_the_near_future_waits_for_its_time(nursery, autojump_clock) -> None:
    node = await Node("us", nursery, BASE).start()
    now = [NOW_S]
    node.sync._blocks._unix_time = lambda: now[0]
    soon, late = grown(), BASE.fork(20).grow(1)
    now[0] = soon.head.header.timestamp - 4.0
    peer = await scripted(node)
    peer.send(NewBlock(soon.head, late.total_difficulty))
    await trio.sleep(3.5)
    assert node.chain.head == BASE.head.header
    now[0] += 4.0
    await until(lambda: node.chain.head == soon.head.header, within_s=1)


async def test_a_block_of_the_far_future_is_ignored(nursery, autojump_clock) -> None:
    node = await Node("us", nursery, BASE).start()
    node.sync._blocks._unix_time = lambda: BASE.head.header.timestamp - 100
    peer = await scripted(node)
    peer.send(NewBlock(grown().head, BASE.total_difficulty + 2))
    await trio.sleep(200)
    assert (node.chain.head, node.ends["peer"].points) == (BASE.head.header, 0)


async def test_old_blocks_are_not_looked_at(nursery, autojump_clock) -> None:
    branch = long_chain(300)
    node = await Node("us", nursery, branch).start()
    twin = branch.fork(99)
    twin.blocks.append(twin.next_block(salt=b"twin"))
    peer = await scripted(node)
    peer.send(NewBlock(twin.head, twin.total_difficulty))
    peer.send(NewBlockHashes((BlockRef(100, b"\x55" * 32),)))
    await trio.sleep(5)
    assert node.chain.header(twin.head.hash) is None
    assert (node.ends["peer"].points, node.ends["peer"].sent) == (0, [])


async def test_blocks_that_wait_are_bounded(nursery, autojump_clock, monkeypatch) -> None:
    monkeypatch.setattr(block_intake, "WAITING_MAX", 3)
    node = await Node("us", nursery, BASE, import_s=1.0).start()
    branch = BASE.fork(20).grow(1)
    peer = await scripted(node)
    peer.send(NewBlock(branch.head, branch.total_difficulty))
    for salt in range(50):
        child = branch.next_block(salt=b"%d" % salt)
        peer.send(NewBlock(child, branch.total_difficulty + 2))
    await trio.sleep(0.5)
    assert len(node.sync._blocks._waiting) == 3
    await trio.sleep(60)
    assert node.sync._blocks._waiting == {}
    assert node.sync._blocks._under_way == set()
    assert len(node.chain.headers) - 21 == 1 + 3


async def test_a_flood_of_announced_hashes_is_bounded(nursery, autojump_clock) -> None:
    node = await Node("us", nursery, BASE).start()
    peer = await scripted(node, answer=lambda _: BlockHeaders(0, ()))
    refs = tuple(BlockRef(21, bytes([high, low]) * 16) for high in range(4) for low in range(256))
    peer.send(NewBlockHashes(refs))
    await trio.sleep(30)
    assert len([m for m in node.ends["peer"].sent if isinstance(m, GetBlockHeaders)]) <= 64 + 10
    assert node.sync._blocks._fetching == {}
    assert QUEUE_BLOCKS_MAX <= 64


# --- transactions


async def test_a_transaction_reaches_every_pool_and_travels_each_link_once(nursery, autojump_clock) -> None:
    nodes = await network(nursery, 8)
    rich(nodes, 1)
    txs = [signed(key_of(1), nonce) for nonce in range(10)]
    for tx in txs:
        nodes[0].pool.add(tx, local=True)
    await until(lambda: all(len(node.pool) == 10 for node in nodes), within_s=5)
    await trio.sleep(10)
    for a, b in combinations(range(8), 2):
        ends = nodes[a].ends[f"node{b}"], nodes[b].ends[f"node{a}"]
        for end in ends:
            told = Counter(tx_hash for message in end.sent for tx_hash in transactions_in(message))
            assert max(told.values(), default=0) <= 1
    assert not any(end.points for node in nodes for end in node.ends.values())


async def test_transactions_that_come_one_after_the_other_travel_together(nursery, autojump_clock) -> None:
    nodes = await network(nursery, 2)
    rich(nodes, 1)
    for nonce in range(5):
        nodes[0].pool.add(signed(key_of(1), nonce), local=True)
        await trio.testing.wait_all_tasks_blocked()
    await until(lambda: len(nodes[1].pool) == 5)
    assert len(sent(nodes, Transactions)) == 1


async def test_batches_that_come_while_one_is_recovered_are_recovered_together(monkeypatch) -> None:
    turns: list[list[Any]] = []
    monkeypatch.setattr(transaction_intake, "recover_senders", lambda txs: turns.append(list(txs)))
    intake = transaction_intake.TransactionIntake(Node("node", None, BASE).pool)
    batches = [[signed(key_of(number), nonce) for nonce in range(2)] for number in (1, 2, 3)]
    async with trio.open_nursery() as nursery:
        await intake._turn.acquire()
        for batch in (*batches, batches[0]):
            nursery.start_soon(intake._recover, batch)
        given_up = trio.CancelScope()

        async def give_up() -> None:
            with given_up:
                await intake._recover([signed(key_of(4), 0)])

        nursery.start_soon(give_up)
        await trio.testing.wait_all_tasks_blocked()
        given_up.cancel()
        await trio.testing.wait_all_tasks_blocked()
        intake._turn.release()
    (together,) = turns
    assert len(together) == 7, "each transaction once, and what was given up does no harm"


async def test_what_a_peer_that_left_had_sent_is_wanted_from_others(nursery, autojump_clock) -> None:
    node = await Node("us", nursery, BASE).start()
    rich([node], 1)
    txs = [signed(key_of(1), nonce) for nonce in range(3)]
    intake = node.sync._transactions
    await intake._turn.acquire()
    leaver, other = await scripted(node, "leaver"), await scripted(node, "other")
    for tx in txs:
        leaver.send(Transactions((tx,)))
    await trio.sleep(1)
    assert not any(intake.is_wanted(tx.hash) for tx in txs), "on their way"
    leaver.close()
    await trio.sleep(1)
    assert all(intake.is_wanted(tx.hash) for tx in txs)
    intake._turn.release()
    other.send(Transactions(tuple(txs)))
    await until(lambda: len(node.pool) == 3)
    assert not intake.in_hand


async def test_what_peers_have_sent_is_announced_together_to_those_who_do_not_know_it_yet(
    nursery, autojump_clock
) -> None:
    node = await Node("us", nursery, BASE).start()
    rich([node], 1)
    giver, knowing, _ = [await scripted(node, name) for name in ("giver", "knowing", "other")]
    txs = [signed(key_of(1), nonce) for nonce in range(3)]
    for tx in txs:
        giver.send(Transactions((tx,)))
        await trio.sleep(0.05)
    hashes = tuple(tx.hash for tx in txs[:2])
    knowing.send(
        NewPooledTransactionHashes(
            bytes(tx.type for tx in txs[:2]), tuple(len(tx.encoded) for tx in txs[:2]), hashes
        )
    )
    await trio.sleep(1)
    told = {
        name: [m.hashes for m in node.ends[name].sent if isinstance(m, NewPooledTransactionHashes)]
        for name in ("giver", "knowing", "other")
    }
    assert told == {"giver": [], "knowing": [(txs[2].hash,)], "other": [tuple(tx.hash for tx in txs)]}
    assert not sent([node], Transactions)


async def test_a_large_transaction_is_only_announced_and_fetched_once(nursery, autojump_clock) -> None:
    nodes = await network(nursery, 4)
    rich(nodes, 1)
    tx = signed(key_of(1), 0, data=bytes(10_000), gas=1_000_000)
    nodes[0].pool.add(tx, local=True)
    await until(lambda: all(tx.hash in node.pool for node in nodes), within_s=5)
    assert not sent(nodes, Transactions)
    assert len(sent(nodes, PooledTransactions)) == 3


async def test_a_peer_that_comes_is_told_what_is_in_the_pool(nursery, autojump_clock) -> None:
    nodes = await network(nursery, 2, [])
    rich(nodes, 1)
    for nonce in range(300):
        nodes[0].ledger.accounts[key_of(1).address] = Account(max(0, nonce - 200), ETHER, _empty())
        if nonce < 200:
            nodes[0].pool.add(signed(key_of(1), nonce), local=True)
    nodes[0].connect(nodes[1])
    await until(lambda: len(nodes[1].pool) == 200, within_s=5)


def _empty() -> bytes:
    from node.primitives.crypto import EMPTY_HASH

    return EMPTY_HASH


async def test_what_the_first_announcer_withholds_is_fetched_from_the_second(nursery, autojump_clock) -> None:
    node = await Node("us", nursery, BASE).start()
    rich([node], 1)
    tx = signed(key_of(1), 0)
    announcement = NewPooledTransactionHashes(bytes([tx.type]), (len(tx.encoded),), (tx.hash,))
    miser = await scripted(node, "miser", answer=lambda _: None)
    giver = await scripted(node, "giver", answer=lambda _: PooledTransactions(0, (tx,)))
    miser.send(announcement)
    await trio.sleep(1)
    giver.send(announcement)
    await until(lambda: tx.hash in node.pool, within_s=15)
    for name in ("miser", "giver"):
        asked = [m for m in node.ends[name].sent if isinstance(m, GetPooledTransactions)]
        assert len(asked) == 1


async def test_an_announced_transaction_that_comes_by_itself_is_not_fetched(nursery, autojump_clock) -> None:
    node = await Node("us", nursery, BASE).start()
    rich([node], 1)
    tx = signed(key_of(1), 0)
    teller, giver = await scripted(node, "teller"), await scripted(node, "giver")
    teller.send(NewPooledTransactionHashes(bytes([tx.type]), (len(tx.encoded),), (tx.hash,)))
    giver.send(Transactions((tx,)))
    await trio.sleep(5)
    assert tx.hash in node.pool
    assert not sent([node], GetPooledTransactions)


async def test_what_nobody_asked_for_ends_the_connection(nursery, autojump_clock) -> None:
    node = await Node("us", nursery, BASE).start()
    rich([node], 1)
    asked, other = signed(key_of(1), 0), signed(key_of(1), 1)
    liar = await scripted(node, "liar", answer=lambda _: PooledTransactions(0, (other,)))
    liar.send(NewPooledTransactionHashes(bytes([asked.type]), (len(asked.encoded),), (asked.hash,)))
    await until(lambda: liar.gone.is_set(), within_s=5)
    assert "nobody asked for" in str(node.failures)
    assert len(node.pool) == 0


@pytest.mark.parametrize("what", ["bad signature", "another chain", "too little gas"])
async def test_transactions_that_can_never_be_valid_cost_their_sender(
    nursery, autojump_clock, what: str
) -> None:
    node = await Node("us", nursery, BASE).start()
    rich([node], 1)
    good = signed(key_of(1), 0)
    bad = {
        "bad signature": lambda n: _unsigned(n),
        "another chain": lambda n: signed(key_of(1), n, chain_id=7),
        "too little gas": lambda n: signed(key_of(1), n, gas=20_000),
    }[what]
    peer = await scripted(node)
    peer.send(Transactions((good, bad(1))))
    await until(lambda: node.ends["peer"].points, within_s=1)
    assert good.hash in node.pool
    points = node.ends["peer"].points
    peer.send(Transactions((bad(1),)))  # known to be bad: not looked at again
    await trio.sleep(1)
    assert node.ends["peer"].points == points
    for nonce in range(2, 6):
        peer.send(Transactions((bad(nonce),)))
        await trio.sleep(1)
    assert peer.gone.is_set()


def _unsigned(nonce: int) -> Any:
    """A transaction whose signature recovers to nobody: its r is no x coordinate of the curve."""
    from node.primitives import rlp
    from node.primitives.transaction import decode_transaction

    return decode_transaction(rlp.encode([nonce, 0, 21_000, b"\x77" * 20, 0, b"", 27, 5, 5]))


async def test_bad_luck_costs_nothing_and_is_tried_again_later(nursery, autojump_clock) -> None:
    node = await Node("us", nursery, BASE).start()
    tx = signed(key_of(1), 0)
    peer = await scripted(node, answer=lambda _: PooledTransactions(0, (tx,)))
    announcement = NewPooledTransactionHashes(bytes([tx.type]), (len(tx.encoded),), (tx.hash,))
    peer.send(Transactions((tx,)))  # its sender has no money yet
    await trio.sleep(1)
    rich([node], 1)
    peer.send(announcement)
    await trio.sleep(1)
    assert (len(node.pool), node.ends["peer"].points) == (0, 0)
    await trio.sleep(60)
    peer.send(announcement)
    await until(lambda: tx.hash in node.pool, within_s=5)


async def test_a_flood_of_transactions_is_bounded_and_delays_no_block(
    nursery, autojump_clock, monkeypatch
) -> None:
    monkeypatch.setattr(transaction_intake, "TRANSACTIONS_BURST", 500)
    node = await Node("us", nursery, BASE).start()
    offered = 0
    real = node.pool.add_remote

    def counted(transactions: Any) -> Any:
        nonlocal offered
        offered += len(transactions)
        return real(transactions)

    monkeypatch.setattr(node.pool, "add_remote", counted)
    flooder, honest_peer = await scripted(node, "flooder"), await scripted(node, "honest")
    batches = [tuple(signed(key_of(place), nonce) for nonce in range(100)) for place in range(20)]
    for batch in batches:
        flooder.send(Transactions(batch))
    block = BASE.fork(20).grow(1).head
    honest_peer.send(NewBlock(block, BASE.total_difficulty + 2))
    await until(lambda: node.chain.head == block.header, within_s=1)
    await trio.sleep(1)
    assert offered <= 600
    assert "a flood of transactions" in node.ends["flooder"].reasons
    assert node.ends["honest"].points == 0


async def test_requests_are_answered_and_too_many_at_once_are_not(nursery, autojump_clock) -> None:
    node = await Node("us", nursery, BASE).start()
    peer = await scripted(node)
    answers: list[Message] = [
        await peer.request(GetBlockHeaders(0, 1, 3)),
        await peer.request(GetBlockBodies(0, (BASE.blocks[5].hash,))),
        await peer.request(GetReceipts(0, (BASE.blocks[5].hash,))),
        await peer.request(GetPooledTransactions(0, (b"\0" * 32,))),
    ]
    assert [type(answer) for answer in answers] == [BlockHeaders, BlockBodies, Receipts, PooledTransactions]
    assert answers[0].headers == tuple(block.header for block in BASE.blocks[1:4])
    limiter = node.sync._serving
    for busy in range(int(limiter.total_tokens)):
        await limiter.acquire_on_behalf_of(busy)
    for _ in range(60):
        peer.send(GetBlockHeaders(0, 1, 1))
    await trio.sleep(1)
    assert peer.gone.is_set()
    assert "more requests at once" in node.ends["peer"].reasons[0]


async def test_a_peer_that_left_is_forgotten(nursery, autojump_clock) -> None:
    node = await Node("us", nursery, BASE).start()
    tx = signed(key_of(1), 0)
    peer = await scripted(node, answer=lambda _: None)
    peer.send(NewPooledTransactionHashes(bytes([tx.type]), (len(tx.encoded),), (tx.hash,)))
    await trio.sleep(1)
    assert len(node.sync._transactions.table) == 1
    peer.close()
    await trio.sleep(1)
    assert len(node.sync._roster) == 0
    assert len(node.sync._transactions.table) == 0
