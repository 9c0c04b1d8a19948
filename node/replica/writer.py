"""The one writer of the index: rows and checkpoint change together, in one SQL transaction, or not at all.

Every step begins from the checkpoint in the database, so a crash at any point loses nothing and counts
nothing twice: what was not committed is simply done again. A checkpoint that is no longer canonical is
unwound to the last common block first, in the same transaction as the blocks that replace it.
"""

import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple, Protocol

from node.primitives.block import Block, BlockRef, Header
from node.primitives.errors import ConfigError, StorageError
from node.primitives.ids import Address, BlockNumber, Hash32, hex_of
from node.primitives.receipt import Log, Receipt
from node.primitives.state import StateView
from node.replica import tables
from node.replica.database import IndexDatabase, Session, whole_number
from node.replica.events import event_tables
from node.replica.indexes import (
    BlockRows,
    EventPlace,
    Holding,
    Moved,
    PlacedLog,
    add_domain_event,
    balance_after,
    placed_logs,
    rows_of_block,
)
from node.replica.registry import (
    NAMED,
    NAMES,
    Naming,
    address_of_text,
    is_address_book,
    may_establish,
    naming_of,
)
from node.replica.tables import Table

BLOCKS_PER_STEP: Final = 64
TRANSACTIONS_PER_STEP: Final = 2_000
TRANSFER_GAS: Final = 21_000
"""What a transaction uses that runs no code."""

MovesOf = Callable[[Block], Sequence[Sequence[Moved]] | None]
"""What moved inside the transactions of a block; None when the state to run it again is gone."""
StateAt = Callable[[Hash32], StateView | None]
"""The state after a block; None when it is not kept."""

log = logging.getLogger(__name__)


class IndexedChain(Protocol):
    """The chain that is followed."""

    @property
    def head(self) -> Header:
        """The newest canonical block."""
        ...

    def canonical_hash(self, number: BlockNumber) -> Hash32 | None:
        """Hash of the canonical block with this number."""
        ...

    def block(self, block_hash: Hash32) -> Block | None:
        """A known block."""
        ...

    def receipts(self, block_hash: Hash32) -> Sequence[Receipt] | None:
        """What it caused."""
        ...


class Progress(NamedTuple):
    """Where the index stands."""

    checkpoint: BlockRef
    time: int
    """Unix time of that block, in seconds."""
    unwound: int
    """Blocks taken back in the last step."""
    added: int


