"""web3 over this node's own JSON-RPC, without a socket: for threads of the node that speak to contracts."""

from typing import Any

import msgspec
import trio
from web3.providers.base import BaseProvider
from web3.types import RPCEndpoint, RPCResponse

from node.rpc.app import Dispatcher
from node.rpc.jsonrpc import Call


class OwnProvider(BaseProvider):
    """Calls go to the dispatcher as the node's own; to be used in threads that trio has started."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        super().__init__()
        self._dispatcher = dispatcher

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """See web3's provider."""
        call = Call(b"1", str(method), msgspec.to_builtins(params))
        answer = trio.from_thread.run(self._dispatcher.answer, call)
        assert answer is not None
        reply: RPCResponse = msgspec.json.decode(answer)
        return reply

    def is_connected(self, show_traceback: bool = False) -> bool:
        """The node is itself."""
        return True
