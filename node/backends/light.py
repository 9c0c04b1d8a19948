"""A light client's back ends: the ports of node.rpc over proved reads. `light_backend` gathers them all.

Every read may wait for an upstream, so Backend.remote is set and no method reads on the event loop.
eth_getLogs is complete for the blocks it covers: a verified header's bloom rules a block out, and any other
block is fetched whole, its receipts held against the root in the header: no log can be left out unseen.
"""

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Final

import trio

from node.backends.execution import ExecutorBackend
from node.chain.events import ChainEvents, ExecutedBlock, HeadChanged
from node.execution.executor import Call, CallResult, Executor, Interrupted
from node.light.chain import HeadMoved
from node.light.client import LightClient
from node.light.reader import has_logs
from node.observability.build import client_version
from node.primitives.block import Block, Body, Header
from node.primitives.chain_spec import ChainSpec
from node.primitives.errors import PhoenixError, RequestError
from node.primitives.ids import Address, BlockNumber, Hash32, hex_of
from node.primitives.receipt import Receipt
from node.primitives.state import EMPTY_ACCOUNT, AccountProof, StateView, StorageProof
from node.primitives.transaction import AccessList, Transaction, recover_senders
from node.rpc.backend import (
    Backend,
    CallPlace,
    CliqueEvidence,
    CliqueSealing,
    CliqueState,
    CliqueVote,
    PoolContent,
    SyncProgress,
    TransactionPlace,
)

OWN_TRANSACTIONS_MAX: Final = 1_024

log = logging.getLogger(__name__)


def light_backend(client: LightClient, executor: Executor, events: ChainEvents) -> Backend:
    """All ports of a light client."""
    chain = LightChain(client, events)
    return Backend(
        chain=chain,
        state=chain,
        network=LightNetwork(client),
        client_version=client_version(),
        execution=LightExecution(client, executor),
        pool=LightPool(client),
        clique=LightClique(client),
        remote=True,
    )


class LightChain:
    """ChainBackend and StateBackend. Worker threads."""

    def __init__(self, client: LightClient, events: ChainEvents) -> None:
        self._client, self._events = client, events

    @property
    def spec(self) -> ChainSpec:
        """See the port."""
        return self._client.spec

    @property
    def genesis(self) -> Header:
        """See the port."""
        return self._client.genesis

    @property
    def head(self) -> Header:
        """See the port; the newest header that the client's rule lets be shown."""
        return self._client.head

    def safe_header(self) -> Header:
        """See the port."""
        return self._client.below_head(0.5)

    def finalized_header(self) -> Header:
        """See the port."""
        return self._client.below_head(1.0)

    def header(self, block_hash: Hash32) -> Header | None:
        """See the port."""
        return self._client.header(block_hash)

    def header_by_number(self, number: BlockNumber) -> Header | None:
        """See the port."""
        return self._client.header_by_number(number)

    def canonical_hash(self, number: BlockNumber) -> Hash32 | None:
        """See the port."""
        return self._client.canonical_hash(number)

    def block(self, block_hash: Hash32) -> Block | None:
        """See the port."""
        return self._client.block(block_hash)

    def receipts(self, block_hash: Hash32) -> Sequence[Receipt] | None:
        """See the port."""
        return self._client.receipts(block_hash)

    def total_difficulty(self, block_hash: Hash32) -> int | None:
        """See the port."""
        return self._client.total_difficulty(block_hash)

    def transaction_place(self, tx_hash: Hash32) -> TransactionPlace | None:
        """See the port."""
        found = self._client.transaction_place(tx_hash)
        return None if found is None else TransactionPlace(found[0].hash, found[1])

    def next_base_fee(self, header: Header) -> int | None:
        """See the port."""
        return self._client.next_base_fee(header)

    def subscribe_heads(self) -> trio.MemoryReceiveChannel[HeadChanged]:
        """See the port."""
        return self._events.subscribe()

    def state_at(self, header: Header) -> StateView:
        """See the port."""
        return self._client.state.view(header)

    def proof(self, header: Header, address: Address, slots: Sequence[int]) -> AccountProof:
        """See the port: an upstream's nodes, once they are found to prove what they should."""
        claim, proved = self._client.state.proof(header, address, slots)
        account = proved.account or EMPTY_ACCOUNT
        return AccountProof(
            address,
            account.nonce,
            account.balance,
            account.code_hash,
            proved.storage_root,
            claim.nodes,
            tuple(
                StorageProof(slot, self._client.state.slot(header, address, slot), nodes)
                for slot, nodes in claim.slots
            ),
        )


class LightExecution(ExecutorBackend):
    """ExecutionBackend over proved state: what a call will read and is not here is fetched in one batch."""

    def __init__(self, client: LightClient, executor: Executor) -> None:
        super().__init__(client, executor)
        self._client = client

    def call(self, place: CallPlace, call: Call, interrupted: Interrupted) -> CallResult:
        """See the port."""
        result = super().call(place, call, interrupted)
        self._client.state.remember(call.to, call.data, result.touched)
        return result

    def _view(self, place: CallPlace, call: Call) -> StateView:
        header, state = place.header, self._client.state
        known = state.hint(call.to, call.data)
        if known is None:
            return state.view(header, lambda: self._prefetch(header, call, self._foreseen(header, call)))
        self._prefetch(header, call, known)
        return state.view(header)

    def _foreseen(self, header: Header, call: Call) -> AccessList:
        """What an upstream thinks that a call will read."""
        if not call.data:
            return ()
        wanted = {"from": hex_of(call.sender), "data": hex_of(call.data), "value": hex(call.value)}
        if call.to is not None:
            wanted["to"] = hex_of(call.to)
        return self._client.state.ask_hint(lambda provider: provider.access_list(wanted, header.hash))

    def _prefetch(self, header: Header, call: Call, touched: AccessList) -> None:
        accounts = [call.sender, self._client.author_of(header)]
        self._client.state.prefetch(header, touched, accounts if call.to is None else [*accounts, call.to])


