"""The pool's life: by sender and nonce, replacement, heads, reorganisations, expiry, subscribers."""

from random import Random

import pytest
import trio
import trio.testing

from node.chain.events import ChainEvents, ExecutedBlock, HeadChanged
from node.primitives.block import Block
from node.primitives.errors import RequestError
from node.primitives.transaction import Transaction
from node.txpool.admission import NeverValid, PoolRejection
from node.txpool.journal import Journal
from node.txpool.keeper import keep_pool
from node.txpool.pool import AlreadyKnown, PoolStatus, SenderContent
from tests.txpool.world import ETHER, GWEI, World, block, header, key_of, signed


def changed(*added: Block, removed: tuple[Block, ...] = ()) -> HeadChanged:
    return HeadChanged(
        tuple(ExecutedBlock(item, ()) for item in removed), tuple(ExecutedBlock(item, ()) for item in added)
    )


@pytest.fixture
def world() -> World:
    return World()


def test_in_order_is_pending_behind_a_gap_is_queued(world: World) -> None:
    key = world.keys[0]
    for nonce in (0, 1, 3, 5, 4):
        world.pool.add(signed(key, nonce), local=True)
    assert (world.pending(key), world.queued(key)) == ([0, 1], [3, 4, 5])
    assert world.pool.pending_nonce(key.address) == 2
    world.pool.add(signed(key, 2), local=True)
    assert (world.pending(key), world.queued(key)) == ([0, 1, 2, 3, 4, 5], [])
    assert world.pool.status() == PoolStatus(6, 0, sum(len(signed(key, n).encoded) for n in range(6)), 1)


def test_pending_nonce_of_a_sender_without_transactions_is_the_accounts(world: World) -> None:
    world.ledger.set(world.keys[0], nonce=7)
    assert world.pool.pending_nonce(world.keys[0].address) == 7
    assert world.pool.pending_nonce(b"\x01" * 20) == 0


def test_lookups_by_hash_and_sender(world: World) -> None:
    tx, late = signed(world.keys[0], 0), signed(world.keys[0], 2)
    world.pool.add(tx, local=True)
    world.pool.add(late, local=False)
    assert (world.pool.get(tx.hash), world.pool.known_sender(tx.hash)) == (tx, world.keys[0].address)
    assert tx.hash in world.pool
    assert world.pool.get(b"\0" * 32) is None
    assert world.pool.content() == {world.keys[0].address: SenderContent((tx,), (late,))}
    assert world.pool.pending_hashes() == [tx.hash]
    assert world.pool.local_transactions() == [tx]


def test_the_same_transaction_is_known(world: World) -> None:
    tx = signed(world.keys[0], 0)
    world.pool.add(tx, local=True)
    with pytest.raises(AlreadyKnown, match="already known"):
        world.pool.add(tx, local=False)


def test_all_of_a_senders_transactions_must_be_covered_together(world: World) -> None:
    key = world.keys[0]
    world.ledger.set(key, balance=2 * 21_000 * GWEI)
    world.pool.add(signed(key, 0), local=True)
    world.pool.add(signed(key, 1), local=True)
    with pytest.raises(PoolRejection, match=r"insufficient funds.*queued cost 42000000000000"):
        world.pool.add(signed(key, 2), local=True)


def test_money_that_came_in_since_can_be_spent(world: World) -> None:
    key = world.keys[0]
    world.ledger.set(key, balance=21_000 * GWEI)
    world.pool.add(signed(key, 0), local=True)
    world.ledger.set(key, balance=2 * 21_000 * GWEI)
    world.pool.on_head(changed(block(1, signed(world.keys[1], 0))), world.ledger, header(1))
    world.pool.add(signed(key, 1), local=True)
    assert world.pending(key) == [0, 1]


def test_an_account_with_transactions_is_read_once_at_each_head(world: World) -> None:
    key = world.keys[0]
    world.pool.add(signed(key, 0), local=True)
    world.ledger.reads = 0
    world.pool.add_remote([signed(key, 1), signed(key, 2)])
    assert world.ledger.reads == 0
    world.pool.on_head(changed(block(1)), world.ledger, header(1))
    world.pool.add_remote([signed(key, 3), signed(key, 4)])
    assert world.ledger.reads == 1


