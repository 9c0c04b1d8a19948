"""What syncing asks of its neighbours: peers, the chain, the door into it, the pool. Tests fake these."""

from collections.abc import Iterable, Sequence
from typing import Any, NewType, Protocol, overload

import trio

from node.primitives.block import Block, Body, Header
from node.primitives.chain_spec import ChainSpec
from node.primitives.errors import ChainError
from node.primitives.ids import BlockNumber, Hash32
from node.primitives.receipt import Receipt
from node.primitives.transaction import Transaction
from p2p.eth.messages import (
    BlockBodies,
    BlockHeaders,
    GetBlockBodies,
    GetBlockHeaders,
    GetPooledTransactions,
    GetReceipts,
    Message,
    PooledTransactions,
    Receipts,
    Request,
    Response,
)
from p2p.eth.status import Status

PeerId = NewType("PeerId", bytes)
"""64 bytes: the peer's public key."""


class Connection(Protocol):
    """One peer as p2p.peer.Peer shows it."""

    @property
    def id(self) -> bytes:
        """64-byte public key."""
        ...

    @property
    def status(self) -> Status:
        """What the peer said of its chain when it came."""
        ...

    @overload
    async def request(self, message: GetBlockHeaders) -> BlockHeaders: ...
    @overload
    async def request(self, message: GetBlockBodies) -> BlockBodies: ...
    @overload
    async def request(self, message: GetPooledTransactions) -> PooledTransactions: ...
    @overload
    async def request(self, message: GetReceipts) -> Receipts: ...
    async def request(self, message: Request) -> Response:
        """Ask, and wait for the answer; the request id is set there. PeerTimeout (scored there), PeerGone."""
        ...

    def send(self, message: Message) -> bool:
        """Queue a message; False when the peer is too slow and is being dropped."""
        ...

    def send_encoded(self, code: int, payload: bytes) -> bool:
        """`send` for what `encode_message` made on another thread."""
        ...

    async def wait_writable(self) -> None:
        """Return once the peer has taken enough of what is queued for it, or is gone."""
        ...

    async def receive(self) -> Message:
        """The next request or announcement of the peer; PeerGone at the end."""
        ...

    def penalise(self, points: float, reason: str) -> None:
        """Count against the peer; it is dropped and told why when it has too many."""
        ...


class Chain(Protocol):
    """The chain as node.chain.reader.ChainReader shows it; callable from any thread."""

    @property
    def spec(self) -> ChainSpec:
        """The network."""
        ...

    @property
    def head(self) -> Header:
        """The last canonical block."""
        ...

    def header(self, block_hash: Hash32) -> Header | None:
        """A header of any branch."""
        ...

    def canonical_hash(self, number: BlockNumber) -> Hash32 | None:
        """The canonical block with this number."""
        ...

    def body(self, block_hash: Hash32) -> Body | None:
        """A body of any branch."""
        ...

    def receipts(self, block_hash: Hash32) -> tuple[Receipt, ...] | None:
        """A block's receipts."""
        ...

    def total_difficulty(self, block_hash: Hash32) -> int | None:
        """Sum of the difficulties from genesis to the block."""
        ...


class Door(Protocol):
    """The one door into the chain, as node.chain.importer.Importer is."""

    async def recover_senders(self, transactions: Iterable[Transaction]) -> None:
        """Recover senders before the blocks come that hold the transactions."""
        ...

    async def import_block(self, block: Block) -> object:
        """Verify, execute, keep. ChainError when it is refused."""
        ...

    async def import_run(self, blocks: Sequence[Block]) -> object:
        """The same for a run of blocks, each the parent of the next."""
        ...


class HeaderRules(Protocol):
    """The rules for headers alone, so that a chain of them is trusted before its bodies are asked for."""

    def state_after(self, header: Header) -> Any:
        """What the engine knows after a header of our chain."""
        ...

    def advance(self, state: Any, parent: Header, header: Header) -> Any:
        """Verify `header` after `parent`; the engine's state after it. ChainError otherwise."""
        ...


class Pool(Protocol):
    """The transaction pool, as node.txpool.pool.TransactionPool is."""

    def has(self, tx_hash: Hash32) -> bool:
        """Whether the transaction is pooled."""
        ...

    def get(self, tx_hash: Hash32) -> Transaction | None:
        """A pooled transaction."""
        ...

    def add_remote(self, transactions: Sequence[Transaction]) -> Sequence[ChainError | Exception | None]:
        """Offer transactions whose senders are recovered; None or the reason of refusal for each."""
        ...

    def pending_hashes(self) -> list[Hash32]:
        """Hashes of all that a block could take."""
        ...

    def subscribe(self) -> trio.MemoryReceiveChannel[tuple[Transaction, ...]]:
        """Batches of transactions that became pending."""
        ...
