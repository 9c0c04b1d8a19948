"""Look-ups of regional services: invoices, agreements, allocations, credentials, custody, audit trail.

Each takes an EventReader, which is one moment of the chain, and what was asked; lists come in order of the
chain with the place to go on from.
"""

import json
from collections import Counter
from typing import Any, Final

from node.replica import lifecycle
from node.replica.answers import (
    Agreement,
    AgreementDetail,
    Allocation,
    AllocationDetail,
    Anchor,
    AuditEvent,
    Change,
    Credential,
    Custody,
    Invoice,
    InvoiceDetail,
    InvoiceLine,
    Where,
    Window,
)
from node.replica.event_reader import EventReader, Place, Row, Wanted
from node.replica.tables import DOMAIN_EVENTS

DETAILS_MAX: Final = 10_000
"""Lines, windows or units that one answer looks through."""
FACTS: Final = (
    "born", "transfer offered", "transfer accepted", "transfer cancelled", "assembled", "disassembled",
    "inspected", "firmware attested", "recalled", "recall cleared", "scanned", "decommissioned",
)  # fmt: skip
"""IProvenance.Fact."""

Listed = list[tuple[Any, Place]]
"""Answers, each with its place."""


def invoices(
    reader: EventReader, tenant: str | None, status: str | None, after: Place | None, limit: int
) -> Listed:
    """Invoices, of one tenant or of all."""
    wanted = Wanted(where={"tenant": tenant}, kind=lifecycle.INVOICE, state=status, after=after, limit=limit)
    return [(_invoice(row), _place(row)) for row in reader.events("Billing", "InvoiceIssued", wanted)]


def invoice(reader: EventReader, number: int) -> InvoiceDetail | None:
    """One invoice with its lines."""
    wanted = Wanted(where={"invoice": number}, kind=lifecycle.INVOICE, limit=1)
    found = reader.events("Billing", "InvoiceIssued", wanted)
    if not found:
        return None
    lines = reader.events("Billing", "InvoiceLine", Wanted(where={"invoice": number}, limit=DETAILS_MAX))
    return InvoiceDetail(
        _invoice(found[0]),
        [InvoiceLine(row["kind"], row["ref"], str(row["amount"])) for row in lines],
        _history(reader, lifecycle.INVOICE, str(number)),
    )


def agreements(
    reader: EventReader, account: int | None, status: str | None, after: Place | None, limit: int
) -> Listed:
    """Service level agreements, of one metering account or of all."""
    wanted = Wanted(
        where={"account": account}, kind=lifecycle.AGREEMENT, state=status, after=after, limit=limit
    )
    return [(_agreement(row), _place(row)) for row in reader.events("Sla", "AgreementProposed", wanted)]


def agreement(reader: EventReader, number: int) -> AgreementDetail | None:
    """One agreement and how its windows stand."""
    wanted = Wanted(where={"agreement": number}, kind=lifecycle.AGREEMENT, limit=1)
    found = reader.events("Sla", "AgreementProposed", wanted)
    if not found:
        return None
    assessed = windows(reader, number, None, None, DETAILS_MAX)
    counted = [window for window, _ in assessed if window.status != "annulled"]
    breaches = reader.events(
        "Sla", "ObjectiveBreached", Wanted(where={"agreement": number}, limit=DETAILS_MAX)
    )
    return AgreementDetail(
        _agreement(found[0]),
        _history(reader, lifecycle.AGREEMENT, str(number)),
        dict(Counter(window.status for window, _ in assessed)),
        str(sum(int(window.penalty) for window in counted)),
        str(sum(int(window.reward) for window in counted)),
        len(breaches),
    )


def windows(
    reader: EventReader, agreement_number: int, status: str | None, after: Place | None, limit: int
) -> Listed:
    """Assessed windows of an agreement."""
    wanted = Wanted(
        where={"agreement": agreement_number}, kind=lifecycle.WINDOW, state=status, after=after, limit=limit
    )
    return [(_window(row), _place(row)) for row in reader.events("Sla", "WindowAssessed", wanted)]


def allocations(
    reader: EventReader, tenant: str | None, status: str | None, after: Place | None, limit: int
) -> Listed:
    """Leases, of one tenant or of all; units as they are after the last resize."""
    wanted = Wanted(
        where={"tenant": tenant}, kind=lifecycle.ALLOCATION, state=status, after=after, limit=limit
    )
    rows = reader.events("Provisioning", "AllocationRequested", wanted)
    return [(_allocation(reader, row), _place(row)) for row in rows]


def allocation(reader: EventReader, number: int) -> AllocationDetail | None:
    """One lease."""
    wanted = Wanted(where={"allocation": number}, kind=lifecycle.ALLOCATION, limit=1)
    found = reader.events("Provisioning", "AllocationRequested", wanted)
    if not found:
        return None
    reserved = _last(reader, "Provisioning", "AllocationReserved", "allocation", number)
    activated = _last(reader, "Provisioning", "AllocationActivated", "allocation", number)
    extended = _last(reader, "Provisioning", "LeaseExtended", "allocation", number)
    lease = extended or activated
    return AllocationDetail(
        _allocation(reader, found[0]),
        str(reserved["offer"]) if reserved else None,
        reserved["site"] if reserved else None,
        str(lease["lease_end"]) if lease else None,
        _bound_units(reader, number),
        _history(reader, lifecycle.ALLOCATION, str(number)),
    )


def credentials(reader: EventReader, subject: str, now: int, after: Place | None, limit: int) -> Listed:
    """What was said about somebody; `now` is the time of the as-of block."""
    wanted = Wanted(where={"subject": subject}, kind=lifecycle.CREDENTIAL, after=after, limit=limit)
    rows = reader.events("Credentials", "CredentialIssued", wanted)
    return [(_credential(row, now), _place(row)) for row in rows]


