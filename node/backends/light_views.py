"""The suite's view functions run over proved state: what single things are worth, told in a replica's words.

Nobody is believed: the code that runs, every slot that it reads and the address book that says which contract
is which are proved under a verified header. What only events tell is not in the state, and stays None.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from contracts.artifacts import load
from contracts.generate import canonical, signature
from node.execution.executor import Call, CallResult
from node.primitives import abi
from node.primitives.crypto import keccak256
from node.primitives.errors import RequestError
from node.primitives.ids import Address
from node.replica.answers import (
    Agreement,
    AgreementDetail,
    Allocation,
    AllocationDetail,
    Credential,
    Invoice,
    InvoiceDetail,
)
from node.replica.registry import NAMES

VIEW_GAS: Final = 10_000_000
"""The dearest view that is asked here copies an invoice's batches."""
_NOBODY: Final = Address(bytes(20))
_INVOICE: Final = ("", "issued", "settled", "settled off chain", "contested", "voided")
"""By IBilling.InvoiceStatus; one that was contested and upheld is open again, which is `issued` here."""
_ALLOCATION: Final = (
    "", "requested", "allocated", "active", "released", "expired", "rejected", "cancelled",
)  # fmt: skip
"""By IProvisioning.Status."""
_AGREEMENT: Final = ("", "proposed", "active", "ended")
"""By ISla.AgreementStatus."""


class NoSuite(RequestError):
    """The contract that is asked is not there, or is another one than this program knows."""


class SuiteViews:
    """The suite at one block, found through its address book."""

    def __init__(self, run: Callable[[Call], CallResult], book: Address) -> None:
        """`run` executes a call on the proved state of the block."""
        self._run = run
        self._places: dict[str, Address] = {NAMES: book}

    def ask(self, contract: str, function: str, *arguments: Any) -> Any:
        """What a view function returns, structs as mappings; NoSuite when it returns nothing of the kind."""
        entry = _function(contract, function)
        data = keccak256(signature(entry).encode())[:4]
        data += abi.encode([canonical(each) for each in entry["inputs"]], arguments)
        result = self._run(Call(sender=_NOBODY, to=self._place(contract), data=data, gas_limit=VIEW_GAS))
        if result.error is not None:
            raise NoSuite(f"{contract}.{function} is not answered in this block: {result.error}")
        try:
            (value,) = abi.decode([canonical(each) for each in entry["outputs"]], result.output)
        except abi.AbiError:
            raise NoSuite(f"{contract}.{function} answers nothing that its interface knows") from None
        return _named(entry["outputs"][0], value)

    def _place(self, contract: str) -> Address:
        found = self._places.get(contract)
        if found is None:
            found = Address(bytes.fromhex(self.ask(NAMES, "addressOf", contract)[2:]))
            self._places[contract] = found
        return found


def invoice(views: SuiteViews, number: int) -> InvoiceDetail | None:
    """An invoice without its lines, which are events."""
    found = views.ask("Billing", "invoiceOf", number)
    status = _status(_INVOICE, found["status"])
    if status is None:
        return None
    told = Invoice(
        invoice=str(number),
        account=str(found["account"]),
        tenant=found["tenant"],
        period_from=str(found["from"]),
        period_to=str(found["to"]),
        total=str(found["total"]),
        due_at=str(found["dueAt"]),
        status=status,
        issued=None,
    )
    return InvoiceDetail(told, None, None)


def allocation(views: SuiteViews, number: int) -> AllocationDetail | None:
    """A lease with its place; the end of one that is over is told by events alone."""
    found = views.ask("Provisioning", "allocationOf", number)
    status = _status(_ALLOCATION, found["status"])
    if status is None:
        return None
    offer = found["offer"]
    return AllocationDetail(
        Allocation(
            allocation=str(number),
            tenant=found["tenant"],
            resource_class=_hex(found["resourceClass"]),
            units=str(found["units"]),
            data_class=_hex(found["dataClass"]),
            lease_seconds=str(found["leaseSeconds"]),
            status=status,
            requested=None,
        ),
        offer=str(offer) if offer else None,
        site=_hex(views.ask("Provisioning", "offerOf", offer)["site"]) if offer else None,
        lease_end=str(found["deadline"]) if status == "active" else None,
        bound_units=None if found["bound"] else [],
        history=None,
    )


def credential(views: SuiteViews, identity: str, now: int) -> Credential | None:
    """A credential, and whether it holds at the time of the block."""
    found = views.ask("Credentials", "credential", bytes.fromhex(identity[2:]))
    if int(found["issuer"], 16) == 0:
        return None
    status = "revoked" if found["revoked"] else "valid"
    if status == "valid" and found["validUntil"] and found["validUntil"] <= now:
        status = "expired"
    return Credential(
        id=identity,
        issuer=found["issuer"],
        subject=found["subject"],
        schema=_hex(found["schema"]),
        content_hash=_hex(found["contentHash"]),
        valid_until=str(found["validUntil"]),
        status=status,
        issued=None,
    )


def agreement(views: SuiteViews, number: int) -> AgreementDetail | None:
    """An agreement without its windows: how many were assessed is told by events alone."""
    found = views.ask("Sla", "agreementOf", number)
    status = _status(_AGREEMENT, found["status"])
    if status is None:
        return None
    told = Agreement(
        agreement=str(number),
        account=str(found["terms"]["account"]),
        resource=_hex(found["terms"]["resource"]),
        oracles=list(views.ask("Sla", "oraclesOf", number)),
        status=status,
        proposed=None,
    )
    return AgreementDetail(told, None, None, None, None, None)


def _status(words: tuple[str, ...], number: int) -> str | None:
    """The word for a state of the contract; None for the state of what does not exist."""
    if number == 0:
        return None
    return words[number] if number < len(words) else f"status {number}"


def _function(contract: str, name: str) -> Mapping[str, Any]:
    (entry,) = [each for each in load(contract).abi if each["type"] == "function" and each["name"] == name]
    return entry


def _named(entry: Mapping[str, Any], value: Any) -> Any:
    if entry["type"] != "tuple":
        return value
    pairs = zip(entry["components"], value, strict=True)
    return {each["name"]: _named(each, part) for each, part in pairs}


def _hex(value: bytes) -> str:
    return "0x" + value.hex()
