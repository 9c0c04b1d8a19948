"""txpool_: what waits for a block, in geth's shapes: by checksummed sender, then by nonce in decimal."""

from collections.abc import Callable, Iterable
from functools import partial

from node.primitives.ids import Address
from node.primitives.transaction import Transaction
from node.rpc.backend import PoolBackend
from node.rpc.encoding import checksum_address, transaction_json
from node.rpc.jsonrpc import Json
from node.rpc.method import Method
from node.rpc.params import Param, read_address


def methods(pool: PoolBackend) -> list[Method]:
    """status, content, contentFrom, inspect."""
    return [
        Method("txpool_status", partial(_status, pool)),
        Method("txpool_content", partial(_content, pool, _pending_json)),
        Method("txpool_contentFrom", partial(_content_from, pool), (Param(read_address),)),
        Method("txpool_inspect", partial(_content, pool, _line)),
    ]


def _status(pool: PoolBackend) -> Json:
    pending, queued = pool.counts()
    return {"pending": hex(pending), "queued": hex(queued)}


def _content(pool: PoolBackend, encode: Callable[[Transaction], Json]) -> Json:
    pending, queued = pool.content()
    return {
        "pending": {checksum_address(a): _by_nonce(txs, encode) for a, txs in pending.items()},
        "queued": {checksum_address(a): _by_nonce(txs, encode) for a, txs in queued.items()},
    }


def _content_from(pool: PoolBackend, address: Address) -> Json:
    pending, queued = pool.content_of(address)
    return {"pending": _by_nonce(pending, _pending_json), "queued": _by_nonce(queued, _pending_json)}


def _by_nonce(transactions: Iterable[Transaction], encode: Callable[[Transaction], Json]) -> dict[str, Json]:
    return {str(tx.nonce): encode(tx) for tx in transactions}


def _pending_json(tx: Transaction) -> Json:
    return transaction_json(tx, None)


def _line(tx: Transaction) -> str:
    """One transaction in one line, for people."""
    to = "contract creation" if tx.to is None else checksum_address(tx.to)
    return f"{to}: {tx.value} wei + {tx.gas_limit} gas × {tx.gas_price} wei"
