"""eth_: transactions by hash, their receipts, and sending new ones."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from node.execution.executor import Interrupted
from node.primitives.block import Block
from node.primitives.errors import ChainError
from node.primitives.ids import Hash32, hex_of
from node.primitives.transaction import Transaction, decode_transaction
from node.rpc.backend import Backend, ChainBackend, PoolBackend
from node.rpc.blocks import ByHash, is_light
from node.rpc.encoding import receipt_json, transaction_json
from node.rpc.jsonrpc import Json, RpcError
from node.rpc.method import Held, Method, Where
from node.rpc.params import Param, read_data, read_hash
from node.rpc.remembered import Holds


def methods(backend: Backend) -> list[Method]:
    """getTransactionByHash, getRawTransactionByHash, getTransactionReceipt, sendRawTransaction."""
    eth = _Transactions(backend.chain, backend.pool)
    by_hash = (Param(read_hash),)

    def light(tx_hash: Hash32) -> bool:
        place = backend.chain.transaction_place(tx_hash)
        return place is None or is_light(backend.chain, ByHash(place.block_hash))

    def holds(tx_hash: Hash32) -> Holds | None:
        """One that waits for a block may leave without one; a receipt is there or is not."""
        return None if backend.chain.transaction_place(tx_hash) is None else Holds.PAST

    table = [
        Method("eth_getTransactionByHash", eth.by_hash, by_hash, Where.READ, light, holds),
        Method("eth_getRawTransactionByHash", eth.raw, by_hash, Where.READ, light, holds),
        Method("eth_getTransactionReceipt", eth.receipt, by_hash, Where.READ, light, lambda _: Holds.PAST),
    ]
    if backend.pool is not None:
        raw = (Param(read_data),)
        table.append(
            Method(
                "eth_sendRawTransaction", eth.send, raw, Where.TASK, together=eth.receiving,
                at_once=eth.send_received,
            )
        )  # fmt: skip
    return table


class _Transactions:
    def __init__(self, chain: ChainBackend, pool: PoolBackend | None) -> None:
        self._chain = chain
        self._pool = pool
        self._decoded: dict[bytes, Transaction] = {}
        """Of batches that are being answered: decoded, and their senders recovered together."""

    def by_hash(self, _: Interrupted, tx_hash: Hash32) -> Json:
        """Canonical first: a transaction may still be leaving the pool."""
        found = self._mined(tx_hash)
        if found is not None:
            block, index = found
            return transaction_json(block.transactions[index], block.header, index)
        waiting = self._waiting(tx_hash)
        return transaction_json(waiting, None) if waiting else None

    def raw(self, _: Interrupted, tx_hash: Hash32) -> Json:
        found = self._mined(tx_hash)
        tx = found[0].transactions[found[1]] if found else self._waiting(tx_hash)
        return hex_of(tx.encoded) if tx else None

    def receipt(self, _: Interrupted, tx_hash: Hash32) -> Json:
        found = self._mined(tx_hash)
        if found is None:
            return None
        block, index = found
        receipts = self._chain.receipts(block.hash)
        if receipts is None:
            raise RpcError(f"the receipts of block {block.number} are not kept here; ask an archive node")
        return receipt_json(block, receipts, index)

    @asynccontextmanager
    async def receiving(self, calls: Sequence[Sequence[Any]]) -> AsyncIterator[None]:
        """Recover the senders of a batch together; what is wrong with one of them, `send` will say."""
        assert self._pool is not None
        transactions = {}
        for (encoded,) in calls:
            with suppress(ChainError):
                transactions[encoded] = decode_transaction(encoded)
        await self._pool.recover_senders(list(transactions.values()))
        self._decoded |= transactions
        try:
            yield
        finally:
            for encoded in transactions:
                self._decoded.pop(encoded, None)

    def send_received(self, encoded: bytes) -> Held | None:
        """`send` of one of a batch; None for one with which something is wrong, or where sending waits."""
        tx = self._decoded.get(encoded)
        if self._pool is None or self._pool.enter is None or tx is None or not tx.has_sender:
            return None
        return Held(hex_of(tx.hash), self._pool.enter(tx))

    async def send(self, encoded: bytes) -> "Json | Held":
        assert self._pool is not None
        try:
            tx = self._decoded.pop(encoded, None) or decode_transaction(encoded)
            if not tx.has_sender:
                await self._pool.recover_senders((tx,))
            # Here and now: a bad signature is the client's fault, not the pool's affair.
            _ = tx.sender
        except ChainError as error:
            raise RpcError(f"invalid transaction: {error}") from None
        until = await self._pool.submit(tx)
        return hex_of(tx.hash) if until is None else Held(hex_of(tx.hash), until)

    def _mined(self, tx_hash: Hash32) -> tuple[Block, int] | None:
        place = self._chain.transaction_place(tx_hash)
        if place is None:
            return None
        block = self._chain.block(place.block_hash)
        return (block, place.index) if block else None

    def _waiting(self, tx_hash: Hash32) -> Transaction | None:
        return self._pool.get(tx_hash) if self._pool else None
