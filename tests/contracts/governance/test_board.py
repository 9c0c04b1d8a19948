"""The board: members decide by weight, with a delay; nothing gets around it."""

import pytest

from contracts.suite import ACCOUNT_INGRESS, NODE_INGRESS
from tests.contracts.sandbox import Contract, Sandbox
from tests.contracts.suite import (
    DAY,
    EMERGENCY,
    GUARDIAN,
    MEMBERS,
    ORDINARY,
    OUTSIDER,
    STRUCTURAL,
    Suite,
    build,
)

NONE, AGAINST, FOR, ABSTAIN = range(4)
VOTING, DEFEATED, PASSED, QUEUED, EXECUTED, CANCELLED = range(1, 7)
NOTHING = bytes(32)
ORG = b"o" * 32
HOLDING_POWER = ("Board", "AccessManager", "TimelockController")
_BUILT: list[tuple[Suite, object]] = []


@pytest.fixture
def suite() -> Suite:
    if not _BUILT:
        made = build()
        _BUILT.append((made, made.chain.snapshot()))
    made, snapshot = _BUILT[0]
    made.chain.restore(snapshot)
    return made


def add_validator(suite: Suite, place: int = 50) -> tuple[Contract, bytes]:
    validators = suite["Validators"]
    return validators, validators.data.add(suite.people(place), ORG)


def vote(suite: Suite, number: int, member: int, answer: int = FOR) -> None:
    suite["Board"].send.vote(number, answer, NOTHING, sender=suite.people(member))


def test_a_decision_changes_the_validator_set(suite: Suite) -> None:
    done = suite.decide(add_validator(suite))
    assert done.only("ValidatorAdded") == {"validator": suite.people(50), "organisation": ORG}
    found = suite["Validators"].call.getValidators()
    assert suite.people(50) in found
    assert found == sorted(found, key=lambda each: int(each, 16))


def test_founding_members_and_rules(suite: Suite) -> None:
    board = suite["Board"]
    assert board.call.members() == [suite.people(place) for place in MEMBERS]
    assert board.call.totalWeight() == 100
    assert board.call.weightOf(suite.people(1)) == 40
    assert board.call.rule(1) == {
        "quorum": STRUCTURAL.quorum, "threshold": STRUCTURAL.threshold,
        "votingPeriod": STRUCTURAL.voting_period_s, "delay": STRUCTURAL.delay_s,
    }  # fmt: skip
    assert board.call.timelock() == suite["TimelockController"].address


def test_only_members_propose_and_vote(suite: Suite) -> None:
    board, outsider = suite["Board"], suite.people(OUTSIDER)
    with suite.chain.refusing("BoardNotMember", caller=outsider):
        board.send.propose(0, [(board.address, b"")], NOTHING, sender=outsider)
    number = suite.propose(add_validator(suite))
    with suite.chain.refusing("BoardNotMember", caller=outsider):
        board.send.vote(number, FOR, NOTHING, sender=outsider)


def test_one_vote_each_and_an_answer_is_needed(suite: Suite) -> None:
    number = suite.propose(add_validator(suite))
    with suite.chain.refusing("BoardNoVote"):
        vote(suite, number, 1, NONE)
    vote(suite, number, 1)
    with suite.chain.refusing("BoardAlreadyVoted", id=number):
        vote(suite, number, 1, AGAINST)
    assert suite["Board"].call.voteOf(number, suite.people(1)) == FOR


@pytest.mark.parametrize(
    ("answers", "stage"),
    [
        ((FOR, NONE, NONE), DEFEATED),  # 40 of 100: no quorum of 50
        ((FOR, ABSTAIN, NONE), PASSED),  # 75 take part, all that decide are for
        ((FOR, AGAINST, NONE), PASSED),  # 40 against 35
        ((AGAINST, FOR, NONE), DEFEATED),
        ((FOR, AGAINST, AGAINST), DEFEATED),
        ((ABSTAIN, ABSTAIN, ABSTAIN), DEFEATED),  # nobody is for
        ((NONE, NONE, NONE), DEFEATED),
    ],
)
def test_quorum_and_threshold(suite: Suite, answers: tuple[int, ...], stage: int) -> None:
    number = suite.propose(add_validator(suite))
    for member, answer in zip(MEMBERS, answers, strict=True):
        if answer != NONE:
            vote(suite, number, member, answer)
    assert suite["Board"].call.stage(number) == VOTING
    suite.chain.warp(ORDINARY.voting_period_s)
    assert suite["Board"].call.stage(number) == stage


