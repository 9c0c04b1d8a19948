"""eth_: blocks and what stands in them, by number, tag or hash. Unknown blocks are null, as geth answers."""

from collections.abc import Callable
from typing import Any

from node.execution.executor import Interrupted
from node.primitives.block import Block
from node.primitives.ids import hex_of
from node.rpc.backend import ChainBackend
from node.rpc.blocks import (
    BlockId,
    ByHash,
    find_header,
    holds_of,
    is_light,
    read_block_id,
    read_number_or_tag,
)
from node.rpc.encoding import block_json, header_json, receipts_json, transaction_json
from node.rpc.jsonrpc import Json, RpcError
from node.rpc.method import Method, Where
from node.rpc.params import Param, read_bool, read_hash, read_uint64
from node.rpc.remembered import Holds


def methods(chain: ChainBackend) -> list[Method]:
    """Everything that starts from a block."""
    eth = _Blocks(chain)
    index = Param(read_uint64)

    def light(block: BlockId, *_: object) -> bool:
        return is_light(chain, block)

    def holds(block: BlockId, *_: object) -> Holds | None:
        return holds_of(chain, block)

    def both(name: str, tail: str, answer: Callable[..., Json], *more: Param) -> list[Method]:
        """The same method for a block by hash and for one by number."""
        return [
            Method(f"{name}Hash{tail}", answer, (Param(_read_by_hash), *more), Where.READ, light, holds),
            Method(
                f"{name}Number{tail}", answer, (Param(read_number_or_tag), *more), Where.READ, light, holds
            ),
        ]

    return [
        Method("eth_blockNumber", lambda: hex(chain.head.number)),
        Method("eth_getHeaderByHash", eth.header, (Param(_read_by_hash),)),
        Method("eth_getHeaderByNumber", eth.header, (Param(read_number_or_tag),)),
        Method("eth_getBlockReceipts", eth.receipts, (Param(read_block_id),), Where.READ, light, holds),
        *both("eth_getBlockBy", "", eth.block, Param(read_bool)),
        *both("eth_getBlockTransactionCountBy", "", eth.transaction_count),
        *both("eth_getTransactionByBlock", "AndIndex", eth.transaction, index),
        *both("eth_getRawTransactionByBlock", "AndIndex", eth.raw_transaction, index),
        *both("eth_getUncleCountByBlock", "", eth.uncle_count),
        *both("eth_getUncleByBlock", "AndIndex", eth.uncle, index),
    ]


class _Blocks:
    def __init__(self, chain: ChainBackend) -> None:
        self._chain = chain

    def header(self, block_id: BlockId) -> Json:
        header = find_header(self._chain, block_id)
        if header is None:
            return None
        fields = header_json(header)
        total_difficulty = self._chain.total_difficulty(header.hash)
        if total_difficulty is not None:
            fields["totalDifficulty"] = hex(total_difficulty)
        return fields

    def block(self, _: Interrupted, block_id: BlockId, full: bool) -> Json:
        block = self._find(block_id)
        if block is None:
            return None
        return block_json(block, self._chain.total_difficulty(block.hash), full=full)

    def receipts(self, _: Interrupted, block_id: BlockId) -> Json:
        block = self._find(block_id)
        if block is None:
            return None
        receipts = self._chain.receipts(block.hash)
        if receipts is None:
            raise RpcError(f"the receipts of block {block.number} are not kept here; ask an archive node")
        return receipts_json(block, receipts)

    def transaction_count(self, _: Interrupted, block_id: BlockId) -> Json:
        block = self._find(block_id)
        return hex(len(block.transactions)) if block else None

    def transaction(self, _: Interrupted, block_id: BlockId, index: int) -> Json:
        block = self._find(block_id)
        if block is None or index >= len(block.transactions):
            return None
        return transaction_json(block.transactions[index], block.header, index)

    def raw_transaction(self, _: Interrupted, block_id: BlockId, index: int) -> Json:
        """geth answers "0x" where there is none; null says it better, and clients take both."""
        block = self._find(block_id)
        if block is None or index >= len(block.transactions):
            return None
        return hex_of(block.transactions[index].encoded)

    def uncle_count(self, _: Interrupted, block_id: BlockId) -> Json:
        block = self._find(block_id)
        return hex(len(block.body.ommers)) if block else None

    def uncle(self, _: Interrupted, block_id: BlockId, index: int) -> Json:
        block = self._find(block_id)
        if block is None or index >= len(block.body.ommers):
            return None
        return header_json(block.body.ommers[index])

    def _find(self, block_id: BlockId) -> Block | None:
        header = find_header(self._chain, block_id)
        return self._chain.block(header.hash) if header else None


def _read_by_hash(value: Any) -> ByHash:
    return ByHash(read_hash(value))
