"""Subscriptions that begin in the past: what has happened since a place on the chain, then what happens.

Nothing is left out and nothing told twice: what comes while the past is being read is held back until the
past has been told. The past is told in one piece that fits into a client's queue; who is further behind
catches up with eth_getLogs or phoenix_getLogs first, and is told so by a notification with an error,
which ends the subscription.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from node.execution.executor import Interrupted
from node.primitives.block import Header
from node.rpc.backend import Abandoned, Backend
from node.rpc.encoding import header_json
from node.rpc.jsonrpc import LimitExceeded, RpcError
from node.rpc.log_index import Position
from node.rpc.logs import LogCriteria, LogFilter, LogLimits, find_logs

BYTES_MAX: Final = 8 << 20
"""Half of what a client may leave unread."""
HEADERS_MAX: Final = 1_024
ATTEMPTS: Final = 3
"""The past is read again when the chain turns meanwhile."""

_encode = msgspec.json.Encoder().encode

Past = Callable[[Header, Interrupted], "Sequence[bytes] | None"]
"""Results, as JSON, up to and with a block; None when that block is no longer on the chain. Worker thread."""


class Turned(RpcError):
    """The chain was reorganised each time that the past was read."""

    def __init__(self) -> None:
        super().__init__("the chain was reorganised while it was read; subscribe again")


def past_logs(backend: Backend, limits: LogLimits, criteria: LogCriteria, start: Position) -> Past:
    """Events from a place on, that place included."""
    bounds = LogLimits(limits.range_blocks_max, limits.results_max, min(limits.bytes_max, BYTES_MAX))

    def read(until: Header, interrupted: Interrupted) -> Sequence[bytes] | None:
        if start.number > until.number:
            return []
        wanted = LogFilter(criteria, start.number, until.number)
        found = find_logs(backend.chain, wanted, bounds, interrupted, backend.log_index)
        if not _is_on_chain(backend, until):
            return None
        behind = [log for log in found if (log.header.number, log.log_index) >= start]
        return [_encode(log.json()) for log in behind]

    return read


def past_headers(backend: Backend, start: int) -> Past:
    """Headers from a number on."""

    def read(until: Header, interrupted: Interrupted) -> Sequence[bytes] | None:
        if until.number - start >= HEADERS_MAX:
            raise LimitExceeded(
                f"{until.number - start + 1} blocks back where a subscription may begin {HEADERS_MAX} back; "
                "read older headers with eth_getBlockByNumber"
            )
        found: list[bytes] = []
        header: Header | None = until
        while header is not None and header.number >= start:
            if interrupted():
                raise Abandoned
            found.append(_encode(header_json(header)))
            header = backend.chain.header(header.parent_hash) if header.number else None
        return found[::-1] if _is_on_chain(backend, until) else None

    return read


def _is_on_chain(backend: Backend, header: Header) -> bool:
    return backend.chain.canonical_hash(header.number) == header.hash