def test_a_structural_decision_needs_two_thirds(suite: Suite) -> None:
    board = suite["Board"]
    number = suite.propose((board, board.data.setWeight(suite.people(1), 1)), structural=True)
    for member, answer in zip(MEMBERS, (FOR, AGAINST, FOR), strict=True):
        vote(suite, number, member, answer)  # 65 of 100
    suite.chain.warp(STRUCTURAL.voting_period_s)
    assert board.call.stage(number) == DEFEATED


@pytest.mark.parametrize("target", HOLDING_POWER)
def test_what_holds_power_needs_the_structural_class(suite: Suite, target: str) -> None:
    with suite.chain.refusing("BoardClassTooLow", action=1):
        suite.propose(add_validator(suite), (suite[target], b"\x01\x02\x03\x04"))


def test_an_upgrade_needs_the_structural_class(suite: Suite) -> None:
    token = suite["SettlementToken"]
    with suite.chain.refusing("BoardClassTooLow", action=0):
        suite.propose((token, token.data.upgradeToAndCall(token.address, b"")))


def test_a_target_can_be_marked_structural_even_while_it_is_voted_on(suite: Suite) -> None:
    board, action = suite["Board"], add_validator(suite)
    number = suite.propose(action)
    for member in MEMBERS:
        vote(suite, number, member)
    suite.decide((board, board.data.setStructural(action[0].address, True)), structural=True)
    assert board.call.stage(number) == PASSED
    with suite.chain.refusing("BoardClassTooLow", action=0):
        board.send.queue(number, [(action[0].address, action[1])])
    with suite.chain.refusing("BoardClassTooLow", action=0):
        suite.propose(action)


def test_the_doors_are_structural_from_the_first_day_on(suite: Suite) -> None:
    board = suite["Board"].call
    for target in (NODE_INGRESS, ACCOUNT_INGRESS, *(suite[name].address for name in HOLDING_POWER)):
        assert board.isStructural(target) is True
    assert board.isStructural(suite["Validators"].address) is False
    for ingress in (NODE_INGRESS, ACCOUNT_INGRESS):
        with suite.chain.refusing("BoardClassTooLow", action=0):
            suite["Board"].send.propose(0, [(ingress, b"any call")], bytes(32), sender=suite.people(1))


def test_actions_are_bounded_and_must_be_those_voted_on(suite: Suite) -> None:
    board, action = suite["Board"], add_validator(suite)
    with suite.chain.refusing("BoardNoActions"):
        suite.propose()
    with suite.chain.refusing("BoardTooManyActions", given=33, most=32):
        suite.propose(*[action] * 33)
    number = suite.propose(action)
    for member in MEMBERS:
        vote(suite, number, member)
    suite.chain.warp(ORDINARY.voting_period_s)
    other = add_validator(suite, 51)
    with suite.chain.refusing("BoardActionsDiffer", id=number):
        board.send.queue(number, [(other[0].address, other[1])])


def test_nothing_is_executed_before_its_delay(suite: Suite) -> None:
    board, action = suite["Board"], add_validator(suite)
    listed = [(action[0].address, action[1])]
    number = suite.propose(action)
    with suite.chain.refusing("BoardWrongStage", id=number, stage=VOTING):
        board.send.queue(number, listed)
    for member in MEMBERS:
        vote(suite, number, member)
    suite.chain.warp(ORDINARY.voting_period_s)
    with suite.chain.refusing("BoardWrongStage", id=number, stage=PASSED):
        board.send.execute(number, listed)
    board.send.queue(number, listed)
    suite.chain.warp(ORDINARY.delay_s - 10)
    with suite.chain.refusing("BoardTooEarly", id=number):
        board.send.execute(number, listed)
    suite.chain.warp(10)
    board.send.execute(number, listed, sender=suite.people(OUTSIDER))
    with suite.chain.refusing("BoardWrongStage", id=number, stage=EXECUTED):
        board.send.execute(number, listed)


def test_a_guardian_holds_a_decision_once(suite: Suite) -> None:
    board, action = suite["Board"], add_validator(suite)
    listed, guardian = [(action[0].address, action[1])], suite.people(GUARDIAN)
    number = suite.propose(action)
    for member in MEMBERS:
        vote(suite, number, member)
    suite.chain.warp(ORDINARY.voting_period_s)
    board.send.queue(number, listed)
    with suite.chain.refusing("AccessManagedUnauthorized", caller=suite.people(OUTSIDER)):
        board.send.hold(number, sender=suite.people(OUTSIDER))
    board.send.hold(number, sender=guardian)
    with suite.chain.refusing("BoardAlreadyHeld", id=number):
        board.send.hold(number, sender=guardian)
    suite.chain.warp(ORDINARY.delay_s)
    with suite.chain.refusing("BoardTooEarly", id=number):
        board.send.execute(number, listed)
    suite.chain.warp(STRUCTURAL.delay_s)
    board.send.execute(number, listed)


