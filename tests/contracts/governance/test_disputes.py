"""Disputes: a case from opening to a final ruling, with one appeal to a larger panel."""

import pytest

from tests.contracts.suite import ARBITER, DAY, Suite

NONE, UPHELD, REJECTED, SPLIT = range(4)
OPEN, RULED, APPEALED, FINAL = range(1, 5)
PARTIES, PANEL, LARGER = (30, 31), (40, 41, 42), (43, 44, 45, 46, 47)
REASON, EVIDENCE = b"r" * 32, b"e" * 32


def opened(suite: Suite) -> int:
    parties = [suite.people(place) for place in PARTIES]
    return suite["Disputes"].send.open(b"s" * 32, EVIDENCE, parties, sender=parties[0]).output


def appoint(suite: Suite, case: int, panel: tuple[int, ...]) -> None:
    suite["Disputes"].send.appoint(case, [suite.people(p) for p in panel], sender=suite.people(ARBITER))


def votes(suite: Suite, case: int, panel: tuple[int, ...], outcomes: tuple[int, ...]) -> None:
    for place, outcome in zip(panel, outcomes, strict=False):
        suite["Disputes"].send.vote(case, outcome, REASON, sender=suite.people(place))


def stage(suite: Suite, case: int) -> tuple[int, int]:
    found = suite["Disputes"].call.dispute(case)
    return found["stage"], found["outcome"]


def test_a_majority_rules_and_the_ruling_becomes_final(deployed: Suite) -> None:
    disputes, case = deployed["Disputes"], opened(deployed)
    assert disputes.call.dispute(case)["parties"] == [deployed.people(place) for place in PARTIES]
    disputes.send.submitEvidence(case, EVIDENCE, sender=deployed.people(31))
    appoint(deployed, case, PANEL)
    votes(deployed, case, PANEL, (UPHELD, REJECTED))
    assert stage(deployed, case) == (OPEN, NONE)
    votes(deployed, case, PANEL[2:], (UPHELD,))
    assert stage(deployed, case) == (RULED, UPHELD)
    with deployed.chain.refusing("DisputesAppealOpen"):
        disputes.send.close(case)
    deployed.chain.warp(7 * DAY)
    done = disputes.send.close(case)
    assert done.only("DisputeClosed") == {"id": case, "outcome": UPHELD, "reason": REASON}
    with deployed.chain.refusing("DisputesWrongStage", id=case, stage=FINAL):
        disputes.send.close(case)


def test_a_divided_panel_splits(deployed: Suite) -> None:
    case = opened(deployed)
    appoint(deployed, case, PANEL)
    votes(deployed, case, PANEL, (UPHELD, REJECTED, SPLIT))
    assert stage(deployed, case) == (RULED, SPLIT)


def test_an_appeal_is_heard_by_a_larger_panel_once(deployed: Suite) -> None:
    disputes, case = deployed["Disputes"], opened(deployed)
    appoint(deployed, case, PANEL)
    votes(deployed, case, PANEL, (UPHELD, UPHELD))
    with deployed.chain.refusing("DisputesNotParty"):
        disputes.send.appeal(case, REASON, sender=deployed.people(PANEL[0]))
    disputes.send.appeal(case, REASON, sender=deployed.people(31))
    assert stage(deployed, case)[0] == APPEALED
    with deployed.chain.refusing("DisputesNotPanelist"):  # the first panel is done
        disputes.send.vote(case, UPHELD, REASON, sender=deployed.people(PANEL[2]))
    with deployed.chain.refusing("DisputesBadPanel", given=3):
        appoint(deployed, case, (43, 44, 45))
    appoint(deployed, case, LARGER)
    votes(deployed, case, LARGER, (REJECTED, REJECTED, REJECTED))
    assert stage(deployed, case) == (FINAL, REJECTED)
    with deployed.chain.refusing("DisputesWrongStage"):
        disputes.send.appeal(case, REASON, sender=deployed.people(30))


def test_too_late_to_appeal(deployed: Suite) -> None:
    disputes, case = deployed["Disputes"], opened(deployed)
    appoint(deployed, case, PANEL)
    votes(deployed, case, PANEL, (UPHELD, UPHELD))
    deployed.chain.warp(7 * DAY)
    with deployed.chain.refusing("DisputesAppealOver"):
        disputes.send.appeal(case, REASON, sender=deployed.people(31))


