"""When the pool is full: a flood crowds out only itself."""

from random import Random

import pytest

from node.txpool.admission import PoolRejection
from tests.txpool.world import GWEI, World, key_of, signed


def full(settings=None, senders=60, **bounds):
    return World(senders=senders, settings={"transactions_max": 20, **bounds, **(settings or {})})


def fill(world, key, count, first=0, **tx):
    return world.pool.add_remote([signed(key, first + n, **tx) for n in range(count)])


def test_the_largest_account_gives_way_at_its_highest_nonce() -> None:
    world = full()
    greedy, modest = world.keys[:2]
    fill(world, greedy, 20)
    assert fill(world, modest, 1) == [None]
    assert (world.pending(greedy), world.pending(modest)) == (list(range(19)), [0])


def test_the_largest_account_cannot_grow_at_others_cost() -> None:
    world = full()
    greedy, modest = world.keys[:2]
    fill(world, modest, 8)
    fill(world, greedy, 12)
    with pytest.raises(PoolRejection, match="txpool is full"):
        world.pool.add(signed(greedy, 12, fee=50 * GWEI), local=False)
    assert (len(world.pending(greedy)), len(world.pending(modest))) == (12, 8)


def test_a_nonce_that_closes_a_gap_takes_the_place_of_the_accounts_own_last() -> None:
    world = full()
    key = world.keys[0]
    fill(world, key, 19, first=1)
    fill(world, world.keys[1], 1)
    world.pool.add(signed(key, 0), local=False)
    assert (world.pending(key), world.queued(key)) == (list(range(19)), [])


def test_shares_become_fair_however_the_flood_begins() -> None:
    random = Random(7)
    world = full(senders=4, settings={"transactions_max": 40})
    offers = [(key, nonce) for key in world.keys for nonce in range(40)]
    offers.sort(key=lambda offer: (offer[1], random.random()))
    for key, nonce in offers:
        world.pool.add_remote([signed(key, nonce)])
    assert [len(world.pending(key)) for key in world.keys] == [10, 10, 10, 10]
    assert len(world.pool) == 40


def test_among_equal_shares_the_lowest_tip_goes_then_the_youngest() -> None:
    world = full()
    for place, key in enumerate(world.keys[:20]):
        fill(world, key, 1, fee=GWEI * (5 if place == 3 else 10))
    assert isinstance(fill(world, world.keys[20], 1, fee=GWEI)[0], PoolRejection)
    assert fill(world, world.keys[21], 1, fee=10 * GWEI) == [None]
    assert world.pending(world.keys[3]) == []
    assert isinstance(fill(world, world.keys[22], 1, fee=10 * GWEI)[0], PoolRejection)
    assert len(world.pool) == 20


def test_senders_made_up_for_free_give_way_to_accounts_that_exist() -> None:
    world = full()
    fill(world, world.keys[0], 4, fee=0)
    strangers = [key_of(1000 + number) for number in range(30)]
    for key in strangers:
        fill(world, key, 1, fee=0)
    assert (len(world.pool), len(world.pending(world.keys[0]))) == (20, 4)
    assert fill(world, world.keys[1], 3, fee=0) == [None] * 3
    assert len(world.pending(world.keys[0])) == 4


def test_bytes_count_as_well_as_numbers() -> None:
    world = full(settings={"transactions_max": 100, "bytes_max": 100_000, "transaction_bytes_max": 50_000})
    heavy, light = world.keys[:2]
    fill(world, heavy, 3, data=bytes(30_000), gas=1_000_000)
    assert len(world.pending(heavy)) == 3
    fill(world, light, 90)
    assert (len(world.pending(heavy)), len(world.pending(light))) == (2, 90)
    assert world.pool.status().bytes <= 100_000


def test_local_transactions_stay_within_their_bound() -> None:
    world = full()
    local = world.keys[0]
    for nonce in range(10):
        world.pool.add(signed(local, nonce), local=True)
    for key in world.keys[1:41]:
        fill(world, key, 1, fee=100 * GWEI)
    assert (len(world.pending(local)), len(world.pool)) == (10, 20)


def test_beyond_their_bound_local_transactions_are_as_good_as_others() -> None:
    world = full()
    local = world.keys[0]
    for nonce in range(20):
        world.pool.add(signed(local, nonce), local=True)
    for key in world.keys[1:11]:
        assert fill(world, key, 1) == [None]
    assert (len(world.pending(local)), len(world.pool)) == (10, 20)


def test_one_local_transaction_on_top_shields_no_remote_ones() -> None:
    world = full()
    keys = world.keys[:4]
    for key in keys:
        fill(world, key, 4)
        world.pool.add(signed(key, 4), local=True)
    assert len(world.pool) == 20
    assert fill(world, world.keys[5], 1) == [None]
    assert len(world.pool) == 20


def test_a_replacement_that_does_not_fit_leaves_the_old_one() -> None:
    world = full(settings={"transactions_max": 4, "bytes_max": 4_000, "transaction_bytes_max": 4_000})
    key = world.keys[0]
    old = signed(key, 0)
    world.pool.add(old, local=False)
    for other in world.keys[1:4]:
        fill(world, other, 1, data=bytes(900), gas=100_000)
    with pytest.raises(PoolRejection, match="txpool is full"):
        world.pool.add(signed(key, 0, fee=2 * GWEI, data=bytes(3_500), gas=100_000), local=False)
    assert world.pool.content_from(key.address).pending == (old,)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_the_bounds_and_the_books_hold(seed: int) -> None:
    random = Random(seed)
    settings = {"transactions_max": 30, "bytes_max": 12_000, "transaction_bytes_max": 3_000}
    world = full(senders=8, settings=settings)
    pool = world.pool
    for _ in range(300):
        key = random.choice(world.keys)
        size = random.choice([0, 0, 0, 500, 2000])
        fee = random.choice([0, GWEI, 2 * GWEI])
        tx = signed(
            key, random.randrange(12), fee=fee, data=bytes(size), gas=100_000, value=random.randrange(9)
        )
        if tx.hash in pool:
            continue
        try:
            pool.add(tx, local=random.random() < 0.2)
        except PoolRejection:
            assert tx.hash not in pool
        else:
            assert tx.hash in pool
        if random.random() < 0.1:
            pool.expire()
            world.clock.now_s += random.choice([1, 60, 4000])
        content = pool.content()
        everything = [t for one in content.values() for t in (*one.pending, *one.queued)]
        status = pool.status()
        assert status.pending + status.queued == len(everything) == len(pool) <= 30
        assert status.bytes == sum(len(t.encoded) for t in everything) <= 12_000
        assert all(pool.get(t.hash) is t for t in everything)
        for address, one in content.items():
            nonces = [t.nonce for t in (*one.pending, *one.queued)]
            assert nonces == sorted(set(nonces))
            assert [t.nonce for t in one.pending] == list(range(len(one.pending)))
            assert pool.pending_nonce(address) == len(one.pending)


def test_an_organisation_with_more_than_half_of_the_pool_gives_way_however_many_accounts_it_has() -> None:
    many = {key_of(n).address: b"many" for n in range(15)}
    world = World(senders=60, settings={"transactions_max": 20}, organisation=many.get)
    for key in world.keys[:15]:
        fill(world, key, 1)
    modest = world.keys[20]
    fill(world, modest, 5)
    assert fill(world, modest, 5, first=5) == [None] * 5, "by accounts alone it would be the largest"
    assert len(world.pending(modest)) == 10
    assert sum(len(world.pending(key)) for key in world.keys[:15]) == 10
