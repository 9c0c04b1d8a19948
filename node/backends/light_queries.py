"""The query API of a light client: the routes whose answers the state proves, as a replica answers them.

Each answer is about one verified block, by default the newest that this client shows. Lists and histories
follow from events: that none was left out is known only to whoever has seen every block, so they are refused
here, with the reason.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec

from node.backends.light_views import NoSuite, SuiteViews, agreement, allocation, credential, invoice
from node.execution.executor import Call, CallResult, Interrupted
from node.primitives.block import Header
from node.primitives.errors import RequestError
from node.primitives.ids import Address, hex_of
from node.primitives.state import StateView
from node.replica.answers import BlockStamp, One, Status
from node.replica.api import (
    GUARDS,
    Query,
    Refused,
    Reply,
    answered,
    guard_staleness,
    headers_of,
    is_known,
    no_such_path,
    nothing_as_of,
    read_arguments,
    read_as_of,
    read_finality,
    refuse_unknown,
    unavailable,
)
from node.replica.openapi import document
from node.replica.registry import is_address_book
from node.replica.routes import ROUTES, Route
from node.rpc.backend import CallPlace, ChainBackend, ExecutionBackend

LookUp = Callable[[SuiteViews, Mapping[str, Any], int], Any]
"""From the suite, the arguments and the time of the block to an answer; None when there is no such thing."""

PROVABLE: Final[Mapping[str, LookUp]] = {
    "/v1/invoices/{invoice}": lambda views, given, now: invoice(views, given["invoice"]),
    "/v1/allocations/{allocation}": lambda views, given, now: allocation(views, given["allocation"]),
    "/v1/credentials/{credential}": lambda views, given, now: credential(views, given["credential"], now),
    "/v1/sla/agreements/{agreement}": lambda views, given, now: agreement(views, given["agreement"]),
}


class LightQueries:
    """Every path of the query API that is answered here. Blocking; any thread."""

    def __init__(
        self,
        chain: ChainBackend,
        state_at: Callable[[Header], StateView],
        execution: ExecutionBackend,
        book: Address,
        *,
        has_door: bool,
        unix_time: Callable[[], float],
    ) -> None:
        """`book`: the suite's ContractNames. `has_door`: genesis holds the suite's door, and the book must
        prove to obey the same authority; without it the operator's word for the book counts."""
        self._chain, self._execution, self._unix_time = chain, execution, unix_time
        self._state_at = state_at
        self._book, self._is_proved = book, not has_door
        answered = [route for route in ROUTES if route.path in PROVABLE]
        self._document = msgspec.json.encode(document(0, answered))

    def answer(
        self, target: str, if_none_match: str | None = None, interrupted: Interrupted = lambda: False
    ) -> Reply:
        """What a GET of this target gives."""
        return answered(
            target,
            self._document,
            lambda path, query: self._found(path, query, if_none_match, interrupted),
        )

    def _found(self, path: str, query: Query, if_none_match: str | None, interrupted: Interrupted) -> Reply:
        try:
            if path == "/v1/status":
                refuse_unknown(query, ("max_staleness_s",))
                return self._reply(self._status(), self._header(query), False)
            route, places = _route(path)
            refuse_unknown(query, GUARDS)
            arguments = read_arguments(route.path_params, places)
            header = self._header(query)
            if is_known(_stamp(header), if_none_match):
                return Reply(HTTPStatus.NOT_MODIFIED, b"", self._headers(header, "as_of" in query))
            found = PROVABLE[route.path](self._views(header, interrupted), arguments, header.timestamp)
            if found is None:
                raise nothing_as_of(header.number)
            return self._reply(found, header, "as_of" in query)
        except NoSuite as error:
            raise Refused(HTTPStatus.CONFLICT, "no-suite", str(error)) from error
        except RequestError as error:
            raise unavailable("not-proved", str(error)) from error

    # --- the state that is asked

    def _views(self, header: Header, interrupted: Interrupted) -> SuiteViews:
        if not self._is_proved:
            if not is_address_book(self._state_at(header), self._book):
                raise NoSuite(
                    f"{hex_of(self._book)} (setting light.contract_names) is not the suite's address book as "
                    f"of block {header.number}: other code, or another authority than the door in genesis has"
                )
            self._is_proved = True

        def run(call: Call) -> CallResult:
            return self._execution.call(CallPlace(header=header), call, interrupted)

        return SuiteViews(run, self._book)

    # --- which block

    def _header(self, query: Query) -> Header:
        guard_staleness(query, self._staleness_s())
        finality = read_finality(query)
        bound = self._chain.head
        if finality != "latest":
            bound = self._chain.safe_header() if finality == "safe" else self._chain.finalized_header()
        number = read_as_of(query, bound.number, "verified" if finality == "latest" else finality)
        if number is None:
            return bound
        found = self._chain.header_by_number(number)
        if found is None:
            detail = (
                f"block {number} is below the headers that this client keeps or can prove; ask an archive"
            )
            raise Refused(HTTPStatus.CONFLICT, "block-not-kept", detail)
        return found

    def _staleness_s(self) -> float:
        return round(max(0.0, self._unix_time() - self._chain.head.timestamp), 3)

    # --- replies

    def _status(self) -> Status:
        chain = self._chain
        return Status(
            chain.spec.chain_id,
            _stamp(chain.head),
            chain.safe_header().number,
            chain.finalized_header().number,
        )

    def _reply(self, data: Any, header: Header, named: bool) -> Reply:
        answer = One(data, _stamp(header), self._staleness_s())
        return Reply(HTTPStatus.OK, msgspec.json.encode(answer), self._headers(header, named))

    def _headers(self, header: Header, named: bool) -> dict[str, str]:
        is_lasting = named and header.number <= self._chain.finalized_header().number
        return headers_of(_stamp(header), self._staleness_s(), is_lasting=is_lasting)


def _route(path: str) -> tuple[Route, dict[str, str]]:
    for route in ROUTES:
        match = route.pattern.fullmatch(path)
        if match and route.path in PROVABLE:
            return route, match.groupdict()
        if match:
            raise Refused(
                HTTPStatus.NOT_IMPLEMENTED,
                "not-provable",
                f"{route.path} follows from events, and that none is left out is proved to nobody who has "
                "not seen every block; ask a replica, or this client's eth_getLogs for a range of blocks, "
                f"which is complete. Proved here: {', '.join(PROVABLE)}",
            )
    raise no_such_path(path)


def _stamp(header: Header) -> BlockStamp:
    return BlockStamp(header.number, hex_of(header.hash), header.timestamp)
