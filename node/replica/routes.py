"""The query API's table: path, parameters, answer, and the look-up that makes it. OpenAPI is made from it.

A path parameter stands in braces. Every parameter is read by its kind before anything is looked up.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, TypeAlias

from node.primitives.ids import Address
from node.replica import account_queries, answers, queries
from node.replica.event_reader import EventReader, Place


class BadParameter(ValueError):
    """A parameter is not what it must be; the text says what it must be."""


class ParamKind(Enum):
    """What a parameter must look like."""

    ADDRESS = r"0x[0-9a-fA-F]{40}"
    HASH = r"0x[0-9a-fA-F]{64}"
    NUMBER = r"[0-9]{1,78}"
    NAME = r"[A-Za-z][A-Za-z0-9 ]{0,63}"


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter of a path, or of a query."""

    name: str
    kind: ParamKind
    summary: str


Arguments = Mapping[str, Any]
"""By name: addresses and hashes as text in lower case, numbers as int; None where not given."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a look-up is given beside the reader."""

    arguments: Arguments
    time: int
    """Of the as-of block, Unix seconds."""
    after: Place | None
    limit: int


LookUp: TypeAlias = Callable[[EventReader, Asked], Any]
"""The item, or None; of a list, as many items as are asked for, each with its place."""


@dataclass(frozen=True, slots=True)
class Route:
    """One path."""

    path: str
    summary: str
    answer: type
    """Of one item."""
    look_up: LookUp
    is_list: bool = True
    filters: tuple[Param, ...] = ()

    @property
    def path_params(self) -> tuple[Param, ...]:
        """In order of the path."""
        return tuple(_PATH_PARAMS[name] for name in re.findall(r"{(\w+)}", self.path))

    @property
    def pattern(self) -> re.Pattern[str]:
        """Matches a path."""
        return re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", self.path))


def read_parameter(param: Param, text: str) -> Any:
    """The value of a parameter; BadParameter."""
    if not re.fullmatch(param.kind.value, text, re.ASCII):
        raise BadParameter(f"{param.name} is {text[:80]!r}; {_WANTED[param.kind]}")
    if param.kind is ParamKind.NUMBER:
        number = int(text)
        if number >> 256:
            raise BadParameter(f"{param.name} is more than 256 bits")
        return number
    return text if param.kind is ParamKind.NAME else text.lower()


_WANTED: Final = {
    ParamKind.ADDRESS: "0x and 40 hex digits are needed",
    ParamKind.HASH: "0x and 64 hex digits are needed",
    ParamKind.NUMBER: "decimal digits are needed",
    ParamKind.NAME: "a name of letters, digits and blanks is needed",
}

_PATH_PARAMS: Final = {
    each.name: each
    for each in (
        Param("tenant", ParamKind.ADDRESS, "who pays or holds"),
        Param("account", ParamKind.ADDRESS, "an account"),
        Param("subject", ParamKind.ADDRESS, "whom something was said about"),
        Param("contract", ParamKind.ADDRESS, "a contract"),
        Param("invoice", ParamKind.NUMBER, "number of an invoice"),
        Param("agreement", ParamKind.NUMBER, "number of an agreement"),
        Param("allocation", ParamKind.NUMBER, "number of an allocation"),
        Param("credential", ParamKind.HASH, "id of a credential"),
        Param("component", ParamKind.HASH, "id of a component"),
        Param("log", ParamKind.HASH, "id of an audit log"),
    )
}
_STATUS: Final = Param("status", ParamKind.NAME, "only those in this state")


def _address(arguments: Arguments, name: str) -> Address:
    return Address(bytes.fromhex(arguments[name][2:]))


def _one(find: Callable[..., Any], name: str) -> LookUp:
    """By its id, the argument of this name."""
    return lambda reader, asked: find(reader, asked.arguments[name])


def _listed(find: Callable[..., Any], *names: str) -> LookUp:
    """A page of those that these arguments choose."""
    return lambda reader, asked: find(
        reader, *(asked.arguments[name] for name in names), asked.after, asked.limit
    )


def _of_account(find: Callable[..., Any]) -> LookUp:
    """A page of what an account had a part in."""
    return lambda reader, asked: find(reader, _address(asked.arguments, "account"), asked.after, asked.limit)


