"""Chain values as JSON, field by field as geth's London releases give them (v1.10 to v1.13, internal/ethapi).

`blockTimestamp` of transactions and logs is younger: it saves services a second question, and the
description in ethereum/execution-apis demands it. Numbers are hex quantities, bytes are 0x data. Nothing
here looks anything up.
"""

from collections.abc import Iterable, Sequence

from node.primitives import rlp
from node.primitives.block import Block, Header, encode_block
from node.primitives.crypto import keccak256
from node.primitives.ids import Address, Hash32, hex_of
from node.primitives.receipt import Log, Receipt
from node.primitives.transaction import AccessList, Transaction, TransactionType
from node.rpc.jsonrpc import Json
from node.rpc.log_index import LogBlock

JsonObject = dict[str, Json]


def header_json(header: Header) -> JsonObject:
    """A header as eth_subscribe("newHeads") sends it."""
    fields: JsonObject = {
        "number": hex(header.number),
        "hash": hex_of(header.hash),
        "parentHash": hex_of(header.parent_hash),
        "nonce": hex_of(header.nonce),
        "mixHash": hex_of(header.mix_hash),
        "sha3Uncles": hex_of(header.ommers_hash),
        "logsBloom": hex_of(header.logs_bloom),
        "stateRoot": hex_of(header.state_root),
        "miner": hex_of(header.beneficiary),
        "difficulty": hex(header.difficulty),
        "extraData": hex_of(header.extra_data),
        "gasLimit": hex(header.gas_limit),
        "gasUsed": hex(header.gas_used),
        "timestamp": hex(header.timestamp),
        "transactionsRoot": hex_of(header.transactions_root),
        "receiptsRoot": hex_of(header.receipts_root),
    }
    if header.base_fee_per_gas is not None:
        fields["baseFeePerGas"] = hex(header.base_fee_per_gas)
    return fields


def block_json(block: Block, total_difficulty: int | None, *, full: bool) -> JsonObject:
    """A block with its transactions (`full`) or their hashes."""
    fields = header_json(block.header)
    fields["size"] = hex(len(encode_block(block)))
    if full:
        fields["transactions"] = [
            transaction_json(tx, block.header, index) for index, tx in enumerate(block.transactions)
        ]
    else:
        fields["transactions"] = [hex_of(tx.hash) for tx in block.transactions]
    fields["uncles"] = [hex_of(ommer.hash) for ommer in block.body.ommers]
    if total_difficulty is not None:
        fields["totalDifficulty"] = hex(total_difficulty)
    return fields


def transaction_json(tx: Transaction, header: Header | None, index: int = 0) -> JsonObject:
    """A transaction at its place in a block, or waiting in the pool when there is no header."""
    fields: JsonObject = {
        "blockHash": hex_of(header.hash) if header else None,
        "blockNumber": hex(header.number) if header else None,
        "blockTimestamp": hex(header.timestamp) if header else None,
        "from": hex_of(tx.sender),
        "gas": hex(tx.gas_limit),
        "gasPrice": hex(effective_gas_price(tx, header.base_fee_per_gas if header else None)),
        "hash": hex_of(tx.hash),
        "input": hex_of(tx.data),
        "nonce": hex(tx.nonce),
        "to": hex_of(tx.to) if tx.to is not None else None,
        "transactionIndex": hex(index) if header else None,
        "value": hex(tx.value),
        "type": hex(tx.type),
        "v": hex(tx.v),
        "r": hex(tx.r),
        "s": hex(tx.s),
    }
    if tx.type is TransactionType.FEE_MARKET:
        fields["maxFeePerGas"] = hex(tx.max_fee_per_gas)
        fields["maxPriorityFeePerGas"] = hex(tx.max_priority_fee_per_gas)
    if tx.type is not TransactionType.LEGACY:
        fields["accessList"] = access_list_json(tx.access_list)
        fields["yParity"] = hex(tx.y_parity)
    if tx.chain_id is not None:
        fields["chainId"] = hex(tx.chain_id)
    return fields


def receipts_json(block: Block, receipts: Sequence[Receipt]) -> list[JsonObject]:
    """All receipts of a block."""
    return [receipt_json(block, receipts, index) for index in range(len(receipts))]


