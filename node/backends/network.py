"""Peers and syncing as the RPC sees them."""

from collections.abc import Callable, Sequence
from typing import Protocol

from node.primitives.ids import BlockNumber
from node.rpc.backend import PeerReport, SyncProgress
from p2p.enode import Enode
from p2p.eth.status import Status
from p2p.pool import PeerPool
from p2p.reports import PeerInfo


class Progress(Protocol):
    """How far a catch-up is."""

    @property
    def starting_block(self) -> BlockNumber:
        """Where it began."""
        ...

    @property
    def current_block(self) -> BlockNumber:
        """Where it is."""
        ...

    @property
    def highest_block(self) -> BlockNumber:
        """Where it goes."""
        ...


class SyncState(Protocol):
    """Whoever catches up."""

    @property
    def progress(self) -> Progress | None:
        """None when there is nothing to catch up with."""
        ...


class NodeNetwork:
    """NetworkBackend and AdminBackend over a PeerPool."""

    def __init__(
        self, network_id: int, pool: PeerPool, block: Callable[[Sequence[str]], None], sync: SyncState
    ) -> None:
        self.network_id = network_id
        self._pool = pool
        self._block = block
        self._sync = sync

    # --- NetworkBackend

    @property
    def listening(self) -> bool:
        """See the port; the RPC is only served once the peers' port is bound."""
        return True

    @property
    def peer_count(self) -> int:
        """See the port."""
        return len(self._pool.peers)

    def sync_progress(self) -> SyncProgress | None:
        """See the port."""
        progress = self._sync.progress
        if progress is None:
            return None
        return SyncProgress(progress.starting_block, progress.current_block, progress.highest_block)

    # --- AdminBackend

    @property
    def enode_url(self) -> str:
        """See the port."""
        return self._pool.enode_url

    def peers(self) -> Sequence[PeerReport]:
        """See the port."""
        local_address = self._pool.enode_url.rpartition("@")[2]
        return [_report(peer.info(), peer.status, local_address) for peer in self._pool.peers.values()]

    def add_peer(self, enode_url: str) -> None:
        """See the port."""
        self._pool.add_static(enode_url)

    def remove_peer(self, enode_url: str) -> None:
        """See the port."""
        self._pool.remove(enode_url)

    def set_blocked_peers(self, enode_urls: Sequence[str]) -> None:
        """See the port."""
        self._block(enode_urls)


def _report(info: PeerInfo, status: Status, local_address: str) -> PeerReport:
    return PeerReport(
        id=info.id,
        name=info.name,
        enode=str(Enode(info.id, info.remote.host, info.listen_port, info.listen_port)),
        capabilities=tuple(f"{capability.name}/{capability.version}" for capability in info.capabilities),
        local_address=local_address,
        remote_address=str(info.remote),
        inbound=info.inbound,
        trusted=info.trusted,
        static=info.static,
        eth_version=status.version,
        total_difficulty=status.total_difficulty,
        head_hash=status.head_hash,
    )
