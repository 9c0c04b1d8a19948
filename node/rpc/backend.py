"""What the methods need of the house, as small ports: full node, replica and light client implement them.

Whoever implements them promises:
- `ChainBackend` and `StateBackend` may be called from the event loop and from worker threads at the same
  time;
  everything else is called from the event loop only, except where a method says "worker thread".
- None means "not there". A RequestError carries a sentence for the client.
- A read answers for one block from start to end, even when the head moves meanwhile.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

import trio

from node.chain.events import HeadChanged
from node.execution.executor import AccountOverride, Call, CallResult, Interrupted
from node.permissioning.allowlist import AllowList
from node.permissioning.peer_sets import Finding, Signed, Stranger
from node.permissioning.policy import Decision, Sending
from node.primitives.block import Block, Header
from node.primitives.chain_spec import ChainSpec
from node.primitives.ids import Address, BlockNumber, Hash32
from node.primitives.receipt import Receipt
from node.primitives.state import AccountProof, StateView
from node.primitives.transaction import AccessList, Transaction
from node.rpc.jsonrpc import Json
from node.rpc.log_index import LogIndex
from node.rpc.pages import Pages


class Abandoned(Exception):
    """Nobody waits for this work any more. Raised in worker threads only, and never leaves them."""


def stop_if(interrupted: Interrupted) -> None:
    """For long work to call now and then: Abandoned once nobody waits for its answer."""
    if interrupted():
        raise Abandoned


Until: TypeAlias = Callable[[], Awaitable[None]]
"""Waits until something holds."""
PoolContent: TypeAlias = Mapping[Address, Sequence[Transaction]]
"""Waiting transactions by sender, by nonce."""


@dataclass(frozen=True, slots=True)
class TransactionPlace:
    """Where a canonical transaction stands."""

    block_hash: Hash32
    index: int


class ChainBackend(Protocol):
    """Blocks, canonical or not."""

    @property
    def spec(self) -> ChainSpec:
        """What the network agreed on before block 0."""
        ...

    @property
    def genesis(self) -> Header:
        """Block 0."""
        ...

    @property
    def head(self) -> Header:
        """The canonical chain's newest block."""
        ...

    def safe_header(self) -> Header:
        """The newest block that a majority of validators has built on; see node.rpc.blocks."""
        ...

    def finalized_header(self) -> Header:
        """The newest block that a whole round has built on, or that is final; see node.rpc.blocks."""
        ...

    def header(self, block_hash: Hash32) -> Header | None:
        """A known block's header."""
        ...

    def header_by_number(self, number: BlockNumber) -> Header | None:
        """A canonical block's header."""
        ...

    def canonical_hash(self, number: BlockNumber) -> Hash32 | None:
        """The hash of the canonical block at this number."""
        ...

    def block(self, block_hash: Hash32) -> Block | None:
        """A known block."""
        ...

    def receipts(self, block_hash: Hash32) -> Sequence[Receipt] | None:
        """A known block's receipts."""
        ...

    def total_difficulty(self, block_hash: Hash32) -> int | None:
        """Sum of difficulties from genesis up to this block."""
        ...

    def transaction_place(self, tx_hash: Hash32) -> TransactionPlace | None:
        """Where a canonical transaction stands."""
        ...

    def next_base_fee(self, header: Header) -> int | None:
        """wei per gas in a child of this block; None before London."""
        ...

    def subscribe_heads(self) -> trio.MemoryReceiveChannel[HeadChanged]:
        """All changes of the head from now on; ends for a subscriber that falls behind."""
        ...


