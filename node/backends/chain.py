"""A full node's back ends: chain and state from the ChainReader; `node_backend` gathers them all."""

from collections.abc import Sequence
from typing import Protocol

import trio

from consensus.gas import base_fee_after
from node.backends.clique import CliqueEngineBackend
from node.backends.execution import ExecutorBackend
from node.backends.network import NodeNetwork, SyncState
from node.backends.permissioning import NodePermissioning, Peering, Permits
from node.backends.pool import NodePool
from node.chain.events import HeadChanged
from node.chain.evidence import EvidenceBook
from node.chain.opening import Chain
from node.chain.reader import ChainReader
from node.config.settings import Settings
from node.execution.executor import Executor
from node.observability.build import client_version
from node.permissioning.allowlist import AllowListFile
from node.permissioning.sending import PoolPermits
from node.primitives.block import Block, Header
from node.primitives.chain_spec import ChainSpec
from node.primitives.ids import Address, BlockNumber, Hash32
from node.primitives.receipt import Receipt
from node.primitives.state import AccountProof, StateView
from node.production.driver import Driver
from node.rpc.backend import Backend, TransactionPlace
from node.signing.lease_watch import LeaseWatch
from node.state.store import StateStore
from node.txpool.pool import TransactionPool
from p2p.pool import PeerPool


class NodeParts(Protocol):
    """What the composition root has opened."""

    @property
    def settings(self) -> Settings:
        """The node's settings."""
        ...

    @property
    def chain(self) -> Chain:
        """The open chain."""
        ...

    @property
    def executor(self) -> Executor:
        """Which EVM runs."""
        ...

    @property
    def pool(self) -> TransactionPool:
        """Transactions waiting for a block."""
        ...

    @property
    def members(self) -> AllowListFile | None:
        """The members' file."""
        ...


class NodePeers(Protocol):
    """Our place among the peers."""

    @property
    def pool(self) -> PeerPool:
        """Connections."""
        ...

    def block(self, enode_urls: Sequence[str]) -> None:
        """Neither dial, admit nor keep these peers; replaces the former list. RequestError for a bad URL."""
        ...


def node_backend(
    node: NodeParts,
    network: NodePeers,
    sync: SyncState,
    driver: Driver | None,
    *,
    permits: Permits | None = None,
    peering: Peering | None = None,
    evidence: EvidenceBook | None = None,
    lease: LeaseWatch | None = None,
) -> Backend:
    """All ports of one node. Without a driver it seals nothing and has no vote."""
    reader = node.chain.reader
    chain = ReaderBackend(reader, node.chain.state)
    peers = NodeNetwork(reader.spec.chain_id, network.pool, network.block, sync)
    return Backend(
        chain=chain,
        state=chain,
        network=peers,
        client_version=client_version(),
        execution=ExecutorBackend(reader, node.executor, state_at=chain.state_at),
        pool=NodePool(node.pool, node.chain.importer.senders, node.settings.pool.minimum_priority_fee_wei),
        admin=peers,
        clique=CliqueEngineBackend(reader, driver, evidence, lease),
        permissioning=(
            None
            if permits is None
            else NodePermissioning(permits, PoolPermits(node.chain, node.members), node.members, peering)
        ),
        sealer=driver.health.signer if driver else None,
    )


class ReaderBackend:
    """ChainBackend and StateBackend over a ChainReader. Any thread."""

    def __init__(self, reader: ChainReader, state: StateStore) -> None:
        self._reader = reader
        self._state = state
        self._head_view: tuple[Hash32, StateView] | None = None
        """The state that nearly every request reads, opened once per head."""

    # --- ChainBackend

    @property
    def spec(self) -> ChainSpec:
        """See the port."""
        return self._reader.spec

    @property
    def genesis(self) -> Header:
        """See the port."""
        return self._reader.genesis

    @property
    def head(self) -> Header:
        """See the port."""
        return self._reader.head

    def safe_header(self) -> Header:
        """N//2 below the head: with the block's own, a majority of the N signers has sealed by then."""
        return self._below_head(len(self._validators()) // 2)

    def finalized_header(self) -> Header:
        """N below the head: every signer's turn has come since."""
        return self._below_head(len(self._validators()))

    def header(self, block_hash: Hash32) -> Header | None:
        """See the port."""
        return self._reader.header(block_hash)

    def header_by_number(self, number: BlockNumber) -> Header | None:
        """See the port."""
        return self._reader.header_by_number(number)

    def canonical_hash(self, number: BlockNumber) -> Hash32 | None:
        """See the port."""
        return self._reader.canonical_hash(number)

    def block(self, block_hash: Hash32) -> Block | None:
        """See the port."""
        return self._reader.block(block_hash)

    def receipts(self, block_hash: Hash32) -> Sequence[Receipt] | None:
        """See the port."""
        return self._reader.receipts(block_hash)

    def total_difficulty(self, block_hash: Hash32) -> int | None:
        """See the port."""
        return self._reader.total_difficulty(block_hash)

    def transaction_place(self, tx_hash: Hash32) -> TransactionPlace | None:
        """See the port."""
        found = self._reader.transaction_location(tx_hash)
        return TransactionPlace(found.block_hash, found.index) if found else None

    def next_base_fee(self, header: Header) -> int | None:
        """See the port."""
        return base_fee_after(self._reader.spec, header)

    def subscribe_heads(self) -> trio.MemoryReceiveChannel[HeadChanged]:
        """See the port."""
        return self._reader.events.subscribe()

    # --- StateBackend

    def state_at(self, header: Header) -> StateView:
        """See the port."""
        remembered = self._head_view
        if remembered is not None and remembered[0] == header.hash:
            return remembered[1]
        view = self._reader.state_at(header.hash)
        if header.hash == self._reader.head.hash:
            self._head_view = (header.hash, view)
        return view

    def proof(self, header: Header, address: Address, slots: Sequence[int]) -> AccountProof:
        """See the port."""
        return self._state.proof(header.hash, address, slots)

    # --- private

    def _validators(self) -> Sequence[Address]:
        return self._reader.rules.validators(self._reader.engine_state(self._reader.head.hash))

    def _below_head(self, depth: int) -> Header:
        """The canonical block so many below the head; genesis when there are not as many."""
        while True:
            number = max(0, self._reader.head.number - depth)
            header = self._reader.header_by_number(number)
            if header is not None:  # a reorganisation to a shorter branch may come between the two reads
                return header