def receipt_json(block: Block, receipts: Sequence[Receipt], index: int) -> JsonObject:
    """One receipt; those before it in the block give its gas and the index of its first log."""
    tx, receipt, header = block.transactions[index], receipts[index], block.header
    gas_before = receipts[index - 1].cumulative_gas_used if index else 0
    logs_before = sum(len(earlier.logs) for earlier in receipts[:index])
    fields: JsonObject = {
        "blockHash": hex_of(header.hash),
        "blockNumber": hex(header.number),
        "transactionHash": hex_of(tx.hash),
        "transactionIndex": hex(index),
        "from": hex_of(tx.sender),
        "to": hex_of(tx.to) if tx.to is not None else None,
        "gasUsed": hex(receipt.cumulative_gas_used - gas_before),
        "cumulativeGasUsed": hex(receipt.cumulative_gas_used),
        "contractAddress": hex_of(contract_address(tx.sender, tx.nonce)) if tx.to is None else None,
        "logs": [
            log_json(log, header, tx.hash, index, logs_before + offset)
            for offset, log in enumerate(receipt.logs)
        ],
        "logsBloom": hex_of(receipt.bloom),
        "type": hex(tx.type),
        "effectiveGasPrice": hex(effective_gas_price(tx, header.base_fee_per_gas)),
    }
    if isinstance(receipt.outcome, int):
        fields["status"] = hex(receipt.outcome)
    else:
        fields["root"] = hex_of(receipt.outcome)
    return fields


def log_json(
    log: Log,
    header: Header | LogBlock,
    tx_hash: Hash32,
    tx_index: int,
    log_index: int,
    *,
    removed: bool = False,
) -> JsonObject:
    """One event; `log_index` counts through the whole block, `removed` tells of a reorganisation."""
    return {
        "address": hex_of(log.address),
        "topics": [hex_of(topic) for topic in log.topics],
        "data": hex_of(log.data),
        "blockNumber": hex(header.number),
        "transactionHash": hex_of(tx_hash),
        "transactionIndex": hex(tx_index),
        "blockHash": hex_of(header.hash),
        "blockTimestamp": hex(header.timestamp),
        "logIndex": hex(log_index),
        "removed": removed,
    }


def log_text(log: Log, header: Header | LogBlock, tx_hash: Hash32, tx_index: int, log_index: int) -> str:
    """What log_json gives, as JSON text at once: dictionaries of many take longer than finding them."""
    topics = ",".join([f'"0x{topic.hex()}"' for topic in log.topics])
    return (
        f'{{"address":"0x{log.address.hex()}","topics":[{topics}],"data":"0x{log.data.hex()}",'
        f'"blockNumber":"{header.number:#x}","transactionHash":"0x{tx_hash.hex()}",'
        f'"transactionIndex":"{tx_index:#x}","blockHash":"0x{header.hash.hex()}",'
        f'"blockTimestamp":"{header.timestamp:#x}","logIndex":"{log_index:#x}","removed":false}}'
    )


def access_list_json(access_list: AccessList) -> list[JsonObject]:
    """An access list (EIP-2930)."""
    return [
        {"address": hex_of(address), "storageKeys": [hex_of(key) for key in keys]}
        for address, keys in access_list
    ]


def data_list_json(items: Iterable[bytes]) -> list[str]:
    """Byte strings, each as data."""
    return [hex_of(item) for item in items]


def checksum_address(address: Address) -> str:
    """The mixed-case form of an address (EIP-55), as txpool_content keys it."""
    digits = address.hex()
    digest = keccak256(digits.encode()).hex()
    return "0x" + "".join(
        digit.upper() if nibble >= "8" else digit for digit, nibble in zip(digits, digest, strict=False)
    )


def contract_address(sender: Address, nonce: int) -> Address:
    """Where a creation by this sender with this nonce puts its contract (Yellow Paper 7)."""
    return Address(keccak256(rlp.encode([sender, nonce]))[12:])


def effective_gas_price(tx: Transaction, base_fee_per_gas: int | None) -> int:
    """wei per gas paid in a block of this base fee; the cap while there is no block (EIP-1559)."""
    if tx.type is not TransactionType.FEE_MARKET or base_fee_per_gas is None:
        return tx.max_fee_per_gas
    return min(tx.max_fee_per_gas, base_fee_per_gas + tx.max_priority_fee_per_gas)