def test_the_board_stops_a_queued_decision_and_a_proposer_an_open_one(suite: Suite) -> None:
    board, action = suite["Board"], add_validator(suite)
    first = suite.propose(action)
    with suite.chain.refusing("BoardNotProposer", id=first):
        board.send.cancel(first, sender=suite.people(2))
    board.send.cancel(first, sender=suite.people(1))
    with suite.chain.refusing("BoardWrongStage", id=first, stage=CANCELLED):
        board.send.cancel(first, sender=suite.people(1))
    second = suite.propose(action)
    for member in MEMBERS:
        vote(suite, second, member)
    suite.chain.warp(ORDINARY.voting_period_s)
    board.send.queue(second, [(action[0].address, action[1])])
    with suite.chain.refusing("BoardNotTimelock", caller=suite.people(1)):
        board.send.cancel(second, sender=suite.people(1))
    suite.decide((board, board.data.cancel(second)), structural=True)
    with suite.chain.refusing("BoardWrongStage", id=second, stage=CANCELLED):
        board.send.execute(second, [(action[0].address, action[1])])


def test_an_emergency_is_quick_and_narrow(suite: Suite) -> None:
    board, token = suite["Board"], suite["SettlementToken"]
    with suite.chain.refusing("BoardNotEmergency", action=0):
        suite.propose(add_validator(suite), emergency=True)
    token.send.pause(sender=suite.people(GUARDIAN))
    action = (token, token.data.unpause())
    number = suite.propose(action, emergency=True)
    vote(suite, number, 1)
    assert board.call.stage(number) == VOTING
    vote(suite, number, 2)  # 75 of 100: nobody can change it any more
    assert board.call.stage(number) == PASSED
    board.send.queue(number, [(token.address, action[1])])
    suite.chain.warp(EMERGENCY.delay_s)
    board.send.execute(number, [(token.address, action[1])])
    assert token.call.paused() is False


def test_a_delegated_key_acts_for_its_member_until_it_ends(suite: Suite) -> None:
    board, member, key = suite["Board"], suite.people(1), suite.people(60)
    board.send.delegateKey(key, suite.chain.now + DAY, sender=member)
    assert board.call.memberOf(key) == member
    number = suite.propose(add_validator(suite))
    done = board.send.vote(number, FOR, NOTHING, sender=key)
    assert done.only("Voted")["member"] == member
    with suite.chain.refusing("BoardAlreadyVoted", id=number, member=member):
        vote(suite, number, 1)
    with suite.chain.refusing("BoardKeyTaken", key=key, member=member):
        board.send.delegateKey(key, suite.chain.now + DAY, sender=suite.people(2))
    with suite.chain.refusing("BoardKeyTaken", key=suite.people(3)):
        board.send.delegateKey(suite.people(3), suite.chain.now + DAY, sender=suite.people(2))
    with suite.chain.refusing("BoardNotMember", caller=key):
        board.send.delegateKey(suite.people(61), suite.chain.now + DAY, sender=key)
    suite.chain.warp(DAY)
    assert int(board.call.memberOf(key), 16) == 0


def test_members_come_and_go_by_decision_only(suite: Suite) -> None:
    board, new = suite["Board"], suite.people(70)
    for call in (board.send.admit, board.send.setWeight):
        with suite.chain.refusing("BoardNotTimelock", caller=suite.people(1)):
            call(new, 5, sender=suite.people(1))
    with suite.chain.refusing("BoardNotTimelock"):
        board.send.remove(suite.people(1), sender=suite.people(1))
    open_before = suite.propose(add_validator(suite))
    suite.decide((board, board.data.admit(new, 50)), structural=True)
    assert board.call.totalWeight() == 150
    number = suite.propose(add_validator(suite))
    vote(suite, number, 70)
    assert board.call.proposal(number)["votesFor"] == 50
    assert board.call.stage(open_before) == DEFEATED
    suite.decide((board, board.data.remove(new)), structural=True)
    assert board.call.memberOf(new) != new
    with suite.chain.refusing("BoardNotMember", caller=new):
        board.send.propose(0, [(board.address, b"")], NOTHING, sender=new)


