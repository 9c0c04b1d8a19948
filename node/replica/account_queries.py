"""Look-ups by account and contract, newest first: transactions, transfers inside them, tokens, creations."""

from typing import Any, Final

from node.primitives.ids import Address, hex_of
from node.replica.answers import AccountTransaction, Creation, TokenBalance, Transfer
from node.replica.database import whole_number
from node.replica.event_reader import EventReader, Place
from node.replica.indexes import OWN_CREATION, Part
from node.replica.queries import Listed

MOVES_MAX: Final = 1 << 20
"""More than there can be inside one transaction."""


def transactions(reader: EventReader, account: Address, after: Place | None, limit: int) -> Listed:
    """Transactions that an account had a part in."""
    behind, values = _behind("a.block_number", "a.tx_index", after)
    rows = reader.session.rows(
        "SELECT a.block_number, a.tx_index, a.roles, b.time, t.hash, t.sender, t.recipient, t.created, "
        "t.nonce, t.value, t.gas_used, t.gas_price, t.succeeded FROM account_transactions a "
        "CROSS JOIN transactions t CROSS JOIN blocks b "
        "WHERE t.block_number = a.block_number AND t.tx_index = a.tx_index "
        f"AND b.block_number = a.block_number AND a.account = ? AND a.block_number <= ?{behind} "
        "ORDER BY a.block_number DESC, a.tx_index DESC LIMIT ?",
        (account, reader.as_of, *values, limit),
    )
    return [(_transaction(row), Place(row[0], row[1])) for row in rows]


def transfers(reader: EventReader, account: Address, after: Place | None, limit: int) -> Listed:
    """Value that moved to or from an account inside transactions."""
    behind, values = _behind("i.block_number", f"i.tx_index * {MOVES_MAX} + i.position", after)
    found: dict[tuple[int, int, int], tuple[Any, ...]] = {}
    for side in ("sender", "recipient"):
        rows = reader.session.rows(
            "SELECT i.block_number, i.tx_index, i.position, t.hash, i.sender, i.recipient, i.amount, "
            "i.creates FROM internal_transfers i CROSS JOIN transactions t "
            "WHERE t.block_number = i.block_number AND t.tx_index = i.tx_index "
            f"AND i.{side} = ? AND i.block_number <= ?{behind} "
            "ORDER BY i.block_number DESC, i.tx_index DESC, i.position DESC LIMIT ?",
            (account, reader.as_of, *values, limit),
        )
        found.update({(row[0], row[1], row[2]): row for row in rows})
    newest = sorted(found.items(), reverse=True)[:limit]
    return [(_transfer(row), Place(key[0], key[1] * MOVES_MAX + key[2])) for key, row in newest]


def token_balances(reader: EventReader, holder: Address, skipped: int, limit: int) -> list[TokenBalance]:
    """What an account holds, by token."""
    rows = reader.session.rows(
        "SELECT o.token, o.balance, o.block_number FROM token_balances o WHERE o.holder = ? "
        "AND o.block_number = (SELECT MAX(n.block_number) FROM token_balances n WHERE n.holder = o.holder "
        "AND n.token = o.token AND n.block_number <= ?) ORDER BY o.token LIMIT ? OFFSET ?",
        (holder, reader.as_of, limit, skipped),
    )
    return [TokenBalance(hex_of(bytes(row[0])), _text(whole_number(row[1])), row[2]) for row in rows]


def creation(reader: EventReader, address: Address) -> Creation | None:
    """How a contract came to be, the last time if more than once."""
    rows = reader.session.rows(
        "SELECT c.address, c.creator, t.hash, c.block_number, c.position FROM contract_creations c "
        "CROSS JOIN transactions t WHERE t.block_number = c.block_number AND t.tx_index = c.tx_index "
        "AND c.address = ? AND c.block_number <= ? "
        "ORDER BY c.block_number DESC, c.tx_index DESC, c.position DESC LIMIT 1",
        (address, reader.as_of),
    )
    if not rows:
        return None
    named = reader.session.rows(
        "SELECT name FROM contract_names WHERE address = ? AND block_number <= ? ORDER BY block_number DESC",
        (hex_of(address), reader.as_of),
    )
    row = rows[0]
    return Creation(
        hex_of(bytes(row[0])),
        hex_of(bytes(row[1])),
        hex_of(bytes(row[2])),
        row[3],
        row[4] != OWN_CREATION,
        named[0][0] if named else None,
    )


def _behind(number: str, index: str, after: Place | None) -> tuple[str, tuple[int, ...]]:
    if after is None:
        return "", ()
    condition = f" AND ({number} < ? OR ({number} = ? AND {index} < ?))"
    return condition, (after.number, after.number, after.log_index)


def _transaction(row: tuple[Any, ...]) -> AccountTransaction:
    return AccountTransaction(
        hash=hex_of(bytes(row[4])),
        block_number=row[0],
        tx_index=row[1],
        block_time=row[3],
        sender=hex_of(bytes(row[5])),
        recipient=None if row[6] is None else hex_of(bytes(row[6])),
        created=None if row[7] is None else hex_of(bytes(row[7])),
        nonce=str(int(row[8])),
        value=str(int(row[9])),
        gas_used=row[10],
        gas_price=str(int(row[11])),
        succeeded=bool(row[12]),
        parts=[part.name.lower() for part in Part if row[2] & part and part.name],
    )


def _transfer(row: tuple[Any, ...]) -> Transfer:
    return Transfer(
        tx_hash=hex_of(bytes(row[3])),
        block_number=row[0],
        tx_index=row[1],
        position=row[2],
        sender=hex_of(bytes(row[4])),
        recipient=hex_of(bytes(row[5])),
        amount=str(int(row[6])),
        creates=bool(row[7]),
    )


def _text(value: int | None) -> str | None:
    return None if value is None else str(value)