class StateBackend(Protocol):
    """The state after any kept block."""

    def state_at(self, header: Header) -> StateView:
        """The state after this block; RequestError naming the oldest kept block when it is gone."""
        ...

    def proof(self, header: Header, address: Address, slots: Sequence[int]) -> AccountProof:
        """A proof against this block's state root. Worker thread."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockOverride:
    """What eth_call pretends about the block it runs in; None keeps what the block says."""

    number: BlockNumber | None = None
    timestamp: int | None = None
    gas_limit: int | None = None
    author: Address | None = None
    difficulty: int | None = None
    base_fee_per_gas: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallPlace:
    """Where and how a call runs."""

    header: Header
    """The block after whose transactions the call runs."""
    pending: bool = False
    """See the block to come (number, time, base fee) instead of `header` itself."""
    accounts: Mapping[Address, AccountOverride] | None = None
    block: BlockOverride = BlockOverride()


@dataclass(frozen=True, slots=True)
class AccessListOutcome:
    """What eth_createAccessList answers."""

    access_list: AccessList
    gas_used: int
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceOptions:
    """Which tracer looks on and what it writes down (geth's TraceConfig)."""

    tracer: str | None = None
    """None: the struct logger, one entry per instruction. "callTracer": one entry per call. "prestateTracer":
    one per account looked at."""
    with_memory: bool = False
    with_stack: bool = True
    with_storage: bool = True
    with_return_data: bool = False
    steps_max: int = 0
    """Instructions written down; 0 for as many as fit into an answer."""
    only_top_call: bool = False
    with_logs: bool = False
    diff_mode: bool = False
    """prestateTracer: what changed, before and after, instead of all that was looked at."""
    bytes_max: int = 1 << 24
    """JSON text that all traces of one request may come to; a RequestError beyond."""


class ExecutionBackend(Protocol):
    """Running code without leaving a trace. Worker threads; InvalidTransaction when a call cannot start."""

    def call(self, place: CallPlace, call: Call, interrupted: Interrupted) -> CallResult:
        """Run a message."""
        ...

    def estimate_gas(self, place: CallPlace, call: Call, interrupted: Interrupted) -> int:
        """The least gas limit with which the call succeeds; CallFailed when none does."""
        ...

    def create_access_list(self, place: CallPlace, call: Call, interrupted: Interrupted) -> AccessListOutcome:
        """The addresses and slots the call touches."""
        ...

    def trace_transactions(
        self, block: Block, indexes: Sequence[int], options: TraceOptions, interrupted: Interrupted
    ) -> list[Json]:
        """Run these transactions of the block again, each traced: geth's JSON."""
        ...

    def trace_call(
        self, place: CallPlace, call: Call, options: TraceOptions, interrupted: Interrupted
    ) -> Json:
        """Run a message and trace it."""
        ...


class PoolBackend(Protocol):
    """Transactions waiting for a block."""

    @property
    def minimum_priority_fee(self) -> int:
        """wei per gas over the base fee that a transaction must offer to be taken."""
        ...

    async def recover_senders(self, transactions: Sequence[Transaction]) -> None:
        """Recover the senders, all at once; those whose signature nobody made stay unknown."""
        ...

    async def submit(self, tx: Transaction) -> "Until | None":
        """Take a client's transaction; a RequestError with geth's words when it is refused.

        What comes back, if anything, is to be awaited before the client is told: the transaction is then on
        the disk. Whoever takes many at once awaits them together.
        """
        ...

    @property
    def enter(self) -> Callable[[Transaction], Until] | None:
        """`submit` of one whose sender is known, where that waits for nobody; None where it does."""
        ...

    def get(self, tx_hash: Hash32) -> Transaction | None:
        """A waiting transaction. Worker threads may ask, too."""
        ...

    def next_nonce(self, address: Address) -> int:
        """The nonce after the account's last transaction that could go into the next block."""
        ...

    def counts(self) -> tuple[int, int]:
        """How many could go into the next block, and how many wait behind a missing nonce."""
        ...

    def content(self) -> tuple[PoolContent, PoolContent]:
        """All transactions of the two kinds, by sender and nonce."""
        ...

    def content_of(self, address: Address) -> tuple[Sequence[Transaction], Sequence[Transaction]]:
        """One sender's transactions of the two kinds, by nonce."""
        ...

    def subscribe(self) -> trio.MemoryReceiveChannel[tuple[Transaction, ...]]:
        """Every transaction that enters from now on; ends for a subscriber that falls behind."""
        ...


class SyncProgress(NamedTuple):
    """How far behind the network we are."""

    starting_block: BlockNumber
    current_block: BlockNumber
    highest_block: BlockNumber


class NetworkBackend(Protocol):
    """What anybody may know of our connections."""

    @property
    def network_id(self) -> int:
        """As in the eth status message."""
        ...

    @property
    def listening(self) -> bool:
        """Whether peers can dial us."""
        ...

    @property
    def peer_count(self) -> int:
        """Connected peers."""
        ...

    def sync_progress(self) -> SyncProgress | None:
        """None when caught up."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerReport:
    """One connected peer, for an operator."""

    id: bytes
    """Its public key, 64 bytes."""
    name: str
    enode: str
    capabilities: tuple[str, ...]
    local_address: str
    remote_address: str
    inbound: bool
    trusted: bool
    static: bool
    eth_version: int
    total_difficulty: int
    head_hash: Hash32


class AdminBackend(Protocol):
    """What only an operator may know and do."""

    @property
    def enode_url(self) -> str:
        """How others dial this node."""
        ...

    def peers(self) -> Sequence[PeerReport]:
        """Connected peers."""
        ...

    def add_peer(self, enode_url: str) -> None:
        """Dial this peer, now and for ever; RequestError for a URL that is none."""
        ...

    def remove_peer(self, enode_url: str) -> None:
        """Stop dialling this peer and let it go."""
        ...

    def set_blocked_peers(self, enode_urls: Sequence[str]) -> None:
        """Neither dial, admit nor keep these peers; replaces the former list. RequestError for a bad URL."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerSetReport:
    """Members' connections, as they signed them."""

    sets: Sequence[Signed]
    strangers: Sequence[Stranger]
    """Who is connected anywhere without being a member."""
    silent: Sequence[bytes]
    """Members that others are connected to and that say nothing."""
    findings: Sequence[Finding]
    """Connections that cannot be as a member says, or should not be."""
    drift_ms: int | None
    """How far our clock is ahead of our peers'."""


class PermissioningBackend(Protocol):
    """Who may connect and transact here, and why."""

    def explain_node(self, identity: bytes, host: str | None, inbound: bool) -> Decision:
        """May this node be connected so, now?"""
        ...

    def explain_transaction(self, sending: Sending) -> Decision:
        """Would the pool take it now, and could the next block hold it?"""
        ...

    def members(self) -> AllowList:
        """The members' file; RequestError when the node has none that can be read."""
        ...

    async def change_members(self, change: Callable[[AllowList], AllowList]) -> None:
        """Write the file anew and act on it; RequestError when there is none."""
        ...

    def peer_sets(self) -> PeerSetReport:
        """What members say of their connections, and what is wrong with it."""
        ...

    async def reload(self) -> None:
        """Read the file again; RequestError says what is wrong with it, and the old list stays."""
        ...


@dataclass(frozen=True, slots=True)
class CliqueVote:
    """A vote that still counts."""

    signer: Address
    block: BlockNumber
    address: Address
    authorize: bool


@dataclass(frozen=True, slots=True)
class CliqueState:
    """Who may sign after a block, in the words of geth's snapshot."""

    signers: tuple[Address, ...]
    """Ascending."""
    recents: Mapping[BlockNumber, Address]
    votes: tuple[CliqueVote, ...]


@dataclass(frozen=True, slots=True)
class CliqueEvidence:
    """Two headers that one signer has sealed at one height."""

    signer: Address
    first: Header
    second: Header
    seen_s: int
    """Unix time at which this node learnt of it."""


@dataclass(frozen=True, slots=True)
class CliqueSealing:
    """Whether a validator seals, and if not, why not."""

    signer: Address
    is_validator: bool
    status: str
    """What it does or waits for."""
    problems: tuple[str, ...]
    """What keeps it from signing; it goes on as a full node."""
    sealed_blocks: int
    """Since the start of the process."""


class CliqueBackend(Protocol):
    """Proof of authority by turns, seen from outside."""

    def state_after(self, header: Header) -> CliqueState:
        """Signers, recent signers and open votes after this block."""
        ...

    def author(self, header: Header) -> Address:
        """Who sealed; ChainError when the seal is none."""
        ...

    def proposals(self) -> Mapping[Address, bool]:
        """What this node's operator votes for (True: let in)."""
        ...

    async def propose(self, address: Address, authorize: bool | None) -> None:
        """Vote for or against a signer from now on; None withdraws."""
        ...

    def evidence(self) -> Sequence[CliqueEvidence]:
        """Every proof of a signer that sealed twice at one height."""
        ...

    def sealing(self) -> CliqueSealing | None:
        """How this node's own sealing goes; None where it seals nothing."""
        ...


class CallFailed(Exception):
    """A call that no gas limit makes succeed; carries how it ended."""

    def __init__(self, result: CallResult) -> None:
        super().__init__(result.error)
        self.result = result


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """All ports of one node; a port that is None takes its namespace with it."""

    chain: ChainBackend
    state: StateBackend
    network: NetworkBackend
    client_version: str
    execution: ExecutionBackend | None = None
    pool: PoolBackend | None = None
    admin: AdminBackend | None = None
    clique: CliqueBackend | None = None
    remote: bool = False
    """Whether reads of chain, state and execution may wait for other machines, so that none of them may be
    made on the event loop, and several should be under way at a time."""
    permissioning: PermissioningBackend | None = None
    log_index: LogIndex | None = None
    """Where events are found without reading blocks; replicas have one."""
    pages: Pages | None = None
    """What is asked for with GET; replicas have some."""
    sealer: Address | None = None
    """Who signs the blocks that this node makes; None for a node that makes none."""
