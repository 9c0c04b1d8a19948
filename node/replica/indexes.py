"""A block and what it caused -> rows of the index. Pure: the same block always gives the same rows.

Two things need what was there before: a balance is the last one plus a difference, and which contract an
address is was said in an earlier block. Differences and names are handed over apart from the rows.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntFlag
from typing import Any, Final, NamedTuple

from node.primitives import rlp
from node.primitives.block import Block
from node.primitives.crypto import keccak256
from node.primitives.ids import ZERO_ADDRESS, Address, Hash32, hex_of
from node.primitives.receipt import Log, Receipt
from node.primitives.transaction import Transaction, TransactionType
from node.replica import tables
from node.replica.events import DecodedEvent, decode_event
from node.replica.lifecycle import transition
from node.replica.tables import Table

TRANSFER: Final = keccak256(b"Transfer(address,address,uint256)")
_PADDING: Final = bytes(12)
OWN_CREATION: Final = -1
"""`position` of a contract that the transaction itself created."""
Row = tuple[Any, ...]


class Part(IntFlag):
    """What an account was in a transaction; a row holds the sum."""

    SENDER = 1
    RECIPIENT = 2
    CREATED = 4
    INTERNAL = 8


class Moved(NamedTuple):
    """Value or a contract that came into being inside a transaction."""

    source: Address
    target: Address
    amount: int
    creates: bool


class Holding(NamedTuple):
    """A holder's account with a token."""

    token: Address
    holder: Address


@dataclass(slots=True)
class BlockRows:
    """All that one block adds."""

    number: int
    rows: dict[Table, list[Row]] = field(default_factory=dict)
    differences: dict[Holding, int] = field(default_factory=dict)
    """What its transfers add to balances of tokens; zero ones are left out."""

    def add(self, table: Table, row: Row) -> None:
        """One more row."""
        self.rows.setdefault(table, []).append(row)


class PlacedLog(NamedTuple):
    """An event at its place in a block."""

    log: Log
    log_index: int
    tx_index: int


@dataclass(frozen=True, slots=True)
class EventPlace:
    """Where a domain event happened, as its rows say it."""

    number: int
    time: int
    log_index: int
    tx_index: int
    tx_hash: str
    sender: str | None = None
    """Who signed the transaction; None when it is known elsewhere."""


def rows_of_block(
    block: Block, receipts: Sequence[Receipt], moves: Sequence[Sequence[Moved]] | None
) -> BlockRows:
    """Everything but domain events; `moves` per transaction, None when they are not known."""
    header, found = block.header, BlockRows(block.number)
    logs = sum(len(receipt.logs) for receipt in receipts)
    found.add(
        tables.BLOCKS,
        (block.number, header.hash, header.timestamp, len(receipts), logs, int(moves is not None)),
    )
    gas_before = 0
    for index, (tx, receipt) in enumerate(zip(block.transactions, receipts, strict=True)):
        gas_used = receipt.cumulative_gas_used - gas_before
        gas_before = receipt.cumulative_gas_used
        inside = moves[index] if moves is not None else ()
        _add_transaction(found, block, index, tx, receipt, gas_used, inside)
    for placed in placed_logs(receipts):
        _add_log(found, placed)
    found.differences = {holding: change for holding, change in found.differences.items() if change}
    return found


def placed_logs(receipts: Sequence[Receipt]) -> Iterator[PlacedLog]:
    """All events of a block in order."""
    log_index = 0
    for tx_index, receipt in enumerate(receipts):
        for log in receipt.logs:
            yield PlacedLog(log, log_index, tx_index)
            log_index += 1


def add_domain_event(found: BlockRows, contract: str, log: Log, place: EventPlace) -> DecodedEvent | None:
    """The rows of an event of the suite's `contract`; None, and no row, when it is not understood."""
    event = decode_event(contract, log)
    if event is None:
        return None
    number, log_index, address = place.number, place.log_index, hex_of(log.address)
    table = event.type.table
    found.add(table, (number, log_index, place.time, place.tx_hash, address, *event.values()))
    found.add(
        tables.DOMAIN_EVENTS,
        (
            number,
            log_index,
            place.tx_index,
            place.time,
            place.tx_hash,
            address,
            contract,
            event.type.name,
            table.name,
            event.json(),
        ),
    )
    parties = event.addresses() | ({place.sender} if place.sender else set())
    for account in sorted(parties):
        found.add(tables.EVENT_PARTIES, (account, number, log_index))
    changed = transition(contract, event.type.name, event.arguments)
    if changed is not None:
        (kind, entity), state = changed
        found.add(tables.ENTITY_STATES, (kind, entity, number, log_index, state))
    return event


