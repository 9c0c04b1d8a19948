"""A world behind everything that stands before a node's JSON-RPC: doors, TLS, identities, quotas, records."""

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import trio

from node.app.rpc_service import RpcService
from node.audit.records import Facts, Kind
from node.config.settings import AuthSettings, RpcSettings, Settings
from node.observability.metrics import Metrics
from node.rpc.backend import Backend
from tests.rpc.client import HttpClient, WebSocketClient, request_bytes
from tests.rpc.world import World


@dataclass
class MemoryTrail:
    """AuditTrail in a list; refuses when told to."""

    records: list[tuple[Kind, str, Facts]] = field(default_factory=list)
    refuse: Exception | None = None

    async def record(self, kind: Kind, actor: str, facts: Facts) -> None:
        self.enter(kind, actor, facts)

    def enter(self, kind: Kind, actor: str, facts: Facts) -> None:
        if self.refuse is not None:
            raise self.refuse
        self.records.append((kind, actor, facts))

    def note(self, kind: Kind, actor: str, facts: Facts) -> None:
        self.records.append((kind, actor, facts))

    def of(self, kind: Kind) -> list[tuple[str, Facts]]:
        """(actor, facts) of one kind."""
        return [(actor, facts) for each, actor, facts in self.records if each is kind]


@dataclass
class Secured:
    """What is served, and where."""

    service: RpcService
    trail: MemoryTrail
    metrics: Metrics
    port: int
    admin_port: int
    streams: list[trio.abc.AsyncResource] = field(default_factory=list)

    async def http(self, *, admin: bool = False, tls: ssl.SSLContext | None = None) -> HttpClient:
        """A new connection."""
        return HttpClient(await self.stream(admin=admin, tls=tls))

    async def websocket(self, *, tls: ssl.SSLContext | None = None, **headers: str) -> WebSocketClient:
        """A new WebSocket; `_` in names of headers stands for `-`."""
        client = WebSocketClient(await self.stream(tls=tls))
        await client.shake_hands(**{name.replace("_", "-"): value for name, value in headers.items()})
        return client

    async def stream(self, *, admin: bool = False, tls: ssl.SSLContext | None = None) -> Any:
        plain = await trio.open_tcp_stream("127.0.0.1", self.admin_port if admin else self.port)
        self.streams.append(plain)
        stream: Any = plain
        if tls is not None:
            stream = trio.SSLStream(plain, tls, server_hostname="127.0.0.1", https_compatible=True)
            await stream.do_handshake()
        return stream


@asynccontextmanager
async def secured(
    world: World | None = None,
    *,
    rpc: Mapping[str, Any] | None = None,
    auth: Mapping[str, Any] | None = None,
    backend: Mapping[str, Any] | None = None,
) -> AsyncIterator[Secured]:
    """The service on free ports of the loopback; mappings change settings and ports of the backend."""
    world = world or World()
    settings = Settings(
        data_dir=Path("nowhere"),
        genesis=Path("nowhere"),
        rpc=replace(RpcSettings(port=0, admin_port=0), **(rpc or {})),
        auth=replace(AuthSettings(), **(auth or {})),
    )
    house = Backend(
        chain=world.chain,
        state=world.chain,
        network=world.network,
        client_version="Phoenix/test",
        execution=world.execution,
        pool=world.pool,
        **(backend or {}),
    )
    trail, metrics = MemoryTrail(), Metrics("test", "full")
    service = RpcService(settings, house, trail, metrics)
    async with trio.open_nursery() as nursery:
        await nursery.start(service.run)
        served = Secured(service, trail, metrics, *service.ports)
        try:
            yield served
        finally:
            for stream in served.streams:
                await trio.aclose_forcefully(stream)
            nursery.cancel_scope.cancel()


def bearer(credentials: str) -> bytes:
    """The header that shows them."""
    return b"Authorization: Bearer " + credentials.encode()


async def ask(client: HttpClient, body: bytes, credentials: str | None = None) -> tuple[int, dict, bytes]:
    """One request with or without credentials."""
    headers = () if credentials is None else (bearer(credentials),)
    return await client.exchange(request_bytes(body, *headers))
