"""The query API of a light client: the routes whose answers the state proves, as a replica answers them.

Each answer is about one verified block, by default the newest that this client shows. Lists and histories
follow from events: that none was left out is known only to whoever has seen every block, so they are refused
here, with the reason.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from node.backends.light_views import NoSuite, SuiteViews, agreement, allocation, credential, invoice
from node.execution.executor import Call, CallResult, Interrupted
from node.primitives.block import Header
from node.primitives.errors import RequestError
from node.primitives.ids import Address, hex_of
from node.primitives.state import StateView
from node.replica.answers import BlockStamp, One, Status
from node.replica.api import (
    FINALITIES,
    GUARDS,
    RETRY_S,
    Refused,
    Reply,
    problem,
    read_arguments,
    read_query,
    refuse_unknown,
)
from node.replica.openapi import document
from node.replica.registry import is_address_book
from node.replica.routes import ROUTES, BadParameter, Param, ParamKind, Route, read_parameter
from node.rpc.backend import CallPlace, ChainBackend, ExecutionBackend

LookUp = Callable[[SuiteViews, Mapping[str, Any], int], Any]
"""From the suite, the arguments and the time of the block to an answer; None when there is no such thing."""

PROVABLE: Final[Mapping[str, LookUp]] = {
    "/v1/invoices/{invoice}": lambda views, given, now: invoice(views, given["invoice"]),
    "/v1/allocations/{allocation}": lambda views, given, now: allocation(views, given["allocation"]),
    "/v1/credentials/{credential}": lambda views, given, now: credential(views, given["credential"], now),
    "/v1/sla/agreements/{agreement}": lambda views, given, now: agreement(views, given["agreement"]),
}
_AS_OF: Final = Param("as_of", ParamKind.NUMBER, "a block number")


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
        url = urlsplit(target)
        try:
            if url.path == "/v1/openapi.json":
                return Reply(HTTPStatus.OK, self._document)
            query = read_query(url.query)
            if url.path == "/v1/status":
                refuse_unknown(query, ("max_staleness_s",))
                return self._reply(self._status(), self._header(query), False)
            route, path = _route(url.path)
            refuse_unknown(query, GUARDS)
            arguments = read_arguments(route.path_params, path)
            header = self._header(query)
            if if_none_match is not None and _etag(header) in map(str.strip, if_none_match.split(",")):
                return Reply(HTTPStatus.NOT_MODIFIED, b"", self._headers(header, "as_of" in query))
            found = PROVABLE[route.path](self._views(header, interrupted), arguments, header.timestamp)
            if found is None:
                detail = f"nothing of this id as of block {header.number}"
                raise Refused(HTTPStatus.NOT_FOUND, "not-found", detail)
            return self._reply(found, header, "as_of" in query)
        except Refused as refused:
            return problem(refused)
        except BadParameter as error:
            return problem(Refused(HTTPStatus.BAD_REQUEST, "bad-parameter", str(error)))
        except NoSuite as error:
            return problem(Refused(HTTPStatus.CONFLICT, "no-suite", str(error)))
        except RequestError as error:
            return problem(Refused(HTTPStatus.SERVICE_UNAVAILABLE, "not-proved", str(error), RETRY_S))

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

    def _header(self, query: dict[str, str]) -> Header:
        head = self._chain.head
        self._guard_staleness(query.get("max_staleness_s"), head)
        finality = query.get("finality", "latest")
        if finality not in FINALITIES:
            raise BadParameter(f"finality is {finality[:80]!r}; one of {', '.join(FINALITIES)} is needed")
        bound = head
        if finality != "latest":
            bound = self._chain.safe_header() if finality == "safe" else self._chain.finalized_header()
        if "as_of" not in query:
            return bound
        number = read_parameter(_AS_OF, query["as_of"])
        if number > bound.number:
            what = "verified" if finality == "latest" else finality
            detail = f"block {number} is not {what} here as yet; the newest that is has number {bound.number}"
            raise Refused(HTTPStatus.CONFLICT, "block-not-reached", detail, RETRY_S)
        found = self._chain.header_by_number(number)
        if found is None:
            detail = (
                f"block {number} is below the headers that this client keeps or can prove; ask an archive"
            )
            raise Refused(HTTPStatus.CONFLICT, "block-not-kept", detail)
        return found

    def _guard_staleness(self, text: str | None, head: Header) -> None:
        if text is None:
            return
        try:
            most = float(text)
        except ValueError:
            raise BadParameter(f"max_staleness_s is {text[:80]!r}; seconds are needed") from None
        if not self._staleness_s() <= most:
            detail = f"the newest block here is {self._staleness_s():.1f} s old, more than {text[:80]}"
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "stale", detail, RETRY_S)

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
        return {
            "etag": _etag(header),
            "cache-control": "public, max-age=31536000, immutable" if is_lasting else "no-cache",
            "x-block-number": str(header.number),
            "x-block-hash": hex_of(header.hash),
            "x-staleness-s": f"{self._staleness_s():.3f}",
        }


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
    raise Refused(HTTPStatus.NOT_FOUND, "no-such-path", f"{path[:200]} is no path; see /v1/openapi.json")


def _stamp(header: Header) -> BlockStamp:
    return BlockStamp(header.number, hex_of(header.hash), header.timestamp)


def _etag(header: Header) -> str:
    return f'W/"{hex_of(header.hash)}"'
