"""Compliance: nobody alone makes a control met, and a serious finding unmakes it."""

from typing import Any

import pytest

from node.primitives.crypto import keccak256
from tests.contracts.fakes import authority, signing_domain
from tests.contracts.sandbox import Contract, Sandbox

SOC2, ISO, CC61, A515, SITE, EVIDENCE = (
    keccak256(name) for name in (b"SOC 2", b"ISO 27001", b"CC6.1", b"A.5.15", b"site 7", b"evidence")
)
LOW, MEDIUM, HIGH, CRITICAL = range(4)
DAY = 86_400


@pytest.fixture(scope="module")
def deployed() -> tuple[Contract, Any]:
    chain = Sandbox()
    compliance = chain.proxy("Compliance", authority(chain).address)
    for framework, control in ((SOC2, CC61), (ISO, A515)):
        compliance.send.publishFramework(framework, keccak256(b"catalogue"))
        compliance.send.addControls(framework, [control], [keccak256(b"requirement")])
    return compliance, chain.snapshot()


@pytest.fixture
def compliance(deployed: tuple[Contract, Any]) -> Contract:
    compliance, snapshot = deployed
    compliance.chain.restore(snapshot)
    return compliance


def statement(chain: Sandbox, framework: bytes = SOC2, control: bytes = CC61) -> dict[str, Any]:
    return {
        "subject": SITE, "framework": framework, "control": control, "evidence": EVIDENCE,
        "validFrom": chain.now, "validUntil": chain.now + 90 * DAY,
    }  # fmt: skip


def proposed(compliance: Contract, required: int = 2, **what: bytes) -> int:
    chain = compliance.chain
    signatories = [chain.account(place) for place in (1, 2, 3)]
    done = compliance.send.propose(statement(chain, **what), signatories, required)
    return int(done.only("AttestationProposed")["id"])


def attested(compliance: Contract, **what: bytes) -> int:
    attestation = proposed(compliance, **what)
    for place in (1, 2):
        compliance.send.signOff(attestation, sender=compliance.chain.account(place))
    return attestation


def found(compliance: Contract, severity: int) -> int:
    chain = compliance.chain
    done = compliance.send.raiseFinding(
        SITE, SOC2, CC61, EVIDENCE, chain.account(5), chain.now + 10 * DAY, severity
    )
    return int(done.only("FindingRaised")["id"])


def test_an_attestation_takes_effect_with_the_last_signature_needed(compliance: Contract) -> None:
    attestation = proposed(compliance)
    compliance.send.signOff(attestation, sender=compliance.chain.account(1))
    assert not compliance.call.isMet(SITE, SOC2, CC61)
    done = compliance.send.signOff(attestation, sender=compliance.chain.account(3))
    assert [event.name for event in done.events] == ["AttestationSigned", "AttestationEffective"]
    assert compliance.call.isMet(SITE, SOC2, CC61)
    with compliance.chain.refusing("ComplianceNotPending", id=attestation):
        compliance.send.signOff(attestation, sender=compliance.chain.account(2))


def test_it_ends_by_time(compliance: Contract) -> None:
    attested(compliance)
    compliance.chain.warp(90 * DAY)
    assert not compliance.call.isMet(SITE, SOC2, CC61)


def test_a_signature_is_as_good_as_a_transaction(compliance: Contract) -> None:
    chain = compliance.chain
    attestation = proposed(compliance, required=1)
    said = compliance.call.attestation(attestation)["statement"]
    types = {"attestation": "uint256"}
    types |= dict.fromkeys(("subject", "framework", "control", "evidence"), "bytes32")
    types |= dict.fromkeys(("validFrom", "validUntil"), "uint64")
    signed = chain.key(2).sign_typed_data(
        signing_domain("PhoenixCompliance", compliance),
        {"SignOff": [{"name": name, "type": kind} for name, kind in types.items()]},
        {"attestation": attestation, **said},
    )
    with chain.refusing("ComplianceBadSignature", signatory=chain.account(3)):
        compliance.send.signOffFor(attestation, chain.account(3), bytes(signed.signature))
    compliance.send.signOffFor(attestation, chain.account(2), bytes(signed.signature))
    assert compliance.call.isMet(SITE, SOC2, CC61)


def test_nobody_signs_twice_or_uninvited(compliance: Contract) -> None:
    chain = compliance.chain
    attestation = proposed(compliance)
    compliance.send.signOff(attestation, sender=chain.account(1))
    with chain.refusing("ComplianceAlreadySigned", signatory=chain.account(1)):
        compliance.send.signOff(attestation, sender=chain.account(1))
    with chain.refusing("ComplianceNotSignatory", caller=chain.account(4)):
        compliance.send.signOff(attestation, sender=chain.account(4))


def test_proposals_that_are_refused(compliance: Contract) -> None:
    chain = compliance.chain
    said, one = statement(chain), [chain.account(1)]
    with chain.refusing("AccessManagedUnauthorized"):
        compliance.send.propose(said, one, 1, sender=chain.account(1))
    with chain.refusing("ComplianceUnknownControl", control=A515):
        compliance.send.propose(said | {"control": A515}, one, 1)
    with chain.refusing("ComplianceEmptyValidity"):
        compliance.send.propose(said | {"validUntil": said["validFrom"]}, one, 1)
    with chain.refusing("ComplianceNotYetValid", validFrom=chain.now + 1):
        compliance.send.propose(said | {"validFrom": chain.now + 1}, one, 1)
    with chain.refusing("ComplianceRequiredOutOfRange", required=0):
        compliance.send.propose(said, one, 0)
    with chain.refusing("ComplianceRequiredOutOfRange", required=2):
        compliance.send.propose(said, one, 2)
    for bad in ([chain.account(1)] * 2, [chain.account(0)], ["0x" + "00" * 20]):
        with chain.refusing("ComplianceBadSignatory", signatory=bad[-1]):
            compliance.send.propose(said, bad, 1)
    with chain.refusing("ComplianceTooManySignatories", count=17):
        compliance.send.propose(said, [chain.account(place) for place in range(20, 37)], 1)


