"""The validator set: changed by the board, never empty, the same list for everybody."""

import pytest

from node.primitives.crypto import keccak256
from tests.contracts.suite import VALIDATORS, Suite

ORG = b"o" * 32
SELECTOR = keccak256(b"getValidators()")[:4]


def test_the_founding_set(deployed: Suite) -> None:
    validators = deployed["Validators"]
    expected = sorted((deployed.people(place) for place in VALIDATORS), key=lambda each: int(each, 16))
    assert validators.call.getValidators() == expected
    assert deployed.chain.ask(validators.address, SELECTOR)[31] == 32
    assert validators.call.isValidator(expected[0]) is True
    assert validators.call.organisationOf(expected[0]) == keccak256(b"operator")
    assert validators.call.isValidator(deployed.people(9)) is False


def test_add_remove_replace(deployed: Suite) -> None:
    validators, people = deployed["Validators"], deployed.people
    deployed.decide(
        (validators, validators.data.add(people(50), ORG)),
        (validators, validators.data.replace(people(20), people(51))),
        (validators, validators.data.remove(people(21))),
    )
    expected = sorted((people(22), people(50), people(51)), key=lambda each: int(each, 16))
    assert validators.call.getValidators() == expected
    assert validators.call.organisationOf(people(51)) == keccak256(b"operator")
    assert validators.call.organisationOf(people(20)) == bytes(32)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda s, d: d.add("0x" + "00" * 20, ORG), "ValidatorsZero"),
        (lambda s, d: d.add(s.people(20), ORG), "ValidatorsKnown"),
        (lambda s, d: d.remove(s.people(50)), "ValidatorsUnknown"),
        (lambda s, d: d.replace(s.people(50), s.people(51)), "ValidatorsUnknown"),
        (lambda s, d: d.replace(s.people(20), s.people(21)), "ValidatorsKnown"),
    ],
)
def test_refusals(deployed: Suite, call: object, error: str) -> None:
    validators, lock = deployed["Validators"], deployed["TimelockController"].address
    with deployed.chain.refusing(error):
        deployed.chain.ask(validators.address, call(deployed, validators.data), sender=lock)  # type: ignore[operator]


def test_the_last_one_stays(deployed: Suite) -> None:
    validators, lock = deployed["Validators"], deployed["TimelockController"].address
    for place in (20, 21):
        deployed.chain.transact(
            validators.address, validators.data.remove(deployed.people(place)), sender=lock
        )
    with deployed.chain.refusing("ValidatorsTooFew", left=0, least=1):
        deployed.chain.ask(validators.address, validators.data.remove(deployed.people(22)), sender=lock)


def test_there_is_a_most(deployed: Suite) -> None:
    validators, lock = deployed["Validators"], deployed["TimelockController"].address
    for place in range(125):
        data = validators.data.add(deployed.people(1_000 + place), ORG)
        deployed.chain.transact(validators.address, data, sender=lock)
    with deployed.chain.refusing("ValidatorsTooMany", most=128):
        deployed.chain.ask(validators.address, validators.data.add(deployed.people(50), ORG), sender=lock)


def test_a_set_is_founded_with_somebody(deployed: Suite) -> None:
    deployed.chain.at("Validators", deployed["Validators"].address)
    with deployed.chain.refusing("ValidatorsTooFew", left=0, least=1):
        deployed.chain.proxy("Validators", deployed["AccessManager"], [], [])
