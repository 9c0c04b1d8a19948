"""The typed query API over HTTP, without HTTP: a target and headers in, status, headers and JSON out.

Blocking; any thread. An answer is about one block, the as-of block: the newest that is as final as was asked
for, or an earlier one. A cursor keeps that block, so all pages of a list are of the same moment, and is
refused once the chain has turned below it. As an answer follows from the block and the question, the
block's hash is its ETag.
"""

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl, urlsplit

import msgspec

from node.primitives.ids import hex_of
from node.replica.answers import BlockStamp, One, Page, Problem, Status
from node.replica.database import IndexAway, IndexDatabase, Interrupted, QueryTooCostly, Session
from node.replica.event_reader import EventReader, Place
from node.replica.openapi import document
from node.replica.routes import ROUTES, Asked, BadParameter, Param, Route, read_parameter
from node.replica.writer import read_checkpoint

PREFIX: Final = "/v1/"
PAGE_ITEMS: Final = 100
RETRY_S: Final = 2
FINALITIES: Final = ("latest", "safe", "final")
GUARDS: Final = ("as_of", "finality", "max_staleness_s")
_NUMBER: Final = re.compile(r"[0-9]{1,18}", re.ASCII)
_SECONDS: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?", re.ASCII)


Query: TypeAlias = dict[str, str]
"""Parameters by name, as they were written."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer for HTTP."""

    status: HTTPStatus
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


class Refused(Exception):
    """There is no answer; the client is told why (RFC 9457)."""

    def __init__(self, status: HTTPStatus, kind: str, detail: str, retry_s: int | None = None) -> None:
        super().__init__(detail)
        self.status, self.kind, self.retry_s = status, kind, retry_s


@dataclass(frozen=True, slots=True)
class Finality:
    """Heights up to which blocks are as good as final, by the consensus' own measure."""

    safe: Callable[[], int]
    final: Callable[[], int]


@dataclass(frozen=True, slots=True)
class _Cursor:
    as_of: int
    hash: str
    place: Place


@dataclass(frozen=True, slots=True)
class _View:
    """One moment of the index, and the block that is answered for."""

    session: Session
    stamp: BlockStamp
    staleness_s: float
    is_lasting: bool
    """The block was named and is final: the answer will never be another one."""

    def headers(self) -> dict[str, str]:
        return headers_of(self.stamp, self.staleness_s, is_lasting=self.is_lasting)