def test_a_replacement_pays_for_itself_and_not_for_what_it_replaces(world: World) -> None:
    key = world.keys[0]
    world.ledger.set(key, balance=2 * 21_000 * GWEI)
    world.pool.add(signed(key, 0), local=True)
    with pytest.raises(PoolRejection, match=r"replacement transaction underpriced$"):
        world.pool.add(signed(key, 0, fee=GWEI + GWEI // 20), local=True)
    better = signed(key, 0, fee=2 * GWEI)
    world.pool.add(better, local=True)
    assert world.pool.content_from(key.address).pending == (better,)


def test_verdicts_tell_the_peers_fault_from_bad_luck(world: World) -> None:
    key = world.keys[0]
    forged = signed(key, 1)
    object.__setattr__(forged, "r", 5)  # no point of the curve has this x coordinate
    verdicts = world.pool.add_remote([signed(key, 0), signed(key, 0), signed(key, 0, chain_id=1), forged])
    assert [type(verdict) for verdict in verdicts] == [type(None), AlreadyKnown, NeverValid, NeverValid]
    assert world.pending(key) == [0]


def test_the_minimum_tip_binds_peers_and_not_our_clients() -> None:
    world = World(settings={"minimum_priority_fee_wei": GWEI})
    cheap = signed(world.keys[0], 0, fee=1)
    assert isinstance(world.pool.add_remote([cheap])[0], PoolRejection)
    world.pool.add(cheap, local=True)


def test_one_senders_nonces_reach_only_so_far(world: World) -> None:
    key = world.keys[0]
    world.pool.add(signed(key, 255), local=True)
    with pytest.raises(PoolRejection, match="nonce too high: next nonce 0, tx nonce 256"):
        world.pool.add(signed(key, 256), local=True)


# --- replacing at price zero


def test_at_price_zero_a_stuck_transaction_is_replaced_and_does_not_come_back(world: World) -> None:
    key = world.keys[0]
    stuck, cancel = signed(key, 0, fee=0, value=1), signed(key, 0, fee=0)
    world.pool.add(stuck, local=True)
    with pytest.raises(PoolRejection, match="at price zero"):
        world.pool.add(cancel, local=True)
    world.clock.now_s += 15
    world.pool.add(cancel, local=True)
    assert world.pool.content_from(key.address).pending == (cancel,)
    world.clock.now_s += 1000
    for local in (False, True):
        with pytest.raises(PoolRejection, match="it was replaced before"):
            world.pool.add(stuck, local=local)


@pytest.mark.parametrize("seed", range(6))
def test_at_price_zero_conflicting_transactions_end_as_one_on_every_node(seed: int) -> None:
    # Each node sees the same five at once, in an order of its own, and each of them twice.
    random = Random(seed)
    worlds = [World() for _ in range(5)]
    conflicting = [signed(worlds[0].keys[0], 0, fee=0, value=seed * 10 + place) for place in range(5)]
    for world in worlds:
        order = conflicting * 2
        random.shuffle(order)
        for tx in order:
            world.clock.now_s += random.random() * 0.5
            world.pool.add_remote([tx])
    survivors = {world.pool.content_from(worlds[0].keys[0].address).pending for world in worlds}
    assert survivors == {(min(conflicting, key=lambda tx: tx.hash),)}
    # Later one of them is replaced: what the first node takes, all others take.
    replacement = signed(worlds[0].keys[0], 0, fee=0, value=999)
    for place, world in enumerate(worlds):
        world.clock.now_s += 15
        world.pool.add(replacement, local=place == 0)
        world.pool.add_remote(conflicting)
        assert world.pool.content_from(worlds[0].keys[0].address).pending == (replacement,)


# --- the chain moves


def test_what_a_block_took_is_gone_and_what_follows_stays(world: World) -> None:
    key, other = world.keys[:2]
    txs = [signed(key, nonce) for nonce in range(4)]
    for tx in (*txs, signed(other, 0)):
        world.pool.add(tx, local=True)
    world.ledger.set(key, nonce=2)
    world.ledger.reads = 0
    world.pool.on_head(changed(block(1, *txs[:2])), world.ledger, header(1))
    assert (world.pending(key), world.pending(other)) == ([2, 3], [0])
    assert world.ledger.reads == 1  # only the sender in the block was looked at


def test_a_block_with_a_conflicting_transaction_drops_ours(world: World) -> None:
    key = world.keys[0]
    world.pool.add(signed(key, 0), local=True)
    world.pool.add(signed(key, 2), local=True)
    world.ledger.set(key, nonce=2)
    theirs = [signed(key, nonce, value=9) for nonce in range(2)]
    world.pool.on_head(changed(block(1, *theirs)), world.ledger, header(1))
    assert (world.pending(key), world.queued(key)) == ([2], [])


def test_what_the_balance_no_longer_covers_is_dropped(world: World) -> None:
    key = world.keys[0]
    for nonce in range(4):
        world.pool.add(signed(key, nonce), local=True)
    world.ledger.set(key, nonce=1, balance=2 * 21_000 * GWEI)
    world.pool.on_head(changed(block(1, signed(key, 0, value=5))), world.ledger, header(1))
    assert (world.pending(key), world.queued(key)) == ([1, 2], [])


def test_transactions_of_removed_blocks_return_unless_the_new_branch_has_them(world: World) -> None:
    key, other = world.keys[:2]
    lost, kept, waiting = signed(key, 0), signed(other, 0), signed(key, 1)
    for tx in (lost, kept, waiting):
        world.pool.add(tx, local=True)
    world.ledger.set(key, nonce=1)
    world.ledger.set(other, nonce=1)
    old = block(1, lost, kept)
    world.pool.on_head(changed(old), world.ledger, header(1))
    assert (world.pending(key), world.pending(other)) == ([1], [])
    world.ledger.set(key, nonce=0)
    world.pool.on_head(changed(block(1, kept), block(2), removed=(old,)), world.ledger, header(2))
    assert (world.pending(key), world.pending(other)) == ([0, 1], [])
    assert world.pool.get(lost.hash) is lost


def test_what_returns_is_local_again_when_the_journal_knows_it(tmp_path) -> None:
    journal = Journal(tmp_path / "j")
    journal.open()
    world = World(journal=journal)
    ours, theirs = signed(world.keys[0], 0), signed(world.keys[1], 0)
    world.pool.add(ours, local=True)
    old = block(1, ours, theirs)
    world.ledger.set(world.keys[0], nonce=1)
    world.pool.on_head(changed(old), world.ledger, header(1))
    assert len(world.pool) == 0
    world.ledger.set(world.keys[0], nonce=0)
    world.pool.on_head(changed(block(1), block(2), removed=(old,)), world.ledger, header(2))
    assert world.pool.local_transactions() == [ours]
    assert world.pool.has(theirs.hash)
    journal.close()


def test_after_a_reorganisation_every_account_is_looked_at_in_portions() -> None:
    world = World(senders=600)
    for key in world.keys:
        world.pool.add(signed(key, 0, fee=0, value=ETHER), local=False)
    for key in world.keys:
        world.ledger.set(key, balance=ETHER - 1)  # an incoming payment was undone
    world.pool.on_head(changed(block(1), removed=(block(1),)), world.ledger, header(1))
    sizes = [len(world.pool)]
    for number in range(2, 5):
        world.pool.on_head(changed(block(number)), world.ledger, header(number))
        sizes.append(len(world.pool))
    assert sizes == [600 - 256, 600 - 512, 0, 0]


def test_a_lower_gas_limit_of_the_head_binds_newcomers(world: World) -> None:
    world.pool.on_head(changed(block(1)), world.ledger, header(1, gas_limit=50_000))
    with pytest.raises(PoolRejection, match="exceeds block gas limit"):
        world.pool.add(signed(world.keys[0], 0, gas=50_001), local=True)


def test_remote_transactions_expire_and_local_ones_do_not(world: World) -> None:
    first, second = signed(world.keys[0], 0), signed(world.keys[1], 0)
    world.pool.add(first, local=True)
    world.pool.add(second, local=False)
    world.clock.now_s += world.settings.lifetime_s - 1
    young = signed(world.keys[2], 0)
    world.pool.add(young, local=False)
    assert world.pool.expire() == 0
    world.clock.now_s += 2
    assert world.pool.expire() == 1
    assert [world.pool.has(tx.hash) for tx in (first, second, young)] == [True, False, True]


# --- selection


def test_best_tip_first_then_first_come_and_nonces_in_order(world: World) -> None:
    a, b, c, d = world.keys
    txs = [
        signed(a, 0, fee=20, tip=1),
        signed(a, 1, fee=20, tip=9),
        signed(b, 0, fee=20, tip=5),
        signed(c, 0, fee=12, tip=5),  # pays only 2 above a base fee of 10
        signed(d, 0, fee=9, tip=9),  # below the base fee
        signed(b, 1, fee=20, tip=5),
        signed(c, 2, fee=20, tip=9),  # behind a gap
    ]
    for tx in txs:
        world.pool.add(tx, local=True)
    assert list(world.pool.select(10)) == [txs[i] for i in (2, 5, 3, 0, 1)]
    assert list(world.pool.select(None)) == [txs[i] for i in (4, 2, 3, 5, 0, 1)]


def test_a_sender_with_nothing_but_a_gap_is_left_out(world: World) -> None:
    """Anybody can send one: it must not stop a validator."""
    world.pool.add(signed(world.keys[0], 1), local=False)
    tx = signed(world.keys[1], 0)
    world.pool.add(tx, local=False)
    assert list(world.pool.select(0)) == [tx]


def test_among_equal_tips_accounts_take_turns(world: World) -> None:
    greedy, modest = world.keys[:2]
    for nonce in range(5):
        world.pool.add(signed(greedy, nonce), local=True)
    world.pool.add(signed(modest, 0), local=True)
    first = [(tx.sender, tx.nonce) for tx in world.pool.select(0)][:2]
    assert first == [(greedy.address, 0), (modest.address, 0)]


def test_an_organisation_has_one_turn_however_many_accounts_it_has() -> None:
    many = {key_of(n).address: b"many" for n in range(8)}
    world = World(senders=10, organisation=many.get)
    for key in world.keys[:8]:
        world.pool.add(signed(key, 0), local=True)
    modest = next(key for key in world.keys if key.address not in many)
    for nonce in range(3):
        world.pool.add(signed(modest, nonce), local=True)
    senders = [tx.sender == modest.address for tx in world.pool.select(0)]
    assert senders[:6] == [False, True, False, True, False, True]


def test_what_a_block_has_is_passed_by_and_has_had_its_turns(world: World) -> None:
    a, b = world.keys[:2]
    txs = [signed(key, nonce) for key, nonce in ((a, 0), (a, 1), (a, 2), (a, 3), (b, 0), (b, 1))]
    for tx in txs:
        world.pool.add(tx, local=True)
    taken = {a.address: 3}
    assert list(world.pool.select(0, taken)) == [txs[4], txs[5], txs[3]]
    assert list(world.pool.select(0, {a.address: 9, b.address: 2})) == []


def test_a_skipped_sender_gives_no_more(world: World) -> None:
    a, b = world.keys[:2]
    for key in (a, b):
        for nonce in range(3):
            world.pool.add(signed(key, nonce), local=True)
    selection = world.pool.select(0)
    taken = []
    for tx in selection:
        taken.append((tx.sender, tx.nonce))
        if tx.sender == a.address:
            selection.skip_sender(a.address)
    assert taken == [(a.address, 0), (b.address, 0), (b.address, 1), (b.address, 2)]


def test_a_selection_is_not_disturbed_by_the_pool(world: World) -> None:
    key = world.keys[0]
    txs = [signed(key, nonce) for nonce in range(3)]
    for tx in txs:
        world.pool.add(tx, local=True)
    selection = world.pool.select(0)
    world.ledger.set(key, nonce=3)
    world.pool.on_head(changed(block(1, *txs)), world.ledger, header(1))
    assert list(selection) == txs


# --- subscribers and the keeper


def heard(channel) -> list[Transaction]:
    seen: list[Transaction] = []
    while True:
        try:
            seen += channel.receive_nowait()
        except trio.WouldBlock:
            return seen


async def test_subscribers_hear_of_each_transaction_when_it_becomes_pending(world: World) -> None:
    channel = world.pool.subscribe()
    key = world.keys[0]
    txs = [signed(key, nonce) for nonce in range(5)]
    world.pool.add(txs[1], local=True)
    world.pool.add(txs[2], local=True)
    assert heard(channel) == []
    world.pool.add(txs[0], local=True)
    assert heard(channel) == txs[:3]
    better = signed(key, 1, fee=2 * GWEI)
    world.pool.add(better, local=True)
    assert heard(channel) == [better]
    world.pool.add_remote([txs[4]])
    assert heard(channel) == []
    world.ledger.set(key, nonce=4)
    world.pool.on_head(changed(block(1, txs[3])), world.ledger, header(1))
    assert heard(channel) == [txs[4]]


async def test_what_was_entered_with_others_is_told_once_all_of_it_is_there(world: World) -> None:
    channel = world.pool.subscribe()
    txs = [signed(world.keys[0], nonce) for nonce in range(4)]
    for tx in txs[:2]:
        world.pool.enter(tx)
    assert heard(channel) == []
    await world.pool.wait_durable()
    assert channel.statistics().current_buffer_used == 1
    assert heard(channel) == txs[:2]
    world.pool.enter(txs[2])  # and whoever entered it is cancelled
    world.pool.add_remote([txs[3]])
    assert heard(channel) == txs[2:]


async def test_a_subscriber_that_falls_behind_is_cut_off(world: World) -> None:
    slow = world.pool.subscribe()
    key = world.keys[0]
    world.ledger.set(key, balance=1000 * ETHER)
    for place in range(257):
        world.ledger.set(key, nonce=place)
        world.pool.add(signed(key, place), local=True)
        world.pool.on_head(changed(block(place, signed(key, place, value=1))), world.ledger, header(place))
    assert len(heard_until_end(slow)) == 256


def heard_until_end(channel) -> list[Transaction]:
    seen: list[Transaction] = []
    while True:
        try:
            seen += channel.receive_nowait()
        except trio.EndOfChannel:
            return seen


class Chain:
    """A head that moves when told to."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.events = ChainEvents()
        self.head = header(0)
        self.pruned = False

    def state_at(self, block_hash):
        if self.pruned and block_hash != self.head.hash:
            raise RequestError("state is not kept")
        return self.world.ledger

    def extend(self, *transactions: Transaction) -> None:
        new = block(self.head.number + 1, *transactions)
        self.head = new.header
        self.events.publish(changed(new))


async def test_the_keeper_follows_the_chain_expires_and_tidies(tmp_path, autojump_clock) -> None:
    journal = Journal(tmp_path / "j")
    journal.open()
    world = World(journal=journal)
    chain = Chain(world)
    included, waiting = signed(world.keys[0], 0), signed(world.keys[0], 1)
    theirs = signed(world.keys[1], 0)
    async with trio.open_nursery() as nursery:

        async def keep(task_status=trio.TASK_STATUS_IGNORED) -> None:
            await keep_pool(world.pool, chain, journal=journal, interval_s=60, task_status=task_status)

        await nursery.start(keep)
        await world.pool.submit(included)
        await world.pool.submit(waiting)
        world.pool.add_remote([theirs])
        world.ledger.set(world.keys[0], nonce=1)
        chain.extend(included)
        await trio.testing.wait_all_tasks_blocked()
        assert world.pending(world.keys[0]) == [1]
        world.clock.now_s += world.settings.lifetime_s + 1
        while (len(journal), len(world.pool)) != (1, 1):  # noqa: ASYNC110 - a thread has no event to wait for
            await trio.sleep(1)  # virtual
        nursery.cancel_scope.cancel()
    journal.close()


async def test_the_keeper_begins_again_at_the_head_when_it_fell_behind(world: World) -> None:
    chain = Chain(world)
    chain.pruned = True
    key = world.keys[0]
    for nonce in range(3):
        world.pool.add(signed(key, nonce), local=True)
    async with trio.open_nursery() as nursery:

        async def keep(task_status=trio.TASK_STATUS_IGNORED) -> None:
            await keep_pool(world.pool, chain, interval_s=60, task_status=task_status)

        await nursery.start(keep)
        world.ledger.set(key, nonce=2)
        for _ in range(100):  # more than the keeper's channel holds
            chain.extend()
        await trio.testing.wait_all_tasks_blocked()
        assert world.pending(key) == [2]
        nursery.cancel_scope.cancel()
