"""One node's JSON-RPC, put together from its back ends: methods, dispatcher, hub and filters."""

from collections.abc import Callable

import trio

from node.config.settings import RpcSettings
from node.rpc.app import Dispatcher, Observe
from node.rpc.backend import Backend
from node.rpc.filters import Filters
from node.rpc.methods.table import all_methods
from node.rpc.subscriptions import Hub, Session


class RpcApi:
    """Everything between a connection and the back ends. `run` must run while it answers."""

    def __init__(self, backend: Backend, settings: RpcSettings, observe: Observe | None = None) -> None:
        self.hub = Hub(backend)
        self.filters = Filters(self.hub, settings)
        methods = all_methods(backend, settings, self.filters)
        self.dispatcher = Dispatcher(methods, settings, observe, waits_for_others=backend.remote)
        self.pages = backend.pages
        self._settings = settings

    def open_session(self, send: Callable[[bytes], None]) -> Session:
        """The subscriptions of a new WebSocket; `send` queues a message for it and never waits."""
        return Session(self.hub, send, self._settings.subscriptions_per_connection_max)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Feed subscriptions and filters until cancelled."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.hub.run)
            nursery.start_soon(self.filters.run)
            task_status.started()