def _token_balances(reader: EventReader, asked: Asked) -> queries.Listed:
    """Ordered by token, so the place is the number of those seen before."""
    account = _address(asked.arguments, "account")
    skipped = asked.after.number if asked.after else 0
    found = account_queries.token_balances(reader, account, skipped, asked.limit)
    return [(each, Place(skipped + index + 1, 0)) for index, each in enumerate(found)]


ROUTES: Final = (
    Route(
        "/v1/tenants/{tenant}/invoices",
        "Invoices of a tenant, oldest first",
        answers.Invoice,
        _listed(queries.invoices, "tenant", "status"),
        filters=(_STATUS,),
    ),
    Route(
        "/v1/invoices",
        "All invoices, oldest first",
        answers.Invoice,
        lambda reader, asked: queries.invoices(
            reader, None, asked.arguments["status"], asked.after, asked.limit
        ),
        filters=(_STATUS,),
    ),
    Route(
        "/v1/invoices/{invoice}",
        "An invoice with its lines and its life",
        answers.InvoiceDetail,
        _one(queries.invoice, "invoice"),
        is_list=False,
    ),
    Route(
        "/v1/sla/agreements",
        "Service level agreements",
        answers.Agreement,
        _listed(queries.agreements, "account", "status"),
        filters=(Param("account", ParamKind.NUMBER, "of this metering account"), _STATUS),
    ),
    Route(
        "/v1/sla/agreements/{agreement}",
        "An agreement and how its windows stand",
        answers.AgreementDetail,
        _one(queries.agreement, "agreement"),
        is_list=False,
    ),
    Route(
        "/v1/sla/agreements/{agreement}/windows",
        "Assessed windows of an agreement",
        answers.Window,
        _listed(queries.windows, "agreement", "status"),
        filters=(_STATUS,),
    ),
    Route(
        "/v1/tenants/{tenant}/allocations",
        "Leases of a tenant",
        answers.Allocation,
        _listed(queries.allocations, "tenant", "status"),
        filters=(_STATUS,),
    ),
    Route(
        "/v1/allocations/{allocation}",
        "A lease with its place and what is bound to it",
        answers.AllocationDetail,
        _one(queries.allocation, "allocation"),
        is_list=False,
    ),
    Route(
        "/v1/subjects/{subject}/credentials",
        "Credentials of a subject and whether they hold",
        answers.Credential,
        lambda reader, asked: queries.credentials(
            reader, asked.arguments["subject"], asked.time, asked.after, asked.limit
        ),
    ),
    Route(
        "/v1/credentials/{credential}",
        "A credential and whether it holds",
        answers.Credential,
        lambda reader, asked: queries.credential(reader, asked.arguments["credential"], asked.time),
        is_list=False,
    ),
    Route(
        "/v1/components/{component}/custody",
        "The chain of custody of a component",
        answers.Custody,
        _listed(queries.custody, "component"),
    ),
    Route(
        "/v1/audit/events",
        "Every event of the suite's contracts, in order",
        answers.AuditEvent,
        _listed(queries.audit, "contract", "event"),
        filters=(
            Param("contract", ParamKind.NAME, "only of this contract, by name"),
            Param("event", ParamKind.NAME, "only of this name"),
        ),
    ),
    Route(
        "/v1/accounts/{account}/audit",
        "Events that an account caused or is named in",
        answers.AuditEvent,
        _listed(queries.audit_of, "account"),
    ),
    Route(
        "/v1/audit/logs/{log}/anchors",
        "Anchors of an off-chain audit log",
        answers.Anchor,
        _listed(queries.anchors, "log"),
    ),
    Route(
        "/v1/accounts/{account}/transactions",
        "Transactions that an account had a part in, newest first",
        answers.AccountTransaction,
        _of_account(account_queries.transactions),
    ),
    Route(
        "/v1/accounts/{account}/transfers",
        "Value that moved to or from an account inside transactions, newest first",
        answers.Transfer,
        _of_account(account_queries.transfers),
    ),
    Route(
        "/v1/accounts/{account}/tokens",
        "What an account holds, by token",
        answers.TokenBalance,
        _token_balances,
    ),
    Route(
        "/v1/contracts/{contract}",
        "How a contract came to be",
        answers.Creation,
        lambda reader, asked: account_queries.creation(reader, _address(asked.arguments, "contract")),
        is_list=False,
    ),
)
"""Every path beside /v1/status and /v1/openapi.json."""
