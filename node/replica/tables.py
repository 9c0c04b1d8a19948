"""Every table of the index but those of domain events, whose shape follows from the contracts' ABIs.

Rows belong to blocks: `block_number` is in every table, and unwinding a block is deleting its rows. Core
tables hold addresses and hashes as bytes; tables of domain events hold them as text, for people and BI tools.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

SCHEMA_VERSION: Final = 1
"""Another number in the database: the index is made again."""


class Kind(Enum):
    """What a column holds."""

    INTEGER = "integer"
    """A whole number of at most 63 bits and a sign."""
    BYTES = "bytes"
    TEXT = "text"
    UINT = "uint"
    """A whole number of up to `bits`, not negative; may be NULL where a column says so."""
    INT = "int"
    """A whole number of up to 256 bits with a sign; ordered in PostgreSQL only."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    name: str
    kind: Kind = Kind.INTEGER
    nullable: bool = False
    bits: int = 256
    """Of a UINT."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its keys."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    indexes: tuple[tuple[str, ...], ...] = ()

    @property
    def column_names(self) -> tuple[str, ...]:
        """In order of the table."""
        return tuple(column.name for column in self.columns)


def _bytes(name: str, *, nullable: bool = False) -> Column:
    return Column(name, Kind.BYTES, nullable)


def _text(name: str, *, nullable: bool = False) -> Column:
    return Column(name, Kind.TEXT, nullable)


def _uint(name: str, *, nullable: bool = False) -> Column:
    return Column(name, Kind.UINT, nullable)


NUMBER: Final = Column("block_number")
LOG: Final = Column("log_index")
"""Place of an event among all of its block."""
TX: Final = Column("tx_index")

META: Final = Table("meta", (_text("name"), _text("value")), ("name",))
"""What the index is about: schema version, chain id and genesis."""

CHECKPOINT: Final = Table("checkpoint", (Column("id"), NUMBER, _bytes("block_hash")), ("id",))
"""One row: the newest block whose rows are all here. Changes together with them."""

BLOCKS: Final = Table(
    "blocks",
    (
        NUMBER,
        _bytes("hash"),
        Column("time"),
        Column("transactions"),
        Column("logs"),
        Column("traced"),
    ),
    ("block_number",),
)
"""`traced` 0: the state to run it again was gone, so its internal transfers are not known."""

TRANSACTIONS: Final = Table(
    "transactions",
    (
        NUMBER,
        TX,
        _bytes("hash"),
        _bytes("sender"),
        _bytes("recipient", nullable=True),
        _bytes("created", nullable=True),
        Column("type"),
        Column("nonce", Kind.UINT, bits=64),
        _uint("value"),
        Column("gas_used"),
        _uint("gas_price"),
        Column("succeeded"),
        _bytes("selector", nullable=True),
    ),
    ("block_number", "tx_index"),
    (("hash",),),
)

ACCOUNT_TRANSACTIONS: Final = Table(
    "account_transactions",
    (_bytes("account"), NUMBER, TX, Column("roles")),
    ("account", "block_number", "tx_index"),
    (("block_number",),),
)
"""`roles` is a sum: see indexes.Part."""

LOGS: Final = Table(
    "logs",
    (
        NUMBER,
        LOG,
        TX,
        _bytes("address"),
        Column("topics"),
        _bytes("topic0", nullable=True),
        _bytes("topic1", nullable=True),
        _bytes("topic2", nullable=True),
        _bytes("topic3", nullable=True),
        _bytes("data"),
    ),
    ("block_number", "log_index"),
    (
        ("address", "block_number", "log_index"),
        ("address", "topic0", "block_number", "log_index"),
        ("topic0", "block_number", "log_index"),
        ("topic1", "block_number", "log_index"),
        ("topic2", "block_number", "log_index"),
        ("topic3", "block_number", "log_index"),
    ),
)

INTERNAL_TRANSFERS: Final = Table(
    "internal_transfers",
    (
        NUMBER,
        TX,
        Column("position"),
        _bytes("sender"),
        _bytes("recipient"),
        _uint("amount"),
        Column("creates"),
    ),
    ("block_number", "tx_index", "position"),
    (
        ("sender", "block_number", "tx_index", "position"),
        ("recipient", "block_number", "tx_index", "position"),
    ),
)

CREATIONS: Final = Table(
    "contract_creations",
    (NUMBER, TX, Column("position"), _bytes("address"), _bytes("creator")),
    ("block_number", "tx_index", "position"),
    (("address", "block_number"), ("creator", "block_number")),
)
"""`position` -1: the transaction itself created it; else as in internal_transfers."""

TOKEN_TRANSFERS: Final = Table(
    "token_transfers",
    (NUMBER, LOG, TX, _bytes("token"), _bytes("sender"), _bytes("recipient"), _uint("amount")),
    ("block_number", "log_index"),
    (
        ("token", "block_number", "log_index"),
        ("sender", "block_number", "log_index"),
        ("recipient", "block_number", "log_index"),
    ),
)

TOKEN_BALANCES: Final = Table(
    "token_balances",
    (_bytes("token"), _bytes("holder"), NUMBER, _uint("balance", nullable=True)),
    ("token", "holder", "block_number"),
    (("holder", "token", "block_number"), ("block_number",)),
)
"""The balance after each block that changed it. NULL: it does not follow from the token's Transfer events."""

CONTRACT_NAMES: Final = Table(
    "contract_names",
    (NUMBER, _text("name"), _text("address")),
    ("block_number", "name", "address"),
    (("address",),),
)
"""Which address is which contract of the suite, and the block from which on the index has known it."""

DOMAIN_EVENTS: Final = Table(
    "domain_events",
    (
        NUMBER,
        LOG,
        TX,
        Column("block_time"),
        _text("tx_hash"),
        _text("address"),
        _text("contract"),
        _text("event"),
        _text("table_name"),
        _text("arguments"),
    ),
    ("block_number", "log_index"),
    (("contract", "event", "block_number", "log_index"), ("address", "block_number")),
)
"""Every event of a contract of ours, with its arguments as JSON; the same stands, typed, in `table_name`."""

EVENT_PARTIES: Final = Table(
    "event_parties",
    (_text("account"), NUMBER, LOG),
    ("account", "block_number", "log_index"),
    (("block_number",),),
)
"""Who signed or is named in a domain event."""

ENTITY_STATES: Final = Table(
    "entity_states",
    (_text("kind"), _text("entity"), NUMBER, LOG, _text("state")),
    ("kind", "entity", "block_number", "log_index"),
    (("block_number",),),
)
"""What became of invoices, agreements, windows, allocations and credentials, and when."""

BLOCK_TABLES: Final = (
    BLOCKS,
    TRANSACTIONS,
    ACCOUNT_TRANSACTIONS,
    LOGS,
    INTERNAL_TRANSFERS,
    CREATIONS,
    TOKEN_TRANSFERS,
    TOKEN_BALANCES,
    CONTRACT_NAMES,
    DOMAIN_EVENTS,
    EVENT_PARTIES,
    ENTITY_STATES,
)
"""What is unwound by block number; beside them the tables of domain events."""

CORE_TABLES: Final = (META, CHECKPOINT, *BLOCK_TABLES)
