"""A house in memory for protocol matters: it implements the ports of node.rpc.backend with dictionaries.

Blocks are made of nothing but headers and transactions; nothing is executed and no seal is checked.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import trio

from node.chain.events import ChainEvents, ExecutedBlock, HeadChanged
from node.config.settings import RpcSettings
from node.execution.executor import Call, CallResult, Interrupted
from node.primitives.block import EMPTY_OMMERS_HASH, Block, Body, Header
from node.primitives.chain_spec import ChainSpec, CliqueSpec, Fork, GenesisHeader
from node.primitives.crypto import EMPTY_HASH, PrivateKey
from node.primitives.ids import ZERO_ADDRESS, ZERO_HASH, Address, Hash32
from node.primitives.receipt import EMPTY_BLOOM, Log, Receipt, logs_bloom, merge_blooms
from node.primitives.state import Account, AccountProof, StateView, StorageProof
from node.primitives.transaction import Transaction, decode_transaction, recover_senders
from node.rpc.api import RpcApi
from node.rpc.backend import (
    AccessListOutcome,
    Backend,
    CallPlace,
    PoolContent,
    SyncProgress,
    TraceOptions,
    TransactionPlace,
)
from node.rpc.jsonrpc import Json

KEY = PrivateKey(b"\x01" * 32)
TOKEN = Address(b"\x70" * 20)
TRANSFER = Hash32(b"\x7a" * 32)
GWEI = 10**9
SPEC = ChainSpec(
    chain_id=1337,
    forks=((0, Fork.LONDON),),
    engine=CliqueSpec(period_s=2),
    genesis=GenesisHeader(extra_data=b"", difficulty=1, gas_limit=30_000_000),
    alloc={},
)


def signed(nonce: int, **fields: object) -> Transaction:
    """A fee-market transaction of KEY."""
    from eth_account import Account as Signer

    values = {
        "chainId": SPEC.chain_id,
        "nonce": nonce,
        "maxFeePerGas": 3 * GWEI,
        "maxPriorityFeePerGas": GWEI,
        "gas": 21_000,
        "to": TOKEN,
        "value": 5,
        "data": b"",
    }
    raw = Signer.sign_transaction(values | fields, KEY.secret_bytes()).raw_transaction
    return decode_transaction(bytes(raw))


def transfer_log(number: int) -> Log:
    """An event of TOKEN with two topics."""
    return Log(TOKEN, (TRANSFER, Hash32(number.to_bytes(32, "big"))), number.to_bytes(32, "big"))


def header_after(parent: Header | None, **fields: object) -> Header:
    """A child of `parent`, or a genesis."""
    values: dict[str, object] = {
        "parent_hash": parent.hash if parent else ZERO_HASH,
        "ommers_hash": EMPTY_OMMERS_HASH,
        "beneficiary": ZERO_ADDRESS,
        "state_root": ZERO_HASH,
        "transactions_root": ZERO_HASH,
        "receipts_root": ZERO_HASH,
        "logs_bloom": EMPTY_BLOOM,
        "difficulty": 2 if parent else 1,
        "number": parent.number + 1 if parent else 0,
        "gas_limit": 30_000_000,
        "gas_used": 0,
        "timestamp": parent.timestamp + 2 if parent else 1_700_000_000,
        "extra_data": bytes(97),
        "mix_hash": ZERO_HASH,
        "nonce": bytes(8),
        "base_fee_per_gas": GWEI,
    }
    return Header(**(values | fields))  # type: ignore[arg-type]


@dataclass
class MemoryChain:
    """ChainBackend and StateBackend over dictionaries."""

    spec: ChainSpec = SPEC
    blocks: dict[Hash32, ExecutedBlock] = field(default_factory=dict)
    canonical: list[Hash32] = field(default_factory=list)
    accounts: dict[Address, Account] = field(default_factory=dict)
    slots: dict[tuple[Address, int], int] = field(default_factory=dict)
    codes: dict[Hash32, bytes] = field(default_factory=lambda: {EMPTY_HASH: b""})
    events: ChainEvents = field(default_factory=ChainEvents)

    def __post_init__(self) -> None:
        self._put(ExecutedBlock(Block(header_after(None), Body()), ()))
        self.canonical.append(next(iter(self.blocks)))

    # --- making it move

    def make(
        self,
        parent: Header,
        transactions: Sequence[Transaction] = (),
        logs: Sequence[Log] = (),
        **fields: object,
    ) -> ExecutedBlock:
        """A block whose first transaction emitted all the logs."""
        receipts = tuple(
            Receipt(
                tx.type,
                1,
                21_000 * (index + 1),
                logs_bloom(logs if index == 0 else ()),
                tuple(logs) if index == 0 else (),
            )
            for index, tx in enumerate(transactions)
        )
        header = header_after(
            parent,
            gas_used=21_000 * len(transactions),
            logs_bloom=merge_blooms(receipt.bloom for receipt in receipts),
            **fields,
        )
        return ExecutedBlock(Block(header, Body(tuple(transactions))), receipts)

    def extend(
        self, transactions: Sequence[Transaction] = (), logs: Sequence[Log] = (), **fields: object
    ) -> ExecutedBlock:
        """One more block on the head, told to all."""
        made = self.make(self.head, transactions, logs, **fields)
        self.adopt([made])
        return made

    def adopt(self, added: Sequence[ExecutedBlock], removed_count: int = 0) -> None:
        """Replace the newest `removed_count` blocks by these, told to all."""
        removed = [self.blocks[self.canonical.pop()] for _ in range(removed_count)]
        for executed in added:
            self._put(executed)
            self.canonical.append(executed.block.hash)
        self.events.publish(HeadChanged(tuple(removed), tuple(added)))

    def _put(self, executed: ExecutedBlock) -> None:
        self.blocks[executed.block.hash] = executed

    # --- ChainBackend

    @property
    def genesis(self) -> Header:
        return self.blocks[self.canonical[0]].block.header

    @property
    def head(self) -> Header:
        return self.blocks[self.canonical[-1]].block.header

    def safe_header(self) -> Header:
        return self.blocks[self.canonical[max(0, len(self.canonical) - 3)]].block.header

    def finalized_header(self) -> Header:
        return self.blocks[self.canonical[max(0, len(self.canonical) - 5)]].block.header

    def header(self, block_hash: Hash32) -> Header | None:
        executed = self.blocks.get(block_hash)
        return executed.block.header if executed else None

    def header_by_number(self, number: int) -> Header | None:
        block_hash = self.canonical_hash(number)
        return self.header(block_hash) if block_hash else None

    def canonical_hash(self, number: int) -> Hash32 | None:
        return self.canonical[number] if number < len(self.canonical) else None

    def block(self, block_hash: Hash32) -> Block | None:
        executed = self.blocks.get(block_hash)
        return executed.block if executed else None

    def receipts(self, block_hash: Hash32) -> Sequence[Receipt] | None:
        executed = self.blocks.get(block_hash)
        return executed.receipts if executed else None

    def total_difficulty(self, block_hash: Hash32) -> int | None:
        header = self.header(block_hash)
        return 1 + 2 * header.number if header else None

    def transaction_place(self, tx_hash: Hash32) -> TransactionPlace | None:
        for block_hash in self.canonical:
            for index, tx in enumerate(self.blocks[block_hash].block.transactions):
                if tx.hash == tx_hash:
                    return TransactionPlace(block_hash, index)
        return None

    def next_base_fee(self, header: Header) -> int | None:
        return GWEI

    def subscribe_heads(self) -> trio.MemoryReceiveChannel[HeadChanged]:
        return self.events.subscribe()

    # --- StateBackend

    def state_at(self, header: Header) -> StateView:
        return self

    def account(self, address: Address) -> Account | None:
        return self.accounts.get(address)

    def storage(self, address: Address, slot: int) -> int:
        return self.slots.get((address, slot), 0)

    def code(self, code_hash: Hash32) -> bytes:
        return self.codes[code_hash]

    def proof(self, header: Header, address: Address, slots: Sequence[int]) -> AccountProof:
        account = self.accounts[address]
        storage = tuple(StorageProof(slot, self.storage(address, slot), (b"\xc0",)) for slot in slots)
        return AccountProof(
            address, account.nonce, account.balance, account.code_hash, EMPTY_HASH, (b"\xc0",), storage
        )


@dataclass
class MemoryPool:
    """PoolBackend: everything is pending."""

    minimum_priority_fee: int = 0
    transactions: dict[Hash32, Transaction] = field(default_factory=dict)
    subscribers: list[trio.MemorySendChannel[tuple[Transaction, ...]]] = field(default_factory=list)

    async def recover_senders(self, transactions: Sequence[Transaction]) -> None:
        recover_senders(transactions)

    @property
    def enter(self) -> None:
        return None

    async def submit(self, tx: Transaction) -> None:
        self.transactions[tx.hash] = tx
        for subscriber in self.subscribers:
            subscriber.send_nowait((tx,))

    def get(self, tx_hash: Hash32) -> Transaction | None:
        return self.transactions.get(tx_hash)

    def next_nonce(self, address: Address) -> int:
        return len(self.transactions)

    def counts(self) -> tuple[int, int]:
        return len(self.transactions), 0

    def content(self) -> tuple[PoolContent, PoolContent]:
        return ({KEY.address: list(self.transactions.values())} if self.transactions else {}), {}

    def content_of(self, address: Address) -> tuple[Sequence[Transaction], Sequence[Transaction]]:
        return self.content()[0].get(address, ()), ()

    def subscribe(self) -> trio.MemoryReceiveChannel[tuple[Transaction, ...]]:
        send, receive = trio.open_memory_channel[tuple[Transaction, ...]](64)
        self.subscribers.append(send)
        return receive


@dataclass
class MemoryNetwork:
    """NetworkBackend."""

    network_id: int = 1337
    listening: bool = True
    peer_count: int = 3
    progress: SyncProgress | None = None

    def sync_progress(self) -> SyncProgress | None:
        return self.progress


@dataclass
class ScriptedExecution:
    """ExecutionBackend that gives the answer it is told to give."""

    result: CallResult = field(default_factory=lambda: CallResult(b"\x2a", 21_000, None))
    calls: list[tuple[CallPlace, Call]] = field(default_factory=list)
    endless: bool = False
    """Run until interrupted."""

    def call(self, place: CallPlace, call: Call, interrupted: Interrupted) -> CallResult:
        self.calls.append((place, call))
        while self.endless and not interrupted():
            pass
        return self.result

    def estimate_gas(self, place: CallPlace, call: Call, interrupted: Interrupted) -> int:
        return 21_000

    def create_access_list(self, place: CallPlace, call: Call, interrupted: Interrupted) -> AccessListOutcome:
        return AccessListOutcome(((TOKEN, (TRANSFER,)),), 25_300, None)

    def trace_transactions(
        self, block: Block, indexes: Sequence[int], options: TraceOptions, interrupted: Interrupted
    ) -> list[Json]:
        return [{"gas": 21_000, "failed": False, "returnValue": "0x", "structLogs": []} for _ in indexes]

    def trace_call(
        self, place: CallPlace, call: Call, options: TraceOptions, interrupted: Interrupted
    ) -> Json:
        return {"gas": 21_000, "failed": False, "returnValue": "0x", "structLogs": []}


@dataclass
class World:
    """All ports, and the API over them."""

    settings: RpcSettings = field(default_factory=lambda: RpcSettings(port=0))
    chain: MemoryChain = field(default_factory=MemoryChain)
    pool: MemoryPool = field(default_factory=MemoryPool)
    network: MemoryNetwork = field(default_factory=MemoryNetwork)
    execution: ScriptedExecution = field(default_factory=ScriptedExecution)

    def api(self, **settings: object) -> RpcApi:
        """The JSON-RPC of this world, with some settings changed."""
        self.settings = replace(self.settings, **settings)  # type: ignore[arg-type]
        backend = Backend(
            chain=self.chain,
            state=self.chain,
            network=self.network,
            client_version="Phoenix/test",
            execution=self.execution,
            pool=self.pool,
        )
        return RpcApi(backend, self.settings)