def credential(reader: EventReader, identity: str, now: int) -> Credential | None:
    """One credential and whether it holds."""
    wanted = Wanted(where={"id": identity}, kind=lifecycle.CREDENTIAL, limit=1)
    found = reader.events("Credentials", "CredentialIssued", wanted)
    return _credential(found[0], now) if found else None


def custody(reader: EventReader, component: str, after: Place | None, limit: int) -> Listed:
    """The facts of a component in their order: its chain of custody."""
    wanted = Wanted(where={"component": component}, after=after, limit=limit)
    return [(_custody(row), _place(row)) for row in reader.events("Provenance", "Recorded", wanted)]


def anchors(reader: EventReader, log: str, after: Place | None, limit: int) -> Listed:
    """Anchors of an audit log."""
    wanted = Wanted(where={"log": log}, after=after, limit=limit)
    return [(_anchor(row), _place(row)) for row in reader.events("AuditLog", "LogAnchored", wanted)]


def audit(
    reader: EventReader, contract: str | None, event: str | None, after: Place | None, limit: int
) -> Listed:
    """Every event of the suite, or of one contract, or of one kind."""
    wanted = Wanted(where={"contract": contract, "event": event}, after=after, limit=limit)
    return [(_audit(row), _place(row)) for row in reader.rows_of(DOMAIN_EVENTS, wanted)]


def audit_of(reader: EventReader, account: str, after: Place | None, limit: int) -> Listed:
    """Events that an account caused, or is named in."""
    behind = "AND (block_number > ? OR (block_number = ? AND log_index > ?)) " if after else ""
    values = (after.number, after.number, after.log_index) if after else ()
    places = reader.session.rows(
        "SELECT block_number, log_index FROM event_parties WHERE account = ? AND block_number <= ? "
        f"{behind}ORDER BY block_number, log_index LIMIT ?",
        (account, reader.as_of, *values, limit),
    )
    return [(_audit(row), _place(row)) for row in reader.events_at([Place(*place) for place in places])]


# --- rows to answers


def _place(row: Row) -> Place:
    return Place(row["block_number"], row["log_index"])


def _where(row: Row) -> Where:
    return Where(row["block_number"], row["block_time"], row["log_index"], row["tx_hash"])


def _history(reader: EventReader, kind: str, entity: str) -> list[Change]:
    return [Change(*each) for each in reader.states(kind, entity)]


def _invoice(row: Row) -> Invoice:
    return Invoice(
        invoice=str(row["invoice"]),
        account=str(row["account"]),
        tenant=row["tenant"],
        period_from=str(row["from_"]),
        period_to=str(row["to_"]),
        total=str(row["total"]),
        due_at=str(row["due_at"]),
        status=row["state"],
        issued=_where(row),
    )


def _agreement(row: Row) -> Agreement:
    return Agreement(
        agreement=str(row["agreement"]),
        account=str(row["account"]),
        resource=row["resource"],
        oracles=json.loads(row["oracles"]),
        status=row["state"],
        proposed=_where(row),
    )


def _window(row: Row) -> Window:
    return Window(
        agreement=str(row["agreement"]),
        window=row["window_"],
        medians=json.loads(row["medians"]),
        penalty=str(row["penalty"]),
        reward=str(row["reward"]),
        status=row["state"],
        assessed=_where(row),
    )


def _allocation(reader: EventReader, row: Row) -> Allocation:
    resized = _last(reader, "Provisioning", "AllocationResized", "allocation", row["allocation"])
    return Allocation(
        allocation=str(row["allocation"]),
        tenant=row["tenant"],
        resource_class=row["resource_class"],
        units=str((resized or row)["units"]),
        data_class=row["data_class"],
        lease_seconds=str(row["lease_seconds"]),
        status=row["state"],
        requested=_where(row),
    )


def _bound_units(reader: EventReader, number: int) -> list[str]:
    wanted = Wanted(where={"allocation": number}, limit=DETAILS_MAX)
    bound = {row["unit"]: _place(row) for row in reader.events("Provisioning", "UnitBound", wanted)}
    for row in reader.events("Provisioning", "UnitFreed", wanted):
        if bound.get(row["unit"], _place(row)) < _place(row):
            del bound[row["unit"]]
    return sorted(bound)


def _credential(row: Row, now: int) -> Credential:
    status = "revoked" if row["state"] == "revoked" else "valid"
    if status == "valid" and row["valid_until"] and row["valid_until"] <= now:
        status = "expired"
    return Credential(
        id=row["id"],
        issuer=row["issuer"],
        subject=row["subject"],
        schema=row["schema"],
        content_hash=row["content_hash"],
        valid_until=str(row["valid_until"]),
        status=status,
        issued=_where(row),
    )


def _custody(row: Row) -> Custody:
    fact = FACTS[row["fact"]] if row["fact"] < len(FACTS) else f"fact {row['fact']}"
    return Custody(str(row["number"]), fact, row["actor"], row["subject"], row["detail"], _where(row))


def _anchor(row: Row) -> Anchor:
    return Anchor(
        str(row["number"]), str(row["size"]), row["root"], row["chain"], row["document_hash"], _where(row)
    )


def _audit(row: Row) -> AuditEvent:
    return AuditEvent(
        row["contract"], row["address"], row["event"], json.loads(row["arguments"]), _where(row)
    )


def _last(reader: EventReader, contract: str, event: str, column: str, value: int) -> Row | None:
    """The newest event of a kind about one thing."""
    found = reader.events(contract, event, Wanted(where={column: value}, limit=1, newest_first=True))
    return found[0] if found else None
