"""Code and roles change by a proposal that was passed, queued and waited for, and in no other way.

Members, a guardian, strangers and the clock act in any order. A model says of every try whether it may
succeed, and what every contract runs.
"""

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from contracts.suite import IMPLEMENTATION_SLOT, Role
from tests.contracts.fakes import attempted
from tests.contracts.sandbox import Contract, Done, Sandbox, canonical
from tests.contracts.suite import (
    ADMIN,
    GUARDIAN,
    MEMBERS,
    ORDINARY,
    OUTSIDER,
    REGISTRAR,
    STRUCTURAL,
    Suite,
    build,
)

WEIGHTS = dict(zip(MEMBERS, (40, 35, 25), strict=True))
PEOPLE = (*MEMBERS, GUARDIAN, REGISTRAR, OUTSIDER, ADMIN)
TARGETS = ("Disputes", "ContractNames", "Board")
PICK = st.integers(0, 1_000)
AGAINST, FOR, ABSTAIN = 1, 2, 3
_BUILT: list[tuple[Suite, dict[str, list[Contract]], object]] = []


@dataclass
class Motion:
    """What the model knows of a proposal."""

    proposer: int
    actions: list[tuple[str, bytes]]
    effect: tuple[str, str] | int
    """(contract, new code), or who becomes GUARDIAN."""
    ends: int
    answers: dict[int, int] = field(default_factory=dict)
    queued_until: int | None = None
    held: bool = False
    over: bool = False

    def passed(self) -> bool:
        weight = {each: sum(WEIGHTS[m] for m, a in self.answers.items() if a == each) for each in (1, 2, 3)}
        decided = weight[FOR] + weight[AGAINST]
        quorate = (decided + weight[ABSTAIN]) * 10_000 >= 100 * STRUCTURAL.quorum
        return weight[FOR] > 0 and quorate and weight[FOR] * 10_000 >= decided * STRUCTURAL.threshold


def _built() -> tuple[Suite, dict[str, list[Contract]], object]:
    if not _BUILT:
        suite = build()
        fresh = {name: [suite.chain.deploy(name) for _ in range(2)] for name in TARGETS}
        _BUILT.append((suite, fresh, suite.chain.snapshot()))
    return _BUILT[0]