class QueryApi:
    """Every path of the query API."""

    def __init__(
        self,
        database: IndexDatabase,
        *,
        chain_id: int,
        finality: Finality,
        unix_time: Callable[[], float],
        timeout_s: float,
        page_items_max: int,
    ) -> None:
        self._database = database
        self._chain_id = chain_id
        self._finality = finality
        self._unix_time = unix_time
        self._timeout_s = timeout_s
        self._page_items_max = page_items_max
        self._routes = [(route.pattern, route) for route in ROUTES]
        self._document = msgspec.json.encode(document(page_items_max))

    def answer(
        self, target: str, if_none_match: str | None = None, interrupted: Interrupted | None = None
    ) -> Reply:
        """What a GET of this target gives. Only StorageError comes out."""
        return answered(
            target,
            self._document,
            lambda path, query: self._found(path, query, if_none_match, interrupted),
        )

    # --- one request

    def _found(
        self, path: str, query: Query, if_none_match: str | None, interrupted: Interrupted | None
    ) -> Reply:
        try:
            with self._database.read(self._timeout_s, interrupted) as session:
                if path == "/v1/status":
                    return self._status(session, query)
                route, places = self._route(path)
                return self._look_up(session, route, places, query, if_none_match)
        except QueryTooCostly as error:
            raise unavailable("too-costly", str(error)) from error
        except IndexAway as error:
            # Without the reason, which names our server: the log has it.
            text = "the database of this replica's index is away; JSON-RPC goes on; ask another replica"
            raise unavailable("index-away", text) from error

    def _route(self, path: str) -> tuple[Route, dict[str, str]]:
        for pattern, route in self._routes:
            match = pattern.fullmatch(path)
            if match:
                return route, match.groupdict()
        raise no_such_path(path)

    def _status(self, session: Session, query: Query) -> Reply:
        refuse_unknown(query, ("max_staleness_s",))
        view = self._view(session, query, None)
        data = Status(self._chain_id, view.stamp, self._finality.safe(), self._finality.final())
        return _reply(One(data, view.stamp, view.staleness_s), view)

    def _look_up(
        self,
        session: Session,
        route: Route,
        path: dict[str, str],
        query: Query,
        if_none_match: str | None,
    ) -> Reply:
        listed = ("limit", "cursor") if route.is_list else ()
        refuse_unknown(query, (*GUARDS, *listed, *(each.name for each in route.filters)))
        arguments = read_arguments(route.path_params, path) | read_arguments(route.filters, query)
        limit = self._limit(query.get("limit"))
        cursor = _read_cursor(query["cursor"]) if "cursor" in query else None
        view = self._view(session, query, cursor)
        if is_known(view.stamp, if_none_match):
            return Reply(HTTPStatus.NOT_MODIFIED, b"", view.headers())
        reader = EventReader(self._database, session, view.stamp.number)
        # One more than is shown tells whether there are more.
        asked = Asked(arguments, view.stamp.time, cursor.place if cursor else None, limit + 1)
        found = route.look_up(reader, asked)
        if not route.is_list:
            if found is None:
                raise nothing_as_of(view.stamp.number)
            return _reply(One(found, view.stamp, view.staleness_s), view)
        more = None
        if len(found) > limit:
            more = _cursor_text(_Cursor(view.stamp.number, view.stamp.hash, found[limit - 1][1]))
        shown = [each for each, _ in found[:limit]]
        return _reply(Page(shown, more, view.stamp, view.staleness_s), view)

    def _limit(self, text: str | None) -> int:
        if text is None:
            return min(PAGE_ITEMS, self._page_items_max)
        if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= self._page_items_max:
            raise BadParameter(f"limit is {text[:80]!r}; 1 to {self._page_items_max} is needed")
        return int(text)

    # --- which block is answered for

    def _view(self, session: Session, query: Query, cursor: _Cursor | None) -> _View:
        covered = read_checkpoint(session)
        if covered is None:
            raise unavailable("no-index", "nothing is indexed as yet")
        newest = _stamp(session, covered.number)
        staleness_s = max(0.0, self._unix_time() - newest.time)
        guard_staleness(query, staleness_s)
        number, named = self._as_of(query, cursor, covered.number)
        stamp = newest if number == covered.number else _stamp(session, number)
        if cursor is not None and stamp.hash != cursor.hash:
            raise Refused(
                HTTPStatus.GONE,
                "stale-cursor",
                f"block {number} is another one since this cursor was given; begin again without it",
            )
        lasting = named and number <= self._finality.final()
        return _View(session, stamp, round(staleness_s, 3), lasting)

    def _as_of(self, query: Query, cursor: _Cursor | None, newest: int) -> tuple[int, bool]:
        """The block's number, and whether the client has named it."""
        finality = read_finality(query)
        if cursor is not None:
            return min(cursor.as_of, newest), True
        highest = {"latest": newest, "safe": self._finality.safe(), "final": self._finality.final()}
        bound = min(newest, highest[finality])
        number = read_as_of(query, bound, "indexed" if finality == "latest" else finality)
        return (bound, False) if number is None else (number, True)


# --- requests


def answered(target: str, document: bytes, find: Callable[[str, Query], Reply]) -> Reply:
    """What a GET of this target gives: the document that describes all of them, what `find` makes of path and
    query, or why there is no answer."""
    url = urlsplit(target)
    try:
        if url.path == "/v1/openapi.json":
            return Reply(HTTPStatus.OK, document)
        return find(url.path, read_query(url.query))
    except Refused as refused:
        return problem(refused)
    except BadParameter as error:
        return problem(Refused(HTTPStatus.BAD_REQUEST, "bad-parameter", str(error)))


