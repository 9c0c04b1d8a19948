"""Answers to what peers ask, bounded in items, bytes and steps. Reads only; runs on a worker thread.

An answer is cut when it has grown to ANSWER_BYTES_MAX: the asker asks again for the rest. What is not here is
left out, as eth/68 wants it.
"""

from collections.abc import Callable, Iterator
from typing import Final

from node.primitives.block import Header
from node.primitives.ids import BlockNumber, Hash32
from node.primitives.receipt import Receipt
from node.primitives.transaction import Transaction
from node.sync.planner import body_bytes
from node.sync.ports import Chain
from p2p.eth.messages import (
    BlockBodies,
    BlockHeaders,
    GetBlockBodies,
    GetBlockHeaders,
    GetPooledTransactions,
    GetReceipts,
    PooledTransactions,
    Receipts,
)

ANSWER_BYTES_MAX: Final = 2 << 20
"""Soft: the item that passes it is the last one."""
HEADERS_MAX: Final = 1_024
BODIES_MAX: Final = 1_024
RECEIPT_LISTS_MAX: Final = 1_024
TRANSACTIONS_MAX: Final = 1_024
HEADER_BYTES: Final = 560
"""About, without extra data."""
RECEIPT_BYTES: Final = 300
LOG_BYTES: Final = 40
SIDE_STEPS_MAX: Final = 8_192
"""Blocks of a side branch that are walked, one look-up each, for one request."""


def answer_headers(chain: Chain, request: GetBlockHeaders) -> BlockHeaders:
    """The headers asked for, from a number or a hash on, upwards or downwards, with gaps of `skip`."""
    if isinstance(request.origin, bytes):
        found = _from_hash(chain, request.origin, request.skip + 1, reverse=request.reverse)
    else:
        found = _canonical(chain, request.origin, request.skip + 1, reverse=request.reverse)
    headers: list[Header] = []
    size = 0
    amount = min(request.amount, HEADERS_MAX)
    while len(headers) < amount and size < ANSWER_BYTES_MAX:
        header = next(found, None)
        if header is None:
            break
        headers.append(header)
        size += HEADER_BYTES + len(header.extra_data)
    return BlockHeaders(request.request_id, tuple(headers))


def answer_bodies(chain: Chain, request: GetBlockBodies) -> BlockBodies:
    """The bodies that are here, in the order asked."""
    bodies, size = [], 0
    for block_hash in request.hashes[:BODIES_MAX]:
        if size >= ANSWER_BYTES_MAX:
            break
        body = chain.body(block_hash)
        if body is not None:
            bodies.append(body)
            size += body_bytes(body)
    return BlockBodies(request.request_id, tuple(bodies))


def answer_receipts(chain: Chain, request: GetReceipts) -> Receipts:
    """The receipts of those blocks that are here and were executed."""
    lists, size = [], 0
    for block_hash in request.hashes[:RECEIPT_LISTS_MAX]:
        if size >= ANSWER_BYTES_MAX:
            break
        receipts = chain.receipts(block_hash)
        if receipts is not None:
            lists.append(receipts)
            size += sum(map(_receipt_bytes, receipts))
    return Receipts(request.request_id, tuple(lists))


def answer_pooled(
    get: Callable[[Hash32], Transaction | None], request: GetPooledTransactions
) -> PooledTransactions:
    """The pooled transactions among those asked for. `get` is the pool's, so this runs on the pool's task."""
    transactions, size = [], 0
    for tx_hash in request.hashes[:TRANSACTIONS_MAX]:
        if size >= ANSWER_BYTES_MAX:
            break
        tx = get(tx_hash)
        if tx is not None:
            transactions.append(tx)
            size += len(tx.encoded)
    return PooledTransactions(request.request_id, tuple(transactions))


def _canonical(chain: Chain, number: BlockNumber, step: int, *, reverse: bool) -> Iterator[Header]:
    """Canonical headers from a number on."""
    while 0 <= number <= chain.head.number:
        block_hash = chain.canonical_hash(number)
        header = None if block_hash is None else chain.header(block_hash)
        if header is None:
            return
        yield header
        number += -step if reverse else step


def _from_hash(chain: Chain, block_hash: Hash32, step: int, *, reverse: bool) -> Iterator[Header]:
    """Headers from a hash on: upwards along the canonical chain, downwards along the block's own branch."""
    header = chain.header(block_hash)
    if header is None:
        return
    if chain.canonical_hash(header.number) == block_hash:
        yield from _canonical(chain, header.number, step, reverse=reverse)
        return
    yield header
    if not reverse:
        return
    steps_left = SIDE_STEPS_MAX
    while header.number >= step:
        target = header.number - step
        while header.number > target:
            parent = chain.header(header.parent_hash)
            steps_left -= 1
            if parent is None or not steps_left:
                return
            header = parent
            if chain.canonical_hash(header.number) == header.hash:
                # From here down the branch is the canonical chain, where any distance is one look-up.
                yield from _canonical(chain, target, step, reverse=True)
                return
        yield header


def _receipt_bytes(receipt: Receipt) -> int:
    return RECEIPT_BYTES + sum(LOG_BYTES + 33 * len(log.topics) + len(log.data) for log in receipt.logs)