def test_who_came_after_a_proposal_has_no_say_in_it(suite: Suite) -> None:
    board, new = suite["Board"], suite.people(70)
    longer = (5_000, 5_001, 30 * DAY, DAY)
    suite.decide((board, board.data.setRule(0, longer)), structural=True)
    number = suite.propose(add_validator(suite))
    suite.decide((board, board.data.admit(new, 50)), structural=True)
    with suite.chain.refusing("BoardNoWeight", id=number, member=new):
        vote(suite, number, 70)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda s, d: d.admit(s.people(1), 5), "BoardMemberExists"),
        (lambda s, d: d.admit("0x" + "00" * 20, 5), "BoardZeroMember"),
        (lambda s, d: d.admit(s.people(70), 0), "BoardBadWeight"),
        (lambda s, d: d.admit(s.people(70), 1_000_001), "BoardBadWeight"),
        (lambda s, d: d.remove(s.people(70)), "BoardUnknownMember"),
        (lambda s, d: d.setWeight(s.people(70), 5), "BoardUnknownMember"),
        (lambda s, d: d.setRule(0, (0, 5_001, DAY, DAY)), "BoardBadRule"),
        (lambda s, d: d.setRule(0, (5_000, 5_000, DAY, DAY)), "BoardBadRule"),
        (lambda s, d: d.setRule(0, (5_000, 10_001, DAY, DAY)), "BoardBadRule"),
        (lambda s, d: d.setRule(0, (5_000, 5_001, 0, DAY)), "BoardBadRule"),
        (lambda s, d: d.setRule(0, (5_000, 5_001, DAY, 60)), "BoardBadRule"),
        (lambda s, d: d.setRule(1, (6_000, 6_667, DAY, 3_600)), "BoardBadRule"),
    ],
)
def test_what_even_the_board_cannot_do(suite: Suite, call: object, error: str) -> None:
    board = suite["Board"]
    with suite.chain.refusing(error):
        suite.chain.ask(board.address, call(suite, board.data), sender=suite["TimelockController"].address)  # type: ignore[operator]


def test_the_last_member_stays(suite: Suite) -> None:
    board = suite["Board"]
    suite.decide(
        (board, board.data.remove(suite.people(2))),
        (board, board.data.remove(suite.people(3))),
        structural=True,
    )
    with suite.chain.refusing("BoardLastMember", member=suite.people(1)):
        lock = suite["TimelockController"].address
        suite.chain.ask(board.address, board.data.remove(suite.people(1)), sender=lock)


def test_a_board_is_founded_whole() -> None:
    chain = Sandbox()
    manager = chain.deploy("AccessManager", chain.account(0))
    lock = chain.deploy("TimelockController", 60, [], [], chain.account(0))
    rules = [(5_000, 5_001, DAY, DAY)] * 3
    chain.at("Board", chain.deploy("Board").address)
    with chain.refusing("BoardZeroMember"):
        chain.proxy("Board", manager, lock, [chain.account(1)], [1, 2], rules, [])


def test_an_upgrade_goes_through_the_timelock_and_keeps_the_state(suite: Suite) -> None:
    token = suite["SettlementToken"]
    token.send.mint(suite.people(30), 7, b"r" * 32, sender=suite.people(6))
    new = suite.chain.deploy("SettlementToken")
    for who in (0, *MEMBERS, GUARDIAN, OUTSIDER):
        with suite.chain.refusing("AccessManagedUnauthorized", caller=suite.people(who)):
            token.send.upgradeToAndCall(new, b"", sender=suite.people(who))
    suite.decide((token, token.data.upgradeToAndCall(new, b"")), structural=True)
    assert token.call.balanceOf(suite.people(30)) == 7
    with suite.chain.refusing("InvalidInitialization"):
        token.send.initialize(suite["AccessManager"], "a", "b", 0)
    with suite.chain.refusing("InvalidInitialization"):
        new.send.initialize(suite["AccessManager"], "a", "b", 0)


def test_a_guardians_pause_ends_and_cannot_be_renewed_at_once(suite: Suite) -> None:
    disputes, guardian = suite["Disputes"], suite.people(GUARDIAN)
    disputes.send.pause(sender=guardian)
    assert disputes.call.paused() is True
    with suite.chain.refusing("GovernedPaused"):
        disputes.send.open(NOTHING, NOTHING, [suite.people(1), suite.people(2)])
    suite.chain.warp(3 * DAY)
    assert disputes.call.paused() is False
    with suite.chain.refusing("GovernedPauseTooSoon"):
        disputes.send.pause(sender=guardian)
    suite.chain.warp(3 * DAY)
    disputes.send.pause(sender=guardian)
    with suite.chain.refusing("AccessManagedUnauthorized"):
        disputes.send.unpause(sender=guardian)
    lock = suite["TimelockController"].address
    suite.chain.warp(3 * DAY)
    with suite.chain.refusing("GovernedNotPaused"):
        suite.chain.ask(disputes.address, disputes.data.unpause(), sender=lock)