def test_revoked_and_annulled(compliance: Contract) -> None:
    chain = compliance.chain
    attestation = attested(compliance)
    with chain.refusing("ComplianceNotAssessor", caller=chain.account(1)):
        compliance.send.revoke(attestation, EVIDENCE, sender=chain.account(1))
    with chain.refusing("AccessManagedUnauthorized"):
        compliance.send.annul(attestation, EVIDENCE, sender=chain.account(1))
    compliance.send.revoke(attestation, EVIDENCE)
    assert not compliance.call.isMet(SITE, SOC2, CC61)
    with chain.refusing("ComplianceNotRevocable"):
        compliance.send.annul(attestation, EVIDENCE)
    compliance.send.annul(attested(compliance), EVIDENCE)
    assert not compliance.call.isMet(SITE, SOC2, CC61)


def test_a_mapped_control_meets_another(compliance: Contract) -> None:
    attested(compliance, framework=ISO, control=A515)
    assert not compliance.call.isMetBy(SITE, SOC2, CC61, ISO, A515)
    compliance.send.mapControl(SOC2, CC61, ISO, A515, True)
    assert compliance.call.isMetBy(SITE, SOC2, CC61, ISO, A515)
    found(compliance, HIGH)
    assert not compliance.call.isMetBy(SITE, SOC2, CC61, ISO, A515)
    compliance.send.mapControl(SOC2, CC61, ISO, A515, False)
    assert not compliance.call.isMetBy(SITE, SOC2, CC61, ISO, A515)


def test_frameworks_are_published_once(compliance: Contract) -> None:
    chain, other = compliance.chain, keccak256(b"HIPAA")
    with chain.refusing("ComplianceFrameworkExists", framework=SOC2):
        compliance.send.publishFramework(SOC2, EVIDENCE)
    with chain.refusing("ComplianceUnknownFramework"):
        compliance.send.publishFramework(other, bytes(32))
    with chain.refusing("ComplianceUnknownFramework", framework=other):
        compliance.send.addControls(other, [CC61], [EVIDENCE])
    with chain.refusing("ComplianceControlExists", control=CC61):
        compliance.send.addControls(SOC2, [CC61], [EVIDENCE])
    with chain.refusing("ComplianceLengthMismatch", controls=1, requirements=0):
        compliance.send.addControls(SOC2, [A515], [])
    with chain.refusing("ComplianceUnknownControl"):
        compliance.send.addControls(SOC2, [A515], [bytes(32)])
    assert compliance.call.requirementOf(SOC2, CC61) == keccak256(b"requirement")


@pytest.mark.parametrize(("severity", "blocks"), [(LOW, 0), (MEDIUM, 0), (HIGH, 1), (CRITICAL, 1)])
def test_a_serious_finding_suspends_until_it_is_closed(
    compliance: Contract, severity: int, blocks: int
) -> None:
    chain = compliance.chain
    owner = chain.account(5)
    attested(compliance)
    finding = found(compliance, severity)
    assert compliance.call.blockingFindings(SITE, SOC2, CC61) == blocks
    assert compliance.call.isMet(SITE, SOC2, CC61) is (blocks == 0)
    compliance.send.remediate(finding, EVIDENCE, sender=owner)
    compliance.send.reopenFinding(finding, EVIDENCE)
    assert compliance.call.finding(finding)["status"] == 1
    compliance.send.remediate(finding, EVIDENCE, sender=owner)
    assert compliance.call.blockingFindings(SITE, SOC2, CC61) == blocks
    compliance.send.closeFinding(finding)
    assert compliance.call.isMet(SITE, SOC2, CC61)


def test_findings_that_are_refused_or_late(compliance: Contract) -> None:
    chain = compliance.chain
    finding = found(compliance, LOW)
    with chain.refusing("ComplianceNotOwner", caller=chain.account(0)):
        compliance.send.remediate(finding, EVIDENCE)
    with chain.refusing("ComplianceWrongFindingStatus", status=1):
        compliance.send.closeFinding(finding)
    compliance.send.remediate(finding, EVIDENCE, sender=chain.account(5))
    with chain.refusing("ComplianceWrongFindingStatus", status=2):
        compliance.send.remediate(finding, EVIDENCE, sender=chain.account(5))
    with chain.refusing("ComplianceNotAssessor", caller=chain.account(5)):
        compliance.send.closeFinding(finding, sender=chain.account(5))
    with chain.refusing("ComplianceDueInThePast"):
        compliance.send.raiseFinding(SITE, SOC2, CC61, EVIDENCE, chain.account(5), chain.now, LOW)
    assert not compliance.call.isOverdue(finding)
    chain.warp(10 * DAY)
    assert compliance.call.isOverdue(finding)
    compliance.send.closeFinding(finding)
    assert not compliance.call.isOverdue(finding)
