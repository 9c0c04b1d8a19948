"""Events by address and topic, from the index alone.

Ordered by place on the chain and bounded in number, bytes and time. Where any of several values will do, the
range is cut into windows that grow while they find little: sorting then never costs more than what is wanted.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from node.primitives.block import BlockRef
from node.primitives.ids import Address, BlockNumber, Hash32
from node.primitives.receipt import Log
from node.replica.database import IndexDatabase, Interrupted, Session, in_list
from node.replica.writer import read_checkpoint

PAGE_ROWS: Final = 1_000
"""Rows fetched at once."""
WINDOW_BLOCKS: Final = 4_096
LOG_BYTES: Final = 600
"""What an event takes as JSON beside its data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSearch:
    """What is looked for."""

    addresses: Collection[Address] = ()
    """Any of these; empty for any at all."""
    topics: Sequence[Collection[Hash32]] = ()
    """By position, any of these; empty for any at all. An event may have more topics, not fewer."""
    start: BlockNumber = 0
    stop: BlockNumber
    after: tuple[BlockNumber, int] | None = None
    """Only what comes behind this event."""
    count_max: int
    bytes_max: int


class RowBlock(NamedTuple):
    """The block of an event."""

    number: BlockNumber
    hash: Hash32
    timestamp: int


class LogRow(NamedTuple):
    """An event with its place."""

    log: Log
    block: RowBlock
    tx_hash: Hash32
    tx_index: int
    log_index: int


@dataclass(frozen=True, slots=True)
class FoundLogs:
    """An answer, as of `covered`."""

    rows: list[LogRow]
    complete: bool
    covered: BlockRef


class LogQueries:
    """Look-ups of events. Any thread."""

    def __init__(self, database: IndexDatabase, timeout_s: float) -> None:
        self._database = database
        self._timeout_s = timeout_s

    def find(self, search: LogSearch, interrupted: Interrupted | None = None) -> FoundLogs | None:
        """Events in order; None while the index is empty. QueryTooCostly."""
        with self._database.read(self._timeout_s, interrupted) as session:
            covered = read_checkpoint(session)
            if covered is None:
                return None
            rows: list[LogRow] = []
            size = 0
            for row in _search(session, search, min(search.stop, covered.number)):
                size += LOG_BYTES + 2 * len(row.log.data)
                if len(rows) == search.count_max or (rows and size > search.bytes_max):
                    return FoundLogs(rows, False, covered)
                rows.append(row)
            return FoundLogs(rows, True, covered)

    def block_hash(self, number: BlockNumber) -> Hash32 | None:
        """The block at a height as the index knows it."""
        with self._database.read(self._timeout_s) as session:
            found = session.rows("SELECT hash FROM blocks WHERE block_number = ?", (number,))
        return Hash32(bytes(found[0][0])) if found else None


def _search(session: Session, search: LogSearch, stop: int) -> Iterator[LogRow]:
    """All of it, page by page; who has enough stops asking."""
    after = search.after
    start = max(search.start, after[0] if after else 0)
    sorted_by_index = all(len(values) <= 1 for values in (search.addresses, *search.topics))
    width = stop - start + 1 if sorted_by_index else WINDOW_BLOCKS
    rows = min(PAGE_ROWS, search.count_max + 1)
    while start <= stop:
        last = min(stop, start + width - 1)
        found = _page(session, search, start, last, after, rows)
        yield from found
        if len(found) == rows:
            after = (found[-1].block.number, found[-1].log_index)
            start = after[0]
        else:
            start, after = last + 1, None
            width *= 4


def _page(
    session: Session, search: LogSearch, start: int, stop: int, after: tuple[int, int] | None, rows: int
) -> list[LogRow]:
    conditions, values = _conditions(search)
    if after is not None:
        conditions.append("(l.block_number > ? OR l.log_index > ?)")
        values += after
    sql = (
        "SELECT l.address, l.topics, l.topic0, l.topic1, l.topic2, l.topic3, l.data, "
        "l.block_number, b.hash, b.time, t.hash, l.tx_index, l.log_index "
        # CROSS JOIN keeps SQLite from beginning with the blocks.
        "FROM logs l CROSS JOIN blocks b CROSS JOIN transactions t "
        "WHERE b.block_number = l.block_number "
        "AND t.block_number = l.block_number AND t.tx_index = l.tx_index "
        "AND l.block_number >= ? AND l.block_number <= ?"
        + "".join(f" AND {condition}" for condition in conditions)
        + " ORDER BY l.block_number, l.log_index LIMIT ?"
    )
    return [_row(row) for row in session.rows(sql, (start, stop, *values, rows))]


def _conditions(search: LogSearch) -> tuple[list[str], list[Any]]:
    conditions: list[str] = []
    values: list[Any] = []
    wanted: list[tuple[str, Collection[bytes]]] = [("l.address", search.addresses)]
    wanted += [(f"l.topic{place}", choice) for place, choice in enumerate(search.topics)]
    for column, choice in wanted:
        if choice:
            conditions.append(in_list(column, list(choice)))
            values += sorted(choice)
    if search.topics:
        conditions.append("l.topics >= ?")
        values.append(len(search.topics))
    return conditions, values


def _row(row: tuple[Any, ...]) -> LogRow:
    """Both databases give bytes as bytes."""
    log = Log(row[0], row[2 : 2 + row[1]], row[6])
    return LogRow(log, RowBlock(row[7], row[8], row[9]), row[10], row[11], row[12])
