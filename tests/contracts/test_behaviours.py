"""What every upgradeable contract owes, and what every pausable one does: one suite, run on each."""

import pytest

from contracts.artifacts import load
from contracts.calls import function_of
from contracts.suite import CALLERS, IMPLEMENTATION_SLOT, Role, proxies
from tests.contracts.sandbox import Sandbox, canonical
from tests.contracts.suite import DAY, GUARDIAN, OUTSIDER, Suite, charter_of

UPGRADEABLE = [name for name, _ in proxies(charter_of(Sandbox()))]
PAUSABLE = sorted(name for name, roles in CALLERS.items() if "pause" in roles.get(Role.GUARDIAN, ()))
GOVERNED = [name for name in PAUSABLE if any(e.get("name") == "GUARDIAN_PAUSE" for e in load(name).abi)]


@pytest.mark.parametrize("name", UPGRADEABLE)
def test_it_is_initialized_and_so_is_its_implementation(deployed: Suite, name: str) -> None:
    arguments = dict(proxies(charter_of(deployed.chain)))[name]
    given = [deployed[each.name] if hasattr(each, "name") else each for each in arguments]
    bare = deployed.chain.at(name, deployed.report.addresses[f"{name}.implementation"])
    for contract in (deployed[name], bare):
        with deployed.chain.refusing("InvalidInitialization"):
            contract.send.initialize(*given)
    assert deployed[name].call.authority() == deployed["AccessManager"].address


@pytest.mark.parametrize("name", UPGRADEABLE)
def test_only_the_timelock_upgrades_it_and_only_to_what_can_be_upgraded(deployed: Suite, name: str) -> None:
    contract, chain = deployed[name], deployed.chain
    lock, new = deployed["TimelockController"].address, chain.deploy(name)
    for who in (0, GUARDIAN, OUTSIDER):
        with chain.refusing("AccessManagedUnauthorized", caller=deployed.people(who)):
            contract.send.upgradeToAndCall(new, b"", sender=deployed.people(who))
    with chain.refusing("ERC1967InvalidImplementation"):
        contract.send.upgradeToAndCall(deployed["EthereumDIDRegistry"], b"", sender=lock)
    with chain.refusing("UUPSUnauthorizedCallContext"):
        new.send.upgradeToAndCall(new, b"", sender=lock)
    contract.send.upgradeToAndCall(new, b"", sender=lock)
    assert chain.world.storage(canonical(contract.address), IMPLEMENTATION_SLOT) == int(new.address, 16)


@pytest.mark.parametrize("name", UPGRADEABLE)
def test_its_authority_is_changed_by_the_authority_only(deployed: Suite, name: str) -> None:
    outsider = deployed.people(OUTSIDER)
    with deployed.chain.refusing("AccessManagedUnauthorized", caller=outsider):
        deployed[name].send.setAuthority(outsider, sender=outsider)
    with deployed.chain.refusing("AccessManagedUnauthorized"):
        lock = deployed["TimelockController"].address
        deployed[name].send.setAuthority(outsider, sender=lock)


@pytest.mark.parametrize("name", GOVERNED)
def test_a_guardian_pauses_it_for_a_time_and_the_board_lifts_that(deployed: Suite, name: str) -> None:
    contract, chain, guardian = deployed[name], deployed.chain, deployed.people(GUARDIAN)
    lock = deployed["TimelockController"].address
    assert contract.call.paused() is False
    now = chain.now
    assert contract.send.pause(sender=guardian).only("PausedUntil")["until"] == now + 3 * DAY
    assert contract.call.paused() is True
    with chain.refusing("AccessManagedUnauthorized", caller=guardian):
        contract.send.unpause(sender=guardian)
    assert contract.send.unpause(sender=lock).only("PauseLifted") == {"by": lock}
    assert contract.call.paused() is False
    with chain.refusing("GovernedNotPaused"):
        contract.send.unpause(sender=lock)
    with chain.refusing("GovernedPauseTooSoon"):
        contract.send.pause(sender=guardian)
    chain.warp(6 * DAY)
    contract.send.pause(sender=guardian)
    chain.warp(3 * DAY)
    assert contract.call.paused() is False


def test_every_guardians_function_exists() -> None:
    assert set(PAUSABLE) >= {"Organisations", "SettlementToken", "Disputes"}
    for contract, roles in CALLERS.items():
        for functions in roles.values():
            for function in functions:
                assert function_of(contract, function)["stateMutability"] == "nonpayable"