class IndexWriter:
    """Blocking; one thread at a time."""

    def __init__(
        self,
        database: IndexDatabase,
        chain: IndexedChain,
        *,
        identity: str,
        moves_of: MovesOf | None,
        state_at: StateAt,
        known: dict[Address, str],
    ) -> None:
        """`identity` is the chain's; `known` are contracts of the suite that need no address book."""
        self._database = database
        self._chain = chain
        self._identity = identity
        self._moves_of = moves_of
        self._state_at = state_at
        self._given = known
        self._names: dict[Address, str] = {}

    # --- opening

    def open(self) -> None:
        """Make the tables, or take up what is there. ConfigError when it is about another chain."""
        wanted = {"schema": _fingerprint(), "chain": self._identity}
        with self._database.write() as session:
            found = self._read_meta(session)
            if found and found.get("chain") != self._identity:
                raise ConfigError(
                    [
                        f"replica.database: {self._database.name} is about the chain {found.get('chain')}; "
                        f"this one is {self._identity}; name another database, or empty that one"
                    ]
                )
            if found and found != wanted:
                log.warning("the index is of another version; it is made again")
                self._drop_all(session)
            if found != wanted:
                for table in (*tables.CORE_TABLES, *event_tables()):
                    self._database.create(session, table)
                session.insert(tables.META, sorted(wanted.items()))
            self._read_names(session)

    def checkpoint(self) -> BlockRef | None:
        """The newest block whose rows are here."""
        with self._database.write() as session:
            return read_checkpoint(session)

    def _read_meta(self, session: Session) -> dict[str, str]:
        if not self._database.has_table(session, tables.META.name):
            return {}
        return dict(session.rows("SELECT name, value FROM meta"))

    def _drop_all(self, session: Session) -> None:
        ours = {table.name for table in (*tables.CORE_TABLES, *event_tables())}
        # Tables of events that have gone are ours, too: domain_events names those that were used.
        used = {str(row[0]) for row in session.rows("SELECT DISTINCT table_name FROM domain_events")}
        for name in self._database.table_names(session):
            if name in ours | used:
                session.run(f'DROP TABLE "{name}"')

    def _read_names(self, session: Session) -> None:
        self._names = dict(self._given)
        for name, address in session.rows("SELECT name, address FROM contract_names ORDER BY block_number"):
            self._names[address_of_text(address)] = name

    # --- following

    def step(self) -> Progress | None:
        """Come nearer to the head, by at most BLOCKS_PER_STEP; None when there is nothing to do."""
        chain = self._chain
        names = dict(self._names)
        try:
            with self._database.write() as session:
                last = read_checkpoint(session)
                if last is not None and last.hash == chain.head.hash:
                    return None
                common = self._common(session, last)
                unwound = 0
                if last is not None and common != last:
                    unwound = last.number - (common.number if common else -1)
                    self._unwind(session, common.number if common else -1)
                done, time, added = common, 0, 0
                for block, receipts in self._following(common):
                    self._add_block(session, block, receipts)
                    done, time, added = block.ref, block.header.timestamp, added + 1
                if done is None or (done == last and not unwound):
                    return None
                session.run("DELETE FROM checkpoint")
                session.insert(tables.CHECKPOINT, [(1, done.number, done.hash)])
                if not added:
                    ((time,),) = session.rows(
                        "SELECT time FROM blocks WHERE block_number = ?", (done.number,)
                    )
                return Progress(done, time, unwound, added)
        except BaseException:
            self._names = names  # what was not committed was not named
            raise

    def _common(self, session: Session, last: BlockRef | None) -> BlockRef | None:
        """The newest indexed block that is canonical."""
        while last is not None and self._chain.canonical_hash(last.number) != last.hash:
            found = session.rows("SELECT hash FROM blocks WHERE block_number = ?", (last.number - 1,))
            last = BlockRef(last.number - 1, Hash32(bytes(found[0][0]))) if found else None
        return last

    def _following(self, last: BlockRef | None) -> Iterable[tuple[Block, Sequence[Receipt]]]:
        """The next canonical blocks, each the child of the one before, even if the chain turns meanwhile."""
        parent, transactions = last, 0
        for _ in range(BLOCKS_PER_STEP):
            number = parent.number + 1 if parent else 0
            block_hash = self._chain.canonical_hash(number)
            block = None if block_hash is None else self._chain.block(block_hash)
            if block is None or (parent and block.header.parent_hash != parent.hash):
                return
            receipts = self._chain.receipts(block.hash) if number else ()
            if receipts is None:
                raise StorageError(f"the receipts of block {block.ref} are missing")
            yield block, receipts
            transactions += len(receipts)
            if transactions > TRANSACTIONS_PER_STEP:
                return
            parent = block.ref

    # --- one block

    def _add_block(self, session: Session, block: Block, receipts: Sequence[Receipt]) -> None:
        found = rows_of_block(block, receipts, self._moves(block, receipts))
        known = dict(self._names)
        hashes = [(hex_of(tx.hash), hex_of(tx.sender)) for tx in block.transactions]
        for placed in placed_logs(receipts):
            contract = known.get(placed.log.address)
            if contract is not None:
                tx_hash, sender = hashes[placed.tx_index]
                place = EventPlace(
                    block.number, block.header.timestamp, placed.log_index, placed.tx_index, tx_hash, sender
                )
                add_domain_event(found, contract, placed.log, place)
        _insert(session, found)
        self._write_balances(session, block.number, found.differences)
        self._learn_names(session, block, receipts)

    def _moves(self, block: Block, receipts: Sequence[Receipt]) -> Sequence[Sequence[Moved]] | None:
        if self._moves_of is None:
            return None
        if not receipts or receipts[-1].cumulative_gas_used == len(receipts) * TRANSFER_GAS:
            return ((),) * len(receipts)
        return self._moves_of(block)

    def _write_balances(self, session: Session, number: int, differences: dict[Holding, int]) -> None:
        rows = []
        for (token, holder), change in differences.items():
            found = session.rows(
                "SELECT balance FROM token_balances WHERE token = ? AND holder = ? "
                "ORDER BY block_number DESC LIMIT 1",
                (token, holder),
            )
            before = whole_number(found[0][0]) if found else 0
            rows.append((token, holder, number, balance_after(before, change)))
        session.insert(tables.TOKEN_BALANCES, rows)

    # --- names

    def _learn_names(self, session: Session, block: Block, receipts: Sequence[Receipt]) -> None:
        """What address books say in this block, and address books that may be believed from now on."""
        logs = [log for receipt in receipts for log in receipt.logs]
        for each in logs:
            if self._names.get(each.address) == NAMES:
                naming = naming_of(each)
                if naming is not None:
                    self._name(session, block.number, naming)
        if NAMES in self._names.values() or not may_establish(logs):
            return
        view = self._state_at(block.hash) or self._state_at(self._chain.head.hash)
        books = session.rows("SELECT DISTINCT address FROM logs WHERE topic0 = ?", (NAMED,))
        for book in sorted(Address(bytes(row[0])) for row in books):
            if view is None or not is_address_book(view, book):
                continue
            log.info("the contract suite's address book was found", extra={"address": hex_of(book)})
            self._name(session, block.number, Naming(NAMES, book))
            for placed, _ in _logs_of(session, book):
                naming = naming_of(placed.log)
                if naming is not None:
                    self._name(session, block.number, naming)

    def _name(self, session: Session, number: int, naming: Naming) -> None:
        """An address is a contract of ours: also what it said before belongs to the index."""
        if self._names.get(naming.address) == naming.name:
            return
        fresh = naming.address not in self._names
        self._names[naming.address] = naming.name
        session.insert(tables.CONTRACT_NAMES, [(number, naming.name, hex_of(naming.address))])
        if not fresh:
            return
        earlier = BlockRows(number)
        for placed, place in _logs_of(session, naming.address):
            add_domain_event(earlier, naming.name, placed.log, place)
        _insert(session, earlier)

    # --- backwards

    def _unwind(self, session: Session, number: int) -> None:
        """Forget all that came after block `number`."""
        named = session.rows("SELECT address FROM contract_names WHERE block_number > ?", (number,))
        used = session.rows("SELECT DISTINCT table_name FROM domain_events WHERE block_number > ?", (number,))
        for name in [str(row[0]) for row in used]:
            session.run(f'DELETE FROM "{name}" WHERE block_number > ?', (number,))
        for table in tables.BLOCK_TABLES:
            session.run(f"DELETE FROM {table.name} WHERE block_number > ?", (number,))
        self._read_names(session)
        for address in sorted({str(row[0]) for row in named}):
            if address_of_text(address) not in self._names:
                self._forget_contract(session, address)

    def _forget_contract(self, session: Session, address: str) -> None:
        """Take back the domain events of what is no contract of ours after all."""
        used = session.rows("SELECT DISTINCT table_name FROM domain_events WHERE address = ?", (address,))
        for name in [str(row[0]) for row in used]:
            session.run(f'DELETE FROM "{name}" WHERE address = ?', (address,))
        for side in (tables.EVENT_PARTIES, tables.ENTITY_STATES):
            session.run(
                f"DELETE FROM {side.name} WHERE EXISTS (SELECT 1 FROM domain_events d WHERE d.address = ? "
                f"AND d.block_number = {side.name}.block_number AND d.log_index = {side.name}.log_index)",
                (address,),
            )
        session.run("DELETE FROM domain_events WHERE address = ?", (address,))


