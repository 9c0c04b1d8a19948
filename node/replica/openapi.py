"""The OpenAPI 3.1 document of the query API, made from the table of routes and the types of answers."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from node.replica.answers import One, Page, Problem, Status
from node.replica.routes import ROUTES, Param, ParamKind, Route

REF: Final = "#/components/schemas/{name}"
_GUARDS: Final = (
    ("as_of", {"type": "integer", "minimum": 0}, "answer as of this block"),
    (
        "finality",
        {"type": "string", "enum": ["latest", "safe", "final"], "default": "latest"},
        "answer as of the newest block that is so final",
    ),
    (
        "max_staleness_s",
        {"type": "number", "minimum": 0},
        "refuse (503) when the newest block known here is older",
    ),
)
_PROBLEMS: Final = {
    "400": "a parameter is wrong",
    "404": "there is no such thing as of the block",
    "409": "the block asked for is not here, or not final, as yet",
    "410": "the chain has turned below the cursor",
    "503": "too stale, too costly, or nothing indexed as yet; Retry-After says when to come again",
}


def document(page_items_max: int, routes: Sequence[Route] = ROUTES) -> dict[str, Any]:
    """The whole document, as JSON has it; `routes` are those that are answered."""
    answers = [_answer_type(route) for route in routes]
    schemas, components = msgspec.json.schema_components([*answers, One[Status], Problem], ref_template=REF)
    *route_schemas, status_schema, problem_schema = schemas
    paths = {
        route.path: {"get": _operation(route, schema, problem_schema, page_items_max)}
        for route, schema in zip(routes, route_schemas, strict=True)
    }
    paths["/v1/status"] = {
        "get": {
            "operationId": "status",
            "summary": "How far this replica is",
            "parameters": [_query(*_GUARDS[2])],
            "responses": _responses(status_schema, problem_schema),
        }
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Phoenix Ledger queries",
            "version": "1",
            "description": "What regional services ask of a read replica, and, of single things, of a light "
            "client. Every answer is about one block, named by number and hash; lists go on as of the same "
            "block by cursor. Numbers that may pass 53 bits are decimal text. Null stands where a light "
            "client cannot prove what the events alone tell.",
        },
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": components},
    }


def _answer_type(route: Route) -> Any:
    return Page[route.answer] if route.is_list else One[route.answer]  # type: ignore[name-defined]


def _operation(route: Route, schema: Any, problem: Any, page_items_max: int) -> dict[str, Any]:
    parameters = [_path(param) for param in route.path_params]
    parameters += [_query(param.name, _schema(param), param.summary) for param in route.filters]
    parameters += [_query(*guard) for guard in _GUARDS]
    if route.is_list:
        limit = {"type": "integer", "minimum": 1, "maximum": page_items_max}
        parameters.append(_query("limit", limit, "items of a page"))
        parameters.append(_query("cursor", {"type": "string"}, "next_cursor of the page before"))
    return {
        "operationId": _operation_id(route),
        "summary": route.summary,
        "parameters": parameters,
        "responses": _responses(schema, problem),
    }


def _operation_id(route: Route) -> str:
    words = [word.strip("{}") for word in route.path.split("/")[2:]]
    return "_".join(f"by_{word}" if "{" + word + "}" in route.path else word for word in words)


def _responses(schema: Any, problem: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "200": {
            "description": "the answer",
            "headers": {
                name: {"schema": {"type": "string"}, "description": text}
                for name, text in (
                    ("ETag", "the hash of the as-of block"),
                    ("X-Block-Number", "the as-of block"),
                    ("X-Block-Hash", "the as-of block"),
                    ("X-Staleness-S", "age of the newest block known here, in seconds"),
                )
            },
            "content": {"application/json": {"schema": schema}},
        },
        "304": {"description": "the block is still that of If-None-Match"},
    }
    for status, text in _PROBLEMS.items():
        found[status] = {
            "description": text,
            "content": {"application/problem+json": {"schema": problem}},
        }
    return found


def _path(param: Param) -> dict[str, Any]:
    return {
        "name": param.name,
        "in": "path",
        "required": True,
        "schema": _schema(param),
        "description": param.summary,
    }


def _query(name: str, schema: dict[str, Any], text: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": text}


def _schema(param: Param) -> dict[str, Any]:
    return {"type": "string", "pattern": f"^{ParamKind(param.kind).value}$"}
