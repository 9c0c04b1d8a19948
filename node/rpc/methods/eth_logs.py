"""eth_: events of contracts, filters that are polled, and subscriptions."""

from dataclasses import dataclass
from typing import Any

import msgspec

from node.config.settings import RpcSettings
from node.execution.executor import Interrupted
from node.rpc.backend import Backend
from node.rpc.blocks import ByHash, NumberOrTag, Tag, holds_of, is_light
from node.rpc.filters import Filters
from node.rpc.jsonrpc import Json, MethodNotFound, RpcError
from node.rpc.log_index import Position
from node.rpc.logs import (
    FoundLog,
    LogCriteria,
    LogFilter,
    LogLimits,
    find_logs,
    read_criteria,
    read_log_filter,
)
from node.rpc.method import Method, Where
from node.rpc.params import BadValue, Param, read_bool, read_member, read_text, read_uint64
from node.rpc.remembered import Holds
from node.rpc.resuming import past_headers, past_logs
from node.rpc.subscriptions import Kind, Session


class SubscriptionNotFound(RpcError):
    """No such kind of subscription, in geth's words."""

    code = -32601

    def __init__(self, name: str) -> None:
        super().__init__(f'no "{name[:80]}" subscription in eth namespace')


def methods(backend: Backend, settings: RpcSettings, filters: Filters) -> list[Method]:
    """getLogs, the filter methods, subscribe and unsubscribe."""
    eth = _Logs(backend, settings, filters)
    wanted, key = (Param(read_log_filter),), (Param(read_text),)
    subscription = (Param(read_text), Param(_read_subscription, None))
    return [
        Method("eth_getLogs", eth.find, wanted, Where.SCAN, eth.is_light, eth.holds),
        Method("eth_newFilter", eth.new_filter, wanted),
        Method("eth_newBlockFilter", lambda: filters.install(Kind.BLOCK_HASHES)),
        Method("eth_newPendingTransactionFilter", eth.new_pending_filter, (Param(read_bool, False),)),
        Method("eth_uninstallFilter", filters.uninstall, key),
        Method("eth_getFilterChanges", filters.take, key),
        Method("eth_getFilterLogs", eth.find_of_filter, key, Where.SCAN),
        Method("eth_subscribe", eth.subscribe, subscription, Where.SESSION),
        Method("eth_unsubscribe", _unsubscribe, key, Where.SESSION),
    ]


class _Logs:
    def __init__(self, backend: Backend, settings: RpcSettings, filters: Filters) -> None:
        self._backend = backend
        self._chain = backend.chain
        self._index = backend.log_index
        self._has_pool = backend.pool is not None
        self._filters = filters
        self._limits = LogLimits(
            settings.logs_range_blocks_max, settings.logs_results_max, settings.response_bytes_max
        )

    def is_light(self, wanted: LogFilter) -> bool:
        """Whether it is one small block that is looked through."""
        if wanted.block_hash is not None:
            return is_light(self._chain, ByHash(wanted.block_hash))
        start, stop = _ends(wanted)
        return start == stop and is_light(self._chain, start)

    def holds(self, wanted: LogFilter) -> Holds | None:
        """For as long as every block stays that was looked through."""
        if wanted.block_hash is not None:
            return Holds.PAST
        ends = {holds_of(self._chain, end) for end in _ends(wanted)}
        return ends.pop() if len(ends) == 1 else None if None in ends else Holds.AT_HEAD

    def find(self, interrupted: Interrupted, wanted: LogFilter) -> Json:
        return msgspec.Raw(f"[{','.join([log.text() for log in self._find(wanted, interrupted)])}]".encode())

    def _find(self, wanted: LogFilter, interrupted: Interrupted) -> list[FoundLog]:
        return find_logs(self._chain, wanted, self._limits, interrupted, self._index)

    def new_filter(self, wanted: LogFilter) -> Json:
        return self._filters.install(Kind.LOGS, wanted)

    def new_pending_filter(self, full: bool) -> Json:
        self._need_pool("eth_newPendingTransactionFilter")
        return self._filters.install(Kind.TRANSACTIONS if full else Kind.TRANSACTION_HASHES)

    def find_of_filter(self, interrupted: Interrupted, key: str) -> Json:
        return self.find(interrupted, self._filters.log_filter(key))

    def subscribe(self, session: Session, name: str, argument: "_Wish | bool | None") -> Json:
        wish = argument if isinstance(argument, _Wish) else _Wish(LogCriteria())
        first_block = 0 if wish.start is None else wish.start.number
        match name:
            case "newHeads":
                past = None if wish.start is None else past_headers(self._backend, wish.start.number)
                return session.subscribe(Kind.HEADERS, past=past, first_block=first_block)
            case "logs":
                criteria = wish.criteria
                past = (
                    None
                    if wish.start is None
                    else past_logs(self._backend, self._limits, criteria, wish.start)
                )
                return session.subscribe(Kind.LOGS, criteria, past, first_block)
            case "newPendingTransactions":
                self._need_pool("newPendingTransactions")
                return session.subscribe(Kind.TRANSACTIONS if argument is True else Kind.TRANSACTION_HASHES)
            case "syncing":
                return session.subscribe(Kind.SYNCING)
            case _:
                raise SubscriptionNotFound(name)

    def _need_pool(self, name: str) -> None:
        if not self._has_pool:
            raise MethodNotFound(name)


def _ends(wanted: LogFilter) -> tuple[NumberOrTag, NumberOrTag]:
    """First and last block. Block 0 is a number as any other: it is not the latest."""
    start, stop = (Tag.LATEST if end is None else end for end in (wanted.start, wanted.stop))
    return start, stop


def _unsubscribe(session: Session, subscription: str) -> Json:
    if not session.unsubscribe(subscription):
        raise RpcError("subscription not found")
    return True


@dataclass(frozen=True, slots=True)
class _Wish:
    """What a subscription's second argument asks for."""

    criteria: LogCriteria
    start: Position | None = None
    """fromBlock and fromLogIndex: begin there, in the past, instead of now."""


def _read_subscription(value: Any) -> _Wish | bool:
    """The second argument: what and from where, or whether pending transactions come in full."""
    if isinstance(value, bool):
        return value
    if not isinstance(value, dict):
        raise BadValue("expected filter criteria, or true or false")
    number = read_member(value, "fromBlock", read_uint64)
    index = read_member(value, "fromLogIndex", read_uint64)
    if number is None and index is not None:
        raise BadValue("fromLogIndex without fromBlock")
    return _Wish(read_criteria(value), None if number is None else Position(number, index or 0))
