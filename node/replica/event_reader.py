"""Tables of domain events as of a block: rows as mappings, numbers whole, states as they were then."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from node.replica.database import IndexDatabase, Session, is_exact
from node.replica.events import catalog
from node.replica.tables import DOMAIN_EVENTS, Column, Table

Row = Mapping[str, Any]
_STATE_NOW: Final = (
    "JOIN entity_states s ON s.block_number = e.block_number AND s.log_index = e.log_index AND s.kind = ? "
    "JOIN entity_states n ON n.kind = s.kind AND n.entity = s.entity AND n.block_number <= ? "
    "AND NOT EXISTS (SELECT 1 FROM entity_states x WHERE x.kind = n.kind AND x.entity = n.entity "
    "AND x.block_number <= ? AND (x.block_number > n.block_number "
    "OR (x.block_number = n.block_number AND x.log_index > n.log_index)))"
)
"""The state of what event `e` began, after the as-of block."""


class Place(NamedTuple):
    """Behind an event, in the order of the chain."""

    number: int
    log_index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which events."""

    where: Mapping[str, Any]
    """Columns that must have these values; None values are left out."""
    kind: str | None = None
    """Of the entity that the event begins: rows then have `state` and `state_block`."""
    state: str | None = None
    """Only those whose entity is in this state."""
    after: Place | None = None
    limit: int
    newest_first: bool = False


class EventReader:
    """One view of the index, cut off behind a block."""

    def __init__(self, database: IndexDatabase, session: Session, as_of: int) -> None:
        self.session = session
        self.as_of = as_of
        self._database = database

    def events(self, contract: str, event: str, wanted: Wanted) -> list[Row]:
        """Rows of an event's table, in order of the chain."""
        return self.rows_of(table_of(contract, event), wanted)

    def rows_of(self, table: Table, wanted: Wanted) -> list[Row]:
        """Rows of any table that is ordered by block and log."""
        columns = [f'e."{column.name}"' for column in table.columns]
        joined, values = "", []
        if wanted.kind is not None:
            columns += ["n.state", "n.block_number"]
            joined, values = _STATE_NOW, [wanted.kind, self.as_of, self.as_of]
        conditions = ["e.block_number <= ?"]
        values.append(self.as_of)
        for name, value in wanted.where.items():
            if value is not None:
                conditions.append(f'e."{name}" = ?')
                values.append(self._database.value_of(_column(table, name), value))
        if wanted.state is not None:
            conditions.append("n.state = ?")
            values.append(wanted.state)
        behind, order = ("<", "DESC") if wanted.newest_first else (">", "ASC")
        if wanted.after is not None:
            conditions.append(
                f"(e.block_number {behind} ? OR (e.block_number = ? AND e.log_index {behind} ?))"
            )
            values += [wanted.after.number, wanted.after.number, wanted.after.log_index]
        sql = (
            f'SELECT {", ".join(columns)} FROM "{table.name}" e {joined} WHERE {" AND ".join(conditions)} '
            f"ORDER BY e.block_number {order}, e.log_index {order} LIMIT ?"
        )
        found = self.session.rows(sql, (*values, wanted.limit))
        return [_row(table, row, with_state=wanted.kind is not None) for row in found]

    def events_at(self, places: Sequence[Place]) -> list[Row]:
        """Rows of domain_events at these places."""
        found: list[Row] = []
        for place in places:
            rows = self.session.rows(
                f"SELECT {', '.join(DOMAIN_EVENTS.column_names)} FROM domain_events "
                "WHERE block_number = ? AND log_index = ?",
                place,
            )
            found += [_row(DOMAIN_EVENTS, row, with_state=False) for row in rows]
        return found

    def states(self, kind: str, entity: str) -> list[tuple[str, int, int]]:
        """Every state that an entity has been in: state, block, place in the block."""
        rows = self.session.rows(
            "SELECT state, block_number, log_index FROM entity_states WHERE kind = ? AND entity = ? "
            "AND block_number <= ? ORDER BY block_number, log_index",
            (kind, entity, self.as_of),
        )
        return [(row[0], row[1], row[2]) for row in rows]


def table_of(contract: str, event: str) -> Table:
    """The table of an event of the suite."""
    for found in catalog()[contract].values():
        if found.name == event:
            return found.table
    raise KeyError(f"{contract} has no event {event}")


def _column(table: Table, name: str) -> Column:
    return next(column for column in table.columns if column.name == name)


def _row(table: Table, row: Sequence[Any], *, with_state: bool) -> dict[str, Any]:
    shown = {
        column.name: int(value) if is_exact(column.kind) and value is not None else value
        for column, value in zip(table.columns, row, strict=False)
    }
    if with_state:
        shown["state"], shown["state_block"] = row[-2], row[-1]
    return shown