def test_a_panel_that_does_not_rule_is_replaced(deployed: Suite) -> None:
    case = opened(deployed)
    appoint(deployed, case, PANEL)
    votes(deployed, case, PANEL, (UPHELD,))
    with deployed.chain.refusing("DisputesPanelSits"):
        appoint(deployed, case, LARGER)
    deployed.chain.warp(30 * DAY)
    appoint(deployed, case, (43, 44, PANEL[0]))
    votes(deployed, case, (PANEL[0], 43), (REJECTED, REJECTED))
    assert stage(deployed, case) == (RULED, REJECTED)


@pytest.mark.parametrize(
    ("parties", "error"),
    [
        ((30,), "DisputesTooFewParties"),
        ((30, 30), "DisputesRepeatedParty"),
        (tuple(range(30, 39)), "DisputesTooManyParties"),
    ],
)
def test_who_may_be_parties(deployed: Suite, parties: tuple[int, ...], error: str) -> None:
    with deployed.chain.refusing(error):
        deployed["Disputes"].send.open(b"s" * 32, EVIDENCE, [deployed.people(p) for p in parties])


@pytest.mark.parametrize(
    ("panel", "error"),
    [
        ((), "DisputesBadPanel"),
        ((40, 41), "DisputesBadPanel"),
        (tuple(range(40, 51)), "DisputesBadPanel"),
        ((40, 40, 41), "DisputesRepeatedParty"),
        ((40, 41, 30), "DisputesPartyOnPanel"),
    ],
)
def test_who_may_be_a_panel(deployed: Suite, panel: tuple[int, ...], error: str) -> None:
    case = opened(deployed)
    with deployed.chain.refusing(error):
        appoint(deployed, case, panel)


def test_refusals_of_evidence_and_votes(deployed: Suite) -> None:
    disputes, case, people = deployed["Disputes"], opened(deployed), deployed.people
    with deployed.chain.refusing("DisputesNotParty", caller=people(40)):
        disputes.send.submitEvidence(case, EVIDENCE, sender=people(40))
    with deployed.chain.refusing("DisputesNoEvidence"):
        disputes.send.submitEvidence(case, bytes(32), sender=people(30))
    with deployed.chain.refusing("DisputesWrongStage", stage=0):
        disputes.send.submitEvidence(99, EVIDENCE, sender=people(30))
    with deployed.chain.refusing("DisputesWrongStage", stage=0):
        disputes.send.vote(99, UPHELD, REASON, sender=people(40))
    appoint(deployed, case, PANEL)
    with deployed.chain.refusing("DisputesNoOutcome"):
        disputes.send.vote(case, NONE, REASON, sender=people(40))
    votes(deployed, case, PANEL, (UPHELD,))
    with deployed.chain.refusing("DisputesAlreadyVoted", panelist=people(40)):
        disputes.send.vote(case, UPHELD, REASON, sender=people(40))


def test_a_contract_that_cannot_take_a_ruling_is_told_again(deployed: Suite) -> None:
    disputes, people = deployed["Disputes"], deployed.people
    token = deployed["SettlementToken"].address  # has no onRuling
    case = disputes.send.open(b"s" * 32, EVIDENCE, [people(30), people(31)], sender=people(30)).output
    appoint(deployed, case, PANEL)
    votes(deployed, case, PANEL, (UPHELD, UPHELD))
    deployed.chain.warp(7 * DAY)
    disputes.send.close(case)
    case = disputes.send.open(b"s" * 32, EVIDENCE, [people(30), people(31)], sender=token).output
    with deployed.chain.refusing("DisputesWrongStage"):
        disputes.send.deliver(case)
    appoint(deployed, case, PANEL)
    votes(deployed, case, PANEL, (UPHELD, UPHELD))
    deployed.chain.warp(7 * DAY)
    done = disputes.send.close(case)
    assert done.only("ListenerFailed")["listener"] == token
    assert stage(deployed, case) == (FINAL, UPHELD)
    assert disputes.send.deliver(case).only("ListenerFailed")["id"] == case
