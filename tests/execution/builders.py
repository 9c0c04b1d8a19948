"""Blocks' contexts, signed transactions and small programs, for tests and benches of execution."""

from dataclasses import replace
from typing import Any

from node.execution.executor import BlockContext
from node.execution.opcode_names import name_of
from node.primitives import rlp
from node.primitives.chain_spec import Fork
from node.primitives.crypto import PrivateKey, keccak256
from node.primitives.ids import ZERO_HASH, Address
from node.primitives.transaction import (
    AccessList,
    Transaction,
    TransactionType,
    decode_transaction,
    signing_hash,
)
from tests.execution.worlds import MemoryView

CHAIN_ID = 1337
GWEI = 10**9
ETHER = 10**18
AUTHOR = Address(b"\xaa" * 20)
CONTRACT = Address(b"\xcc" * 20)
NOBODY = Address(b"\x99" * 20)
OPCODES = {name_of(code): code for code in range(256)}


def key_of(number: int) -> PrivateKey:
    """A key for each number."""
    return PrivateKey(keccak256(b"sender %d" % number))


KEY = key_of(0)


def context(fork: Fork = Fork.LONDON, **fields: Any) -> BlockContext:
    """Block 100 of a network without a base fee."""
    defaults: dict[str, Any] = {
        "chain_id": CHAIN_ID,
        "fork": fork,
        "number": 100,
        "timestamp": 1_700_000_000,
        "author": AUTHOR,
        "gas_limit": 30_000_000,
        "base_fee_per_gas": 0 if fork >= Fork.LONDON else None,
        "difficulty": 2,
        "block_hash": lambda number: keccak256(b"block %d" % number),
    }
    return BlockContext(**(defaults | fields))


def world(**contracts: str | bytes) -> MemoryView:
    """A state in which KEY owns an ether and CONTRACT has the code given as `code`."""
    view = MemoryView()
    view.put(KEY.address, ETHER)
    if "code" in contracts:
        code = contracts["code"]
        view.put(CONTRACT, code=assemble(code) if isinstance(code, str) else code)
    return view


def signed(
    key: PrivateKey = KEY,
    nonce: int = 0,
    *,
    to: Address | None = NOBODY,
    value: int = 0,
    data: bytes = b"",
    gas: int = 100_000,
    fee: int = 0,
    tip: int | None = None,
    kind: TransactionType = TransactionType.LEGACY,
    chain_id: int | None = CHAIN_ID,
    access_list: AccessList = (),
) -> Transaction:
    """A signed transaction, decoded from its encoding; `fee` is the gas price, or the cap beside `tip`."""
    unsigned = Transaction(
        type=kind,
        chain_id=chain_id,
        nonce=nonce,
        max_priority_fee_per_gas=fee if tip is None else tip,
        max_fee_per_gas=fee,
        gas_limit=gas,
        to=to,
        value=value,
        data=data,
        access_list=access_list,
        y_parity=0,
        r=1,
        s=1,
        encoded=b"",
        hash=ZERO_HASH,
    )
    signature = key.sign(signing_hash(unsigned))
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    return decode_transaction(_encoded(replace(unsigned, r=r, s=s, y_parity=signature[64])))


def assemble(text: str) -> bytes:
    """Bytecode of instructions by name; a number is pushed with as few bytes as hold it, 0x5B.. is raw."""
    code = bytearray()
    for word in text.split():
        if word.startswith("raw:"):
            code += bytes.fromhex(word[4:])
        elif word in OPCODES:
            code.append(OPCODES[word])
        else:
            number = int(word, 0)
            size = max(1, (number.bit_length() + 7) // 8)
            code += bytes((0x5F + size,)) + number.to_bytes(size, "big")
    return bytes(code)


def deploying(runtime: bytes) -> bytes:
    """Init code that makes a contract of this code."""
    size = len(runtime)
    head = assemble(f"{size} 12 0 CODECOPY {size} 0 RETURN")
    return assemble(f"{size} {len(head)} 0 CODECOPY {size} 0 RETURN") + runtime


def _encoded(tx: Transaction) -> bytes:
    fees: list[rlp.Encodable] = [tx.gas_price]
    if tx.type is TransactionType.FEE_MARKET:
        fees = [tx.max_priority_fee_per_gas, tx.max_fee_per_gas]
    fields: list[rlp.Encodable] = [tx.nonce, *fees, tx.gas_limit, tx.to or b"", tx.value, tx.data]
    if tx.type is TransactionType.LEGACY:
        return rlp.encode([*fields, tx.v, tx.r, tx.s])
    fields = [tx.chain_id or 0, *fields, tx.access_list, tx.y_parity, tx.r, tx.s]
    return bytes((tx.type,)) + rlp.encode(fields)
