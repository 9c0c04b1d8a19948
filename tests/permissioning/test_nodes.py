"""Who may be connected: the chain's rules in both forms of the interface, and who is never locked out."""

import json
from pathlib import Path
from typing import Any

import pytest

from node.execution.evm.executor import FastExecutor
from node.execution.py_evm import PyEvmExecutor
from node.permissioning.allowlist import AllowListFile
from node.permissioning.contract import ContractCaller
from node.permissioning.node_rules import ChainNodeRules
from node.permissioning.nodes import NodeRules
from node.permissioning.policy import Meeting
from node.primitives.block import Header
from node.primitives.ids import Hash32
from tests.chain.harness import ACCOUNTS, ChainMaker, make_spec, sign
from tests.permissioning.node_contract import INGRESS, VERSION_5, VERSION_6, node_alloc, slot_of
from tests.permissioning.rules_contract import set_slot

US, FRIEND, OTHER, STRANGER = (bytes([n]) * 64 for n in range(1, 5))
OWNER = ACCOUNTS[0]


class World:
    """A chain with node rules, of which `lag` blocks are not final yet."""

    def __init__(self, tmp_path: Path, code: bytes = VERSION_6, *allowed: bytes, active: bool = True) -> None:
        alloc = node_alloc(code, (US, *allowed), active=active)
        self.maker = ChainMaker(make_spec(alloc=alloc), executor=FastExecutor(PyEvmExecutor()))
        self.code = code
        self.lag = 0
        self.lost = False
        self.static: set[bytes] = set()
        self.readable = True
        self.cache = tmp_path / "permissions.json"
        self.nonce = 0
        self.chain = self.open()

    def open(self) -> ChainNodeRules:
        caller = ContractCaller(self.maker.executor, self.maker.spec)
        return ChainNodeRules(caller, self, self.state_at, INGRESS, US, self.cache)

    def rules(self, file: AllowListFile | None = None, **more: Any) -> NodeRules:
        return NodeRules(
            US, file=file, chain=self.chain, static=lambda: self.static, is_lost=lambda: self.lost, **more
        )

    @property
    def head(self) -> Header:
        return self.maker.head

    def finalized_header(self) -> Header:
        header = self.maker.reader.header_by_number(max(0, self.head.number - self.lag))
        assert header is not None
        return header

    def state_at(self, block_hash: Hash32) -> Any:
        from node.primitives.errors import StorageError

        if not self.readable:
            raise StorageError("the disk does not answer")
        return self.maker.reader.state_at(block_hash)

    def set(self, slot: int, value: int) -> None:
        data = set_slot(slot, value)
        self.maker.extend([sign(OWNER, nonce=self.nonce, to=INGRESS, gas=200_000, data=data)])
        self.nonce += 1

    def allow(self, identity: bytes, allowed: bool = True) -> None:
        self.set(slot_of(self.code, identity), int(allowed))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, VERSION_6, FRIEND)


@pytest.mark.parametrize("code", [VERSION_6, VERSION_5], ids=["version 6", "version 5"])
def test_both_forms_of_the_interface_are_found_and_asked(tmp_path: Path, code: bytes) -> None:
    world = World(tmp_path, code, FRIEND)
    for inbound in (True, False):
        for host in ("10.0.0.1", "fd00::1", "node.example", None):
            for identity in (FRIEND, STRANGER):
                meeting = Meeting(id=identity, host=host, port=30303, inbound=inbound)
                decision = world.rules().decide(meeting)
                assert decision.allowed is (identity == FRIEND)
                assert (decision.rule, decision.block) == ("contract", 0)


def test_an_ingress_without_rules_leaves_it_to_others(tmp_path: Path) -> None:
    world = World(tmp_path, VERSION_6, active=False)
    assert world.rules().decide(Meeting(id=STRANGER)).rule == "open"
    world.set(2, 1)
    assert not world.rules().decide(Meeting(id=STRANGER)).allowed


def test_a_right_is_there_when_it_is_final_and_gone_with_the_head(world: World) -> None:
    world.lag = 2
    world.allow(OTHER)
    rules = world.rules()
    assert not rules.decide(Meeting(id=OTHER)).allowed
    world.maker.extend_by(2)
    assert rules.decide(Meeting(id=OTHER)).allowed
    world.allow(OTHER, False)
    decision = rules.decide(Meeting(id=OTHER))
    assert (decision.allowed, decision.block) == (False, world.head.number)


def test_rules_that_cannot_be_read_or_do_not_answer_let_in_nobody_new(tmp_path: Path) -> None:
    world = World(tmp_path, VERSION_6, FRIEND)
    world.static = {OTHER}
    world.readable = False
    assert world.rules().decide(Meeting(id=FRIEND)).rule == "no-answer"
    assert world.rules().decide(Meeting(id=OTHER, inbound=True)).rule == "static"
    world.readable = True
    world.set(slot_of(VERSION_6, FRIEND), 7)  # neither yes nor no
    assert world.rules().decide(Meeting(id=FRIEND)).rule == "no-answer"