def _add_transaction(
    found: BlockRows,
    block: Block,
    index: int,
    tx: Transaction,
    receipt: Receipt,
    gas_used: int,
    moves: Sequence[Moved],
) -> None:
    number = block.number
    created = _created_address(tx.sender, tx.nonce) if tx.to is None else None
    found.add(
        tables.TRANSACTIONS,
        (
            number,
            index,
            tx.hash,
            tx.sender,
            tx.to,
            created,
            int(tx.type),
            tx.nonce,
            tx.value,
            gas_used,
            _gas_price(tx, block.header.base_fee_per_gas),
            int(receipt.succeeded),
            tx.data[:4] if tx.to is not None and len(tx.data) >= 4 else None,
        ),
    )
    parts: dict[Address, int] = {tx.sender: Part.SENDER}
    if tx.to is not None:
        parts[tx.to] = parts.get(tx.to, 0) | Part.RECIPIENT
    if created is not None and receipt.succeeded:
        parts[created] = parts.get(created, 0) | Part.CREATED
        found.add(tables.CREATIONS, (number, index, OWN_CREATION, created, tx.sender))
    for position, move in enumerate(moves):
        _add_move(found, number, index, position, move, parts)
    for account, roles in parts.items():
        found.add(tables.ACCOUNT_TRANSACTIONS, (account, number, index, int(roles)))


def _add_move(
    found: BlockRows, number: int, index: int, position: int, move: Moved, parts: dict[Address, int]
) -> None:
    source, target, amount, creates = move
    found.add(tables.INTERNAL_TRANSFERS, (number, index, position, source, target, amount, int(creates)))
    parts[source] = parts.get(source, 0) | Part.INTERNAL
    parts[target] = parts.get(target, 0) | (Part.CREATED if creates else Part.INTERNAL)
    if creates:
        found.add(tables.CREATIONS, (number, index, position, target, source))


def _add_log(found: BlockRows, placed: PlacedLog) -> None:
    log, log_index, tx_index = placed
    topics = (*log.topics, None, None, None, None)[:4]
    found.add(
        tables.LOGS,
        (found.number, log_index, tx_index, log.address, len(log.topics), *topics, log.data),
    )
    transfer = token_transfer(log)
    if transfer is None:
        return
    sender, recipient, amount = transfer
    found.add(
        tables.TOKEN_TRANSFERS,
        (found.number, log_index, tx_index, log.address, sender, recipient, amount),
    )
    # Nobody holds what has not been issued yet, or has been burnt.
    for holder, change in ((sender, -amount), (recipient, amount)):
        if holder != ZERO_ADDRESS:
            holding = Holding(log.address, holder)
            found.differences[holding] = found.differences.get(holding, 0) + change


def token_transfer(log: Log) -> tuple[Address, Address, int] | None:
    """Sender, recipient and amount, if the event reads as ERC-20's Transfer (not ERC-721's: four topics)."""
    if len(log.topics) != 3 or log.topics[0] != TRANSFER or len(log.data) != 32:
        return None
    sender, recipient = log.topics[1], log.topics[2]
    if sender[:12] != _PADDING or recipient[:12] != _PADDING:
        return None
    return Address(sender[12:]), Address(recipient[12:]), int.from_bytes(log.data, "big")


def balance_after(before: int | None, change: int) -> int | None:
    """None for ever, once a balance has left what a uint256 holds: the token's events do not tell it."""
    if before is None:
        return None
    after = before + change
    return after if 0 <= after < 1 << 256 else None


ContractOf = Callable[[Address], str | None]
"""Which contract of the suite an address is."""
Names = Mapping[Address, str]


def _created_address(sender: Address, nonce: int) -> Address:
    return Address(keccak256(rlp.encode([sender, nonce]))[12:])


def _gas_price(tx: Transaction, base_fee: int | None) -> int:
    if tx.type is not TransactionType.FEE_MARKET or base_fee is None:
        return tx.max_fee_per_gas
    return min(tx.max_fee_per_gas, base_fee + tx.max_priority_fee_per_gas)


def topic_of(text: str) -> Hash32:
    """First topic of an event by its signature."""
    return keccak256(text.encode())
