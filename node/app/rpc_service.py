"""The JSON-RPC of a node, with all that stands before it: doors, TLS, identities, roles, quotas, records."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import trio

from node.app.hangup import Hangup
from node.audit.trail import AuditTrail
from node.config.rpc_checks import is_loopback
from node.config.settings import Settings
from node.observability.health import Check
from node.observability.metrics import Metrics
from node.observability.rpc import RpcMetrics
from node.rpc.api import RpcApi
from node.rpc.app import Dispatcher, Observe
from node.rpc.auth import Authenticator
from node.rpc.backend import Backend
from node.rpc.door import Door
from node.rpc.guard import Guard
from node.rpc.identity import Identity, LoginRefused
from node.rpc.relay import Relay
from node.rpc.server import serve_rpc
from node.rpc.tls import RpcTls, peer_certificate

REFUSED_LOGIN_MS: Final = 5.0
NUMBERS: Final = {
    "rpc_logins_refused": "Credentials that let nobody in.",
    "rpc_forbidden": "Calls that roles did not allow.",
    "rpc_over_quota": "Calls refused for a quota.",
    "rpc_answers_remembered": "Calls whose answer was at hand.",
}

log = logging.getLogger(__name__)


class RpcService:
    """Runs the listeners that the settings name. ConfigError when TLS or key files do not fit."""

    def __init__(
        self,
        settings: Settings,
        backend: Backend,
        trail: AuditTrail,
        metrics: Metrics,
        *,
        is_public: bool = True,
        sockets: Sequence[trio.socket.SocketType] = (),
        observe: Observe | None = None,
        relay: Relay | None = None,
        hangup: Hangup = trio.sleep_forever,
    ) -> None:
        """`is_public` False: worker processes serve the public door. The rest is for those: `sockets` that
        listen already, who counts calls, the way to what the node itself has to answer, and when
        TLS files are read again at once."""
        rpc = settings.rpc
        self._settings = settings
        self._hangup = hangup
        self._auth = Authenticator(settings.auth, trail)
        self.guard = Guard(trail, lambda: backend.chain.head.number)
        self.guard.shares_quotas = not is_public or bool(sockets)
        self._tls = RpcTls(rpc, time.time) if rpc.tls_certificate is not None else None
        self.counters = RpcMetrics(metrics)
        self.api = RpcApi(backend, rpc, observe or self.counters.observe, self.guard, relay)
        self._doors = []
        if is_public:
            public = self._door(rpc.host, rpc.port, self.api.dispatcher, is_admin=False)
            self._doors.append(replace(public, sockets=sockets))
        if rpc.admin_port is not None and not sockets:
            self._doors.append(
                self._door(rpc.admin_host, rpc.admin_port, self.api.admin_dispatcher, is_admin=True)
            )
        self.numbers_elsewhere: list[Callable[[], Mapping[str, float]]] = []
        """Of processes that answer, too: added to ours."""
        self.ports: tuple[int, ...] = ()
        """Of the doors, once they are open; another number than asked for where 0 was."""
        self._publish(metrics)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; started once every port is bound. OSError when one cannot be had."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._auth.follow_files)
            if self._tls is not None:
                nursery.start_soon(self._tls.follow_files, self._hangup)
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

    def _number(self, name: str) -> float:
        return self.numbers()[name] + sum(numbers().get(name, 0.0) for numbers in self.numbers_elsewhere)

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
        if self.guard.wait_s(stranger) > 0:
            raise LoginRefused(f"too many logins were refused that came from {address}; try again later")
        try:
            return await self._auth.bearer(credentials, address)
        except LoginRefused:
            self.guard.charge(stranger, REFUSED_LOGIN_MS)
            raise

    def numbers(self) -> dict[str, float]:
        """What is counted here and published by the node, by name of the metric."""
        remembered = self.api.remembered
        return {
            "rpc_logins_refused": self._auth.refusals,
            "rpc_forbidden": self.guard.forbidden,
            "rpc_over_quota": self.guard.over_quota,
            "rpc_answers_remembered": remembered.hits if remembered is not None else 0,
        }

    def _publish(self, metrics: Metrics) -> None:
        publish = metrics.read_at_scrape
        for name, text in NUMBERS.items():
            publish(name, text, partial(self._number, name))
        tls = self._tls
        if tls is not None:
            publish(
                "rpc_certificate_expires_timestamp",
                "Unix time at which the RPC's certificate ends.",
                lambda: tls.expires_at,
            )
