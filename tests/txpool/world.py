"""Signed transactions, accounts and a clock to test the pool with."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from node.config.settings import PoolSettings
from node.primitives import rlp
from node.primitives.block import EMPTY_OMMERS_HASH, Block, Body, Header
from node.primitives.chain_spec import ChainSpec, CliqueSpec, Fork, GenesisHeader
from node.primitives.crypto import EMPTY_HASH, PrivateKey, keccak256
from node.primitives.ids import ZERO_ADDRESS, ZERO_HASH, Address, Hash32
from node.primitives.receipt import EMPTY_BLOOM
from node.primitives.state import Account
from node.primitives.transaction import (
    Transaction,
    TransactionType,
    decode_transaction,
    signing_hash,
)
from node.txpool.pool import TransactionPool

CHAIN_ID = 1337
GWEI = 10**9
ETHER = 10**18
GAS_LIMIT = 30_000_000
RECIPIENT = Address(b"\x77" * 20)
SPEC = ChainSpec(
    chain_id=CHAIN_ID,
    forks=((0, Fork.LONDON),),
    engine=CliqueSpec(period_s=2),
    genesis=GenesisHeader(extra_data=bytes(97), difficulty=1, gas_limit=GAS_LIMIT),
    alloc={},
)


def key_of(number: int) -> PrivateKey:
    """A key for each number from 1 on."""
    return PrivateKey(keccak256(b"key%d" % number))


def signed(
    key: PrivateKey,
    nonce: int,
    *,
    fee: int = GWEI,
    tip: int | None = None,
    gas: int = 21_000,
    value: int = 0,
    data: bytes = b"",
    to: Address | None = RECIPIENT,
    kind: TransactionType = TransactionType.FEE_MARKET,
    chain_id: int | None = CHAIN_ID,
) -> Transaction:
    """A signed transaction; `fee` is the cap, `tip` the same unless given. Decoded again: canonical."""
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
        y_parity=0,
        r=1,
        s=1,
        encoded=b"",
        hash=ZERO_HASH,
    )
    signature = key.sign(signing_hash(unsigned))
    r, s, parity = (
        int.from_bytes(signature[:32], "big"),
        int.from_bytes(signature[32:64], "big"),
        signature[64],
    )
    return decode_transaction(_encode(replace(unsigned, r=r, s=s, y_parity=parity)))


def _encode(tx: Transaction) -> bytes:
    to, common = tx.to or b"", [tx.value, tx.data]
    if tx.type is TransactionType.LEGACY:
        return rlp.encode([tx.nonce, tx.gas_price, tx.gas_limit, to, *common, tx.v, tx.r, tx.s])
    fees = [tx.gas_price]
    if tx.type is TransactionType.FEE_MARKET:
        fees = [tx.max_priority_fee_per_gas, tx.max_fee_per_gas]
    assert tx.chain_id is not None
    return bytes([tx.type]) + rlp.encode(
        [tx.chain_id, tx.nonce, *fees, tx.gas_limit, to, *common, [], tx.y_parity, tx.r, tx.s]
    )


def header(number: int, gas_limit: int = GAS_LIMIT) -> Header:
    """A header the pool can stand on."""
    return Header(
        parent_hash=ZERO_HASH,
        ommers_hash=EMPTY_OMMERS_HASH,
        beneficiary=ZERO_ADDRESS,
        state_root=ZERO_HASH,
        transactions_root=ZERO_HASH,
        receipts_root=ZERO_HASH,
        logs_bloom=EMPTY_BLOOM,
        difficulty=2,
        number=number,
        gas_limit=gas_limit,
        gas_used=0,
        timestamp=number,
        extra_data=bytes(97),
        mix_hash=ZERO_HASH,
        nonce=bytes(8),
        base_fee_per_gas=0,
    )


def block(number: int, *transactions: Transaction) -> Block:
    """A block of these transactions."""
    return Block(header(number), Body(transactions))


@dataclass
class Ledger:
    """Accounts that count how often they are looked at."""

    accounts: dict[Address, Account] = field(default_factory=dict)
    reads: int = 0

    def account(self, address: Address) -> Account | None:
        """See StateView."""
        self.reads += 1
        return self.accounts.get(address)

    def storage(self, address: Address, slot: int) -> int:
        """See StateView."""
        return 0

    def code(self, code_hash: Hash32) -> bytes:
        """See StateView."""
        return b""

    def set(self, key: PrivateKey, nonce: int = 0, balance: int = ETHER) -> None:
        """Give a key's address an account."""
        self.accounts[key.address] = Account(nonce, balance, EMPTY_HASH)


@dataclass
class Clock:
    """Monotonic time that moves when told to."""

    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s


class World:
    """A pool with the accounts and the clock behind it."""

    def __init__(self, senders: int = 4, *, settings: Mapping[str, Any] | None = None, **pool: Any) -> None:
        self.keys = [key_of(number) for number in range(senders)]
        self.ledger = Ledger()
        for key in self.keys:
            self.ledger.set(key)
        self.clock = Clock()
        self.settings = PoolSettings(**(settings or {}))
        self.pool = TransactionPool(self.settings, SPEC, header(0), self.ledger, clock=self.clock, **pool)

    def pending(self, key: PrivateKey) -> list[int]:
        """Nonces of a sender's pending transactions."""
        return [tx.nonce for tx in self.pool.content_from(key.address).pending]

    def queued(self, key: PrivateKey) -> list[int]:
        """Nonces of a sender's queued transactions."""
        return [tx.nonce for tx in self.pool.content_from(key.address).queued]
