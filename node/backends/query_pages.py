"""The query API as pages of the RPC listener: each answer in a worker thread, bounded in number and time."""

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, Protocol

import trio

from node.primitives.errors import StorageError
from node.replica.api import Reply
from node.rpc.pages import PageReply
from node.rpc.workers import Lane

THREADS_MAX: Final = 4
"""SQLite lets go of the interpreter while it works, so that these do run at a time."""
DRAIN_TIMEOUT_S: Final = 10.0
WAITING_MAX: Final = 512
"""Questions that may wait for a thread; more are told to come again."""

log = logging.getLogger(__name__)


class Queries(Protocol):
    """Whoever knows the answers: a replica's index, or a light client's proofs. Any thread; may block."""

    def answer(self, target: str, if_none_match: str | None, interrupted: Callable[[], bool]) -> Reply:
        """What a GET of this target gives."""
        ...


class QueryPages:
    """Pages over queries."""

    def __init__(self, api: Queries) -> None:
        self._api = api
        self._lane = Lane("queries", THREADS_MAX)

    async def answer(self, target: str, if_none_match: str | None) -> PageReply:
        """See the port."""
        if self._lane.pending >= WAITING_MAX:
            text = b"too many questions are waiting; come again\n"
            return PageReply(HTTPStatus.SERVICE_UNAVAILABLE, text, "text/plain", {"retry-after": "1"})
        abandoned = False
        try:
            reply = await self._lane.run(lambda: self._api.answer(target, if_none_match, lambda: abandoned))
        except trio.Cancelled:
            abandoned = True
            raise
        except StorageError:
            raise
        except Exception:
            log.exception("a query failed", extra={"target": target[:200]})
            reply = Reply(HTTPStatus.INTERNAL_SERVER_ERROR, b"internal error\n", {}, "text/plain")
        return PageReply(reply.status, reply.body, reply.content_type, reply.headers)

    async def drain(self) -> None:
        """See the port."""
        with trio.move_on_after(DRAIN_TIMEOUT_S):
            await self._lane.wait_idle()
