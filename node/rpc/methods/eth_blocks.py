"""eth_: blocks and what stands in them, by number, tag or hash. Unknown blocks are null, as geth answers."""

from node.execution.executor import Interrupted
from node.primitives.block import Block
from node.primitives.ids import Hash32
from node.rpc.backend import ChainBackend
from node.rpc.blocks import BlockId, ByHash, NumberOrTag, find_header, read_block_id, read_number_or_tag
from node.rpc.encoding import JsonObject, block_json, header_json, receipts_json, transaction_json
from node.rpc.jsonrpc import Json, RpcError
from node.rpc.method import Method, Where
from node.rpc.params import Param, read_bool, read_hash, read_uint64


def methods(chain: ChainBackend) -> list[Method]:
    """Everything that starts from a block."""
    eth = _Blocks(chain)
    by_hash, by_number = Param(read_hash), Param(read_number_or_tag)
    index, full = Param(read_uint64), Param(read_bool)
    read = Where.READ
    return [
        Method("eth_blockNumber", lambda: hex(chain.head.number)),
        Method("eth_getBlockByHash", eth.block_by_hash, (by_hash, full), read),
        Method("eth_getBlockByNumber", eth.block_by_number, (by_number, full), read),
        Method("eth_getHeaderByHash", eth.header_by_hash, (by_hash,)),
        Method("eth_getHeaderByNumber", eth.header_by_number, (by_number,)),
        Method("eth_getBlockTransactionCountByHash", eth.count_by_hash, (by_hash,), read),
        Method("eth_getBlockTransactionCountByNumber", eth.count_by_number, (by_number,), read),
        Method("eth_getUncleCountByBlockHash", eth.uncle_count_by_hash, (by_hash,), read),
        Method("eth_getUncleCountByBlockNumber", eth.uncle_count_by_number, (by_number,), read),
        Method("eth_getUncleByBlockHashAndIndex", eth.uncle_by_hash, (by_hash, index), read),
        Method("eth_getUncleByBlockNumberAndIndex", eth.uncle_by_number, (by_number, index), read),
        Method("eth_getTransactionByBlockHashAndIndex", eth.transaction_by_hash, (by_hash, index), read),
        Method(
            "eth_getTransactionByBlockNumberAndIndex", eth.transaction_by_number, (by_number, index), read
        ),
        Method("eth_getRawTransactionByBlockHashAndIndex", eth.raw_by_hash, (by_hash, index), read),
        Method("eth_getRawTransactionByBlockNumberAndIndex", eth.raw_by_number, (by_number, index), read),
        Method("eth_getBlockReceipts", eth.receipts, (Param(read_block_id),), read),
    ]


class _Blocks:
    def __init__(self, chain: ChainBackend) -> None:
        self._chain = chain

    def block_by_hash(self, _: Interrupted, block_hash: Hash32, full: bool) -> Json:
        return self._block_json(ByHash(block_hash), full)

    def block_by_number(self, _: Interrupted, block: NumberOrTag, full: bool) -> Json:
        return self._block_json(block, full)

    def header_by_hash(self, block_hash: Hash32) -> Json:
        return self._header_json(ByHash(block_hash))

    def header_by_number(self, block: NumberOrTag) -> Json:
        return self._header_json(block)

    def count_by_hash(self, _: Interrupted, block_hash: Hash32) -> Json:
        block = self._find(ByHash(block_hash))
        return hex(len(block.transactions)) if block else None

    def count_by_number(self, _: Interrupted, number: NumberOrTag) -> Json:
        block = self._find(number)
        return hex(len(block.transactions)) if block else None

    def uncle_count_by_hash(self, _: Interrupted, block_hash: Hash32) -> Json:
        block = self._find(ByHash(block_hash))
        return hex(len(block.body.ommers)) if block else None

    def uncle_count_by_number(self, _: Interrupted, number: NumberOrTag) -> Json:
        block = self._find(number)
        return hex(len(block.body.ommers)) if block else None

    def uncle_by_hash(self, _: Interrupted, block_hash: Hash32, index: int) -> Json:
        return _uncle_json(self._find(ByHash(block_hash)), index)

    def uncle_by_number(self, _: Interrupted, number: NumberOrTag, index: int) -> Json:
        return _uncle_json(self._find(number), index)

    def transaction_by_hash(self, _: Interrupted, block_hash: Hash32, index: int) -> Json:
        return _transaction_json(self._find(ByHash(block_hash)), index)

    def transaction_by_number(self, _: Interrupted, number: NumberOrTag, index: int) -> Json:
        return _transaction_json(self._find(number), index)

    def raw_by_hash(self, _: Interrupted, block_hash: Hash32, index: int) -> Json:
        return _raw_json(self._find(ByHash(block_hash)), index)

    def raw_by_number(self, _: Interrupted, number: NumberOrTag, index: int) -> Json:
        return _raw_json(self._find(number), index)

    def receipts(self, _: Interrupted, block_id: BlockId) -> Json:
        block = self._find(block_id)
        if block is None:
            return None
        receipts = self._chain.receipts(block.hash)
        if receipts is None:
            raise RpcError(f"the receipts of block {block.number} are not kept here; ask an archive node")
        return receipts_json(block, receipts)

    def _find(self, block: BlockId) -> Block | None:
        header = find_header(self._chain, block)
        return self._chain.block(header.hash) if header else None

    def _block_json(self, block_id: BlockId, full: bool) -> Json:
        block = self._find(block_id)
        if block is None:
            return None
        return block_json(block, self._chain.total_difficulty(block.hash), full=full)

    def _header_json(self, block_id: BlockId) -> Json:
        header = find_header(self._chain, block_id)
        if header is None:
            return None
        fields = header_json(header)
        total_difficulty = self._chain.total_difficulty(header.hash)
        if total_difficulty is not None:
            fields["totalDifficulty"] = hex(total_difficulty)
        return fields


def _uncle_json(block: Block | None, index: int) -> JsonObject | None:
    if block is None or index >= len(block.body.ommers):
        return None
    return header_json(block.body.ommers[index])


def _transaction_json(block: Block | None, index: int) -> JsonObject | None:
    if block is None or index >= len(block.transactions):
        return None
    return transaction_json(block.transactions[index], block.header, index)


def _raw_json(block: Block | None, index: int) -> str | None:
    """geth answers "0x" where there is none; null says it better, and clients take both."""
    if block is None or index >= len(block.transactions):
        return None
    return "0x" + block.transactions[index].encoded.hex()
