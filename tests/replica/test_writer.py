"""The index follows from the chain: whatever happened on the way, it is the one that a fresh start makes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from node.primitives.errors import ConfigError
from node.primitives.ids import ZERO_ADDRESS, Address, Hash32
from node.primitives.receipt import Log
from node.replica.indexes import TRANSFER, Moved
from node.replica.sqlite import SqliteDatabase
from node.replica.writer import IndexWriter
from tests.replica.chains import IDENTITY, dump, follow, writer_of
from tests.rpc.world import TOKEN, MemoryChain, signed

HOLDERS = tuple(Address(bytes((index,)) * 20) for index in range(1, 5))


def padded(address: Address) -> Hash32:
    return Hash32(bytes(12) + address)


def transfer(sender: Address, recipient: Address, amount: int, token: Address = TOKEN) -> Log:
    return Log(token, (TRANSFER, padded(sender), padded(recipient)), amount.to_bytes(32, "big"))


class RandomChain(MemoryChain):
    """A chain that grows and turns by a seed."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._random = Random(seed)
        self._nonce = 0

    def turn(self) -> None:
        """A few blocks more, after a few blocks less."""
        removed = self._random.choice((0, 0, 0, 1, 2, 5))
        removed = min(removed, self.head.number)
        parent = self.header_by_number(self.head.number - removed)
        made = []
        for _ in range(self._random.randrange(1, 4) + removed):
            made.append(self.make(parent, *self._content(), extra_data=self._random.randbytes(97)))
            parent = made[-1].block.header
        self.adopt(made, removed)

    def _content(self):
        draw = self._random
        transactions = []
        for _ in range(draw.randrange(4)):
            self._nonce += 1
            transactions.append(signed(self._nonce, value=draw.randrange(10)))
        logs = []
        for _ in range(draw.randrange(4) if transactions else 0):
            parties = draw.choices((ZERO_ADDRESS, *HOLDERS), k=2)
            logs.append(transfer(*parties, draw.choice((1, 5, 2**200))))
        return transactions, logs


def moves_of(block) -> list[list[Moved]]:
    """Something that follows from the block, in place of an execution."""
    return [
        [Moved(TOKEN, HOLDERS[tx.nonce % 4], tx.nonce, tx.nonce % 3 == 0)] * (tx.nonce % 2)
        for tx in block.transactions
    ]


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.long) for seed in (2, 3))])
def test_an_index_that_lived_through_reorganisations_is_the_one_of_a_fresh_start(database, tmp_path, seed):
    chain, draw = RandomChain(seed), Random(seed)
    writer = writer_of(database, chain, moves_of=moves_of)
    for _ in range(25):
        chain.turn()
        if draw.random() < 0.6:
            assert follow(writer) == chain.head.ref
    assert follow(writer) == chain.head.ref
    fresh = SqliteDatabase(tmp_path / "fresh.sqlite")
    follow(writer_of(fresh, chain, moves_of=moves_of))
    assert dump(database) == dump(fresh)
    fresh.close()


