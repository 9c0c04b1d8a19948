"""The port that every part calls to leave a record; see the package for what is durable when.

Three verbs, by what the caller can do when there is no room or the disk is broken:

    await trail.record(...)  durable on return. Raises: then the action must not be done. Administration.
    trail.enter(...)         written soon. Raises: then the action is refused. Transactions, peers let in.
    trail.note(...)          what has happened anyway: refusals, keys used. Never raises; a loss is counted,
                             shown as a problem of health, and recorded as `log.gap`.

Any thread may call `enter` and `note`. `actor` says who: "api-key:billing", "jwt:alice", "peer:<id>",
"local"; `facts` say what, in a few short values. No secrets.
"""

from typing import Protocol

from node.audit.records import Facts, Kind
from node.primitives.errors import RequestError


class AuditUnavailable(RequestError):
    """No record can be written, so what needs one is not done."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"refused: the audit log cannot record it: {reason}")


class AuditTrail(Protocol):
    """Where records go."""

    async def record(self, kind: Kind, actor: str, facts: Facts) -> None:
        """Durable on return; AuditUnavailable otherwise. Before the action is done."""
        ...

    def enter(self, kind: Kind, actor: str, facts: Facts) -> None:
        """Durable within a second; AuditUnavailable when it cannot be."""
        ...

    def note(self, kind: Kind, actor: str, facts: Facts) -> None:
        """The same, for what has happened already: never raises."""
        ...


class NoTrail:
    """An audit log that is switched off (audit.enabled = false)."""

    async def record(self, kind: Kind, actor: str, facts: Facts) -> None:
        """Nothing is kept."""

    def enter(self, kind: Kind, actor: str, facts: Facts) -> None:
        """Nothing is kept."""

    def note(self, kind: Kind, actor: str, facts: Facts) -> None:
        """Nothing is kept."""
