"""One node's JSON-RPC, put together from its back ends: methods, dispatcher, hub and filters."""

from collections.abc import Callable

import trio

from node.config.settings import RpcSettings
from node.rpc.app import Dispatcher, Observe, Surface
from node.rpc.backend import Backend
from node.rpc.filters import Filters
from node.rpc.guard import Guard
from node.rpc.methods.table import all_methods
from node.rpc.relay import Relay
from node.rpc.remembered import Remembered
from node.rpc.subscriptions import Hub, Session


class RpcApi:
    """Everything between a connection and the back ends. `run` must run while it answers."""

    def __init__(
        self,
        backend: Backend,
        settings: RpcSettings,
        observe: Observe | None = None,
        guard: Guard | None = None,
        relay: Relay | None = None,
    ) -> None:
        """`guard` None: whoever reaches it may do everything, as inside a test. `relay`: node.rpc.relay."""
        self.hub = Hub(backend)
        self.filters = Filters(self.hub, settings)
        keeps = settings.answers_bytes_max > 0 and not backend.remote
        self.remembered = Remembered(backend.chain, settings.answers_bytes_max) if keeps else None
        methods = all_methods(backend, settings, self.filters)
        surface = Surface.EVERYTHING if guard is None else Surface.PUBLIC
        self.dispatcher, self.admin_dispatcher = (
            Dispatcher(
                methods,
                settings,
                observe,
                guard,
                each,
                waits_for_others=backend.remote,
                relay=relay,
                remembered=self.remembered,
            )
            for each in (surface, Surface.ADMIN)
        )
        self.pages = backend.pages
        self._settings = settings

    def open_session(self, send: Callable[[bytes], None]) -> Session:
        """The subscriptions of a new WebSocket; `send` queues a message for it and never waits."""
        return Session(self.hub, send, self._settings.subscriptions_per_connection_max)

    async def drain(self) -> None:
        """Wait until no worker thread is at work."""
        await self.dispatcher.drain()
        await self.admin_dispatcher.drain()
        if self.pages is not None:
            await self.pages.drain()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Feed subscriptions and filters until cancelled."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.hub.run)
            nursery.start_soon(self.filters.run)
            task_status.started()
