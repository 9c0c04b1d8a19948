"""The whole suite on a sandbox, deployed by the real script, with people in every role."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from contracts.deploy import DeployFailed, Report, deploy
from contracts.registry import Registry
from contracts.suite import Charter, Role, Rule
from tests.contracts.sandbox import Contract, Done, Reverted, Sandbox, canonical

DEPLOYER = 0
MEMBERS = (1, 2, 3)
GUARDIAN, REGISTRAR, SETTLER, ISSUER, ARBITER, OUTSIDER = 4, 5, 6, 7, 8, 9
ADMIN = 10
VALIDATORS = (20, 21, 22)
DAY = 86_400
ORDINARY = Rule(5_000, 5_001, 2 * DAY, DAY)
STRUCTURAL = Rule(6_000, 6_667, 3 * DAY, 2 * DAY)
EMERGENCY = Rule(6_000, 6_000, DAY, 3_600)
GENESIS = "325000:sandbox"


@dataclass
class SandboxChain:
    """contracts.deploy.Chain over a sandbox; `crash_after` transactions it dies."""

    chain: Sandbox
    crash_after: int | None = None
    sent: int = 0
    sender: str = ""

    def __post_init__(self) -> None:
        self.sender = self.chain.account(DEPLOYER)

    def next_nonce(self) -> int:
        account = self.chain.world.account(canonical(self.sender))
        return account.nonce if account else 0

    def code(self, address: str) -> bytes:
        return self.chain.code_at(address)

    def slot(self, address: str, number: int) -> int:
        return self.chain.world.storage(canonical(address), number)

    def call(self, to: str | None, data: bytes) -> bytes | None:
        try:
            return self.chain.ask(to, data)
        except Reverted:
            return None

    def send(self, transactions: Sequence[tuple[str | None, bytes]]) -> None:
        for to, data in transactions:
            if self.crash_after is not None and self.sent >= self.crash_after:
                raise KeyboardInterrupt
            self.sent += 1
            try:
                self.chain.transact(to, data, sender=self.sender)
            except Reverted as error:
                raise DeployFailed(str(error)) from error


@dataclass
class Suite:
    """The deployed contracts by name, and what a board does."""

    chain: Sandbox
    report: Report
    known: dict[str, Contract] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Contract:
        if name not in self.known:
            self.known[name] = self.chain.at(name, self.report.addresses[name])
        return self.known[name]

    def people(self, place: int) -> str:
        return self.chain.account(place)

    def decide(self, *actions: tuple[Contract, bytes], structural: bool = False) -> Done:
        """Propose, vote, wait, queue, wait, execute."""
        board, listed = self["Board"], [(target.address, data) for target, data in actions]
        number = self.propose(*actions, structural=structural)
        for place in MEMBERS:
            board.send.vote(number, 2, bytes(32), sender=self.people(place))
        self.chain.warp((STRUCTURAL if structural else ORDINARY).voting_period_s)
        board.send.queue(number, listed)
        self.chain.warp((STRUCTURAL if structural else ORDINARY).delay_s)
        return board.send.execute(number, listed)

    def propose(
        self, *actions: tuple[Contract, bytes], structural: bool = False, emergency: bool = False
    ) -> int:
        """The proposal's number."""
        listed = [(target.address, data) for target, data in actions]
        kind = 2 if emergency else int(structural)
        return self["Board"].send.propose(kind, listed, bytes(32), sender=self.people(MEMBERS[0])).output


def charter_of(chain: Sandbox) -> Charter:
    """Three members of weights 40, 35, 25; one holder for each role."""
    people = chain.account
    return Charter(
        members={people(place): weight for place, weight in zip(MEMBERS, (40, 35, 25), strict=True)},
        ordinary=ORDINARY,
        structural=STRUCTURAL,
        emergency=EMERGENCY,
        validators={people(place): "operator" for place in VALIDATORS},
        organisations={"operator": people(ADMIN)},
        holders={
            Role.GUARDIAN: (people(GUARDIAN),),
            Role.REGISTRAR: (people(REGISTRAR),),
            Role.SETTLER: (people(SETTLER),),
            Role.ISSUER: (people(ISSUER),),
            Role.ARBITER: (people(ARBITER),),
        },
    )


def build(chain: Sandbox | None = None) -> Suite:
    """A sandbox with the suite on it."""
    chain = chain or Sandbox()
    report = deploy(SandboxChain(chain), charter_of(chain), Registry(GENESIS), lambda line: None)
    suite = Suite(chain, report)
    for name in sorted(name for name in report.addresses if "." not in name):
        suite[name]
    return suite
