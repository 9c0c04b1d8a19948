"""The JSON-RPC of a node, with all that stands before it: doors, TLS, identities, roles, quotas, records."""

import logging
import time
from collections.abc import Sequence
from functools import partial
from typing import Final

import trio

from node.audit.trail import AuditTrail
from node.config.rpc_checks import is_loopback
from node.config.settings import Settings
from node.observability.health import Check
from node.observability.metrics import Metrics
from node.observability.rpc import RpcMetrics
from node.rpc.api import RpcApi
from node.rpc.app import Dispatcher
from node.rpc.auth import Authenticator
from node.rpc.backend import Backend
from node.rpc.door import Door
from node.rpc.guard import Guard
from node.rpc.identity import Identity, LoginRefused
from node.rpc.server import serve_rpc
from node.rpc.tls import RpcTls, peer_certificate

REFUSED_LOGIN_MS: Final = 5.0

log = logging.getLogger(__name__)


class RpcService:
    """Runs the listeners that the settings name. ConfigError when TLS or key files do not fit."""

    def __init__(self, settings: Settings, backend: Backend, trail: AuditTrail, metrics: Metrics) -> None:
        rpc = settings.rpc
        self._settings = settings
        self._auth = Authenticator(settings.auth, trail)
        self._guard = Guard(trail, lambda: backend.chain.head.number)
        self._tls = RpcTls(rpc, time.time) if rpc.tls_certificate is not None else None
        self.api = RpcApi(backend, rpc, RpcMetrics(metrics).observe, self._guard)
        self._doors = [self._door(rpc.host, rpc.port, self.api.dispatcher, is_admin=False)]
        if rpc.admin_port is not None:
            self._doors.append(
                self._door(rpc.admin_host, rpc.admin_port, self.api.admin_dispatcher, is_admin=True)
            )
        self.ports: tuple[int, ...] = ()
        """Of the doors, once they are open; another number than asked for where 0 was."""
        self._publish(metrics)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; started once every port is bound. OSError when one cannot be had."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._auth.follow_files)
            if self._tls is not None:
                nursery.start_soon(self._tls.follow_files)
            listeners = await nursery.start(
                partial(serve_rpc, self._settings.rpc, self.api, doors=self._doors)
            )
            self.ports = tuple(dict.fromkeys(each.socket.getsockname()[1] for each in listeners))
            for door, port in zip(self._doors, self.ports, strict=False):
                log.info(
                    "JSON-RPC is served",
                    extra={"host": door.host, "port": port, "tls": door.wrap is not None},
                )
            task_status.started()

    @property
    def checks(self) -> Sequence[Check]:
        """For health: what the operator must know of certificates, keys and identities."""
        tls = self._tls
        return [lambda: self._auth.problem, *([] if tls is None else [lambda: tls.problem])]

    def _door(self, host: str, port: int, dispatcher: Dispatcher, *, is_admin: bool) -> Door:
        is_local = is_loopback(host)
        # An administrator on the machine itself needs no certificate to ask what is wrong with it.
        tls = None if is_admin and is_local else self._tls

        def greet(stream: trio.abc.Stream, address: str) -> Identity:
            certificate = peer_certificate(stream)
            if tls is not None and certificate is not None:
                return self._auth.holder(certificate, partial(tls.is_withdrawn, certificate))
            return self._auth.nobody(address, listener_is_local=is_local, is_admin_listener=is_admin)

        return Door(
            host=host,
            port=port,
            dispatcher=dispatcher,
            wrap=None if tls is None else tls.wrap,
            greet=greet,
            identify=self._identify,
        )

    async def _identify(self, credentials: str, address: str) -> Identity:
        """Whose credentials these are. Those that are nobody's cost the address that sends them."""
        stranger = self._auth.nobody(address, listener_is_local=False, is_admin_listener=False)
        if self._guard.wait_s(stranger) > 0:
            raise LoginRefused(f"too many logins were refused that came from {address}; try again later")
        try:
            return await self._auth.bearer(credentials, address)
        except LoginRefused:
            self._guard.charge(stranger, REFUSED_LOGIN_MS)
            raise

    def _publish(self, metrics: Metrics) -> None:
        publish = metrics.read_at_scrape
        publish("rpc_logins_refused", "Credentials that let nobody in.", lambda: self._auth.refusals)
        publish("rpc_forbidden", "Calls that roles did not allow.", lambda: self._guard.forbidden)
        publish("rpc_over_quota", "Calls refused for a quota.", lambda: self._guard.over_quota)
        tls = self._tls
        if tls is not None:
            publish(
                "rpc_certificate_expires_timestamp",
                "Unix time at which the RPC's certificate ends.",
                lambda: tls.expires_at,
            )