def read_checkpoint(session: Session) -> BlockRef | None:
    """The newest block whose rows are all there, in this view."""
    found = session.rows("SELECT block_number, block_hash FROM checkpoint")
    return BlockRef(found[0][0], Hash32(bytes(found[0][1]))) if found else None


def _insert(session: Session, found: BlockRows) -> None:
    for table, rows in found.rows.items():
        session.insert(table, rows)


def _logs_of(session: Session, address: Address) -> list[tuple[PlacedLog, EventPlace]]:
    """Every event of a contract that the index holds, with its place."""
    found = session.rows(
        "SELECT l.block_number, b.time, l.log_index, l.tx_index, t.hash, t.sender, l.topics, "
        "l.topic0, l.topic1, l.topic2, l.topic3, l.data FROM logs l "
        "JOIN blocks b ON b.block_number = l.block_number "
        "JOIN transactions t ON t.block_number = l.block_number AND t.tx_index = l.tx_index "
        "WHERE l.address = ? ORDER BY l.block_number, l.log_index",
        (address,),
    )
    return [(PlacedLog(_log(address, row[6:]), row[2], row[3]), _place(row)) for row in found]


def _log(address: Address, row: Sequence[Any]) -> Log:
    topics = tuple(Hash32(bytes(topic)) for topic in row[1 : 1 + row[0]])
    return Log(address, topics, bytes(row[5]))


def _place(row: Sequence[Any]) -> EventPlace:
    number, time, log_index, tx_index, tx_hash, sender = row[:6]
    return EventPlace(number, time, log_index, tx_index, hex_of(tx_hash), hex_of(sender))


def _fingerprint() -> str:
    """Of all that the tables look like: another one, and the index is made again."""
    shape: list[Table] = [*tables.CORE_TABLES, *event_tables()]
    digest = hashlib.sha256(repr((tables.SCHEMA_VERSION, shape)).encode()).hexdigest()
    return f"{tables.SCHEMA_VERSION}-{digest[:16]}"