def test_verdicts_outlive_the_database(world: World, tmp_path: Path) -> None:
    world.maker.extend_by(5)
    rules = world.rules()
    assert rules.decide(Meeting(id=FRIEND)).allowed
    assert not rules.decide(Meeting(id=STRANGER)).allowed
    world.chain.save()
    # The same node with an empty database, whose genesis allows nobody of today.
    anew = World(tmp_path, VERSION_6, STRANGER)
    assert anew.rules().decide(Meeting(id=FRIEND)).rule == "cache"
    assert anew.rules().decide(Meeting(id=FRIEND)).allowed
    decision = anew.rules().decide(Meeting(id=STRANGER))
    assert (decision.allowed, decision.rule, decision.block) == (False, "cache", 5)
    anew.chain.save()
    assert json.loads(anew.cache.read_text())["block"] == 5, (
        "an older chain does not overwrite newer verdicts"
    )
    anew.maker.extend_by(5)
    assert anew.rules().decide(Meeting(id=STRANGER)).rule == "contract"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"ingress": 7}', '{"ingress": "0x", "verdicts": []}'])
def test_a_broken_cache_is_no_cache(world: World, text: str) -> None:
    world.cache.write_text(text)
    world.chain = world.open()
    assert world.rules().decide(Meeting(id=FRIEND)).rule == "contract"


def test_a_node_whose_chain_allows_only_the_dead_can_still_dial_whom_its_operator_named(world: World) -> None:
    """besu#528: our chain is old, FRIEND is gone, and OTHER, whom only newer blocks allow, cannot be met."""
    rules = world.rules()
    world.static = {OTHER}
    assert not rules.decide(Meeting(id=OTHER)).allowed
    world.lost = True
    decision = rules.decide(Meeting(id=OTHER))
    assert (decision.allowed, decision.rule) == (True, "bootstrap")
    assert not rules.decide(Meeting(id=OTHER, inbound=True)).allowed, "it comes to us by its own rules only"
    assert not rules.decide(Meeting(id=STRANGER)).allowed
    # Caught up to the block that allows it, the rules are in force again.
    world.lost = False
    world.allow(OTHER)
    assert rules.decide(Meeting(id=OTHER)).rule == "contract"


def members(tmp_path: Path, *validators: bytes, others: tuple[bytes, ...] = ()) -> AllowListFile:
    path = tmp_path / "members.json"
    entries = [
        {"id": each.hex(), "organisation": "north", "tier": "core", "validator": each in validators}
        for each in (*validators, *others)
    ]
    path.write_text(json.dumps({"members": entries}))
    return AllowListFile(path)


def test_no_rule_on_the_chain_parts_two_validators(world: World, tmp_path: Path) -> None:
    rules = world.rules(members(tmp_path, US, OTHER, others=(STRANGER,)))
    assert rules.decide(Meeting(id=OTHER)).rule == "validators"
    assert rules.decide(Meeting(id=OTHER, inbound=True)).rule == "validators"
    assert rules.decide(Meeting(id=STRANGER)).rule == "contract", "another member is the chain's to judge"
    assert not rules.decide(Meeting(id=STRANGER)).allowed


def test_without_a_file_a_validators_named_peers_are_its_fellows(world: World) -> None:
    world.static = {OTHER}
    assert world.rules(seals=True).decide(Meeting(id=OTHER)).rule == "validators"
    assert world.rules(seals=False).decide(Meeting(id=OTHER)).rule == "contract"


def test_both_must_agree_and_the_operator_has_the_last_word(world: World, tmp_path: Path) -> None:
    file = members(tmp_path, US, others=(FRIEND, OTHER))
    rules = world.rules(file)
    assert rules.decide(Meeting(id=FRIEND)).allowed
    assert not rules.decide(Meeting(id=OTHER)).allowed, "in the file, not on the chain"
    world.allow(STRANGER)
    assert rules.decide(Meeting(id=STRANGER)).rule == "file", "on the chain, not in the file"
    rules.blocked = frozenset({FRIEND})
    assert rules.decide(Meeting(id=FRIEND)).rule == "blocked"
    assert rules.is_member(FRIEND)
    assert not rules.is_member(STRANGER)
    assert rules.may_meet(FRIEND, OTHER)
    assert world.rules().may_meet(FRIEND, STRANGER), "no file knows tiers"


def test_without_a_readable_file_the_named_peers_stay_and_nobody_else_comes(
    world: World, tmp_path: Path
) -> None:
    world.static = {OTHER}
    rules = world.rules(AllowListFile(tmp_path / "nothing.toml"))
    assert rules.decide(Meeting(id=FRIEND)).rule == "unreadable"
    assert rules.decide(Meeting(id=OTHER)).rule == "static"


def test_without_file_and_rules_everybody_may_connect() -> None:
    assert NodeRules(US).decide(Meeting(id=STRANGER)).rule == "open"
