"""The board's commands on a real board: from a document to what it changes, and every refusal by its name."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from contracts import artifacts, board, deploy
from contracts.board import BoardRoom
from contracts.deploy import DeployFailed, entry_of, runs_of
from contracts.proposals import Answer, Stage, draft_of, namespaces
from contracts.registry import Registry
from contracts.rpc_chain import LATEST
from contracts.suite import name_id
from node.primitives.ids import hex_of
from tests.contracts.sandbox import Reverted, canonical
from tests.contracts.suite import (
    GENESIS,
    GUARDIAN,
    MEMBERS,
    ORDINARY,
    OUTSIDER,
    STRUCTURAL,
    SandboxChain,
    Suite,
    charter_of,
)

REASON = bytes(32)


@dataclass
class Seat(SandboxChain):
    """contracts.board.Ledger over a sandbox, for one account."""

    place: int = 0
    written: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sender = self.chain.account(self.place)

    def call(self, to: str | None, data: bytes, block: str = LATEST) -> bytes | None:
        return super().call(to, data)

    def refusal(self, to: str, data: bytes) -> bytes | None:
        try:
            self.chain.ask(to, data, sender=self.sender)
        except Reverted as error:
            return error.output
        return None

    def receipts(self, transactions: Sequence[tuple[str | None, bytes]]) -> list[dict[str, Any]]:
        found = []
        for to, data in transactions:
            done = self.chain.transact(to, data, sender=self.sender)
            logs = [
                {"topics": [hex_of(topic) for topic in log.topics], "data": hex_of(log.data)}
                for log in done.logs
            ]
            self.written += logs
            found.append({"logs": logs})
        return found

    def logs(self, address: str, topics: Sequence[str]) -> list[dict[str, Any]]:
        return [each for each in self.written if each["topics"][: len(topics)] == list(topics)]


class House:
    """A deployed suite, its registry, and a seat for everybody."""

    def __init__(self, suite: Suite) -> None:
        self.suite = suite
        self.registry = Registry(GENESIS)
        for name, address in suite.report.addresses.items():
            kind = name.removesuffix(".implementation")
            self.registry.entries[name] = entry_of(name, address, kind)
        self.written: list[dict[str, Any]] = []

    def seat(self, place: int) -> BoardRoom:
        return BoardRoom(Seat(self.suite.chain, place=place, written=self.written), self.registry)

    def carry(self, document: dict[str, Any], rule: Any) -> int:
        """Propose, vote, queue, execute."""
        number = self.seat(MEMBERS[0]).propose(draft_of(document, self.registry))
        for place in MEMBERS:
            self.seat(place).vote(number, Answer.FOR, REASON)
        self.suite.chain.warp(rule.voting_period_s)
        self.seat(OUTSIDER).queue(number)
        self.suite.chain.warp(rule.delay_s)
        self.seat(OUTSIDER).execute(number)
        return number


@pytest.fixture
def house(deployed: Suite) -> House:
    return House(deployed)


def adding(house: House, place: int) -> dict[str, Any]:
    newcomer = house.suite.people(place)
    return {
        "class": "ordinary",
        "description": "a validator more",
        "actions": [
            {"contract": "Validators", "function": "add", "arguments": [newcomer, {"name": "alpha"}]}
        ],
    }


def test_a_document_becomes_a_decision(house: House) -> None:
    number = house.carry(adding(house, 50), ORDINARY)
    newcomer = house.suite.people(50)
    assert newcomer in house.suite["Validators"].call.getValidators()
    it = house.seat(OUTSIDER).standing(number)
    assert (it.stage, it.votes_for, it.votes_against, it.quorum) == (Stage.EXECUTED, 100, 0, 0.5)
    assert it.actions == (f"Validators.add({newcomer}, 0x{name_id('alpha').hex()})",)


def test_status_says_where_each_stands_the_latest_first(house: House) -> None:
    draft = [draft_of(adding(house, place), house.registry) for place in (50, 51)]
    numbers = [house.seat(MEMBERS[0]).propose(each) for each in draft]
    house.seat(MEMBERS[1]).vote(numbers[0], Answer.AGAINST, REASON)
    found = list(house.seat(OUTSIDER).standings())
    assert [(each.number, each.stage, each.votes_against) for each in found] == [
        (numbers[1], Stage.VOTING, 0),
        (numbers[0], Stage.VOTING, 35),
    ]
    assert found[0].voting_ends > house.suite.chain.now
    assert found[0].executable_from == 0


def test_refusals_have_the_name_of_the_error(house: House) -> None:
    draft = draft_of(adding(house, 50), house.registry)
    with pytest.raises(DeployFailed, match="BoardNotMember"):
        house.seat(OUTSIDER).propose(draft)
    number = house.seat(MEMBERS[0]).propose(draft)
    with pytest.raises(DeployFailed, match="BoardWrongStage"):
        house.seat(OUTSIDER).queue(number)
    with pytest.raises(DeployFailed, match="BoardNotProposer"):
        house.seat(MEMBERS[1]).cancel(number)
    house.seat(MEMBERS[0]).cancel(number)
    assert house.seat(OUTSIDER).standing(number).stage is Stage.CANCELLED
    with pytest.raises(DeployFailed, match="no proposal 99"):
        house.seat(OUTSIDER).execute(99)


def test_a_guardian_holds_what_is_queued(house: House) -> None:
    number = house.seat(MEMBERS[0]).propose(draft_of(adding(house, 50), house.registry))
    for place in MEMBERS:
        house.seat(place).vote(number, Answer.FOR, REASON)
    house.suite.chain.warp(ORDINARY.voting_period_s)
    house.seat(OUTSIDER).queue(number)
    before = house.seat(OUTSIDER).standing(number).executable_from
    house.seat(GUARDIAN).hold(number)
    assert house.seat(OUTSIDER).standing(number).executable_from == before + STRUCTURAL.delay_s


def test_without_a_board_there_is_no_room(house: House) -> None:
    with pytest.raises(DeployFailed, match="contracts deploy"):
        BoardRoom(Seat(house.suite.chain), Registry(GENESIS))


def test_only_what_has_new_code_is_upgraded(house: House) -> None:
    with pytest.raises(DeployFailed, match="runs the code of its artifact already"):
        house.seat(OUTSIDER).upgrade(["Billing"])
    with pytest.raises(DeployFailed, match=r"cannot be upgraded; there are AccessPolicy, "):
        house.seat(OUTSIDER).upgrade(["AccessManager"])


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch) -> artifacts.Artifact:
    """SettlementToken as a later version of this program might have it: made by the next compiler."""
    real, compiler = artifacts.load("SettlementToken"), (b"solcC\x00\x08\x25", b"solcC\x00\x08\x26")
    later = replace(
        real,
        bytecode=real.bytecode.replace(*compiler),
        deployed_bytecode=real.deployed_bytecode.replace(*compiler),
    )
    assert later != real

    def load(name: str) -> artifacts.Artifact:
        return later if name == "SettlementToken" else artifacts.load(name)

    for module in (board, deploy):
        monkeypatch.setattr(module, "load", load)
    return later


def test_an_upgrade_whose_state_lies_otherwise_never_reaches_the_chain(house: House, newer: object) -> None:
    entry = house.registry.entries["SettlementToken.implementation"]
    assert entry.layout == namespaces(artifacts.load("SettlementToken"))
    (members,) = [m for n, m in entry.layout.items() if n.endswith("SettlementToken")]
    members.insert(0, "older: mapping(address => bool)")
    with pytest.raises(DeployFailed, match="would misread what is stored"):
        house.seat(OUTSIDER).upgrade(["SettlementToken"])
    entry.layout = None
    with pytest.raises(DeployFailed, match="does not know how its state lies"):
        house.seat(OUTSIDER).upgrade(["SettlementToken"])


def test_an_upgrade_is_prepared_decided_and_then_what_deployment_verifies(
    house: House, newer: artifacts.Artifact
) -> None:
    chain = house.suite.chain
    document = house.seat(OUTSIDER).upgrade(["SettlementToken"])
    with pytest.raises(DeployFailed, match="proposal of the board"):
        deploy.deploy(SandboxChain(chain), charter_of(chain), house.registry, lambda line: None)
    house.carry(document, STRUCTURAL)
    proxy = house.suite["SettlementToken"].address
    assert newer.same_code(chain.code_at(runs_of(SandboxChain(chain), proxy)))
    report = deploy.deploy(SandboxChain(chain), charter_of(chain), house.registry, lambda line: None)
    assert (report.deployed, report.steps) == ((), ())
    entry = house.registry.entries["SettlementToken.implementation"]
    assert canonical(entry.address) == canonical(document["actions"][0]["arguments"][0])