class Timelock(RuleBasedStateMachine):
    """Each rule asks the chain and the model; they must agree on yes or no."""

    def __init__(self) -> None:
        super().__init__()
        self.suite, self.fresh, snapshot = _built()
        self.chain: Sandbox = self.suite.chain
        self.chain.restore(snapshot)
        self.board = self.suite["Board"]
        self.motions: dict[int, Motion] = {}
        self.runs = {name: self.suite.report.addresses[f"{name}.implementation"] for name in TARGETS}
        self.guardians = {GUARDIAN}

    def attempt(self, allowed: bool, who: int, contract: Contract, function: str, *arguments: object) -> bool:
        deed = contract.send[function]
        outcome = attempted(lambda: deed(*arguments, sender=self.suite.people(who)))
        assert isinstance(outcome, Done) == allowed, f"{contract.name}.{function} by {who}: {outcome}"
        return allowed

    def pick(self, place: int) -> tuple[int, Motion]:
        return sorted(self.motions.items())[place % len(self.motions)]

    @rule(who=st.sampled_from(PEOPLE), name=st.sampled_from(TARGETS), version=st.integers(0, 1))
    def propose_code(self, who: int, name: str, version: int) -> None:
        contract, code = self.suite[name], self.fresh[name][version].address
        call = contract.data.upgradeToAndCall(code, b"")
        self._propose(who, [(contract.address, call)], (name, code))

    @rule(who=st.sampled_from(PEOPLE), friend=st.sampled_from(PEOPLE))
    def propose_guardian(self, who: int, friend: int) -> None:
        manager = self.suite["AccessManager"]
        call = manager.data.grantRole(int(Role.GUARDIAN), self.suite.people(friend), 0)
        self._propose(who, [(manager.address, call)], friend)

    def _propose(self, who: int, actions: list[tuple[str, bytes]], effect: tuple[str, str] | int) -> None:
        # Never as an everyday decision.
        self.attempt(False, who, self.board, "propose", 0, actions, bytes(32))
        now = self.chain.now
        if self.attempt(who in MEMBERS, who, self.board, "propose", 1, actions, bytes(32)):
            ends = now + STRUCTURAL.voting_period_s
            self.motions[len(self.motions) + 1] = Motion(who, actions, effect, ends)

    @precondition(lambda self: self.motions)
    @rule(
        place=PICK, who=st.sampled_from((*MEMBERS, *MEMBERS, OUTSIDER)), answer=st.sampled_from([1, 2, 2, 3])
    )
    def vote(self, place: int, who: int, answer: int) -> None:
        number, motion = self.pick(place)
        open_ = not motion.over and motion.queued_until is None and self.chain.now < motion.ends
        allowed = open_ and who in MEMBERS and who not in motion.answers
        if self.attempt(allowed, who, self.board, "vote", number, answer, bytes(32)):
            motion.answers[who] = answer

    @precondition(lambda self: self.motions)
    @rule(place=PICK)
    def all_agree(self, place: int) -> None:
        for who in MEMBERS:
            self.vote(place, who, FOR)

    @precondition(lambda self: self.motions)
    @rule(place=PICK, who=st.sampled_from(PEOPLE))
    def queue(self, place: int, who: int) -> None:
        number, motion = self.pick(place)
        now = self.chain.now
        allowed = not motion.over and motion.queued_until is None and now >= motion.ends and motion.passed()
        if self.attempt(allowed, who, self.board, "queue", number, motion.actions):
            motion.queued_until = now + STRUCTURAL.delay_s

    @precondition(lambda self: self.motions)
    @rule(place=PICK, who=st.sampled_from(PEOPLE))
    def hold(self, place: int, who: int) -> None:
        number, motion = self.pick(place)
        waiting = not motion.over and motion.queued_until is not None and not motion.held
        if self.attempt(waiting and who in self.guardians, who, self.board, "hold", number):
            assert motion.queued_until is not None
            motion.queued_until += STRUCTURAL.delay_s
            motion.held = True

    @precondition(lambda self: self.motions)
    @rule(place=PICK, who=st.sampled_from(PEOPLE))
    def execute(self, place: int, who: int) -> None:
        number, motion = self.pick(place)
        ripe = motion.queued_until is not None and self.chain.now >= motion.queued_until
        if self.attempt(ripe and not motion.over, who, self.board, "execute", number, motion.actions):
            motion.over = True
            if isinstance(motion.effect, int):
                self.guardians.add(motion.effect)
            else:
                self.runs[motion.effect[0]] = motion.effect[1]

    @precondition(lambda self: self.motions)
    @rule(place=PICK, held=st.booleans(), patience=st.sampled_from([0, 1, 2, 2]))
    def carry(self, place: int, held: bool, patience: int) -> None:
        """The whole way of a proposal, by people who wait for less than they should, or for long enough."""
        self.all_agree(place)
        self.wait(STRUCTURAL.voting_period_s)
        self.queue(place, OUTSIDER)
        if held:
            self.hold(place, GUARDIAN)
        self.wait(patience * STRUCTURAL.delay_s)
        self.execute(place, OUTSIDER)

    @precondition(lambda self: self.motions)
    @rule(place=PICK, other=PICK, who=st.sampled_from(PEOPLE))
    def execute_something_else(self, place: int, other: int, who: int) -> None:
        number, motion = self.pick(place)
        actions = self.pick(other)[1].actions
        if actions != motion.actions:
            self.attempt(False, who, self.board, "execute", number, actions)
            self.attempt(False, who, self.board, "queue", number, actions)

    @precondition(lambda self: self.motions)
    @rule(place=PICK, who=st.sampled_from(PEOPLE))
    def go_around_the_board(self, place: int, who: int) -> None:
        number, motion = self.pick(place)
        lock, manager = self.suite["TimelockController"], self.suite["AccessManager"]
        (target, call) = motion.actions[0]
        batch = ([target], [0], [call], bytes(32), number.to_bytes(32, "big"))
        self.attempt(False, who, lock, "executeBatch", *batch)
        self.attempt(False, who, lock, "scheduleBatch", *batch, STRUCTURAL.delay_s)
        self.attempt(False, who, manager, "execute", target, call)
        self.attempt(False, who, manager, "schedule", target, call, 0)

    @precondition(lambda self: self.motions)
    @rule(place=PICK, who=st.sampled_from((*MEMBERS, OUTSIDER)))
    def cancel(self, place: int, who: int) -> None:
        number, motion = self.pick(place)
        running = self.chain.now < motion.ends or motion.passed()
        allowed = not motion.over and motion.queued_until is None and running and who == motion.proposer
        if self.attempt(allowed, who, self.board, "cancel", number):
            motion.over = True

    @rule(seconds=st.sampled_from([ORDINARY.delay_s, STRUCTURAL.delay_s, STRUCTURAL.voting_period_s]))
    def wait(self, seconds: int) -> None:
        self.chain.warp(seconds)

    @invariant()
    def everything_runs_what_was_decided(self) -> None:
        for name, code in self.runs.items():
            place = canonical(self.suite[name].address)
            assert self.chain.world.storage(place, IMPLEMENTATION_SLOT) == int(code, 16), name

    @invariant()
    def roles_are_those_decided(self) -> None:
        manager, lock = self.suite["AccessManager"].call, self.suite["TimelockController"].address
        assert manager.hasRole(int(Role.BOARD), lock) == (True, 0)
        for place in PEOPLE:
            who = self.suite.people(place)
            assert manager.hasRole(int(Role.BOARD), who)[0] is False
            assert manager.hasRole(int(Role.GUARDIAN), who)[0] is (place in self.guardians)


Timelock.TestCase.settings = settings(max_examples=8, stateful_step_count=20)
TestTimelock = Timelock.TestCase