class LightPool:
    """PoolBackend that hands transactions on, and remembers those of its own clients."""

    enter = None
    minimum_priority_fee = 0

    def __init__(self, client: LightClient) -> None:
        self._client = client
        self._own: dict[Hash32, Transaction] = {}
        self._lock = threading.Lock()

    async def recover_senders(self, transactions: Sequence[Transaction]) -> None:
        """See the port."""
        await trio.to_thread.run_sync(recover_senders, transactions)

    async def submit(self, tx: Transaction) -> None:
        """See the port: an upstream has taken it when this returns."""
        await trio.to_thread.run_sync(self._client.send, tx, abandon_on_cancel=True)
        with self._lock:
            self._own[tx.hash] = tx
            while len(self._own) > OWN_TRANSACTIONS_MAX:
                self._own.pop(next(iter(self._own)))

    def get(self, tx_hash: Hash32) -> Transaction | None:
        """See the port."""
        return self._own.get(tx_hash)

    def next_nonce(self, address: Address) -> int:
        """The proved nonce, or the one after those that were handed on here; others' are not known here."""
        account = self._client.state.view(self._client.head).account(address)
        nonce = 0 if account is None else account.nonce
        with self._lock:
            sent = {tx.nonce for tx in self._own.values() if tx.sender == address}
            done = [key for key, tx in self._own.items() if tx.sender == address and tx.nonce < nonce]
            for key in done:
                del self._own[key]
        while nonce in sent:
            nonce += 1
        return nonce

    def counts(self) -> tuple[int, int]:
        """See the port."""
        return len(self._own), 0

    def content(self) -> tuple[PoolContent, PoolContent]:
        """See the port."""
        by_sender: dict[Address, list[Transaction]] = {}
        for tx in sorted(self._own.values(), key=lambda tx: tx.nonce):
            by_sender.setdefault(tx.sender, []).append(tx)
        return by_sender, {}

    def content_of(self, address: Address) -> tuple[Sequence[Transaction], Sequence[Transaction]]:
        """See the port."""
        return self.content()[0].get(address, ()), ()

    def subscribe(self) -> trio.MemoryReceiveChannel[tuple[Transaction, ...]]:
        """See the port; a light client hears of no pool, so nothing ever comes."""
        send, receive = trio.open_memory_channel[tuple[Transaction, ...]](0)
        self._silent = send  # kept open: an end would mean "you fell behind"
        return receive


class LightNetwork:
    """NetworkBackend: upstreams stand where peers would."""

    listening = False

    def __init__(self, client: LightClient) -> None:
        self._client = client
        self.network_id = client.spec.chain_id

    @property
    def peer_count(self) -> int:
        """Upstreams that have not lied and answered last time."""
        return sum(source.faults == 0 for source in self._client.upstreams.live())

    def sync_progress(self) -> SyncProgress | None:
        """See the port."""
        progress = self._client.progress()
        if progress is None:
            return None
        return SyncProgress(progress.starting_block, progress.current_block, progress.highest_block)


class LightClique:
    """CliqueBackend as far as the snapshots at hand go."""

    def __init__(self, client: LightClient) -> None:
        self._client = client

    def state_after(self, header: Header) -> CliqueState:
        """See the port."""
        trusted = self._client.chain.trusted(header.hash)
        if trusted is None:
            raise RequestError(
                f"who may seal after block {header.number} is no longer known here; ask for a newer block, or"
                " an archive node"
            )
        state = trusted.state
        votes = tuple(
            CliqueVote(vote.voter, vote.number, vote.target, vote.authorise) for vote in state.votes
        )
        return CliqueState(state.signers.addresses, state.recent_authors(), votes)

    def author(self, header: Header) -> Address:
        """See the port."""
        return self._client.author_of(header)

    def proposals(self) -> Mapping[Address, bool]:
        """See the port."""
        return {}

    async def propose(self, address: Address, authorize: bool | None) -> None:
        """See the port."""
        raise RequestError("a light client seals no blocks, so it has no vote; ask a validator")

    def evidence(self) -> Sequence[CliqueEvidence]:
        """See the port: of the newest blocks, which this client has seen on branches."""
        seen_s = int(time.time())
        return [
            CliqueEvidence(self._client.author_of(first), first, second, seen_s)
            for first, second in self._client.chain.sealed_twice()
        ]

    def sealing(self) -> CliqueSealing | None:
        """See the port."""
        return None


async def tell_moves(client: LightClient, events: ChainEvents) -> None:
    """Publish every change of the head, with proved receipts where a block has logs, until cancelled."""
    while True:
        moved = await client.next_move()
        events.publish(await trio.to_thread.run_sync(_changed, client, moved, abandon_on_cancel=True))


def _changed(client: LightClient, moved: HeadMoved) -> HeadChanged:
    return HeadChanged(
        tuple(_executed(client, header) for header in moved.removed),
        tuple(_executed(client, header) for header in moved.added),
    )


def _executed(client: LightClient, header: Header) -> ExecutedBlock:
    """With everything where there are logs to tell; an empty bloom proves that there are none."""
    if has_logs(header):
        try:
            block, receipts = client.block(header.hash), client.receipts(header.hash)
            if block is not None and receipts is not None:
                return ExecutedBlock(block, receipts)
        except PhoenixError as error:
            log.warning("logs of a block are not told", extra={"block": header.ref, "why": str(error)})
    return ExecutedBlock(Block(header, Body()), ())