def read_query(text: str) -> Query:
    """Parameters by name; BadParameter."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text), max_num_fields=32)
    except ValueError as error:
        raise BadParameter(f"the query cannot be read: {error}") from None
    query = dict(pairs)
    if len(query) != len(pairs):
        raise BadParameter("a parameter is given twice")
    return query


def refuse_unknown(query: Query, known: tuple[str, ...]) -> None:
    """BadParameter for a name that means nothing here."""
    for name in query:
        if name not in known:
            raise BadParameter(f"{name[:80]!r} is no parameter here; there are {', '.join(known)}")


def read_arguments(params: tuple[Param, ...], given: Mapping[str, str]) -> dict[str, Any]:
    """Each parameter by its kind, None where it is not given; BadParameter."""
    return {
        each.name: read_parameter(each, given[each.name]) if each.name in given else None for each in params
    }


def read_finality(query: Query) -> str:
    """How final the block must be; BadParameter."""
    finality = query.get("finality", FINALITIES[0])
    if finality not in FINALITIES:
        raise BadParameter(f"finality is {finality[:80]!r}; one of {', '.join(FINALITIES)} is needed")
    return finality


def read_as_of(query: Query, bound: int, what: str) -> int | None:
    """The block that is named, None where none is; BadParameter, or Refused when it is above `bound`, the
    newest that is `what`."""
    text = query.get("as_of")
    if text is None:
        return None
    if not _NUMBER.fullmatch(text):
        raise BadParameter(f"as_of is {text[:80]!r}; a block number is needed")
    if int(text) > bound:
        detail = f"block {text} is not {what} here as yet; the newest that is has number {bound}"
        raise Refused(HTTPStatus.CONFLICT, "block-not-reached", detail, RETRY_S)
    return int(text)


def guard_staleness(query: Query, staleness_s: float) -> None:
    """Refused when the newest block is older than the client accepts; BadParameter."""
    text = query.get("max_staleness_s")
    if text is None:
        return
    if not _SECONDS.fullmatch(text):
        raise BadParameter(f"max_staleness_s is {text[:80]!r}; seconds are needed")
    if staleness_s > float(text):
        raise unavailable("stale", f"the newest block here is {staleness_s:.1f} s old, more than {text}")


def _cursor_text(cursor: _Cursor) -> str:
    text = json.dumps([cursor.as_of, cursor.hash, *cursor.place], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read_cursor(text: str) -> _Cursor:
    try:
        padded = text + "=" * (-len(text) % 4)
        as_of, block_hash, number, index = json.loads(base64.b64decode(padded, b"-_", validate=True))
    except (ValueError, TypeError):
        raise BadParameter("cursor is none of ours; leave it out to begin") from None
    numbers = (as_of, number, index)
    if not isinstance(block_hash, str) or not all(
        type(each) is int and 0 <= each < 1 << 62 for each in numbers
    ):
        raise BadParameter("cursor is none of ours; leave it out to begin")
    return _Cursor(as_of, block_hash, Place(number, index))


def _stamp(session: Session, number: int) -> BlockStamp:
    found = session.rows("SELECT hash, time FROM blocks WHERE block_number = ?", (number,))
    return BlockStamp(number, hex_of(bytes(found[0][0])), found[0][1])


# --- replies


def _etag(stamp: BlockStamp) -> str:
    """Weak: how stale we are differs from answer to answer."""
    return f'W/"{stamp.hash}"'


def is_known(stamp: BlockStamp, if_none_match: str | None) -> bool:
    """Whether the client has the answer of this block."""
    return if_none_match is not None and _etag(stamp) in map(str.strip, if_none_match.split(","))


def headers_of(stamp: BlockStamp, staleness_s: float, *, is_lasting: bool) -> dict[str, str]:
    """What goes with an answer about this block. `is_lasting`: it will never be another one."""
    return {
        "etag": _etag(stamp),
        "cache-control": "public, max-age=31536000, immutable" if is_lasting else "no-cache",
        "x-block-number": str(stamp.number),
        "x-block-hash": stamp.hash,
        "x-staleness-s": f"{staleness_s:.3f}",
    }


def _reply(answer: One[Any] | Page[Any], view: _View) -> Reply:
    return Reply(HTTPStatus.OK, msgspec.json.encode(answer), view.headers())


def unavailable(kind: str, detail: str) -> Refused:
    """Not now; perhaps soon."""
    return Refused(HTTPStatus.SERVICE_UNAVAILABLE, kind, detail, RETRY_S)


def nothing_as_of(number: int) -> Refused:
    """The id that was asked for means nothing at this block."""
    return Refused(HTTPStatus.NOT_FOUND, "not-found", f"nothing of this id as of block {number}")


def no_such_path(path: str) -> Refused:
    """Nothing is ever found here."""
    return Refused(HTTPStatus.NOT_FOUND, "no-such-path", f"{path[:200]} is no path; see {PREFIX}openapi.json")


def problem(refused: Refused) -> Reply:
    """A refusal as RFC 9457 has it."""
    headers = {} if refused.retry_s is None else {"retry-after": str(refused.retry_s)}
    told = Problem(refused.kind, refused.status.phrase, refused.status.value, str(refused))
    return Reply(refused.status, msgspec.json.encode(told), headers, "application/problem+json")
