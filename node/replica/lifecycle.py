"""Which event puts which thing into which state. Pure; the contracts' own rules, read off their events."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

Arguments = Mapping[str, Any]


class Entity(NamedTuple):
    """A thing with a life of its own in the contracts."""

    kind: str
    id: str


class Transition(NamedTuple):
    """A thing entered a state."""

    entity: Entity
    state: str


INVOICE: Final = "invoice"
AGREEMENT: Final = "agreement"
WINDOW: Final = "window"
ALLOCATION: Final = "allocation"
CREDENTIAL: Final = "credential"

_ALLOCATION_ENDS: Final = {4: "released", 5: "expired", 6: "rejected", 7: "cancelled"}
"""IProvisioning.Status of AllocationEnded."""


def transition(contract: str, event: str, arguments: Arguments) -> Transition | None:
    """What the event of a contract of ours changes; None when nothing that is kept here."""
    found = _TRANSITIONS.get((contract, event))
    return None if found is None else found(arguments)


def window_id(agreement: int, window: int) -> str:
    """A window of an agreement, as entity."""
    return f"{agreement}/{window}"


def _number(kind: str, name: str, state: str) -> Callable[[Arguments], Transition]:
    return lambda arguments: Transition(Entity(kind, str(arguments[name])), state)


def _hash(kind: str, name: str, state: str) -> Callable[[Arguments], Transition]:
    return lambda arguments: Transition(Entity(kind, "0x" + arguments[name].hex()), state)


def _window(state: str) -> Callable[[Arguments], Transition]:
    return lambda arguments: Transition(
        Entity(WINDOW, window_id(arguments["agreement"], arguments["window"])), state
    )


def _ended(arguments: Arguments) -> Transition:
    state = _ALLOCATION_ENDS.get(arguments["status"], f"status {arguments['status']}")
    return Transition(Entity(ALLOCATION, str(arguments["allocation"])), state)


_TRANSITIONS: Final[dict[tuple[str, str], Callable[[Arguments], Transition]]] = {
    ("Billing", "InvoiceIssued"): _number(INVOICE, "invoice", "issued"),
    ("Billing", "InvoiceContested"): _number(INVOICE, "invoice", "contested"),
    ("Billing", "InvoiceUpheld"): _number(INVOICE, "invoice", "upheld"),
    ("Billing", "InvoiceSettled"): _number(INVOICE, "invoice", "settled"),
    ("Billing", "InvoiceSettledOffChain"): _number(INVOICE, "invoice", "settled off chain"),
    ("Billing", "InvoiceVoided"): _number(INVOICE, "invoice", "voided"),
    ("Sla", "AgreementProposed"): _number(AGREEMENT, "agreement", "proposed"),
    ("Sla", "AgreementAccepted"): _number(AGREEMENT, "agreement", "active"),
    ("Sla", "AgreementEnded"): _number(AGREEMENT, "agreement", "ended"),
    ("Sla", "WindowReported"): _window("reported"),
    ("Sla", "WindowAssessed"): _window("assessed"),
    ("Sla", "WindowUnmeasured"): _window("unmeasured"),
    ("Sla", "WindowExcused"): _window("excused"),
    ("Sla", "WindowContested"): _window("contested"),
    ("Sla", "WindowAnnulled"): _window("annulled"),
    ("Sla", "WindowCredited"): _window("credited"),
    ("Provisioning", "AllocationRequested"): _number(ALLOCATION, "allocation", "requested"),
    ("Provisioning", "AllocationReserved"): _number(ALLOCATION, "allocation", "allocated"),
    ("Provisioning", "AllocationActivated"): _number(ALLOCATION, "allocation", "active"),
    ("Provisioning", "AllocationEnded"): _ended,
    ("Credentials", "CredentialIssued"): _hash(CREDENTIAL, "id", "issued"),
    ("Credentials", "CredentialRevoked"): _hash(CREDENTIAL, "id", "revoked"),
}
