"""A proposal's document becomes exactly the calls it names, and calls become words again."""

from typing import Any

import pytest

from contracts.proposals import BadProposal, Class, described, draft_of, moved_members
from contracts.registry import Entry, Registry
from contracts.suite import name_id
from node.primitives.crypto import keccak256
from tests.contracts.sandbox import Sandbox

CHAIN = Sandbox()
VALIDATORS, BILLING, ALICE = (CHAIN.account(place) for place in range(3))
REGISTRY = Registry(
    "1:0x00",
    None,
    {
        "Validators": Entry(VALIDATORS, "ERC1967Proxy"),
        "Billing": Entry(BILLING, "ERC1967Proxy"),
        "Billing.implementation": Entry(ALICE, "Billing", {}),
    },
)
ADD: dict[str, Any] = {"contract": "Validators", "function": "add", "arguments": [ALICE, {"name": "alpha"}]}


def document(*actions: Any, **more: Any) -> dict[str, Any]:
    return {"class": "ordinary", "description": "why", "actions": list(actions), **more}


def test_a_call_by_name_is_the_call_in_bytes() -> None:
    draft = draft_of(document(ADD), REGISTRY)
    expected = CHAIN.at("Validators", VALIDATORS).data.add(ALICE, name_id("alpha"))
    assert (draft.kind, draft.actions) == (Class.ORDINARY, ((VALIDATORS, expected),))
    assert draft.description == keccak256(b"why")
    (action,) = draft.actions
    assert described(action, REGISTRY) == f"Validators.add({ALICE}, 0x{name_id('alpha').hex()})"


def test_structs_lists_and_addresses_of_the_suite() -> None:
    rule = {"contract": "Board", "function": "setRule", "arguments": [1, [5_000, "5001", 60, 60]]}
    registry = Registry("1:0x00", None, {**REGISTRY.entries, "Board": Entry(ALICE, "ERC1967Proxy")})
    structural = {
        "contract": "Board",
        "function": "setStructural",
        "arguments": [{"address": "Billing"}, True],
    }
    draft = draft_of(document(rule, structural, **{"class": "structural"}), registry)
    board = CHAIN.at("Board", ALICE).data
    assert [data for _, data in draft.actions] == [
        board.setRule(1, (5_000, 5_001, 60, 60)),
        board.setStructural(BILLING, True),
    ]
    assert described(draft.actions[0], registry) == "Board.setRule(1, [5000, 5001, 60, 60])"


def test_a_call_in_bytes_is_taken_as_it_is() -> None:
    draft = draft_of(document({"target": ALICE, "data": "0xabcd"}), REGISTRY)
    assert draft.actions == ((ALICE, b"\xab\xcd"),)
    # The code behind a proxy is nobody's target: only its address says what it is.
    assert described(draft.actions[0], REGISTRY) == f"{ALICE}: 0xabcd"
    assert described((BILLING, b"\xff\xff\xff\xff"), REGISTRY) == "Billing: 0xffffffff"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "a JSON object"),
        (document(ADD, kind="ordinary"), "kind is not known here"),
        (document(ADD, **{"class": "Ordinary"}), "there are ordinary, structural, emergency"),
        (document(ADD, description=""), "description is missing"),
        (document(), "one or more"),
        (document("add"), r"actions\[0\] is no JSON object"),
        (document(ADD, {"contract": "Validators"}), r"actions\[1\] has contract; contract, function"),
        (document(ADD | {"contract": "Validator"}), "there are Billing, Validators"),
        (document(ADD | {"function": "isValidator"}), "no function 'isValidator' that changes anything"),
        (document(ADD | {"arguments": [ALICE]}), r"add\(address,bytes32\) takes 2 arguments"),
        (document(ADD | {"arguments": [ALICE.lower()[:-1], "0x"]}), "an address is needed"),
        (document(ADD | {"arguments": [{"address": "Sla"}, "0x"]}), "no contract 'Sla'"),
        (document(ADD | {"arguments": [ALICE, "alpha"]}), "hex is needed"),
        (document(ADD | {"arguments": [ALICE, "0x" + "00" * 33]}), r"actions\[0\]: .*bytes32"),
        (document({"target": "0x00", "data": "0x"}), "an address is needed"),
        (document({"target": ALICE, "data": "xyz"}), "hex is needed"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(given: Any, said: str) -> None:
    with pytest.raises(BadProposal, match=said):
        draft_of(given, REGISTRY)


def test_an_address_with_a_wrong_checksum_is_a_typing_error() -> None:
    swapped = ALICE.swapcase().replace("0X", "0x")
    with pytest.raises(BadProposal, match="checksum"):
        draft_of(document(ADD | {"arguments": [swapped, {"name": "alpha"}]}), REGISTRY)


def test_storage_may_grow_at_the_end_and_nowhere_else() -> None:
    before = {"a": ["x: uint256", "y: address"], "b": ["z: bool"]}
    assert moved_members(before, {"a": ["x: uint256", "y: address", "new: bool"], "b": ["z: bool"]}) == []
    assert len(moved_members(before, {"a": ["y: address", "x: uint256"], "b": ["z: bool"]})) == 1
    assert len(moved_members(before, {"a": ["x: uint256", "y: address"]})) == 1
    assert len(moved_members(before, {"a": ["x: uint128", "y: address"], "b": []})) == 2
