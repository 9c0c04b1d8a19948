"""The journal: what was accepted survives; what is torn is cut off; nothing before it is lost."""

import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from node.primitives.errors import StorageError
from node.txpool.journal import Journal
from tests.txpool.world import World, key_of, signed

Open = Callable[[], Journal]
TXS = [signed(key_of(1), nonce) for nonce in range(6)]


@pytest.fixture
def open_journal(tmp_path: Path) -> Iterator[Open]:
    """Open the journal of this test; all are closed at its end."""
    opened = []

    def open_it() -> Journal:
        journal = Journal(tmp_path / "j")
        journal.open()
        opened.append(journal)
        return journal

    yield open_it
    for journal in opened:
        journal.close()


def written(path: Path, count: int = 3) -> bytes:
    journal = Journal(path)
    journal.open()
    for tx in TXS[:count]:
        journal.append(tx)
    journal.close()
    return path.read_bytes()


def reopened(path: Path) -> list:
    journal = Journal(path)
    transactions = journal.open()
    journal.close()
    return transactions


def test_it_is_empty_at_first_and_for_our_eyes_only(tmp_path: Path) -> None:
    assert reopened(tmp_path / "j") == []
    assert (tmp_path / "j").stat().st_mode & 0o777 == 0o600


def test_what_was_appended_is_read_in_order_and_once(tmp_path: Path, open_journal: Open) -> None:
    journal = open_journal()
    for tx in (*TXS, *TXS):
        journal.append(tx)
    assert len(journal) == len(TXS)
    assert TXS[0].hash in journal
    assert reopened(tmp_path / "j") == TXS


async def test_what_was_gathered_is_written_at_once(tmp_path: Path, open_journal: Open) -> None:
    journal, path = open_journal(), tmp_path / "j"
    for tx in (TXS[0], TXS[1], TXS[0]):
        journal.gather(tx)
    assert path.stat().st_size == 0
    await journal.wait_durable()
    assert path.read_bytes() == written(tmp_path / "k", 2)
    journal.gather(TXS[2])  # and whoever gathered it is cancelled
    journal.append(TXS[3])
    assert reopened(path) == TXS[:4]


def test_a_tail_torn_at_any_byte_costs_only_the_torn_record(tmp_path: Path) -> None:
    path = tmp_path / "j"
    whole = written(path, 3)
    two = len(written(tmp_path / "k", 2))
    for cut in range(two, len(whole)):
        path.write_bytes(whole[:cut])
        assert reopened(path) == TXS[:2]
        assert path.stat().st_size == two


def test_records_after_a_torn_tail_are_read_again(tmp_path: Path, open_journal: Open) -> None:
    path = tmp_path / "j"
    path.write_bytes(written(path, 3)[:-1])
    journal = open_journal()
    journal.append(TXS[4])
    journal.close()
    assert reopened(path) == [TXS[0], TXS[1], TXS[4]]


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "j"
    content = bytearray(written(path, 1))
    content[-1] ^= 1
    path.write_bytes(content)
    assert reopened(path) == []


async def test_rotation_keeps_the_living_and_what_came_meanwhile(tmp_path: Path, open_journal: Open) -> None:
    path = tmp_path / "j"
    journal = open_journal()
    for tx in TXS[:4]:
        journal.append(tx)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.rotate, lambda: [TXS[1], TXS[3]])
        await trio.testing.wait_all_tasks_blocked()
        journal.append(TXS[4])
    journal.append(TXS[5])
    await journal.wait_durable()
    assert [tx.hash in journal for tx in TXS] == [False, True, False, True, True, True]
    journal.close()
    assert reopened(path) == [TXS[1], TXS[3], TXS[4], TXS[5]]
    assert os.listdir(tmp_path) == ["j"]


async def test_rotation_with_nothing_to_drop_does_nothing(tmp_path: Path, open_journal: Open) -> None:
    path = tmp_path / "j"
    journal = open_journal()
    journal.append(TXS[0])
    inode = path.stat().st_ino
    await journal.rotate(lambda: TXS)
    assert path.stat().st_ino == inode


def test_a_full_disk_is_named_and_leaves_no_half_record(tmp_path: Path, open_journal: Open) -> None:
    journal = open_journal()
    journal.append(TXS[0])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "j").stat().st_size + 5, limits[1]))
    try:
        with pytest.raises(StorageError, match=r"5 of .* bytes written"):
            journal.append(TXS[1])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    journal.append(TXS[2])
    assert reopened(tmp_path / "j") == [TXS[0], TXS[2]]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="absent/j"):
        Journal(tmp_path / "absent" / "j").open()


async def test_local_transactions_survive_a_restart_of_the_pool(tmp_path: Path, open_journal: Open) -> None:
    journal = open_journal()
    world = World(journal=journal)
    first, second, third = (signed(world.keys[0], nonce) for nonce in range(3))
    await world.pool.submit(first)
    world.pool.add(second, local=True)
    world.pool.add(third, local=False)
    journal.close()

    journal = Journal(tmp_path / "j")
    world = World(journal=journal)
    assert world.pool.restore(journal.open()) == 2
    assert world.pool.restore([first]) == 0
    assert world.pool.local_transactions() == [first, second]
    world.pool.add(third, local=True)
    assert len(journal) == 3
    journal.close()


async def test_many_submissions_share_their_syncs(
    open_journal: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: syncs.append(real(descriptor)))
    journal = open_journal()
    world = World(journal=journal)
    async with trio.open_nursery() as nursery:
        for nonce in range(50):
            nursery.start_soon(world.pool.submit, signed(world.keys[0], nonce))
    assert len(world.pool.local_transactions()) == 50
    assert 1 <= len(syncs) <= 5
