"""phoenix_: what other clients have no word for."""

import re
from dataclasses import dataclass
from typing import Any, Final

from node.config.settings import RpcSettings
from node.execution.executor import Interrupted
from node.primitives.ids import Hash32, hex_of
from node.rpc.backend import ChainBackend
from node.rpc.jsonrpc import Json, RpcError
from node.rpc.log_index import WHOLE_BLOCK, LogIndex, LogPage, LogQuery, Position
from node.rpc.logs import FoundLog, LogFilter, range_of, read_log_filter
from node.rpc.method import Method, Where
from node.rpc.params import BadValue, Param, read_count, read_member, read_object, read_text

PAGE_LOGS: Final = 1_000
"""Events of a page unless asked otherwise."""
_CURSOR: Final = re.compile(r"(\d{1,18})-(\d{1,10})-0x([0-9a-f]{64})", re.ASCII)


class StaleCursor(RpcError):
    """The blocks before a cursor are no longer those that it was given for."""

    code = -32010

    def __init__(self, number: int) -> None:
        super().__init__(
            f"the chain was reorganised at or below block {number}: what came before this cursor may have "
            "changed; ask again from an earlier cursor, or from a final block"
        )


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where to go on: behind an event, and the block that it stood in."""

    position: Position
    block_hash: Hash32

    def __str__(self) -> str:
        return f"{self.position.number}-{self.position.log_index}-{hex_of(self.block_hash)}"


@dataclass(frozen=True, slots=True)
class PageOptions:
    """The second argument of phoenix_getLogs."""

    cursor: Cursor | None = None
    limit: int = PAGE_LOGS


def methods(chain: ChainBackend, index: LogIndex, settings: RpcSettings) -> list[Method]:
    """getLogs with cursors."""
    logs = _PagedLogs(chain, index, settings)
    wanted = (Param(read_log_filter), Param(_read_options, PageOptions()))
    return [Method("phoenix_getLogs", logs.page, wanted, Where.SCAN)]


class _PagedLogs:
    def __init__(self, chain: ChainBackend, index: LogIndex, settings: RpcSettings) -> None:
        self._chain = chain
        self._index = index
        self._limit = settings.logs_results_max
        self._bytes = settings.response_bytes_max // 2

    def page(self, interrupted: Interrupted, wanted: LogFilter, options: PageOptions) -> Json:
        """Events behind the cursor; the new cursor goes on there, also when there is nothing more yet."""
        if wanted.block_hash is not None:
            raise RpcError("phoenix_getLogs takes fromBlock and toBlock; eth_getLogs takes blockHash")
        start, stop = range_of(self._chain, wanted)
        cursor = options.cursor
        if cursor is not None:
            self._check(cursor)
            start = max(start, cursor.position.number)
        query = LogQuery(
            addresses=wanted.criteria.addresses,
            topics=wanted.criteria.topics,
            start=start,
            stop=stop,
            after=cursor.position if cursor else None,
            count_max=min(options.limit, self._limit),
            bytes_max=self._bytes,
        )
        page = self._index.find(query, interrupted)
        if page is None:
            raise RpcError(
                "the index of this node is empty as yet, or its database is away; "
                "ask again soon, or another replica"
            )
        return {
            "logs": [FoundLog(*log).json() for log in page.logs],
            "complete": page.complete,
            "cursor": str(self._next(page, stop, cursor)),
            "block": {"number": hex(page.covered.number), "hash": hex_of(page.covered.hash)},
        }

    def _check(self, cursor: Cursor) -> None:
        if self._index.block_hash(cursor.position.number) != cursor.block_hash:
            raise StaleCursor(cursor.position.number)

    def _next(self, page: LogPage, stop: int, before: Cursor | None) -> Cursor:
        if not page.complete:
            last = page.logs[-1]
            return Cursor(Position(last.block.number, last.log_index), last.block.hash)
        number = min(stop, page.covered.number)
        if before is not None and before.position.number >= number:
            return before
        block_hash = (
            page.covered.hash if number == page.covered.number else self._index.block_hash(max(0, number))
        )
        if block_hash is None:
            raise StaleCursor(number)
        return Cursor(Position(max(0, number), WHOLE_BLOCK), block_hash)


def _read_options(value: Any) -> PageOptions:
    fields = read_object(value)
    limit = read_member(fields, "limit", read_count)
    if limit == 0:
        raise BadValue("limit: 0 events; at least 1")
    return PageOptions(read_member(fields, "cursor", _read_cursor), PAGE_LOGS if limit is None else limit)


def _read_cursor(value: Any) -> Cursor:
    match = _CURSOR.fullmatch(read_text(value))
    if match is None:
        raise BadValue("no cursor of phoenix_getLogs; leave it out to begin")
    return Cursor(Position(int(match[1]), int(match[2])), Hash32(bytes.fromhex(match[3])))
