"""Residency: narrowing is free, widening takes two."""

import pytest

from node.primitives.crypto import keccak256
from tests.contracts.fakes import authority
from tests.contracts.sandbox import Contract, Sandbox

DATA, GH, KE, BASIS = (keccak256(name) for name in (b"patients", b"GH", b"KE", b"contract"))


@pytest.fixture
def residency() -> Contract:
    chain = Sandbox()
    residency = chain.proxy("Residency", authority(chain).address)
    residency.send.declareClass(DATA, [GH], BASIS, sender=chain.account(1))
    return residency


def test_a_class_may_be_held_only_where_it_was_declared(residency: Contract) -> None:
    assert residency.call.isResident(DATA, GH)
    assert not residency.call.isResident(DATA, KE)
    assert not residency.call.isResident(keccak256(b"unknown"), GH)
    assert residency.call.controllerOf(DATA) == residency.chain.account(1)


def test_widening_needs_the_controller_and_the_officer(residency: Contract) -> None:
    chain, controller = residency.chain, residency.chain.account(1)
    with chain.refusing("ResidencyNotRequested", dataClass=DATA, jurisdiction=KE):
        residency.send.approveWidening(DATA, KE)
    residency.send.requestWidening(DATA, KE, BASIS, sender=controller)
    assert not residency.call.isResident(DATA, KE)
    with chain.refusing("AccessManagedUnauthorized", caller=controller):
        residency.send.approveWidening(DATA, KE, sender=controller)
    residency.send.approveWidening(DATA, KE)
    assert residency.call.isResident(DATA, KE)
    with chain.refusing("ResidencyNotRequested"):
        residency.send.approveWidening(DATA, KE)
    with chain.refusing("ResidencyAlreadyAllowed"):
        residency.send.requestWidening(DATA, KE, BASIS, sender=controller)


def test_the_controller_narrows_alone(residency: Contract) -> None:
    chain, controller = residency.chain, residency.chain.account(1)
    done = residency.send.withdraw(DATA, GH, sender=controller)
    assert done.only("JurisdictionWithdrawn") == {"dataClass": DATA, "jurisdiction": GH}
    assert not residency.call.isResident(DATA, GH)
    with chain.refusing("ResidencyNotAllowed"):
        residency.send.withdraw(DATA, GH, sender=controller)


def test_refusals(residency: Contract) -> None:
    chain = residency.chain
    with chain.refusing("ResidencyClassExists", dataClass=DATA):
        residency.send.declareClass(DATA, [KE], BASIS)
    with chain.refusing("ResidencyNoJurisdiction"):
        residency.send.declareClass(KE, [], BASIS)
    with chain.refusing("ResidencyAlreadyAllowed"):
        residency.send.declareClass(KE, [GH, GH], BASIS)
    with chain.refusing("ResidencyNotController", caller=chain.account(2)):
        residency.send.withdraw(DATA, GH, sender=chain.account(2))
    with chain.refusing("ResidencyUnknownClass"):
        residency.send.withdraw(KE, GH)
    with chain.refusing("ResidencyNoBasis"):
        residency.send.requestWidening(DATA, KE, bytes(32), sender=chain.account(1))
