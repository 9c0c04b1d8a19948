"""Requests under way with one peer: ids, and which answer belongs to which. Pure.

Whoever asked keeps the deadline, and closes the request when it has passed. An answer that comes later is no
offence and is recognised for a while; an answer to nothing is.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from p2p.errors import BreachOfProtocol
from p2p.eth.messages import (
    BlockBodies,
    BlockHeaders,
    GetBlockBodies,
    GetBlockHeaders,
    GetPooledTransactions,
    GetReceipts,
    PooledTransactions,
    Receipts,
    Request,
    Response,
)

ANSWERS: Final[Mapping[type, type]] = {
    GetBlockHeaders: BlockHeaders,
    GetBlockBodies: BlockBodies,
    GetPooledTransactions: PooledTransactions,
    GetReceipts: Receipts,
}
"""Request type -> response type."""
EXPIRED_KEPT: Final = 256
"""How many ids past their deadline are remembered, so that a late answer is told from an invented one."""


class Requests:
    """The requests of one connection."""

    def __init__(self) -> None:
        self._next_id = 1
        self._waiting: dict[int, Request] = {}
        self._expired: OrderedDict[int, type[Request]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiting)

    def next_id(self) -> int:
        """An id that no request of this connection has had."""
        request_id = self._next_id
        self._next_id += 1
        return request_id

    def open(self, request: Request) -> None:
        """Expect an answer to `request`, whose id came from `next_id`."""
        self._waiting[request.request_id] = request

    def close(self, request_id: int) -> None:
        """Stop waiting: the deadline has passed, or the asker went away. An answer may still come late."""
        request = self._waiting.pop(request_id, None)
        if request is not None:
            self._expired[request_id] = type(request)
            if len(self._expired) > EXPIRED_KEPT:
                self._expired.popitem(last=False)

    def match(self, response: Response) -> bool:
        """True: the answer waited for. False: it comes late. BreachOfProtocol: nobody asked for it."""
        request = self._waiting.get(response.request_id)
        kind = type(request) if request else self._expired.get(response.request_id)
        if kind is None:
            raise BreachOfProtocol(f"a {type(response).__name__} that answers no request of ours")
        if not isinstance(response, ANSWERS[kind]):
            raise BreachOfProtocol(
                f"a {type(response).__name__} where {ANSWERS[kind].__name__} was asked for"
            )
        if request is None:
            self._expired.pop(response.request_id)
            return False
        asked, got = _asked(request), _given(response)
        if got > asked:
            raise BreachOfProtocol(f"{got} items in a {type(response).__name__} where {asked} were asked for")
        del self._waiting[response.request_id]
        return True


def _asked(request: Request) -> int:
    return request.amount if isinstance(request, GetBlockHeaders) else len(request.hashes)


def _given(response: Response) -> int:
    match response:
        case BlockHeaders():
            return len(response.headers)
        case BlockBodies():
            return len(response.bodies)
        case PooledTransactions():
            return len(response.transactions)
        case Receipts():
            return len(response.receipts)
