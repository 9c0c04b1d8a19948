"""Permissioning as the RPC sees it."""

from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from node.permissioning.allowlist import AllowList, AllowListFile
from node.permissioning.peer_sets import Finding, PeerSetBook
from node.permissioning.policy import Decision, Meeting, Sending
from node.permissioning.sending import PoolPermits
from node.primitives.errors import RequestError
from node.rpc.backend import PeerSetReport
from node.sync.clocks import ClockBook


class Permits(Protocol):
    """Whom this node meets."""

    def explain(self, meeting: Meeting) -> Decision:
        """The decision of this moment."""
        ...

    async def reload(self) -> None:
        """Read the file again and act on it."""
        ...


class Peering(Protocol):
    """What members tell one another."""

    @property
    def book(self) -> PeerSetBook:
        """Whom they are connected to."""
        ...

    def findings(self) -> tuple[Finding, ...]:
        """Where their words do not fit, as of the head."""
        ...

    @property
    def clocks(self) -> ClockBook:
        """What time it is there."""
        ...


class NodePermissioning:
    """PermissioningBackend over file, chain and connections."""

    def __init__(
        self, permits: Permits, pool: PoolPermits, file: AllowListFile | None, peering: Peering | None
    ) -> None:
        self._permits = permits
        self._peering = peering
        self._pool = pool
        self._file = file

    def explain_node(self, identity: bytes, host: str | None, inbound: bool) -> Decision:
        """See the port."""
        return self._permits.explain(Meeting(id=identity, host=host, inbound=inbound))

    def explain_transaction(self, sending: Sending) -> Decision:
        """See the port."""
        return self._pool.decide(sending)

    def members(self) -> AllowList:
        """See the port."""
        current = self._there().current
        if current is None:
            raise RequestError(f"the members' file cannot be read: {self._there().problem}")
        return current

    def peer_sets(self) -> PeerSetReport:
        """See the port."""
        if self._peering is None:
            return PeerSetReport(sets=(), strangers=(), silent=(), findings=(), drift_ms=None)
        book = self._peering.book
        return PeerSetReport(
            sets=book.newest(),
            strangers=book.strangers(),
            silent=book.silent(),
            findings=self._peering.findings(),
            drift_ms=self._peering.clocks.drift_ms,
        )

    async def change_members(self, change: Callable[[AllowList], AllowList]) -> None:
        """See the port."""
        wanted = change(self.members())
        await trio.to_thread.run_sync(self._there().change, wanted)
        await self._settled(self._permits.reload)

    async def reload(self) -> None:
        """See the port."""
        self._there()
        await self._settled(self._permits.reload)

    async def _settled(self, reload: Callable[[], Awaitable[None]]) -> None:
        await reload()
        if self._there().problem is not None:
            raise RequestError(f"the old list stays: {self._there().problem}")

    def _there(self) -> AllowListFile:
        if self._file is None:
            raise RequestError("this node has no members' file: the setting permissioning.file names none")
        return self._file
