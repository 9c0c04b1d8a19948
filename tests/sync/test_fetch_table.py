"""Announced transactions: each is asked of one peer at a time, and everything is bounded."""

from random import Random

from node.sync import fetch_table
from node.sync.fetch_table import HASHES_PER_REQUEST, FetchTable
from node.sync.ports import PeerId

A, B, C = (PeerId(name.encode()) for name in "abc")
HASHES = [bytes([high, low]) * 16 for high in range(3) for low in range(256)]


def items(hashes, size=100):
    return [(tx_hash, size) for tx_hash in hashes]


def nothing(_) -> bool:
    return False


def test_each_is_asked_of_one_peer_at_a_time() -> None:
    table = FetchTable()
    table.announce(A, items(HASHES[:3]), 1.0)
    table.announce(B, items(HASHES[:4]), 2.0)
    assert table.take(A, 0.9, nothing) == ()
    assert table.next_ready_s(A) == 1.0
    assert table.take(A, 1.0, nothing) == tuple(HASHES[:3])
    assert table.next_ready_s(A) is None
    assert table.take(B, 2.0, nothing) == (HASHES[3],)


def test_what_one_does_not_deliver_is_asked_of_the_next_and_never_again_of_the_first() -> None:
    table = FetchTable()
    for peer in (A, B):
        table.announce(peer, items(HASHES[:3]), 0.0)
    asked = table.take(A, 0.0, nothing)
    table.answered(A, asked, {HASHES[1]})
    assert table.take(A, 0.0, nothing) == ()
    asked = table.take(B, 0.0, nothing)
    assert asked == (HASHES[0], HASHES[2])
    table.answered(B, asked, set())
    assert len(table) == 0


def test_what_has_come_by_itself_is_not_asked_for() -> None:
    table = FetchTable()
    table.announce(A, items(HASHES[:3]), 0.0)
    assert table.take(A, 0.0, lambda tx_hash: tx_hash == HASHES[0]) == tuple(HASHES[1:3])
    assert len(table) == 2


def test_a_peer_that_goes_leaves_its_share_to_others() -> None:
    table = FetchTable()
    table.announce(A, items(HASHES[:2]), 0.0)
    table.announce(B, items(HASHES[1:2]), 0.0)
    table.take(A, 0.0, nothing)
    table.drop(A)
    assert table.take(B, 0.0, nothing) == (HASHES[1],)
    assert len(table) == 1


def test_requests_are_bounded_in_hashes_and_bytes() -> None:
    table = FetchTable()
    table.announce(A, items(HASHES), 0.0)
    assert len(table.take(A, 0.0, nothing)) == HASHES_PER_REQUEST
    table = FetchTable()
    table.announce(A, [(HASHES[0], 10**9), *items(HASHES[1:10], 60_000)], 0.0)
    assert len(table.take(A, 0.0, nothing)) == 1
    assert len(table.take(A, 0.0, nothing)) == 2


def test_the_table_is_bounded_in_all_and_per_peer(monkeypatch) -> None:
    monkeypatch.setattr(fetch_table, "WANTED_PER_PEER_MAX", 100)
    monkeypatch.setattr(fetch_table, "WANTED_MAX", 150)
    table = FetchTable()
    table.announce(A, items(HASHES[:300]), 0.0)
    assert len(table) == 100
    table.announce(B, items(HASHES[300:600]), 0.0)
    assert len(table) == 150
    table.drop(A)
    table.announce(C, items(HASHES[600:]), 0.0)
    assert len(table) == 150


def test_whatever_happens_the_books_hold() -> None:
    for seed in range(30):
        random = Random(seed)
        table, under_way = FetchTable(), []
        for step in range(200):
            peer = random.choice([A, B, C])
            match random.randrange(5):
                case 0:
                    table.announce(peer, items(random.sample(HASHES, 20)), step)
                case 1:
                    asked = table.take(peer, step, lambda tx_hash: tx_hash[0] == 0)
                    under_way.append((peer, asked))
                    assert not any(set(asked) & set(other) for _, other in under_way[:-1])
                case 2 if under_way:
                    peer, asked = under_way.pop()
                    table.answered(peer, asked, set(random.sample(asked, len(asked) // 2)))
                case 3 if random.random() < 0.2:
                    table.drop(peer)
                    under_way = [entry for entry in under_way if entry[0] != peer]
                case 4:
                    busy = {tx_hash for _, asked in under_way for tx_hash in asked}
                    table.forget(random.choice([tx_hash for tx_hash in HASHES if tx_hash not in busy]))
        for peer, asked in under_way:
            table.answered(peer, asked, set())
        for peer in (A, B, C):
            table.drop(peer)
        assert len(table) == 0