class Crashing(SqliteDatabase):
    """Dies at its nth statement."""

    def __init__(self, path: Path, statements: int) -> None:
        super().__init__(path)
        self.left = statements

    @contextmanager
    def write(self) -> Iterator:
        with super().write() as session:
            yield _Crashing(self, session)
            self.spend()  # what is done is not yet committed

    def spend(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


class _Crashing:
    def __init__(self, owner: Crashing, session) -> None:
        self._owner, self._session = owner, session

    def rows(self, sql, values=()):
        self._owner.spend()
        return self._session.rows(sql, values)

    def run(self, sql, values=()):
        self._owner.spend()
        self._session.run(sql, values)

    def insert(self, table, rows):
        self._owner.spend()
        self._session.insert(table, rows)


def test_a_crash_at_any_statement_loses_nothing_and_counts_nothing_twice(tmp_path):
    chain = RandomChain(7)
    path = tmp_path / "index.sqlite"
    first = SqliteDatabase(path)
    for _ in range(4):
        chain.turn()
    follow(writer_of(first, chain, moves_of=moves_of))
    first.close()
    chain.adopt([chain.make(chain.header_by_number(chain.head.number - 2), (), ()) for _ in range(1)], 2)
    for _ in range(2):
        chain.turn()
    crashes = 0
    # Each life gets a little further; between any two, every statement has been the last one of some life.
    for statements in range(1, 10_000):
        database = Crashing(path, 10**9)
        writer = writer_of(database, chain, moves_of=moves_of)
        database.left = statements
        try:
            if writer.step() is None:
                break
        except KeyboardInterrupt:
            crashes += 1
        finally:
            database.close()
    assert crashes > 20
    fresh, grown = SqliteDatabase(tmp_path / "fresh.sqlite"), SqliteDatabase(path)
    follow(writer_of(fresh, chain, moves_of=moves_of))
    assert dump(grown) == dump(fresh)


def test_balances_are_exact_to_the_last_unit_and_follow_a_reorganisation(database):
    chain = MemoryChain()
    writer = writer_of(database, chain)
    most = 2**256 - 1
    chain.extend([signed(0)], [transfer(ZERO_ADDRESS, HOLDERS[0], most)])
    follow(writer)
    chain.extend([signed(1)], [transfer(HOLDERS[0], HOLDERS[1], most - 1)])
    follow(writer)
    assert balances(database) == {HOLDERS[0]: 1, HOLDERS[1]: most - 1}
    chain.adopt(
        [chain.make(chain.header_by_number(1), [signed(1)], [transfer(HOLDERS[0], HOLDERS[2], 2)])], 1
    )
    follow(writer)
    assert balances(database) == {HOLDERS[0]: most - 2, HOLDERS[2]: 2}


def test_a_balance_that_events_do_not_explain_is_unknown_for_ever(database):
    chain = MemoryChain()
    writer = writer_of(database, chain)
    chain.extend([signed(0)], [transfer(HOLDERS[0], HOLDERS[1], 5)])
    chain.extend([signed(1)], [transfer(HOLDERS[1], HOLDERS[0], 5)])
    follow(writer)
    assert balances(database) == {HOLDERS[0]: None, HOLDERS[1]: 0}


def balances(database) -> dict[Address, int | None]:
    """The newest of each holder of TOKEN."""
    newest: dict[Address, tuple[int, int | None]] = {}
    for _, holder, number, balance in dump(database)["token_balances"]:
        newest[holder] = max(newest.get(holder, (-1, None)), (number, balance), key=lambda each: each[0])
    return {holder: balance for holder, (_, balance) in newest.items()}


def test_an_index_of_another_chain_is_refused(database):
    writer_of(database, MemoryChain())
    other = IndexWriter(
        database, MemoryChain(), identity="9:else", moves_of=None, state_at=lambda _: None, known={}
    )
    with pytest.raises(ConfigError, match=f"is about the chain {IDENTITY}; this one is 9:else"):
        other.open()


def test_an_index_of_another_version_is_made_again(database):
    chain = MemoryChain()
    chain.extend([signed(0)], [transfer(ZERO_ADDRESS, HOLDERS[0], 3)])
    follow(writer_of(database, chain))
    before = dump(database)
    with database.write() as session:
        session.run("UPDATE meta SET value = ? WHERE name = ?", ("0-old", "schema"))
        session.run("DELETE FROM logs")
    writer = writer_of(database, chain)
    assert writer.checkpoint() is None
    follow(writer)
    assert dump(database) == before


def test_nothing_is_indexed_twice_and_the_head_is_reached_once(database):
    chain = MemoryChain()
    writer = writer_of(database, chain)
    assert writer.step() is not None  # genesis
    assert writer.step() is None
    chain.extend([signed(0)])
    progress = writer.step()
    assert progress is not None
    assert (progress.checkpoint, progress.added, progress.unwound) == (chain.head.ref, 1, 0)
    assert writer.step() is None


def test_who_did_what_is_found_by_account(database):
    chain = MemoryChain()
    tx = signed(0)
    chain.extend([tx])
    follow(writer_of(database, chain, moves_of=lambda _: [[Moved(TOKEN, HOLDERS[0], 9, False)]]))
    rows = {row[0]: row[1:] for row in dump(database)["account_transactions"]}
    # The block used plain gas only, so it was not run again: no move was asked for.
    assert rows == {tx.sender: (1, 0, 1), TOKEN: (1, 0, 2)}
